"""What commands, the palette and the keys of a message do.

What needs a question or a dialog begins here; the controller does what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from gochat.client import Form, HistorySetting, Level, Member, MessageId, NotFound
from gochat.client.moments import moment
from gochat.protocol.messages import LOBBY
from gochat.tui.actions.moderation import RoomModeration
from gochat.tui.chat_log.message_actions import ActionName
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.forms import PasswordForm, RoomForm
from gochat.tui.dialogs.picker import Picker
from gochat.tui.dialogs.pickers import CREATE, ActionMenu, EmojiPicker, MemberPicker, RoomPicker
from gochat.tui.dialogs.search import SearchScreen
from gochat.tui.dialogs.sessions import SessionPanel
from gochat.tui.dialogs.switcher import Switcher
from gochat.tui.input import commands
from gochat.tui.model.entries import TimelineEntry
from gochat.tui.text.blocks import parse
from gochat.tui.text.sanitise import copyable, one_line, sanitise

_EXCERPT = 200

T = TypeVar("T")


class ChatActions(RoomModeration):
    """Does what a person asks for on one chat screen: a `CommandContext` of commands."""

    def _open(self, panel: Picker, then: Callable[[str], None]) -> None:
        """Open a picker at once, since the next key is meant for it; `then` gets the choice."""

        def chosen(key: str | None) -> None:
            if key is not None:
                then(key)

        self._view.app.push_screen(panel, chosen)

    def _load(self, work: Coroutine[Any, Any, T], then: Callable[[T], None]) -> None:
        """Request what an open picker shows."""

        async def load() -> None:
            then(await work)

        self._controller.spawn(load())

    # -- moving -----------------------------------------------------------------------------------

    def open_conversation(self, conv: str) -> None:
        """Show a conversation, or join the room if the person is not in it."""
        if conv.startswith("#") and self._model.find(conv) is None:
            self.join(conv)
        else:
            self._view.open_conversation(conv)

    def switch(self) -> None:
        """Open the switcher; rooms to join are added when the server's list arrives."""
        switcher = Switcher(self._model, self._controller.rooms)
        self._open(switcher, self.open_conversation)
        self._load(self._controller.load_rooms(), switcher.add_rooms)

    def send(self, conv: str, text: str, *, form: Form = "text") -> None:
        """Send a message; an ``action`` says what its sender does."""
        self._controller.send(conv, text, form=form)

    # -- rooms ------------------------------------------------------------------------------------

    def join(self, room: str) -> None:
        """Become a member of a room, and show it."""
        view = self._model.find(room)
        if view is not None and view.joined:
            self._view.open_conversation(room)
        else:
            self._do(self._join(room), lambda: self._view.open_conversation(room))

    async def _join(self, room: str) -> None:
        try:
            await self._client.join(room)
        except NotFound as error:
            text = f"There is no room {room} that you can join. If there is none: /create {room}"
            raise NotFound(error.code, text) from error

    def answer_invitation(self, room: str) -> None:
        """Ask whether to join a room to which the person is invited, or to decline."""
        invitation = self._model.invitations[room]
        inviter, shown = one_line(invitation.sender), one_line(room)
        title = f"{inviter} invites you to {shown}" if inviter else f"You are invited to {shown}"
        topic = f": {one_line(invitation.topic)}" if invitation.topic else ""
        acts = {f"Join {shown}{topic}": self.join, "Decline": self.decline}
        self._open(ActionMenu(title, {text: text for text in acts}), lambda key: acts[key](room))

    def decline(self, room: str) -> None:
        """Turn down an invitation."""
        invitation = self._model.invitation(room)
        if invitation is None:
            self.notify(f"You are not invited to {one_line(room)}.")
        else:
            self._do(
                self._client.decline(invitation.room),
                lambda: self.notify(f"You declined the invitation to {one_line(room)}."),
            )

    def leave(self, conv: str) -> None:
        """Leave a room after asking, or take a private conversation out of the list."""
        view = self._model.conversations.get(conv)
        if conv == LOBBY:
            self.notify("#lobby is for everybody; it can't be left.")
        elif not conv.startswith("#"):
            self._controller.close(conv)
        elif view is None:
            self.notify(f"You are not in {one_line(conv)}.")
        else:
            self._ask(self._leave(conv, private=view.private))

    async def _leave(self, conv: str, *, private: bool) -> None:
        detail = "You will need an invitation to come back." if private else ""
        question = Confirm(f"Leave {one_line(conv)}?", "Leave", detail=detail, dangerous=private)
        if await self._view.app.push_screen_wait(question):
            await self._client.leave(conv)
            self._controller.close(conv)

    def create(self, room: str, topic: str, *, private: bool) -> None:
        """Create a room, and show it."""
        self._do(
            self._client.create_room(room, topic=topic, private=private),
            lambda: self._view.open_conversation(room),
        )

    def show_topic(self) -> None:
        """Show the topic of the shown room."""
        if self._is_room("read"):
            self.notify(one_line(self._model.shown.topic) or "This room has no topic.")

    def set_topic(self, topic: str) -> None:
        """Set the topic of the shown room."""
        if self._is_room("set a topic of"):
            self._do(self._client.set_topic(self.conv, topic))

    def set_access(self, *, private: bool, history: HistorySetting | None = None) -> None:
        """Make the shown room private, or public; what becomes of its history is asked for where it
        has to be known."""
        view = self._model.shown
        if not self._is_room("open or close"):
            return
        if private or not view.private or history is not None:
            self._do(self._client.set_access(self.conv, private=private, history=history))
        elif view.history == "hidden":  # it can't be shown
            self._do(self._client.set_access(self.conv, private=private, history="hidden"))
        else:
            self._ask(self._make_public(self.conv))

    async def _make_public(self, room: str) -> None:
        question = ActionMenu(
            f"{one_line(room)} becomes public. What was written until now:",
            {"shown": "Show it to those who join", "hidden": "Hide it from those who join"},
        )
        match await self._view.app.push_screen_wait(question):
            case "shown" | "hidden" as history:
                await self._client.set_access(room, private=False, history=history)
            case _:
                pass

    def show_history_setting(self) -> None:
        """Tell whether those who join the shown room read what was written before."""
        if self._is_room("hide"):
            self.notify(
                "Who joins this room reads what is written from then on."
                if self._model.shown.history == "hidden"
                else "Who joins this room reads what was written before, unless that was hidden."
            )

    def set_history(self, history: HistorySetting) -> None:
        """Choose whether those who join the shown room read what was written before."""
        if self._is_room("hide"):
            self._do(self._client.set_history(self.conv, history))

    # -- the person -------------------------------------------------------------------------------

    def away(self, text: str | None) -> None:
        """Set the away notice, or take it back."""
        self._do(self._client.away(text))

    def set_level(self, level: Level) -> None:
        """Choose which messages of the shown conversation notify the person."""
        self._controller.set_level(self.conv, level)
        words = {"all": "everything", "mentions": "mentions only", "none": "nothing"}
        self.notify(f"You will be told of {words[level]} in {one_line(self.conv)}.")

    def set_theme(self, theme: str) -> None:
        """Change the colours."""
        self._view.chat_app.choose_theme(theme)

    def log_out(self) -> None:
        """End the session, after asking."""
        self._ask(self._log_out())

    async def _log_out(self) -> None:
        detail = (
            "You will need your password to come back. Other windows that came back by the same "
            "saved session are logged out, too."
        )
        if await self._view.app.push_screen_wait(Confirm("Log out?", "Log out", detail=detail)):
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
            case "sessions":
                self._sessions()
            case "settings":
                self._view.chat_app.open_settings()
            case _:
                self._view.chat_app.open_help(text)

    def _search(self, query: str) -> None:
        def show(chosen: str) -> None:
            conv, _, seq = chosen.rpartition(" ")
            self._view.go_to(conv, int(seq))

        clock = self._view.chat_app.wall_clock
        self._open(SearchScreen(self._client.search, self.conv, self._model.me, clock, query), show)

    def _rooms(self) -> None:
        picker = RoomPicker(self._controller.rooms)

        def chosen(key: str) -> None:
            if key.startswith(CREATE):
                self._ask(self._new_room(key.removeprefix(CREATE)))
            else:
                self.open_conversation(key)

        self._open(picker, chosen)
        self._load(self._controller.load_rooms(), picker.show_rooms)

    async def _new_room(self, name: str) -> None:
        wanted = await self._view.app.push_screen_wait(RoomForm(name))
        if wanted is not None:
            self.create(wanted.room, wanted.topic, private=wanted.private)

    def _members(self) -> None:
        view = self._model.shown
        if not view.is_room:
            self.notify(f"Only you and {one_line(view.name)} are here.")
            return
        members = self._controller.members.get(view.conv, ())
        title = f"Members of {one_line(view.conv)}"
        picker = MemberPicker(title, members, self._model.me, self._model.blocked)

        def chosen(key: str) -> None:
            if view.operator and key != self._model.me:
                self._ask(self._with_member(picker.members[key]))
            else:
                self._view.open_conversation(f"@{key}")

        self._open(picker, chosen)
        self._load(self._controller.load_members(view.conv), picker.show_members)

    def _people(self) -> None:
        names, never = self._model.people.names(), moment(0)
        people = [Member(name=name, online=True, since=never) for name in names]
        picker = MemberPicker("Online", people, self._model.me, self._model.blocked)
        self._open(picker, lambda person: self._view.open_conversation(f"@{person}"))

    def _sessions(self) -> None:
        client, clock = self._client, self._view.chat_app.wall_clock
        self._view.app.push_screen(SessionPanel(client.sessions, client.end_session, clock))

    async def _password(self) -> None:
        answer = await self._view.app.push_screen_wait(PasswordForm())
        if answer is not None:
            others_ended = await self._client.change_password(*answer)
            self._view.chat_app.remember_session()
            self.notify(
                "Your password is changed. Other devices must log in again."
                if others_ended
                else "Your password is changed. The server could not confirm yet that all your "
                "other devices are logged out."
            )

    # -- a message --------------------------------------------------------------------------------

    def act(self, entry: TimelineEntry, action: ActionName) -> None:
        """Do something with a message."""
        match action:
            case "open" if not entry.deleted:
                self._open_link(entry)
            case "copy":
                self._view.app.copy_to_clipboard(copyable(entry.text))
                self.notify("Copied.")
            case "retry":
                self._controller.retry(entry.key)
            case "delete" if entry.seq is None:
                self._controller.discard(entry.key)
                self._view.composer.input.focus()
            case _ if entry.seq is None or entry.deleted:
                self._view.app.bell()
            case "reply":
                self._view.composer.reply(entry.seq, entry.sender, entry.text[:_EXCERPT])
                self._view.log_view.clear_selection()
            case "edit" if entry.own:
                self._view.composer.edit(entry.seq, entry.text)
                self._view.log_view.clear_selection()
            case "delete" if entry.own or self._model.shown.operator:
                self._ask(self._delete(self.conv, entry))
            case "react":
                self._react(self.conv, entry.seq, entry)
            case "edit" | "delete":
                self.notify(f"This is {one_line(entry.sender)}'s message.")
            case _:
                pass

    def _open_link(self, entry: TimelineEntry) -> None:
        links = parse(sanitise(entry.text)).links
        if not links:
            self.notify("There is no link in this message.")
        elif len(links) == 1:
            self._view.app.open_url(links[0])
        else:
            self._ask(self._choose_link(links))

    async def _choose_link(self, links: Sequence[str]) -> None:
        picker = ActionMenu("Open", {link: link for link in links})
        if (link := await self._view.app.push_screen_wait(picker)) is not None:
            self._view.app.open_url(link)

    async def _delete(self, conv: str, entry: TimelineEntry) -> None:
        text = one_line(entry.text)
        detail = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
        question = Confirm("Delete this message for everybody?", "Delete", detail=detail)
        if await self._view.app.push_screen_wait(question):
            assert entry.seq is not None
            await self._client.delete(MessageId(conv, entry.seq))

    def _react(self, conv: str, seq: int, entry: TimelineEntry) -> None:
        given = [sign for sign, tally in entry.reactions.items() if tally.me]
        self._open(EmojiPicker(given), lambda sign: self._controller.react(conv, seq, sign))

    def carry_out(self, text: str) -> bool:
        """Run a slash command; return False if it is invalid."""
        problem = commands.carry_out(text, self)
        if problem is not None:
            self._view.app.notify(problem, severity="warning", markup=False, timeout=6)
        return problem is None
