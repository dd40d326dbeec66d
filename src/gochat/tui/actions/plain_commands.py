"""The commands of the line mode: what dialogs ask for in the app is given with the command, and
lists are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from gochat.client import Form, HistorySetting, Level, MessageId, RestrictionKind
from gochat.protocol.messages import LOBBY
from gochat.tui.actions.address_bans import about_address_ban
from gochat.tui.actions.controller import Controller
from gochat.tui.actions.moderation import about_ban, about_restriction, instead_of_op
from gochat.tui.actions.reporting import in_full, reportable
from gochat.tui.actions.status import USAGE, StatusActions
from gochat.tui.input import commands
from gochat.tui.input.emoji import with_emoji
from gochat.tui.language import N_, _, ngettext, pgettext
from gochat.tui.model import activity
from gochat.tui.model.activity import ActivityRow
from gochat.tui.model.kept import pinned_row, saved_row
from gochat.tui.model.presentation import because, describe, report_resolved, status_line
from gochat.tui.text.sanitise import one_line

_NOT_HERE = N_("Not available in line mode: use `gochat tui` without --plain.")


class PlainCommands:
    """A `CommandContext` of commands that writes lines with `say`; `quit` and `log_out` end it."""

    def __init__(
        self,
        controller: Controller,
        *,
        say: Callable[[str], None],
        sent: Callable[[str], None],
        show: Callable[[str], None],
        leave: Callable[[], None],
        end_session: Callable[[], None],
    ) -> None:
        self._controller, self._model = controller, controller.model
        self._client = controller.client
        self._say, self._sent, self._show = say, sent, show
        self._leave, self._end_session = leave, end_session
        self._status = StatusActions(controller, say)

    @property
    def conv(self) -> str:
        """The conversation that lines go to."""
        return self._model.current

    def notify(self, text: str) -> None:
        """Write a line."""
        self._say(text)

    def line(self, text: str) -> None:
        """Send a line that was typed, or do what it asks for."""
        text = with_emoji(text)
        if not commands.is_command(text):
            self.send(self.conv, commands.plain(text))
        elif problem := commands.carry_out(text, self):
            self._controller.report(problem)

    def open_conversation(self, conv: str) -> None:
        """Write to another conversation from now on."""
        if conv.startswith("#") and self._model.find(conv) is None:
            self.join(conv)
            return
        self._controller.open(conv)
        self._say(_("Writing to {conversation}.", conversation=one_line(self.conv)))
        self._show(self.conv)

    def send(self, conv: str, text: str, *, form: Form = "text") -> None:
        """Send a message."""
        limit = self._controller.text_limit
        if len(text) > limit:
            self._controller.report(
                _("not sent: {n} characters; the limit is {limit}", n=len(text), limit=limit)
            )
        elif text.strip():
            before = set(self._model.outgoing)
            if self._controller.send(conv, text, form=form):
                for cid in self._model.outgoing.keys() - before:
                    self._sent(cid)

    def join(self, room: str) -> None:
        """Become a member of a room, and write to it."""
        view = self._model.find(room)
        if view is not None and view.joined:
            self.open_conversation(room)
        else:
            what = _("Joining {room}…", room=one_line(room))
            self._controller.do(self._client.join(room), lambda: self._entered(room), what)

    def _entered(self, room: str) -> None:
        self._controller.open(room)
        self._say(_("Writing to {conversation}.", conversation=one_line(room)))

    def leave(self, conv: str) -> None:
        """Leave a room, or take a private conversation out of the list."""
        if conv == LOBBY:
            self._say(_("#lobby is for everybody; it can't be left."))
        elif conv.startswith("#"):
            what = _("Leaving {room}…", room=one_line(conv))
            self._controller.do(self._client.leave(conv), lambda: self._left(conv), what)
        else:
            self._left(conv)

    def _left(self, conv: str) -> None:
        self._controller.close(conv)
        self.open_conversation(LOBBY)

    def create(self, room: str, topic: str, *, private: bool) -> None:
        """Create a room, and write to it."""
        work = self._client.create_room(room, topic=topic, private=private)
        what = _("Creating {room}…", room=one_line(room))
        self._controller.do(work, lambda: self._entered(room), what)

    def decline(self, room: str) -> None:
        """Turn down an invitation."""
        self._controller.do(self._client.decline(room))

    def set_topic(self, topic: str) -> None:
        """Set the topic of the room."""
        self._controller.do(self._client.set_topic(self.conv, topic))

    def show_topic(self) -> None:
        """Write the topic of the room."""
        self._say(one_line(self._model.shown.topic) or _("This conversation has no topic."))

    def set_access(self, *, private: bool, history: HistorySetting | None = None) -> None:
        """Make the room private, or public."""
        if not private and history is None:
            self._say(_("Write /public shown or /public hidden: what becomes of earlier messages."))
        else:
            work = self._client.set_access(self.conv, private=private, history=history)
            self._controller.do(work)

    def show_history_setting(self) -> None:
        """Write whether those who join read what was written before."""
        self._say(
            _("Earlier messages are shown to those who join.")
            if self._model.shown.history == "shown"
            else _("Earlier messages are hidden to those who join.")
        )

    def set_history(self, history: HistorySetting) -> None:
        """Choose whether those who join read what was written before."""
        self._controller.do(self._client.set_history(self.conv, history))

    def invite(self, person: str) -> None:
        """Invite a person to the room."""
        self._controller.do(self._client.invite(self.conv, person))

    def kick(self, person: str, reason: str = "") -> None:
        """Remove a person from the room."""
        self._controller.do(self._client.kick(self.conv, person, reason=reason))

    def set_operator(self, person: str, *, on: bool) -> None:
        """Make a person an operator of the room, or an ordinary member again."""
        advice = instead_of_op(self._model, person) if on else None
        if advice is not None:
            self._controller.report(advice)
        else:
            self._controller.do(self._client.set_operator(self.conv, person, on=on))

    def ban(self, person: str, duration: timedelta | None = None, reason: str = "") -> None:
        """Ban a person from the room."""
        work = self._client.ban(self.conv, person, duration=duration, reason=reason)
        self._controller.do(work)

    def unban(self, person: str) -> None:
        """Lift a ban from the room."""
        self._controller.do(self._client.unban(self.conv, person))

    def show_bans(self) -> None:
        """Print who is banned from the room."""
        self._controller.spawn(self._bans(self.conv))

    async def _bans(self, room: str) -> None:
        self._list(_("Banned"), (about_ban(ban) for ban in await self._client.bans(room)))

    def restrict(
        self,
        person: str,
        kind: RestrictionKind,
        duration: timedelta | None = None,
        reason: str = "",
    ) -> None:
        """Ban a person from the server, or mute them."""
        self._controller.do(self._client.restrict(person, kind, duration=duration, reason=reason))

    def unrestrict(self, person: str, kind: RestrictionKind) -> None:
        """Lift a ban from the server, or a mute."""
        self._controller.do(self._client.unrestrict(person, kind))

    def show_restrictions(self) -> None:
        """Print who is banned from the server or muted."""
        self._controller.spawn(self._restrictions())

    async def _restrictions(self) -> None:
        found = await self._client.restrictions()
        self._list(_("Banned or muted at the server"), map(about_restriction, found))

    def ban_address(
        self, network: str, duration: timedelta | None = None, reason: str = ""
    ) -> None:
        """Ban an address or a network."""
        work = self._client.ban_address(network, duration=duration, reason=reason)
        self._controller.do(work)

    def unban_address(self, network: str) -> None:
        """Lift the ban of an address or a network."""
        self._controller.do(self._client.unban_address(network))

    def show_address_bans(self) -> None:
        """Print the addresses and networks that are banned."""
        self._controller.spawn(self._address_bans())

    async def _address_bans(self) -> None:
        self._list(_("Banned addresses"), map(about_address_ban, await self._client.address_bans()))

    def hand_over(self, room: str, person: str, reason: str = "") -> None:
        """Make a person an operator of a room."""
        self._controller.do(self._client.hand_over(room, person, reason=reason))

    def report_selected(self, reason: str = "") -> None:
        """Report the last message that somebody else has written in the conversation: the line
        mode selects none."""
        entries = reversed(self._model.shown.timeline.entries)
        found = (one for entry in entries if (one := reportable(entry)) is not None)
        last = next((one for one in found if not one.own), None)
        if last is None:
            self._controller.report(_("Nobody else has written here."))
            return
        person, text = one_line(last.sender), one_line(last.text)
        done = _(
            "The moderators get a copy of this message, and see that it is from you. "
            "{person}: {text}",
            person=person, text=text,
        )  # fmt: skip
        work = self._client.report([MessageId(self.conv, last.seq)], reason=reason)
        self._controller.do(work, lambda: self._say(done))

    def show_reports(self) -> None:
        """Print the reports that wait, with their messages."""
        self._controller.spawn(self._reports())

    async def _reports(self) -> None:
        reports = await self._client.reports()
        self._list(_("Reports"), (because(str(one.id), in_full(one)) for one in reports))

    def resolve_report(self, report: int, note: str = "") -> None:
        """Resolve a report, with a note of what came of it."""

        def say() -> None:
            if self._model.close_report(report):  # or the event was there first
                self._say(report_resolved(report))

        self._controller.do(self._client.resolve_report(report, note=note), say)

    def pin_selected(self, *, on: bool) -> None:
        """The line mode selects no message."""
        self._say(_(_NOT_HERE))

    def save_selected(self, *, on: bool) -> None:
        """As above."""
        self._say(_(_NOT_HERE))

    def set_slow_mode(self, interval: timedelta) -> None:
        """Set slow mode: each member can write in the room once in an interval."""
        self._controller.do(self._client.set_slow_mode(self.conv, interval))

    def set_announcements(self, *, on: bool) -> None:
        """Choose whether only operators can write in the room."""
        self._controller.do(self._client.set_announcements(self.conv, on=on))

    def set_archived(self, *, on: bool) -> None:
        """Archive the room, or bring it back."""
        self._controller.do(self._client.set_archived(self.conv, on=on))

    def block(self, person: str, *, on: bool) -> None:
        """Block or unblock a person."""
        self._controller.do(self._client.block(person) if on else self._client.unblock(person))

    def show_blocked(self) -> None:
        """Print whom the person blocks."""
        self._controller.spawn(self._blocked())

    async def _blocked(self) -> None:
        self._list(_("Blocked"), await self._client.blocked())

    def away(self, text: str | None) -> None:
        """Set the away notice, or take it back."""
        self._controller.do(self._client.away(text))

    def set_status(self, text: str) -> None:
        """Set the person's status, or clear it."""
        if text or self._status.is_set:
            self._status.write(text)
        else:
            self._say(_(USAGE))

    def set_level(self, level: Level) -> None:
        """Choose which messages of the conversation notify the person."""
        self._controller.set_level(self.conv, level)

    def silence(self, duration: timedelta) -> None:
        """The line mode notifies of nothing."""
        self._say(_(_NOT_HERE))

    def be_quiet(self, duration: timedelta | None) -> None:
        """As above."""
        self._say(_(_NOT_HERE))

    def show_quiet(self) -> None:
        """As above."""
        self._say(_(_NOT_HERE))

    def set_theme(self, theme: str) -> None:
        """The line mode has no colours."""
        self._say(_(_NOT_HERE))

    def go_to(self, place: str) -> None:
        """Do nothing: lines are only ever appended."""
        self._say(_(_NOT_HERE))

    def go_to_first(self) -> None:
        """As above."""
        self._say(_(_NOT_HERE))

    def favourite(self) -> None:
        """Refuse: favourites exist only in the list on the screen."""
        self._say(_(_NOT_HERE))

    def open_panel(self, panel: str, text: str = "") -> None:
        """Print a list."""
        match panel:
            case "search":
                self._controller.spawn(self._search(text))
            case "activity":
                self._controller.spawn(self._activity())
            case "pins":
                self._controller.spawn(self._pins(self.conv))
            case "saved":
                self._controller.spawn(self._saved())
            case "rooms":
                self._controller.spawn(self._rooms())
            case "members" if self._model.shown.is_room and self.conv != LOBBY:
                self._controller.spawn(self._members(self.conv))
            case "people" | "members":
                title = ngettext("{n} online", "{n} online", len(self._model.people))
                self._list(title, map(self._with_status, self._model.people.names()))
            case "help":
                self._list(_("Commands"), (f"{c.usage}  {c.about}" for c in commands.COMMANDS))
            case _:
                self._say(_(_NOT_HERE))

    def _with_status(self, name: str) -> str:
        said = self._model.status_of(name)
        now = self._model.wall_clock()
        return name if said is None else f"{name}  {status_line(said, now)}"

    def _list(self, title: str, rows: Iterable[str]) -> None:
        shown = [one_line(row) for row in rows]
        self._say(_("{title}:", title=title) if shown else _("{title}: none", title=title))
        for row in shown:
            self._say(f"  {row}")

    async def _activity(self) -> None:
        self._model.take_activity(await self._client.activity(limit=50))
        rows = [
            _("new: {what}", what=_in_words(row)) if row.is_new else _in_words(row)
            for row in activity.rows(self._model)
        ]
        self._list(_("Activity"), rows or [_("nothing yet")])

    async def _pins(self, conv: str) -> None:
        rows = map(pinned_row, await self._client.pins(conv))
        found = [f"{row.sender}: {row.text}" for row in rows]
        self._list(_("Pinned"), found or [_("nothing yet")])

    async def _saved(self) -> None:
        rows = map(saved_row, (await self._client.saved(limit=50)).items)
        found = [f"{row.sender} {row.note}: {row.text}" for row in rows]
        self._list(_("Saved messages"), found or [_("nothing yet")])

    async def _rooms(self) -> None:
        rooms = await self._controller.load_rooms()
        joined = pgettext("room", "joined")
        rows = (f"{r.name}  {joined if r.joined else ''}  {r.topic}" for r in rooms)
        self._list(_("Rooms"), rows)

    async def _members(self, room: str) -> None:
        members = await self._controller.load_members(room)
        rows = (_("{person}, operator", person=m.name) if m.operator else m.name for m in members)
        self._list(_("Members"), rows)

    async def _search(self, query: str) -> None:
        if not query:
            self._say(_("Write /search and the words to look for."))
            return
        found = await self._client.search(query)
        rows = (because(f"{m.conversation} {m.sender}", m.text) for m in found.hits)
        self._list(_("Found"), rows)

    def log_out(self) -> None:
        """End the session."""
        self._end_session()

    def quit(self) -> None:
        """Leave."""
        self._leave()


def _in_words(row: ActivityRow) -> str:
    return because(f"{row.sender} {describe(row)}", row.message)
