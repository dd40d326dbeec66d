"""The state of the app: all that this person sees. Pure: no Textual, no network.

The client's events go in by :meth:`ChatModel.apply`; what must be drawn again comes out by
:meth:`ChatModel.take_changes`, as often as the app draws. Between the two nothing is drawn, however
many events there are. What the events change is in :mod:`~gochat.tui.model.conversations`; the
rules that need only one conversation are in the modules beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, assert_never

from gochat.client import (
    ActivityChanged,
    ClientEvent,
    Conversation,
    Entry,
    Invitation,
    Invited,
    IsTyping,
    LogEntry,
    Marked,
    Message,
    MessageDeleted,
    MessageEdited,
    MessagesReported,
    NewLogin,
    OutgoingChanged,
    PersonBanned,
    PersonBlocked,
    PersonKicked,
    PersonLeft,
    PersonUnblocked,
    Presence,
    ReportClosed,
    Reset,
    RoleChanged,
    SavedChanged,
    StateChanged,
    Status,
    Synchronised,
    Uninvited,
)
from gochat.client.address import Security
from gochat.client.moments import milliseconds
from gochat.protocol.messages import LOBBY
from gochat.tui.model import attention, kept, members, membership, unread
from gochat.tui.model.arrivals import Arrivals
from gochat.tui.model.conversations import KEPT, Conversations
from gochat.tui.model.highlights import Highlights
from gochat.tui.model.quiet import Quiet
from gochat.tui.model.statuses import Statuses
from gochat.tui.model.views import Attention, Connection, ConversationView
from gochat.tui.model.waits import Waits

#: The longest wait for the next attempt to connect that is shown, in seconds.
LONGEST_WAIT: Final = 7 * 86_400.0
#: With more people online than this, only the list shows arrivals and departures.
PRESENCE_LINES: Final = 50


class ChatModel(Conversations):
    """The state of the app. `me` is the person; `clock` counts seconds and never goes back."""

    def __init__(
        self,
        me: str,
        *,
        security: Security = Security.THIS_MACHINE,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(me, clock=clock, now=now)
        self.connection = Connection()
        #: Who can read what is sent to the server.
        self.security = security
        #: The names of those whom the person blocks.
        self.blocked: set[str] = set()
        #: The server's message of the day; None until it is known.
        self.motd: str | None = None
        self.presence_lines = True
        #: What people say of themselves; :meth:`status_of` leaves out who is blocked.
        self.statuses = Statuses(self.people)
        #: Words by which a message counts as one that mentions the person.
        self.highlights = Highlights()
        #: When nothing notifies the person.
        self.quiet = Quiet()
        self._waits = Waits()
        self._arrivals = Arrivals(clock)

    def status_of(self, name: str) -> Status | None:
        """Return what somebody says of themselves now, unless the person blocks them."""
        return None if name in self.blocked else self.statuses.of(name, self._now())

    def take_statuses(self, names: Iterable[str], found: Mapping[str, Status]) -> None:
        """Take what people say of themselves who are offline: the answer about `names`."""
        self.statuses.take(names, found)
        self._changes.people = self._changes.conversations = True

    def lapse_statuses(self) -> bool:
        """Return whether a status has ended since the last call: about every second."""
        return self.statuses.lapse(self._now())

    def begin_wait(self, what: str = "") -> int:
        """Note that the person waits for an answer of the server, to `what` in words if there are
        any; return what :meth:`end_wait` takes."""
        self._changes.waits = True
        return self._waits.begin(what, self._clock())

    def end_wait(self, number: int) -> None:
        """Note that the answer is there, or won't come."""
        self._waits.end(number)
        self._changes.waits = True

    @property
    def waiting_for(self) -> str | None:
        """What the person waits for, in words or empty; None if they don't, or not for long."""
        return self._waits.shown(self._clock())

    def retry_in(self) -> int | None:
        """Return the whole seconds until the next attempt to connect."""
        if self.connection.until is None:
            return None
        return max(0, round(self.connection.until - self._clock()))

    @property
    def quiet_until(self) -> float | None:
        """Until when nothing notifies the person (seconds since the Unix epoch); None: it does."""
        return self.quiet.until(self._now())

    def wall_clock(self) -> float:
        """Return the time of day, in seconds since the Unix epoch."""
        return self._now()

    def be_quiet(self, until: float) -> None:
        """Notify the person of nothing until then; 0: as usual."""
        self.quiet.asked_until = until
        self._changes.connection = True

    def take_blocked(self, names: Iterable[str]) -> None:
        """Note whom the person blocks: what they wrote is not quoted where it is pinned."""
        blocked, before = set(names), self.blocked
        if blocked != before:
            self.blocked = blocked
            self._changes.people = True
            self._touched |= {
                conv for conv, view in self.conversations.items() if view.timeline.redraw_pins()
            }

    def lapse_typing(self) -> None:
        """Forget who has stopped typing; to be called about every second."""
        now = self._clock()
        for view in self.conversations.values():
            self._changes.typing |= view.typing.lapse(now)

    # -- events ------------------------------------------------------------------------------------

    def apply(self, event: ClientEvent) -> None:
        """Take one event of the client."""
        match event:
            case Entry():
                self._entry(event)
            case Presence():
                self._presence(event)
            case Marked():
                self._marked(event)
            case IsTyping():
                self._typing(event)
            case Invited():
                self._invited(event.invitation)
            case Uninvited():
                self.invitations.pop(event.room, None)
                self._changes.conversations = True
            case PersonBlocked():
                self.take_blocked(self.blocked | {event.name})
            case PersonUnblocked():
                self.take_blocked(self.blocked - {event.name})
            case SavedChanged():
                self.saved.apply(event)
                self._changes.conversations = True
                self._changes.pins_stale |= event.on  # the list has it at the top
            case RoleChanged():
                self.set_role(event.role)
            case ReportClosed():
                if self.close_report(event.id):
                    self._changes.closed_reports.append(event.id)
            case NewLogin() | MessagesReported():
                pass  # for the app
            case ActivityChanged():
                self._changes.activity_stale = True
            case StateChanged():
                until = (
                    None
                    if event.retry_in is None
                    else self._clock() + min(event.retry_in, LONGEST_WAIT)
                )
                self.connection = Connection(event.state, event.reason, until)
                self._changes.connection = True
            case Synchronised():
                self._synchronise(event)
            case Reset():
                self._reset(event)
            case OutgoingChanged():
                self.put_outgoing(event.outgoing)
            case _:
                assert_never(event)

    def _entry(self, entry: LogEntry) -> None:
        conv = entry.conversation
        if self._is_elsewhere(entry):
            return
        view = self._known(conv)
        counted = entry.seq <= view.head
        view.head = max(view.head, entry.seq)
        view.epoch = entry.epoch
        view.typing.stop([entry.sender])
        if isinstance(entry, MessageDeleted | MessageEdited) and not counted:
            self._changes.stale |= not unread.amend(view, entry)
        view.time = max(view.time, milliseconds(entry.time))
        self._changes.activity_stale |= self.activity.is_changed_by(entry)
        kept.apply(view, entry)
        members.apply(view, entry)
        if not view.joined and membership.begins(entry):
            self._begin_anew(view, entry.seq)
        line = view.timeline.add(entry)
        self._touched.add(conv)
        self._member_of(view, entry)
        if isinstance(entry, Message):
            self._count(view, entry, counted=counted)
        self._changes.conversations = True
        if line is None and view.timeline.newer:
            # An older part of the log is shown: only the list shows that there is something new.
            return
        if conv != self.current and len(view.timeline) > 2 * KEPT:
            view.timeline.trim(KEPT)

    def _count(self, view: ConversationView, message: Message, *, counted: bool) -> None:
        self._arrivals.spoke(message.sender)
        if unread.count(view, message, counted=counted):
            wanted = attention.wanted_by(
                message,
                view,
                blocked=self.blocked,
                highlights=self.highlights,
                now=self._now(),
            )
            if wanted is not None:
                self._changes.attention.append(wanted)

    def _invited(self, invitation: Invitation) -> None:
        if invitation.room not in self.invitations:
            self._changes.attention.append(
                Attention(invitation.room, invitation.sender, "", "invite")
            )
        self.invitations[invitation.room] = invitation
        self._changes.conversations = True

    def _is_elsewhere(self, entry: LogEntry) -> bool:
        """Take an entry of a room that the person is not in: they left it."""
        ends = (
            isinstance(entry, PersonLeft | PersonKicked | PersonBanned)
            and self.find(entry.conversation) is None
        )
        return ends and (entry.is_own or not entry.is_private)

    def _member_of(self, view: ConversationView, entry: LogEntry) -> None:
        """Take what an entry changes for this person: they may have left the room with it."""
        if membership.ends(entry, self.me):
            self._gone(view)
            return
        was_joined, view.joined = view.joined, view.joined or membership.begins(entry)
        if view.joined and not was_joined:
            self._changes.stale = True  # what the room is about came before
        membership.apply(view, entry, self.me)

    def _begin_anew(self, view: ConversationView, seq: int) -> None:
        """Forget the log of a room that the person comes back to, if it went on without them: what
        came meanwhile is loaded before `seq`, as the past is."""
        timeline = view.timeline
        if timeline.last is not None and seq > timeline.last + 1:
            timeline.reset((), as_of=0, older=True)

    def _gone(self, view: ConversationView) -> None:
        view.joined = view.operator = False
        view.unread = view.mentions = 0
        self._forget_left(view)

    def _presence(self, presence: Presence) -> None:
        leaving = (self.people.get(name) for name in presence.offline)
        self.statuses.left([person for person in leaving if person is not None])
        arrived, left = self.people.apply(presence)
        self.statuses.arrived(presence.online)
        self._changes.people = True
        self._changes.conversations = True  # their signs show who is online
        if left:
            gone = [view.typing.stop(left) for view in self.conversations.values()]
            self._changes.typing |= any(gone)
        arrived = self._arrivals.noticed(arrived)
        if not self.presence_lines:
            return
        crowd = len(self.people) > PRESENCE_LINES
        ts = int(self._now() * 1000)
        for names, text in ((arrived, "online"), (left, "offline")):
            for name in names:
                if name == self.me:
                    continue
                for conv in ((LOBBY,) if not crowd else ()) + (f"@{name}",):
                    view = self.conversations.get(conv)
                    if view is not None and (len(view.timeline) or conv == self.current):
                        view.timeline.note("presence", name, text, ts)
                        self._touched.add(conv)

    def _marked(self, marked: Marked) -> None:
        view = self.conversations.get(marked.conversation)
        if view is None:
            return
        view.read = max(view.read, marked.read)
        view.unread, view.mentions, view.level = marked.unread, marked.mentions, marked.level
        self._changes.conversations = True

    def _typing(self, typing: IsTyping) -> None:
        view = self.conversations.get(typing.conversation)
        if view is not None and typing.name != self.me:
            view.typing.note(typing.name, self._clock())
            self._changes.typing = True

    def _synchronise(self, snapshot: Synchronised) -> None:
        self.people.replace(snapshot.people)
        self.statuses.forget()
        self.statuses.arrived(snapshot.people)
        self._arrivals.forget()
        known = {conversation.name for conversation in snapshot.conversations}
        shown = self.conversations.get(self.current)
        seen = 0 if shown is None else shown.read  # perhaps the server does not know of all of it
        for conversation in snapshot.conversations:
            self._known(conversation.name).describe(conversation)
        if shown is not None and shown.unread and shown.head > max(seen, shown.read):
            shown.divider = max(seen, shown.read)
        for conv in [*self.conversations]:
            view = self.conversations[conv]
            if conv not in known and view.is_room:
                self._gone(view)
        self.closed_reports.clear()
        pending = {new.room: new for new in snapshot.invitations}
        if self._synchronised:
            for invitation in snapshot.invitations:
                self._invited(invitation)
        self.invitations = pending
        self.open_lobby()
        self._synchronised = True
        for view in self.conversations.values():
            view.pins = view.members = None
        self._changes.conversations = self._changes.people = True
        self._changes.activity_stale = self._changes.pins_stale = True

    def describe(self, conversations: Iterable[Conversation]) -> None:
        """Take what the server says of the conversations now: it was asked because of `stale`."""
        for conversation in conversations:
            view = self._known(conversation.name)
            # A marker that is further here is on its way there.
            view.describe(conversation, counts=conversation.read >= view.read)
        self._changes.conversations = True

    def _reset(self, reset: Reset) -> None:
        view = self._known(reset.conversation)
        entries = reset.entries
        view.epoch = reset.epoch
        view.head = entries[-1].seq if entries else 0
        view.read = min(view.read, view.head)
        view.timeline.reset(entries, as_of=view.head, older=bool(entries) and entries[0].seq > 1)
        for entry in entries:
            membership.apply(view, entry, self.me)
        view.divider = view.pins = view.members = None
        self._touched.add(view.conv)
        self._changes.conversations = self._changes.pins_stale = True
