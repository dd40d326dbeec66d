"""The conversations of the app: which there are, which one is shown, what the person has set. Pure.

:class:`Conversations` is the part of :class:`~gochat.tui.model.chat.ChatModel` that knows nothing
of the client's events: how a conversation is found, opened, shown and forgotten, and what is
typed, sent and muted in it.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from gochat.client import (
    ActivityPage,
    HistoryPage,
    Invitation,
    Level,
    Outgoing,
    OutgoingState,
    Report,
    ServerRole,
)
from gochat.protocol.messages import LOBBY
from gochat.tui.model import order
from gochat.tui.model.activity import Activity
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.model.kept import Saved
from gochat.tui.model.order import Group, GroupName
from gochat.tui.model.outgoing import OutgoingMessages
from gochat.tui.model.roster import Roster
from gochat.tui.model.timeline import Timeline
from gochat.tui.model.views import Changes, ConversationView

#: Entries that a conversation keeps while another one is shown; history brings the others back.
KEPT: Final = 1000
#: Closed reports that are remembered: a server keeps as many.
_MAX_CLOSED: Final = 1000


class Conversations:
    """The conversations, by address. `clock` counts seconds and never goes back."""

    def __init__(
        self,
        me: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.me = me
        #: The person's role at the server; see :meth:`set_role`.
        self.role: ServerRole = "member"
        self.conversations: dict[str, ConversationView] = {}
        self.people = Roster()
        #: The pending invitations, by room.
        self.invitations: dict[str, Invitation] = {}
        #: What concerns the person, as far as the server lists it.
        self.activity = Activity()
        #: The reports that wait for the person, as a moderator of the server, by their ids.
        self.reports: dict[int, Report] = {}
        #: The last that are closed, since the last snapshot.
        self.closed_reports: dict[int, None] = {}
        #: What the person has saved.
        self.saved = Saved()
        #: The conversation that is shown.
        self.current = ""
        #: The one before.
        self.previous = ""
        #: What the rank of the shown conversation was when it was opened.
        self.shown_rank: int | None = None
        #: What the person wants at the top of the list, and which of its groups are folded.
        self.favourites: set[str] = set()
        self.folded: set[GroupName] = set()
        self._sending = OutgoingMessages()
        self._mutes: dict[str, float] = {}  # → until when
        self._clock = clock
        self._now = now
        self._changes = Changes()
        self._touched: set[str] = set()
        self._spellings: dict[str, str] = {}  # as typed → as the server spells it
        self._synchronised = False

    # -- reading -----------------------------------------------------------------------------------

    @property
    def shown(self) -> ConversationView:
        """The conversation that is shown."""
        return self.conversations[self.current]

    def set_role(self, role: ServerRole) -> None:
        """Take the person's role at the server."""
        self.role = role
        for view in self.conversations.values():
            view.is_moderator = role != "member"
        self._changes.conversations = True

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
        return self._sending.counts()

    @property
    def outgoing(self) -> Mapping[str, Outgoing]:
        """The messages on their way, and those that were refused, by `cid`."""
        return self._sending.messages

    def typists(self, conv: str) -> list[str]:
        """Return who is typing there at this moment."""
        view = self.conversations.get(conv)
        return [] if view is None else view.typing.names(self._clock())

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

    def entry(self, key: str) -> TimelineEntry | None:
        """Return an entry of the shown conversation."""
        return self.shown.timeline.find(key)

    # -- what changed ------------------------------------------------------------------------------

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

    # -- showing -----------------------------------------------------------------------------------

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

    def come_back(self) -> None:
        """The person looks at the shown conversation again: what is unread came meanwhile."""
        view = self.conversations.get(self.current)
        if view is not None and view.unread:
            view.divider = view.read
            self._changes.conversations = True

    def _leave(self, view: ConversationView) -> None:
        view.divider = None
        view.timeline.trim(KEPT)
        view.timeline.take_changes()
        self._forget_left(view)

    def open_lobby(self) -> None:
        """Show the lobby, if nothing is shown: it is there before there was a snapshot, too."""
        if LOBBY not in self.conversations:
            self._open(LOBBY)
        if self.current not in self.conversations:
            self.show(LOBBY)

    def forget(self, conv: str) -> None:
        """Take a conversation out of the list."""
        if conv != LOBBY and conv in self.conversations:
            del self.conversations[conv]
            self._changes.conversations = True
            if self.current == conv:
                back = self.previous if self.previous in self.conversations else LOBBY
                self.current, self.previous = "", ""
                self.show(back)

    def _forget_left(self, view: ConversationView) -> None:
        """Forget a room that the person has left, unless it is shown or has messages that are not
        sent, for which they decide."""
        if not view.joined and view.conv != self.current and not view.timeline.unsent:
            self.forget(view.conv)

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

    def take_activity(self, page: ActivityPage) -> None:
        """Take the newest page of what concerns the person."""
        self.activity.take(page)
        self._changes.activity = self._changes.conversations = True

    def take_reports(self, reports: Iterable[Report]) -> None:
        """Take the reports that wait for the person, instead of what is here.

        Those that were resolved while the server was asked may be among them.
        """
        self.reports = {one.id: one for one in reports if one.id not in self.closed_reports}
        self._changes.activity = self._changes.conversations = True

    def close_report(self, report: int) -> bool:
        """Take it that a report no longer waits; return whether that is new."""
        is_new = report not in self.closed_reports
        self.closed_reports[report] = None
        if len(self.closed_reports) > _MAX_CLOSED:
            del self.closed_reports[next(iter(self.closed_reports))]
        self.reports.pop(report, None)
        self._changes.activity = self._changes.conversations = True
        return is_new

    def take_members(self, view: ConversationView, operators: Mapping[str, bool]) -> None:
        """Take who is in a room, by name, and whether each is an operator."""
        view.members = dict(operators)
        self._changes.conversations = True

    def take_pins(self, conv: str, seqs: Iterable[int]) -> None:
        """Take which messages of a conversation are pinned, what was pinned last first."""
        if (view := self.find(conv)) is not None:
            view.pins = list(seqs)
            self._changes.conversations = True

    def see_activity(self, ts: int) -> None:
        """The person has seen it up to this time (milliseconds since the Unix epoch)."""
        self.activity.see(ts)
        self._changes.activity = self._changes.conversations = True

    # -- what the person sets ----------------------------------------------------------------------

    def toggle_favourite(self, conv: str) -> None:
        """Put a conversation among the favourites, or take it from there."""
        self.favourites ^= {conv}
        self._changes.conversations = True

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

    # -- what is typed and sent --------------------------------------------------------------------

    def put_outgoing(self, outgoing: Outgoing) -> None:
        """Show what has become of a message on its way."""
        self._changes.outbox = True
        view = self.find(outgoing.conversation)
        if outgoing.state is OutgoingState.SENT:
            self._sending.drop(outgoing.cid)
            if view is None:
                return
        else:
            self._sending.add(outgoing)
            if view is None:
                view = self._open(outgoing.conversation)
                view.joined = not view.is_room  # else it would be there
        if outgoing.sent_as is not None:
            view = self._respell(view, outgoing.sent_as.conversation)
        self._sending.show(view, outgoing)
        self._touched.add(view.conv)
        self._forget_left(view)

    def take_outbox(self, outbox: Iterable[Outgoing]) -> None:
        """Show what an earlier run of the program has left in the outbox."""
        for outgoing in outbox:
            self.put_outgoing(outgoing)

    def drop_outgoing(self, cid: str) -> None:
        """Forget a message that was refused."""
        if outgoing := self._sending.drop(cid):
            if view := self.find(outgoing.conversation):
                view.timeline.drop(cid)
                self._touched.add(view.conv)
            self._changes.outbox = True

    def take_drafts(self, drafts: Mapping[str, str]) -> None:
        """Take the drafts that an earlier run of the program has kept."""
        for place, text in drafts.items():
            conv, _, edited = place.partition(" ")
            view = self.find(conv)
            if view is None and (conv.startswith("@") or not self._synchronised):
                view = self._open(conv)
            if view is not None and edited.isdecimal():
                view.edit = int(edited), text
            elif view is not None:
                view.draft = text

    def drafts(self) -> dict[str, str]:
        """Return what was typed and not sent, by conversation; by conversation and seq, with a
        space between them, what was typed to replace a message."""
        drafts: dict[str, str] = {}
        for view in self.conversations.values():
            if view.draft.strip():
                drafts[view.conv] = view.draft
            if view.edit is not None:
                seq, text = view.edit
                drafts[f"{view.conv} {seq}"] = text
        return drafts

    # -- by address --------------------------------------------------------------------------------

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
            known.edit = known.edit or view.edit
            self._sending.move(view, known)
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
