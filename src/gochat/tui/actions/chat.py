"""What commands, the palette and the keys of a message do.

What needs a question or a dialog begins here; the controller does what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from gochat.client import Form, Level, Member, MessageId
from gochat.client.moments import moment
from gochat.tui.actions.activity import ActivityActions
from gochat.tui.actions.controller import Controller
from gochat.tui.actions.jumps import Jumps
from gochat.tui.actions.keeping import Keeping
from gochat.tui.actions.rooms import RoomActions
from gochat.tui.actions.status import StatusActions
from gochat.tui.actions.view import ChatView
from gochat.tui.chat_log.message_actions import ActionName
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.forms import PasswordForm
from gochat.tui.dialogs.pickers import ActionMenu, EmojiPicker, MemberPicker
from gochat.tui.dialogs.search import SearchScreen
from gochat.tui.dialogs.sessions import SessionPanel
from gochat.tui.dialogs.status import StatusPicker
from gochat.tui.dialogs.switcher import Switcher
from gochat.tui.input import commands, places
from gochat.tui.language import _
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.model.presentation import because, shown_time
from gochat.tui.profile import addresses
from gochat.tui.text.blocks import parse
from gochat.tui.text.sanitise import copyable, one_line, sanitise
from gochat.tui.widgets.past_bar import PastBar

_EXCERPT = 200


class ChatActions(RoomActions):
    """Carries out what a person asks for on one chat screen: the `CommandContext` of commands."""

    def __init__(self, view: ChatView, controller: Controller, bar: PastBar) -> None:
        super().__init__(view, controller)
        self.jumps = Jumps(view, controller, bar)
        self.keeping = Keeping(view, controller)
        self.activity = ActivityActions(view, controller, self.answer_invitation, self.open_report)
        self._status = StatusActions(controller, self.notify)
        self._found: list[str] = []  # by the last search of which a hit was shown
        #: Which of them is shown, as the search names it.
        self.shown_hit = ""

    # -- moving -----------------------------------------------------------------------------------

    def switch(self) -> None:
        """Open the switcher; rooms to join are added when the server's list arrives."""
        switcher = Switcher(self._model, self._controller.rooms)
        self._open(switcher, self.open_conversation)
        self._load(self._controller.load_rooms(), switcher.add_rooms)

    def go_to(self, place: str) -> None:
        """Show what `place` names: a message's link, a day, or the first message."""
        now = datetime.fromtimestamp(self._view.chat_app.wall_clock(), UTC)
        today = now.astimezone().date()
        found = places.read(place, today)
        if isinstance(found, places.MessageLink):
            self.follow(found)
        elif found is None:
            self.notify(because(one_line(place), _(places.USAGE)))
        else:
            self.jumps.to_date(found)

    def go_to_first(self) -> None:
        """Show the first message of the shown conversation."""
        self.jumps.to_first()

    def follow(self, link: places.MessageLink) -> None:
        """Show the message that a link names."""
        conv = f"@{self.conv[1:]}" if link.conv == f"@{self._model.me}" else link.conv
        view = self._model.find(conv)
        if link.server != self._server_url:
            server = one_line(link.server)
            self.notify(_("This message is on another server: {server}.", server=server))
        elif view is None or not view.joined:
            self.notify(_("You are not in {room}.", room=one_line(conv)))
        else:
            self._view.go_to(view.conv, link.seq)

    @property
    def _server_url(self) -> str:
        """The address with which the links to messages here begin."""
        return addresses.complete(self._view.chat_app.server_address)

    def open_link(self, url: str) -> None:
        """Show the message that a link names, or the page in the browser."""
        if (link := places.read_link(url)) is not None:
            self.follow(link)
        elif url.startswith("gochat"):
            self.notify(_("This is the address of a server: gochat tui opens it."))
        else:
            self._view.app.open_url(url)

    def favourite(self) -> None:
        """Put the shown conversation among the favourites, or take it from there."""
        is_one = self._controller.toggle_favourite(self.conv)
        conv = one_line(self.conv)
        self.notify(
            _("{conversation} is among your favourites.", conversation=conv)
            if is_one
            else _("{conversation} is no longer a favourite.", conversation=conv)
        )

    def send(self, conv: str, text: str, *, form: Form = "text") -> None:
        """Send a message; an ``action`` says what its sender does."""
        self._controller.send(conv, text, form=form)

    # -- the person -------------------------------------------------------------------------------

    def away(self, text: str | None) -> None:
        """Set the away notice, or take it back."""
        self._do(self._client.away(text))

    def set_status(self, text: str) -> None:
        """Set the person's status, clear it, or ask for one."""
        if text or self._status.is_set:
            self._status.write(text)
        else:
            self.choose_status()

    def choose_status(self) -> None:
        """Ask for the person's status."""
        picker = StatusPicker(self._status_of(self._model.me), self._view.chat_app.wall_clock)
        self._open(picker, lambda key: self._status.set(picker.choices[key]))

    def silence(self, duration: timedelta) -> None:
        """Let nothing in the shown conversation notify the person for a while, on this device."""
        until = self._view.chat_app.wall_clock() + duration.total_seconds()
        self._controller.mute(self.conv, until)
        self.notify(
            _(
                "Nothing in {conversation} notifies you until {time}, on this device.",
                conversation=one_line(self.conv), time=self._shown_time(until),
            )
        )  # fmt: skip

    def be_quiet(self, duration: timedelta | None) -> None:
        """Notify the person of nothing for a while; None: as usual."""
        now = self._view.chat_app.wall_clock()
        self._controller.be_quiet(0.0 if duration is None else now + duration.total_seconds())
        self.show_quiet()

    def show_quiet(self) -> None:
        """Say whether anything notifies the person now."""
        until = self._model.quiet_until
        if until is None:
            self.notify(_("Mentions and private messages notify you. /dnd 2h holds them off."))
            return
        time = self._shown_time(until)
        self.notify(
            _("Nothing notifies you until {time}, as tui.toml says.", time=time)
            if until > self._model.quiet.asked_until
            else _("Nothing notifies you until {time}. /dnd off ends it.", time=time)
        )

    def _shown_time(self, at: float) -> str:
        return shown_time(at, self._view.chat_app.wall_clock())

    def set_level(self, level: Level) -> None:
        """Choose which messages of the shown conversation notify the person."""
        conv = one_line(self.conv)
        match level:
            case "all":
                text = _("You will be notified of everything in {room}.", room=conv)
            case "mentions":
                text = _("You will be notified of mentions only in {room}.", room=conv)
            case _:
                text = _("You will be notified of nothing in {room}.", room=conv)
        self._controller.set_level(self.conv, level, lambda: self.notify(text))

    def set_theme(self, theme: str) -> None:
        """Change the colours."""
        self._view.chat_app.choose_theme(theme)

    def log_out(self) -> None:
        """End the session, after asking."""
        self._ask(self._log_out())

    async def _log_out(self) -> None:
        detail = _(
            "You will need your password to come back. Other windows that came back by the same "
            "saved session are logged out, too."
        )
        question = Confirm(_("Log out?"), _("Log out"), detail=detail)
        if await self._view.app.push_screen_wait(question):
            await self._view.chat_app.log_out()

    def quit(self) -> None:
        """Leave the app."""
        self._view.app.exit()

    # -- panels -----------------------------------------------------------------------------------

    def open_panel(self, panel: str, text: str = "") -> None:
        """Open a panel by its name."""
        match panel:
            case "search":
                self._search(text)
            case "rooms":
                self._rooms()
            case "members":
                self._members()
            case "people":
                self._people()
            case "password":
                self._ask(self._password())
            case "activity":
                self.activity.open()
            case "pins":
                self.keeping.show_pins()
            case "saved":
                self.keeping.show_saved()
            case "sessions":
                self._sessions()
            case "settings":
                self._view.chat_app.open_settings()
            case _:
                self._view.chat_app.open_help(text)

    def _search(self, query: str) -> None:
        def show(chosen: str) -> None:
            self._found = list(panel.found)
            self._show_hit(chosen)

        clock = self._view.chat_app.wall_clock
        panel = SearchScreen(self._client.search, self.conv, self._model.me, clock, query)
        self._open(panel, show)

    def _show_hit(self, hit: str) -> None:
        self.shown_hit = hit
        conv, _gap, seq = hit.rpartition(" ")
        self._view.go_to(conv, int(seq))

    def next_hit(self, step: int) -> None:
        """Show the next message that the last search has found, or (-1) the one before it."""
        if not self._found:
            self.notify(_("Nothing was searched for yet."))
        else:
            at = self._found.index(self.shown_hit)
            self._show_hit(self._found[(at + step) % len(self._found)])

    def _people(self) -> None:
        names, never = self._model.people.names(), moment(0)
        people = [Member(name=name, online=True, since=never) for name in names]
        picker = MemberPicker(
            _("Online"), people, self._model.me, self._model.blocked, self._status_of
        )

        def chosen(person: str) -> None:
            if self._model.role != "member" and person != self._model.me:
                self._ask(self._with_person(picker.members[person], in_room=False))
            else:
                self._view.open_conversation(f"@{person}")

        self._open(picker, chosen)

    def _sessions(self) -> None:
        client, clock = self._client, self._view.chat_app.wall_clock
        self._view.app.push_screen(SessionPanel(client.sessions, client.end_session, clock))

    async def _password(self) -> None:
        answer = await self._view.app.push_screen_wait(PasswordForm())
        if answer is not None:
            others_ended = await self._answer(self._client.change_password(*answer))
            self._view.chat_app.remember_session()
            self.notify(
                _("Your password is changed. Other devices must log in again.")
                if others_ended
                else _(
                    "Your password is changed. The server could not confirm yet that all your "
                    "other devices are logged out."
                )
            )

    def pin_selected(self, *, on: bool) -> None:
        """Pin the selected message for everybody here, or unpin it."""
        if (entry := self.keeping.selected()) is not None:
            self.keeping.pin(entry, on=on)

    def save_selected(self, *, on: bool) -> None:
        """Save the selected message for the person, or no longer."""
        if (entry := self.keeping.selected()) is not None:
            self.keeping.save(entry, on=on)

    # -- a message --------------------------------------------------------------------------------

    def act(self, entry: TimelineEntry, action: ActionName) -> None:
        """Do something with a message."""
        match action:
            case "open" if not entry.deleted:
                self._open_link(entry)
            case "copy":
                self._view.app.copy_to_clipboard(copyable(entry.text))
                self.notify(_("Copied."))
            case "link" if entry.seq is not None:
                server = self._server_url
                link = places.MessageLink(server, self.conv, entry.seq)
                self._view.app.copy_to_clipboard(str(link))
                self.notify(_("The link to this message is copied."))
            case "retry":
                self._controller.retry(entry.key)
            case "delete" if entry.seq is None:
                self._controller.discard(entry.key)
                self._view.composer.input.focus()
            case _ if entry.seq is None or entry.deleted:
                self._view.app.bell()
            case "report":
                self.report(entry)
            case "pin":
                self.keeping.pin(entry, on=not entry.pinned)
            case "save":
                self.keeping.save(entry)
            case "reply":
                self._view.composer.reply(entry.seq, entry.sender, entry.text[:_EXCERPT])
                self._view.log_view.clear_selection()
            case "edit" if entry.own:
                self._view.composer.edit(entry.seq, entry.text)
                self._view.log_view.clear_selection()
            case "delete" if entry.own or self._model.shown.operates:
                self._ask(self._delete(self.conv, entry))
            case "react":
                self._react(self.conv, entry.seq, entry)
            case "edit" | "delete":
                self.notify(_("This is {person}'s message.", person=one_line(entry.sender)))
            case _:
                pass

    def _open_link(self, entry: TimelineEntry) -> None:
        links = parse(sanitise(entry.text)).links
        if not links:
            self.notify(_("This message has no link."))
        elif len(links) == 1:
            self.open_link(links[0])
        else:
            self._ask(self._choose_link(links))

    async def _choose_link(self, links: Sequence[str]) -> None:
        picker = ActionMenu(_("Open"), {link: link for link in links})
        if (link := await self._view.app.push_screen_wait(picker)) is not None:
            self.open_link(link)

    async def _delete(self, conv: str, entry: TimelineEntry) -> None:
        text = one_line(entry.text)
        detail = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
        question = Confirm(_("Delete this message for everybody?"), _("Delete"), detail=detail)
        if await self._view.app.push_screen_wait(question):
            assert entry.seq is not None
            await self._answer(self._client.delete(MessageId(conv, entry.seq)))

    def _react(self, conv: str, seq: int, entry: TimelineEntry) -> None:
        given = [sign for sign, tally in entry.reactions.items() if tally.me]
        self._open(EmojiPicker(given), lambda sign: self._controller.react(conv, seq, sign))

    def carry_out(self, text: str) -> bool:
        """Run a slash command; return False if it is invalid."""
        problem = commands.carry_out(text, self)
        if problem is not None:
            self._view.app.notify(problem, severity="warning", markup=False, timeout=6)
        return problem is None
