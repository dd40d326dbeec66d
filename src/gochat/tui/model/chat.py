"""The state of the app: all that this person sees. Pure: no Textual, no network.

The client's events go in by :meth:`ChatModel.apply`; what must be drawn again comes out by
:meth:`ChatModel.take_changes`, as often as the app draws. Between the two nothing is drawn, however
many events there are. One class and so one long file: each event touches conversations,
people and what changed at once, and two halves would call each other all the time. The rules that
need only one conversation are in the modules beside it.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, assert_never

from gochat.client import (
    ClientEvent,
    Conversation,
    Entry,
    HistoryPage,
    Invitation,
    Invited,
    IsTyping,
    Level,
    LogEntry,
    Marked,
    Message,
    MessageDeleted,
    MessageEdited,
    NewLogin,
    Outgoing,
    OutgoingChanged,
    OutgoingState,
    PersonBanned,
    PersonBlocked,
    PersonKicked,
    PersonLeft,
    PersonUnblocked,
    Presence,
    Reset,
    ServerRole,
    StateChanged,
    Synchronised,
    Uninvited,
)
from gochat.client.address import Security
from gochat.client.moments import milliseconds
from gochat.protocol.messages import LOBBY
from gochat.tui.model import attention, membership, order, unread
from gochat.tui.model.arrivals import Arrivals
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.model.highlights import Highlights
from gochat.tui.model.order import Group, GroupName
from gochat.tui.model.quiet import Quiet
from gochat.tui.model.roster import Roster
from gochat.tui.model.timeline import Timeline
from gochat.tui.model.views import Attention, Changes, Connection, ConversationView

#: The longest wait for the next attempt to connect that is shown, in seconds.
LONGEST_WAIT: Final = 7 * 86_400.0
#: Entries that a conversation keeps while another one is shown; history brings the others back.
KEPT: Final = 1000
#: With more people online than this, only the list shows arrivals and departures.
PRESENCE_LINES: Final = 50


class ChatModel:
    """The state of the app. `me` is the person; `clock` counts seconds and never goes back."""

    def __init__(
        self,
        me: str,
        *,
        security: Security = Security.THIS_MACHINE,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.me = me
        #: The person's role at the server; see :meth:`set_role`.
        self.role: ServerRole = "member"
        self.conversations: dict[str, ConversationView] = {}
        self.people = Roster()
        self.connection = Connection()
        #: Who can read what is sent to the server.
        self.security = security
        self.outgoing: dict[str, Outgoing] = {}
        #: The pending invitations, by room.
        self.invitations: dict[str, Invitation] = {}
        #: The names of those whom the person blocks.
        self.blocked: set[str] = set()
        #: The server's message of the day; None until it is known.
        self.motd: str | None = None
        self.presence_lines = True
        #: Words by which a message counts as one that mentions the person.
        self.highlights = Highlights()
        #: When nothing notifies the person.
        self.quiet = Quiet()
        #: The conversation that is shown.
        self.current = ""
        #: The one before.
        self.previous = ""
        #: What the rank of the shown conversation was when it was opened.
        self.shown_rank: int | None = None
        #: What the person wants at the top of the list, and which of its groups are folded.
        self.favourites: set[str] = set()
        self.folded: set[GroupName] = set()
        self._mutes: dict[str, float] = {}  # → until when
        self._clock = clock
        self._now = now
        self._changes = Changes()
        self._touched: set[str] = set()
        self._spellings: dict[str, str] = {}  # as typed → as the server spells it
        self._synchronised = False
        self._arrivals = Arrivals(clock)

    # -- reading ----------------------------------------------------------------------------------

    @property
    def shown(self) -> ConversationView:
        """The conversation that is shown."""
        return self.conversations[self.current]

    def set_role(self, role: ServerRole) -> None:
        """Take the person's role at the server."""
        self.role = role
        for view in self.conversations.values():
            view.is_moderator = role != "member"

    @property
    def is_synchronised(self) -> bool:
        """True once a snapshot of the server has arrived."""
        return self._synchronised

    def find(self, conv: str) -> ConversationView | None:
        """Return the view of a conversation, also where `conv` is another spelling of it."""
        view = self.conversations.get(self._spellings.get(conv, conv))
        if view is None:
            key = _folded(conv)
            view = next((v for v in self.conversations.values() if _folded(v.conv) == key), None)
        return view

    def invitation(self, room: str) -> Invitation | None:
        """Return the pending invitation to a room, also where `room` is another spelling of it."""
        key = _folded(room)
        return next(
            (
                invitation
                for invitation in self.invitations.values()
                if _folded(invitation.room) == key
            ),
            None,
        )

    def ordered(self) -> list[ConversationView]:
        """Return the conversations in the order that does not depend on what is unread."""
        return order.by_name(self.conversations.values(), self.favourites)

    def groups(self) -> list[Group]:
        """Return the groups of the list, with what each has; see :mod:`gochat.tui.model.order`."""
        return order.grouped(self)

    @property
    def badges(self) -> tuple[int, bool]:
        """How much is unread in conversations that are not muted, and whether it has mentions."""
        views = [view for view in self.conversations.values() if view.badge]
        return sum(v.badge for v in views), any(v.mentions for v in views)

    def counts(self) -> tuple[int, int]:
        """How many messages wait to be sent, and how many were refused."""
        failed = sum(o.state is OutgoingState.FAILED for o in self.outgoing.values())
        return len(self.outgoing) - failed, failed

    def typists(self, conv: str) -> list[str]:
        """Return who is typing there at this moment."""
        view = self.conversations.get(conv)
        return [] if view is None else view.typing.names(self._clock())

    def retry_in(self) -> int | None:
        """Return the whole seconds until the next attempt to connect."""
        if self.connection.until is None:
            return None
        return max(0, round(self.connection.until - self._clock()))

    def next_unread(self) -> str | None:
        """Return the next conversation with something unread after the shown one; mentions first.

        Messages of one person to another count as mentions.
        """
        return order.next_unread(self.ordered(), self.current)

    def spelled(self, conv: str) -> str:
        """Return an address as the server spells it, as far as that is known here."""
        if (view := self.find(conv)) is not None:
            return view.conv
        return f"@{self.people.spelled(conv[1:])}" if conv.startswith("@") else conv

    # -- what changed -----------------------------------------------------------------------------

    @property
    def has_changes(self) -> bool:
        """True when there is something to draw."""
        return bool(self._touched) or bool(self._changes)

    def take_changes(self) -> Changes:
        """Return what is to be drawn again since the last call."""
        changes, self._changes = self._changes, Changes()
        for conv in self._touched:
            view = self.conversations.get(conv)
            if view is not None and (log := view.timeline.take_changes()):
                changes.logs[conv] = log
        self._touched.clear()
        return changes

    # -- events -----------------------------------------------------------------------------------

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
                self.blocked.add(event.name)
            case PersonUnblocked():
                self.blocked.discard(event.name)
            case NewLogin():
                pass  # for the app
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

    def _gone(self, view: ConversationView) -> None:
        view.joined = view.operator = False
        view.unread = view.mentions = 0
        self._forget_left(view)

    def _forget_left(self, view: ConversationView) -> None:
        """Forget a room that the person has left, unless it is shown or has messages that are not
        sent, for which they decide."""
        if not view.joined and view.conv != self.current and not view.timeline.unsent:
            self.forget(view.conv)

    def _presence(self, presence: Presence) -> None:
        arrived, left = self.people.apply(presence)
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
        self._arrivals.forget()
        known = {conversation.name for conversation in snapshot.conversations}
        for conversation in snapshot.conversations:
            self._known(conversation.name).describe(conversation)
        for conv in [*self.conversations]:
            view = self.conversations[conv]
            if conv not in known and view.is_room:
                self._gone(view)
        pending = {new.room: new for new in snapshot.invitations}
        if self._synchronised:
            for invitation in snapshot.invitations:
                self._invited(invitation)
        self.invitations = pending
        self.open_lobby()
        self._synchronised = True
        self._changes.conversations = self._changes.people = True

    def describe(self, conversations: Iterable[Conversation]) -> None:
        """Take what the server says of the conversations now: it was asked because of `stale`."""
        for conversation in conversations:
            view = self._known(conversation.name)
            # A marker that is further here is on its way there.
            view.describe(conversation, counts=conversation.read >= view.read)
        self._changes.conversations = True

    def open_lobby(self) -> None:
        """Show the lobby, if nothing is shown: it is there before there was a snapshot, too."""
        if LOBBY not in self.conversations:
            self._open(LOBBY)
        if self.current not in self.conversations:
            self.show(LOBBY)

    def _reset(self, reset: Reset) -> None:
        view = self._known(reset.conversation)
        entries = reset.entries
        view.epoch = reset.epoch
        view.head = entries[-1].seq if entries else 0
        view.read = min(view.read, view.head)
        view.timeline.reset(entries, as_of=view.head, older=bool(entries) and entries[0].seq > 1)
        for entry in entries:
            membership.apply(view, entry, self.me)
        view.divider = None
        self._touched.add(view.conv)
        self._changes.conversations = True

    # -- what the person does ---------------------------------------------------------------------

    def show(self, conv: str) -> ConversationView:
        """Show a conversation; begin it if it is new."""
        view = self.find(conv) or self._open(self.spelled(conv))
        if view.conv != self.current:
            before = self.conversations.get(self.current)
            # It stays where it is in the list, although it is read now.
            self.shown_rank = view.rank if before is not None else None
            self.previous, self.current = self.current, view.conv
            if before is not None:
                self._leave(before)
        view.divider = view.read if view.unread else None
        self._changes.conversations = self._changes.typing = True
        return view

    def _leave(self, view: ConversationView) -> None:
        view.divider = None
        view.timeline.trim(KEPT)
        view.timeline.take_changes()
        self._forget_left(view)

    def forget(self, conv: str) -> None:
        """Take a conversation out of the list."""
        if conv != LOBBY and conv in self.conversations:
            del self.conversations[conv]
            self._changes.conversations = True
            if self.current == conv:
                back = self.previous if self.previous in self.conversations else LOBBY
                self.current, self.previous = "", ""
                self.show(back)

    def add_page(self, page: HistoryPage, where: Literal["older", "newer", "instead"]) -> int:
        """Take a page of history; return how many entries of it are seen."""
        view = self.find(page.conversation)
        if view is None:
            return 0
        timeline, before = view.timeline, len(view.timeline)
        if view.epoch and page.epoch != view.epoch:
            return 0  # of another history of the log: the client has sent a Reset, or will
        view.epoch = page.epoch
        view.head = max(view.head, page.head)
        self._touched.add(view.conv)
        if where == "newer" and page.entries and page.entries[0].seq > (timeline.last or 0) + 1:
            where = "instead"  # what lies between is hidden: the person has joined again
        seen = None
        match where:
            case "older":
                seen = timeline.add_older(page.entries, as_of=page.head, older=page.older)
            case "newer":
                timeline.add_newer(page.entries, as_of=page.head, newer=page.newer)
            case "instead":
                timeline.reset(page.entries, as_of=page.head, older=page.older, newer=page.newer)
        if not timeline.older and page.floor and page.floor >= page.base:
            timeline.note_beginning("hidden")
        elif not timeline.older and page.base and (timeline.first or page.base) >= page.base:
            timeline.note_beginning("removed")  # unless it was loaded before it was removed
        return len(timeline) - before if seen is None else seen

    def mark_read(self, seq: int) -> None:
        """The shown conversation is read up to `seq`."""
        view = self.shown
        if seq > view.read or view.unread:
            view.read = max(view.read, seq)
            view.unread, view.mentions = view.timeline.unread_after(view.read)
            self._changes.conversations = True

    def toggle_favourite(self, conv: str) -> None:
        """Put a conversation among the favourites, or take it from there."""
        self.favourites ^= {conv}
        self._changes.conversations = True

    @property
    def quiet_until(self) -> float | None:
        """Until when nothing notifies the person (seconds since the Unix epoch); None: it does."""
        return self.quiet.until(self._now())

    def be_quiet(self, until: float) -> None:
        """Notify the person of nothing until then; 0: as usual."""
        self.quiet.asked_until = until
        self._changes.connection = True

    def mute(self, conv: str, until: float) -> None:
        """Mute a conversation, on this device, until then; 0: no longer."""
        self._mutes.pop(conv, None)
        if until > self._now():
            self._mutes[conv] = until
        if view := self.conversations.get(conv):
            view.muted_until = self._mutes.get(conv, 0.0)
        self._changes.conversations = True

    def muted(self) -> dict[str, float]:
        """Return the conversations that are muted for a while, and until when."""
        return dict(self._mutes)

    def lapse_mutes(self) -> bool:
        """End mutes whose time is over; return whether there were any. Call this now and then."""
        over = [conv for conv, until in self._mutes.items() if until <= self._now()]
        for conv in over:
            self.mute(conv, 0.0)
        return bool(over)

    def set_level(self, conv: str, level: Level) -> None:
        """Set which messages of a conversation notify the person."""
        self.conversations[conv].level = level
        self._changes.conversations = True

    def put_outgoing(self, outgoing: Outgoing) -> None:
        """Show what has become of a message on its way."""
        self._changes.outbox = True
        view = self.find(outgoing.conversation)
        if outgoing.state is OutgoingState.SENT:
            self.outgoing.pop(outgoing.cid, None)
            if view is None:
                return
        else:
            self.outgoing[outgoing.cid] = outgoing
            if view is None:
                view = self._open(outgoing.conversation)
                view.joined = not view.is_room  # else it would be there
        if outgoing.sent_as is not None:
            view = self._respell(view, outgoing.sent_as.conversation)
        self._put_line(view, outgoing)
        self._forget_left(view)

    def _put_line(self, view: ConversationView, outgoing: Outgoing) -> None:
        sent = outgoing.sent_as
        view.timeline.put(
            outgoing.cid,
            outgoing.text,
            milliseconds(outgoing.created),
            reply_to=outgoing.reply_to.seq if outgoing.reply_to is not None else None,
            form=outgoing.form,
            state=outgoing.state.value,
            error=outgoing.error.text if outgoing.error else "",
            outbox_index=outgoing.outbox_index,
            seq=sent.seq if sent is not None and view.epoch in ("", sent.epoch) else None,
        )
        self._touched.add(view.conv)

    def take_outbox(self, outbox: Iterable[Outgoing]) -> None:
        """Show what an earlier run of the program has left in the outbox."""
        for outgoing in outbox:
            self.put_outgoing(outgoing)

    def drop_outgoing(self, cid: str) -> None:
        """Forget a message that was refused."""
        if outgoing := self.outgoing.pop(cid, None):
            if view := self.find(outgoing.conversation):
                view.timeline.drop(cid)
                self._touched.add(view.conv)
            self._changes.outbox = True

    def take_drafts(self, drafts: Mapping[str, str]) -> None:
        """Take the drafts that an earlier run of the program has kept."""
        for conv, text in drafts.items():
            view = self.find(conv)
            if view is None and (conv.startswith("@") or not self._synchronised):
                view = self._open(conv)
            if view is not None:
                view.draft = text

    def drafts(self) -> dict[str, str]:
        """Return what was typed and not sent, by conversation."""
        return {v.conv: v.draft for v in self.conversations.values() if v.draft.strip()}

    def lapse_typing(self) -> None:
        """Forget who has stopped typing; to be called about every second."""
        now = self._clock()
        for view in self.conversations.values():
            self._changes.typing |= view.typing.lapse(now)

    def entry(self, key: str) -> TimelineEntry | None:
        """Return an entry of the shown conversation."""
        return self.shown.timeline.find(key)

    def _known(self, conv: str) -> ConversationView:
        """Return the view of a conversation as the server spells it; begin it if it is new."""
        view = self.find(conv)
        return self._open(conv) if view is None else self._respell(view, conv)

    def _respell(self, view: ConversationView, conv: str) -> ConversationView:
        """Call a conversation what the server calls it: it is one with what is there already."""
        typed = view.conv
        if typed == conv:
            return view
        self._spellings[typed] = conv
        del self.conversations[typed]
        if (known := self.conversations.get(conv)) is None:
            view.conv = conv
            self.conversations[conv] = known = view
        else:
            known.draft = known.draft or view.draft
            for outgoing in self.outgoing.values():
                if outgoing.cid in view.timeline.unsent:
                    self._put_line(known, outgoing)
        if self.current == typed:
            self.current = conv
        if self.previous == typed:
            self.previous = conv
        if typed in self.favourites:
            self.favourites ^= {typed, conv}
        self._touched.add(conv)
        self._changes.conversations = True
        return known

    def _open(self, conv: str) -> ConversationView:
        is_moderator = self.role != "member"
        view = ConversationView(conv=conv, timeline=Timeline(self.me), is_moderator=is_moderator)
        view.muted_until = self._mutes.get(conv, 0.0)
        self.conversations[conv] = view
        self._changes.conversations = True
        return view


def _folded(conv: str) -> str:
    # What the server certainly takes for the same name, and no guess beyond that.
    return unicodedata.normalize("NFC", conv.lower())
