"""A client's state: turns what arrives and what is sent into events in one order.

It is the receiver of a connection: what arrives is passed to it in that order, and only
:meth:`SyncState.wait_for_room` waits. All other waiting is in :mod:`gochat.client.session`.
"""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from gochat.client import timeline
from gochat.client.buffer import EventBuffer
from gochat.client.call import Call
from gochat.client.convert import (
    to_conversation,
    to_entry,
    to_event,
    to_invitation,
    to_person,
)
from gochat.client.errors import ClientClosed, NotConnected
from gochat.client.events import (
    ConnectionState,
    OutgoingChanged,
    Reset,
    RoleChanged,
    StateChanged,
    Synchronised,
)
from gochat.client.inbox import Inbox
from gochat.client.options import Clock
from gochat.client.outbox import Outbox, conversation_key
from gochat.client.outgoing import Outgoing
from gochat.errors import ChatError
from gochat.protocol import messages as wire
from gochat.protocol.messages import Invitation, Limits, Message, Person


class SyncState:
    """The client's identity, its inbox, its outbox, and the events that both produce."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self.state = ConnectionState.OFFLINE
        self.name: str | None = None
        self.token: str | None = None
        self.token_expires: int | None = None
        self.limits: Limits | None = None
        self.role: wire.ServerRole = "member"
        self._knows_role = False  # the name may be known before the first login
        self.server: str | None = None
        self.inbox = Inbox()
        self.outbox = outbox
        self.buffer = EventBuffer()
        #: Set when there may be something to send; the task that waits for it replaces it.
        self.outbox_changed = anyio.Event()
        #: Set when something must be fetched; likewise.
        self.gap_found = anyio.Event()
        #: Set when something was left out; likewise.
        self.left_out = anyio.Event()
        #: Whether events were not kept, and must be asked for again: the buffer is or was full.
        self.has_left_out = False
        self._clock = clock
        self._invitations: tuple[Invitation, ...] = ()  # as the first page had them
        # When a connection was last good; None while there is one that has caught up.
        self._good_until: float | None = 0.0

    # -- what arrives ---------------------------------------------------------------------------

    def received(self, event: wire.Event) -> None:
        """Take in an event from the server.

        From when the buffer is full on, those that a `sync` brings are left out, until there is
        room: positions stay where they are, so no entry is lost.
        """
        match event:
            case wire.Ping() | wire.Bye():
                pass  # the connection handles them
            case wire.NewLogin() | wire.Blocked() | wire.Unblocked():
                self.buffer.put([to_event(event)])  # nothing else brings them, and they are few
            case wire.RoleChanged():
                self._take_role(event.role)  # likewise
            case _ if self.has_left_out or self.buffer.is_full:
                self._leave_out()
            case Message():
                self.show(self.inbox.receive(event))
            case (
                wire.Presence() | wire.Marked() | wire.ActivityChanged() | wire.SavedChanged()
                | wire.Invited() | wire.Uninvited() | wire.IsTyping()
                | wire.Reported() | wire.ReportClosed()
            ):  # fmt: skip
                self.buffer.put([to_event(event)])

    def replied(self, request: wire.Request, reply: wire.Reply) -> None:
        """Take in what a reply changes, in its position among the events."""
        match reply:
            case wire.LoggedIn():
                self._begin(reply)
            case wire.PasswordChanged():
                self.token, self.token_expires = reply.token, reply.expires
            case _ if isinstance(request, wire.Write):
                self._report(self.outbox.replied(request, reply))
            case wire.HistoryPage():
                self._settle(reply.entries)
            case wire.Found():
                self._settle(reply.hits)
            case _:
                pass

    async def wait_for_room(self) -> None:
        """Wait until the program has taken enough events for more to be read."""
        await self.buffer.wait_for_room()

    def expect_reply(self, *, is_due: bool) -> None:
        """Set whether a request waits for its reply."""
        self.buffer.expect_reply(is_due=is_due)

    def next_page(self, limit: int, max_bytes: int) -> wire.Sync | None:
        """Return the request for the next page of what was missed; see :meth:`Inbox.next_page`.

        While the buffer is full, it asks for no entries.
        """
        return self.inbox.next_page(0 if self.buffer.is_full else limit, max_bytes)

    def synced(self, request: wire.Sync, page: wire.Synced) -> None:
        """Take in a page of what was missed."""
        if not request.after:
            self._invitations = page.invitations
        for conv in page.gone:
            self.outbox.note_gone(conv, self._good)
        self.show(self.inbox.synced(request, page))

    def caught_up(self, people: Iterable[Person]) -> None:
        """Deliver the snapshot, now that there are no more pages, and then the events since the
        first was asked for. If the buffer is full, another one is taken when there is room."""
        online = tuple(map(to_person, people))
        conversations = tuple(map(to_conversation, self.inbox.conversations()))
        invitations = tuple(map(to_invitation, self._invitations))
        self.show(())  # the inbox may want something
        self._good_until = None
        if self.buffer.is_full:
            self._leave_out()
            self.buffer.release(())
        else:
            self.buffer.release([Synchronised(online, conversations, invitations)])

    def catch_up_again(self) -> None:
        """Begin to ask for what was left out."""
        assert self.name is not None
        self._begin_to_catch_up(self.name)

    def _begin_to_catch_up(self, name: str) -> None:
        self.inbox.begin(name, without_limit=self.has_left_out)
        self.has_left_out = self.buffer.is_full
        self.buffer.hold()  # until the snapshot is there

    def _leave_out(self) -> None:
        self.has_left_out = True
        self.left_out.set()

    def show(self, shown: Iterable[Message | timeline.Reset]) -> None:
        """Deliver what the inbox shows as events."""
        for event in shown:
            if isinstance(event, Message):
                self._settle((event,))
                self.buffer.put([to_entry(event, self.name)])
            else:
                self._settle(event.entries)
                entries = tuple(to_entry(entry, self.name) for entry in event.entries)
                self.buffer.put([Reset(event.conv, event.epoch, entries)])
                self._send_again(event)
        wants = self.inbox.wants()
        if wants:
            self.gap_found.set()
        if not self.inbox.has_pages_to_come:
            new = {
                conversation_key(c)
                for c, want in wants.items()
                if isinstance(want, timeline.Newest)
            }
            if new != self.outbox.unsure:
                self.outbox.unsure = new
                self.outbox_changed.set()

    def _settle(self, entries: Iterable[Message]) -> None:
        """Acknowledge this person's messages that turn out to be in the log.

        An entry that arrives, in whatever way, is committed: the reply to sending its message, an
        acknowledgement or a refusal, adds nothing.
        """
        for entry in entries:
            if entry.from_ == self.name and entry.kind == "text":
                self._acknowledge(entry.cid, _sent(entry))

    def _acknowledge(self, cid: str | None, sent: wire.Sent) -> None:
        if cid is not None:
            self._report(self.outbox.acknowledge(cid, sent))

    def refuse(self, request: wire.WriteRequest, error: ChatError) -> None:
        """Handle a request that does not fit a frame."""
        self._report(self.outbox.refuse(request, error))

    def _report(self, outgoing: Outgoing | None) -> None:
        """Report a message that has changed; more may be sent now."""
        if outgoing is not None:
            self.buffer.put([OutgoingChanged(outgoing)])
        self.outbox_changed.set()

    def _send_again(self, event: timeline.Reset) -> None:
        again = self.outbox.lost_by_server(event.conv, event.epoch, event.entries, self._good)
        self.buffer.put(OutgoingChanged(outgoing) for outgoing in again)
        self.outbox_changed.set()

    @property
    def _good(self) -> float:
        """When a connection was last good."""
        return self._clock.now() if self._good_until is None else self._good_until

    def _take_role(self, role: wire.ServerRole) -> None:
        if role != self.role:
            before, self.role = self.role, role
            self.buffer.put([RoleChanged(role=role, before=before)])

    def _begin(self, reply: wire.LoggedIn) -> None:
        if self.name != reply.name or not self._knows_role:
            self.role, self._knows_role = reply.role, True
        self.name, self.token, self.token_expires = reply.name, reply.token, reply.expires
        self.limits, self.server = reply.limits, reply.server
        self.outbox.begin(reply.name, reply.limits)
        self.become(ConnectionState.CONNECTED)
        self._take_role(reply.role)
        self._begin_to_catch_up(reply.name)

    # -- the state of the connection ------------------------------------------------------------

    def become(
        self, state: ConnectionState, retry_in: float | None = None, reason: str = ""
    ) -> None:
        """Change the state, and report it."""
        self.state = state
        self.buffer.put_state(StateChanged(state, retry_in, reason))
        if state is ConnectionState.OFFLINE:
            self.outbox.end_calls(NotConnected, f"not connected: {reason}")

    def connection_lost(self) -> None:
        """Stop waiting for replies and for the snapshot of the lost connection."""
        self.outbox.connection_lost()
        self.buffer.release(())
        if self._good_until is None:
            self._good_until = self._clock.now()

    def log_out(self) -> None:
        """Forget the account; the outbox keeps its messages."""
        self.token = self.token_expires = self.name = None
        self.inbox.forget()

    def close(self) -> None:
        """End the stream of events, and wake the tasks that wait for messages to be sent."""
        self.state = ConnectionState.OFFLINE
        self.buffer.close()
        self.outbox.end_calls(ClientClosed, "the client was closed")
        for outgoing in self.outbox.of(None):
            outgoing.abandon()

    # -- the program's side of the outbox -------------------------------------------------------

    def send(self, outgoing: Outgoing) -> None:
        """Put a new message into the outbox."""
        outgoing.sender = self.name
        self.outbox.add(outgoing)
        self.outbox_changed.set()

    def call(self, call: Call) -> None:
        """Put a write that a task waits for into the outbox."""
        self.outbox.call(call)
        self.outbox_changed.set()

    def retry(self, outgoing: Outgoing) -> None:
        """Send a FAILED message again."""
        if self.outbox.retry(outgoing):
            self.buffer.put([OutgoingChanged(outgoing)])
            self.outbox_changed.set()


def _sent(entry: Message) -> wire.Sent:
    return wire.Sent(to=entry.to, epoch=entry.epoch, seq=entry.seq, ts=entry.ts, cid=entry.cid)
