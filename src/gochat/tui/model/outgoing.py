"""The messages on their way to the server, and their lines in the conversations. Pure."""

from __future__ import annotations

from gochat.client import Outgoing, OutgoingState
from gochat.client.moments import milliseconds
from gochat.tui.model.error_texts import error_text
from gochat.tui.model.views import ConversationView


class OutgoingMessages:
    """What waits to be sent, and what was refused."""

    def __init__(self) -> None:
        self.messages: dict[str, Outgoing] = {}  # by cid

    def counts(self) -> tuple[int, int]:
        """How many messages wait to be sent, and how many were refused."""
        failed = sum(o.state is OutgoingState.FAILED for o in self.messages.values())
        return len(self.messages) - failed, failed

    def add(self, outgoing: Outgoing) -> None:
        """Take a message that is not sent yet, or was refused."""
        self.messages[outgoing.cid] = outgoing

    def drop(self, cid: str) -> Outgoing | None:
        """Forget a message, and return it if it was here."""
        return self.messages.pop(cid, None)

    def move(self, view: ConversationView, other: ConversationView) -> None:
        """Show in another conversation what is not sent in this one."""
        for outgoing in self.messages.values():
            if outgoing.cid in view.timeline.unsent:
                self.show(other, outgoing)

    def show(self, view: ConversationView, outgoing: Outgoing) -> None:
        """Put the line of a message into a conversation, or bring it up to date."""
        sent = outgoing.sent_as
        view.timeline.put(
            outgoing.cid,
            outgoing.text,
            milliseconds(outgoing.created),
            reply_to=outgoing.reply_to.seq if outgoing.reply_to is not None else None,
            form=outgoing.form,
            state=outgoing.state.value,
            error=error_text(outgoing.error) if outgoing.error else "",
            outbox_index=outgoing.outbox_index,
            seq=sent.seq if sent is not None and view.epoch in ("", sent.epoch) else None,
        )
