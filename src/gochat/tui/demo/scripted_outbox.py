"""The messages of a scripted client that wait to be sent, or were refused."""

from __future__ import annotations

from collections.abc import Callable

from gochat.client import (
    ChatError,
    ClientEvent,
    ConnectionLost,
    Outgoing,
    OutgoingChanged,
    OutgoingState,
    Sent,
    convert,
)
from gochat.client.errors import OutboxFull
from gochat.client.moments import moment
from gochat.client.outbox import MAX_OUTBOX
from gochat.protocol.messages import Message
from gochat.tui.demo.scripted_chat import ScriptedChat
from gochat.tui.demo.scripted_rules import check_text


class ScriptedOutbox:
    """Sends messages to a scripted chat.

    `emit` takes the events of what it sends. What `refusals` has under ``send`` is raised for the
    next message, once.
    """

    def __init__(
        self,
        chat: ScriptedChat,
        emit: Callable[[ClientEvent], None],
        refusals: dict[str, ChatError | ConnectionLost],
    ) -> None:
        self._chat = chat
        self._emit = emit
        self._refusals = refusals
        self._outgoing: list[Outgoing] = []

    def of(self, name: str | None) -> tuple[Outgoing, ...]:
        """Return the messages of an account, and those without a sender; all, if it is None."""
        return tuple(o for o in self._outgoing if name is None or o.sender in (None, name))

    def adopt(self, name: str) -> None:
        """Make an account the sender of the messages that have none."""
        for outgoing in self._outgoing:
            outgoing.sender = outgoing.sender or name

    def require_room(self) -> None:
        """Raise OutboxFull if no other message can wait."""
        if len(self._outgoing) >= MAX_OUTBOX:
            raise OutboxFull(f"{MAX_OUTBOX:,} messages wait to be sent")

    def put(self, outgoing: Outgoing) -> None:
        """Add a message."""
        self._outgoing.append(outgoing)

    def send(self, name: str | None) -> None:
        """Send the pending messages of an account, in order."""
        for outgoing in self.of(name):
            if outgoing.state is OutgoingState.PENDING:
                self._deliver(outgoing)

    def _deliver(self, outgoing: Outgoing) -> None:
        try:
            if refusal := self._refusals.pop("send", None):
                raise refusal
            to = self._chat.address(outgoing.conversation)
            check_text(outgoing.text)
            self._chat.require_open(to)
            if outgoing.reply_to is not None:
                self._chat.message(to, outgoing.reply_to.seq, "reply_to")
        except ChatError as error:
            outgoing.become_failed(error)
            self._emit(OutgoingChanged(outgoing))
            return
        self._outgoing.remove(outgoing)
        message = self._chat.append(
            to, self._chat.me, "text", outgoing.text, cid=outgoing.cid,
            ref=None if outgoing.reply_to is None else outgoing.reply_to.seq,
            mentions=self._chat.mentioned(to, outgoing.text),
            form=outgoing.form,
        )  # fmt: skip
        outgoing.become_sent(sent(message))
        self._emit(OutgoingChanged(outgoing))
        self._emit(convert.to_entry(message, self._chat.me))

    def retry(self, outgoing: Outgoing) -> bool:
        """Move a refused message to the end, pending again. Return False if it was not refused."""
        if not self.discard(outgoing):
            return False
        self._outgoing.append(outgoing)
        outgoing.become_pending()
        self._emit(OutgoingChanged(outgoing))
        return True

    def discard(self, outgoing: Outgoing) -> bool:
        """Forget a refused message. Return False if it was not refused."""
        if outgoing.state is not OutgoingState.FAILED or outgoing not in self._outgoing:
            return False
        self._outgoing.remove(outgoing)
        return True


def sent(entry: Message) -> Sent:
    """Return where an entry is in the log."""
    return Sent(conversation=entry.to, epoch=entry.epoch, seq=entry.seq, time=moment(entry.ts))
