"""Requests to the server, and the pages of history that the log needs.

No method makes its caller wait for the network. A request runs as a task of its own; its result
goes into the model, its failure to :attr:`Controller.report`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final

from gochat.client import (
    Form,
    GochatError,
    HistoryPage,
    Level,
    Member,
    MessageId,
    OutboxFull,
    Outgoing,
    OutgoingState,
    Room,
    Status,
)
from gochat.protocol.messages import LOBBY
from gochat.tui.actions.client import ChatClient
from gochat.tui.language import _
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.error_texts import error_text
from gochat.tui.model.views import ConversationView
from gochat.tui.text.names import natural

#: Entries per page, and how many of them must be visible for a page to be enough: a page may
#: hold nothing but reactions.
PAGE: Final = 100
_ENOUGH: Final = 20
#: Pages that one scroll to the top may request.
_PAGES: Final = 5

#: Called with the conversation and the seq of what was to be shown.
Found = Callable[[str, int], None]
#: Starts a task in the app; `key` names what it does, so that it is done once at a time.
Spawn = Callable[[Coroutine[Any, Any, None], str], None]


class Controller:
    """Carries out requests on one client, and keeps one model up to date."""

    def __init__(
        self,
        client: ChatClient,
        model: ChatModel,
        *,
        spawn: Spawn,
        report: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.client = client
        self.model = model
        #: Shows the person an error.
        self.report = report
        self._spawn_task = spawn
        self._changed = changed
        self._busy: set[str] = set()
        self._not_begun: set[Coroutine[Any, Any, None]] = set()  # the work of tasks
        self._running = 0
        self._marking: dict[str, int] = {}
        self._asking: set[str] = set()  # whose statuses were asked for
        #: Where the person goes in a conversation, while that part of the log is being loaded.
        self._going: dict[str, object] = {}
        self._is_stale = self._are_reports_stale = False
        #: Rooms and their members, as of the last request.
        self.rooms: list[Room] = []
        self.members: dict[str, list[Member]] = {}

    @property
    def text_limit(self) -> int:
        """The most characters of a message."""
        return self.client.limits.text_chars if self.client.limits else 4000

    @property
    def is_busy(self) -> bool:
        """True while a request is under way."""
        return self._running > 0

    def is_doing(self, key: str) -> bool:
        """Return whether a task with this key runs; see :meth:`spawn`."""
        return key in self._busy

    # -- tasks ------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None], key: str = "") -> None:
        """Run `work` as a task; with a `key`, not while another with this key runs."""
        if key and key in self._busy:
            work.close()
            return
        if key:
            self._busy.add(key)
        self._running += 1
        self._not_begun.add(work)
        self._spawn_task(self._carry_out(work, key), key)

    @contextmanager
    def waiting(self, what: str = "") -> Iterator[None]:
        """Show that the person waits for the server as long as the block takes, if that is long:
        for `what`, as "Joining #garden…"."""
        number = self.model.begin_wait(what)
        self._changed()
        try:
            yield
        finally:
            self.model.end_wait(number)
            self._changed()

    def abandon(self) -> None:
        """Drop the work of tasks that have not begun, and won't."""
        while self._not_begun:
            self._not_begun.pop().close()

    async def _carry_out(self, work: Coroutine[Any, Any, None], key: str) -> None:
        self._not_begun.discard(work)
        try:
            await work
        except GochatError as error:
            self.report(error_text(error))
        finally:
            self._running -= 1
            self._busy.discard(key)
            self._changed()

    # -- reading ----------------------------------------------------------------------------------

    def open(self, conv: str) -> ConversationView:
        """Show a conversation, and load its newest page."""
        view = self.model.show(conv)
        self._changed()
        self.load_first()
        return view

    def load_first(self) -> None:
        """Load the newest page of the shown conversation, if too little of it is there."""
        view = self.model.shown
        timeline = view.timeline
        enough = len(timeline) >= _ENOUGH or not timeline.older
        if not enough and view.joined and self._is_known(view):
            self.spawn(self._older(view), f"older {view.conv}")

    def _is_known(self, view: ConversationView) -> bool:
        # The server knows a private conversation only once it has a message; and before there was a
        # connection nothing is known.
        return self.model.is_synchronised and (view.is_room or view.head > 0)

    def load_older(self) -> None:
        """Load what precedes the shown part of the log."""
        view = self.model.shown
        if view.timeline.older and view.joined and self._is_known(view):
            self.spawn(self._older(view), f"older {view.conv}")

    async def _older(self, view: ConversationView) -> None:
        seen = 0
        for _page in range(_PAGES):
            generation = view.timeline.generation
            page = await self.client.history(view.conv, before=view.timeline.first, limit=PAGE)
            if view.timeline.generation != generation:
                return  # another part of the log is shown by now
            seen += self.model.add_page(page, "older")
            self._changed()
            if seen >= _ENOUGH or not view.timeline.older or not page.entries:
                break
        if not view.head:
            view.timeline.older = False

    def load_newer(self) -> None:
        """Load what follows the shown part of the log, when that is not the present."""
        view = self.model.shown
        if view.timeline.newer:
            self.spawn(self._newer(view), f"newer {view.conv}")

    async def _newer(self, view: ConversationView) -> None:
        generation = view.timeline.generation
        page = await self.client.history(view.conv, after=view.timeline.last, limit=PAGE)
        if view.timeline.generation == generation:
            self.model.add_page(page, "newer")

    def go_to_now(self) -> None:
        """Show the present again."""
        view = self.model.shown
        if view.timeline.newer or view.conv in self._going:
            page = self.client.history(view.conv, limit=PAGE)
            self._go(view, None, page, lambda page: page.head, lambda _conv, _seq: None)

    def go_to(self, conv: str, seq: int, then: Found) -> None:
        """Show the part of the log around a message; call `then` with it when it is loaded."""
        view = self.model.show(conv)
        self._changed()
        if view.timeline.entry(seq) is not None:
            self._is_there(conv, seq, then)
        else:
            page = self.client.history(conv, around=seq, limit=PAGE)
            self._go(view, seq, page, lambda _: seq, then)

    def go_to_first(self, then: Found) -> None:
        """Show the beginning of the shown log; call `then` with its first entry."""
        view = self.model.shown
        if not self._is_known(view):
            return
        if not view.timeline.older:
            self._is_there(view.conv, view.timeline.first or 0, then)
        else:
            page = self.client.history(view.conv, after=0, limit=PAGE)
            self._go(view, 0, page, lambda page: page.entries[0].seq if page.entries else 0, then)

    def go_to_date(self, at: datetime, then: Found) -> None:
        """Show the part of the shown log since `at`; call `then` with its first entry."""
        view = self.model.shown

        def first(page: HistoryPage) -> int:
            return next((entry.seq for entry in page.entries if entry.time >= at), page.head)

        if self._is_known(view):
            self._go(view, at, self.client.history(view.conv, at=at, limit=PAGE), first, then)

    def _is_there(self, conv: str, seq: int, then: Found) -> None:
        """Call `then` with an entry that is loaded, once the screen shows its conversation."""
        self._going.pop(conv, None)

        async def call() -> None:
            then(conv, seq)

        self.spawn(call())

    def _go(
        self,
        view: ConversationView,
        goal: object,
        page: Coroutine[Any, Any, HistoryPage],
        locate: Callable[[HistoryPage], int],
        then: Found,
    ) -> None:
        """Show a page instead of what is shown, unless that has the entry which `locate` finds in
        the page; then call `then` with it. Only the last such wish counts."""
        if (view.conv, goal) in self._going.items():
            page.close()
            return
        self._going[view.conv] = goal
        self.spawn(self._load_part(view, goal, page, locate, then))

    async def _load_part(
        self,
        view: ConversationView,
        goal: object,
        page: Coroutine[Any, Any, HistoryPage],
        locate: Callable[[HistoryPage], int],
        then: Found,
    ) -> None:
        try:
            found = await page
            if (view.conv, goal) not in self._going.items():
                return  # the person has gone elsewhere meanwhile
        finally:
            if (view.conv, goal) in self._going.items():
                del self._going[view.conv]
        seq = locate(found)
        if view.timeline.entry(seq) is None:
            self.model.add_page(found, "instead")
            self._changed()
        then(view.conv, seq)

    def mark_read(self) -> None:
        """Note that the person has seen the end of the shown conversation."""
        view = self.model.shown
        seq = max(view.timeline.last or 0, 0)
        if view.timeline.newer or not view.joined or (seq <= view.read and not view.unread):
            return
        self.model.mark_read(seq)
        self._changed()
        self._marking[view.conv] = seq
        # Of those that come while a request is under way, only the last is sent.
        self.spawn(self._mark(view.conv), f"mark {view.conv}")

    async def _mark(self, conv: str) -> None:
        while seq := self._marking.pop(conv, None):
            try:
                await self.client.mark_read(MessageId(conv, seq))
            except GochatError:
                return  # not reported: the next message marks it again

    def ask_anew(self) -> None:
        """Ask the server what the conversations are now: events have not said all of it."""
        self._is_stale = True
        self.spawn(self._describe(), "conversations")

    async def _describe(self) -> None:
        while self._is_stale:
            self._is_stale = False
            self.model.describe(await self.client.conversations())

    async def load_rooms(self) -> list[Room]:
        """Request the list of rooms, in the order of names."""
        self.rooms = sorted(await self.client.rooms(), key=lambda room: natural(room.name))
        return self.rooms

    async def load_members(self, room: str) -> list[Member]:
        """Request the members of a room, in the order of names."""
        found = await self.client.members(room)
        self.members[room] = sorted(found, key=lambda member: natural(member.name))
        return self.members[room]

    def ask_members(self) -> None:
        """Ask who is in the shown room, unless that is known."""
        view = self.model.shown
        is_asked = view.is_room and view.conv != LOBBY and view.joined and view.members is None
        if is_asked and self.model.is_synchronised:
            self.spawn(self._ask_members(view), f"members {view.conv}")

    async def _ask_members(self, view: ConversationView) -> None:
        while view.joined:
            changes = view.member_changes
            try:
                found = await self.client.members(view.conv)
            except GochatError:
                return  # not reported: the next time that the room is shown asks again
            if view.member_changes == changes:
                self.model.take_members(view, {one.name: one.operator for one in found})
                return

    def ask_statuses(self, names: Iterable[str], then: Callable[[], None] | None = None) -> None:
        """Ask what people say of themselves who are offline, unless that is known or asked for;
        call `then` with the answer in the model.

        `names` are those who are shown now: of a list of thousands, nobody sees all.
        """
        unasked = (name for name in names if name not in self._asking)
        unknown = self.model.statuses.unknown(unasked)
        if unknown and self.model.is_synchronised:
            self._asking.update(unknown)
            self.spawn(self._ask_statuses(unknown, then))

    async def _ask_statuses(self, names: list[str], then: Callable[[], None] | None) -> None:
        found: dict[str, Status] = {}
        try:
            with suppress(GochatError):  # not reported: an old server knows of none
                found = await self.client.statuses(names)
        finally:
            self._asking.difference_update(names)
        self.model.take_statuses(names, found)
        if then is not None:
            then()

    def load_blocked(self) -> None:
        """Request whom the person blocks."""
        self.spawn(self._load_blocked(), "blocked")

    async def _load_blocked(self) -> None:
        with suppress(GochatError):  # not reported: the server keeps to it all the same
            self.model.take_blocked(await self.client.blocked())

    def load_reports(self) -> None:
        """Request the reports that wait for the person, if they are a moderator of the server."""
        if self.model.role != "member" or self.model.reports:
            self._are_reports_stale = True
            self.spawn(self._load_reports(), "reports")

    async def _load_reports(self) -> None:
        with suppress(GochatError):  # not reported: `/reports` asks again
            while self._are_reports_stale:  # also of one that comes while the server is asked
                self._are_reports_stale = False
                self.model.take_reports(
                    await self.client.reports() if self.model.role != "member" else ()
                )
                self._changed()

    def load_motd(self) -> None:
        """Request the server's message of the day, unless it is known."""
        if self.model.motd is None:
            self.spawn(self._load_motd(), "motd")

    async def _load_motd(self) -> None:
        with suppress(GochatError):  # not reported: the next connection brings it
            self.model.motd = (await self.client.server_info()).motd
            self._changed()

    # -- writing ----------------------------------------------------------------------------------

    def send(
        self, conv: str, text: str, *, reply_to: int | None = None, form: Form = "text"
    ) -> bool:
        """Send a message; False if the outbox takes no more."""
        conv = self.model.spelled(conv)
        try:
            outgoing = (
                self.client.send(conv, text, form=form)
                if reply_to is None
                else self.client.reply(MessageId(conv, reply_to), text, form=form)
            )
        except OutboxFull as error:
            self.report(error_text(error))
            return False
        self.model.put_outgoing(outgoing)
        self._changed()
        return True

    def outgoing(self, key: str) -> Outgoing | None:
        """Return the message on its way that has this key in the log."""
        return self.model.outgoing.get(key)

    def retry(self, key: str) -> None:
        """Send a refused message again."""
        outgoing = self.outgoing(key)
        if outgoing is not None and outgoing.state is OutgoingState.FAILED:
            self.client.retry(outgoing)
            self.model.put_outgoing(outgoing)
            self._changed()

    def discard(self, key: str) -> None:
        """Forget a refused message."""
        if outgoing := self.outgoing(key):
            self.client.discard(outgoing)
            self.model.drop_outgoing(key)
            self._changed()

    def typing(self, conv: str) -> None:
        """Notify the others that the person is typing."""
        self.spawn(self.client.typing(conv), "typing")

    def do(
        self,
        work: Coroutine[Any, Any, Any],
        then: Callable[[], None] | None = None,
        what: str = "",
    ) -> None:
        """Make a request whose effects come as events; call `then` when it is done.

        `what` is shown while it takes long, as by :meth:`waiting`.
        """

        async def request() -> None:
            with self.waiting(what):
                await work
            if then is not None:
                then()

        self.spawn(request())

    def toggle_favourite(self, conv: str) -> bool:
        """Put a conversation among the favourites, or take it from there; return which it was."""
        self.model.toggle_favourite(conv)
        self._changed()
        return conv in self.model.favourites

    def mute(self, conv: str, until: float) -> None:
        """Mute a conversation on this device until then (seconds since the Unix epoch); 0: no
        longer."""
        self.model.mute(conv, until)
        self._changed()

    def be_quiet(self, until: float) -> None:
        """Notify the person of nothing until then (seconds since the Unix epoch); 0: as usual."""
        self.model.be_quiet(until)
        self._changed()

    def set_level(self, conv: str, level: Level, then: Callable[[], None] | None = None) -> None:
        """Choose which messages of a conversation notify the person; call `then` when the server
        has it."""
        before = self.model.conversations[conv].level
        self.model.mute(conv, 0.0)
        self.model.set_level(conv, level)
        self._changed()

        async def request() -> None:
            try:
                await self.client.set_level(conv, level)
            except BaseException:
                self.model.set_level(conv, before)
                raise
            if then is not None:
                then()

        self.spawn(request(), f"level {conv}")

    def react(self, conv: str, seq: int, emoji: str) -> None:
        """React with an emoji, or take that back if it was given."""
        entry = self.model.conversations[conv].timeline.entry(seq)
        tally = entry.reactions.get(emoji) if entry else None
        on = tally is None or not tally.me
        self.do(self.client.react(MessageId(conv, seq), emoji, on=on))

    def close(self, conv: str) -> None:
        """Take a conversation out of the list until a message arrives in it."""
        view = self.model.find(conv)
        if view is not None and view.timeline.unsent:
            self.report(_("Something here has not been sent yet: wait for it, or discard it."))
            return
        self.model.forget(conv)
        self._changed()
