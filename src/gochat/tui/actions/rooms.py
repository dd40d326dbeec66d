"""What a person does with rooms: joining and leaving them, and what they are like."""

from __future__ import annotations

from gochat.client import HistorySetting, NotFound
from gochat.protocol.messages import LOBBY
from gochat.tui.actions.moderation import RoomModeration
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.forms import RoomForm
from gochat.tui.dialogs.pickers import CREATE, ActionMenu, MemberPicker, RoomPicker
from gochat.tui.language import N_, _
from gochat.tui.model.presentation import because
from gochat.tui.text.sanitise import one_line


class RoomActions(RoomModeration):
    """The actions on rooms, most of them on the one that is shown."""

    # -- joining and leaving ----------------------------------------------------------------------

    def open_conversation(self, conv: str) -> None:
        """Show a conversation, or join the room if the person is not in it."""
        if conv.startswith("#") and self._model.find(conv) is None:
            self.join(conv)
        else:
            self._view.open_conversation(conv)

    def join(self, room: str) -> None:
        """Become a member of a room, and show it."""
        view = self._model.find(room)
        if view is not None and view.joined:
            self._view.open_conversation(room)
        else:
            self._ask(self._join(room))

    async def _join(self, room: str) -> None:
        written = self._view.composer.input.text
        try:
            await self._answer(self._client.join(room), _("Joining {room}…", room=one_line(room)))
        except NotFound:
            shown = one_line(room)
            if self._view.composer.input.text:  # a form would take what is being typed
                self.notify(
                    _(
                        "{room} is not a room that you can join; /create {room} creates it.",
                        room=shown,
                    )
                )
            else:
                await self._new_room(room, _("{room} is not a room that you can join.", room=shown))
        else:
            self._arrive(room, written)

    def _arrive(self, room: str, written: str) -> None:
        """Show a room as the server has answered, unless something else than what was `written` is
        being typed by then: the next letters, and Enter, are for where it was begun."""
        if self._view.composer.input.text in ("", written):
            self._view.open_conversation(room)
        else:
            self.notify(_("You are in {room} now; it is in the list.", room=one_line(room)))

    def answer_invitation(self, room: str) -> None:
        """Ask whether to join a room to which the person is invited, or to decline."""
        invitation = self._model.invitations[room]
        inviter, shown = one_line(invitation.sender), one_line(room)
        title = (
            _("{person} invites you to {room}", person=inviter, room=shown)
            if inviter
            else _("You are invited to {room}", room=shown)
        )
        join = because(_("Join {room}", room=shown), one_line(invitation.topic or ""))
        acts = {join: self.join, _("Decline"): self.decline}
        self._open(ActionMenu(title, {text: text for text in acts}), lambda key: acts[key](room))

    def decline(self, room: str) -> None:
        """Turn down an invitation."""
        invitation = self._model.invitation(room)
        if invitation is None:
            self.notify(_("You are not invited to {room}.", room=one_line(room)))
        else:
            self._do(
                self._client.decline(invitation.room),
                lambda: self.notify(
                    _("You declined the invitation to {room}.", room=one_line(room))
                ),
            )

    def leave(self, conv: str) -> None:
        """Leave a room after asking, or take a private conversation out of the list."""
        view = self._model.conversations.get(conv)
        if conv == LOBBY:
            self.notify(_("#lobby is for everybody; it can't be left."))
        elif not conv.startswith("#"):
            self._controller.close(conv)
        elif view is None:
            self.notify(_("You are not in {room}.", room=one_line(conv)))
        else:
            self._ask(self._leave(conv, private=view.private))

    async def _leave(self, conv: str, *, private: bool) -> None:
        detail = _("You will need an invitation to come back.") if private else ""
        text = _("Leave {room}?", room=one_line(conv))
        question = Confirm(text, _("Leave"), detail=detail, dangerous=private)
        if await self._view.app.push_screen_wait(question):
            await self._answer(self._client.leave(conv), _("Leaving {room}…", room=one_line(conv)))
            self._controller.close(conv)

    def create(self, room: str, topic: str, *, private: bool) -> None:
        """Create a room, and show it."""
        written = self._view.composer.input.text
        self._do(
            self._client.create_room(room, topic=topic, private=private),
            lambda: self._arrive(room, written),
            _("Creating {room}…", room=one_line(room)),
        )

    def show_topic(self) -> None:
        """Show the topic of the shown room."""
        if self._is_room():
            self.notify(one_line(self._model.shown.topic) or _("This room has no topic."))

    def set_topic(self, topic: str) -> None:
        """Set the topic of the shown room."""
        if self._is_room():
            self._do(self._client.set_topic(self.conv, topic))

    def set_access(self, *, private: bool, history: HistorySetting | None = None) -> None:
        """Make the shown room private, or public; what becomes of its history is asked for where it
        has to be known."""
        view = self._model.shown
        if not self._is_room():
            return
        refusal = N_("Only the operators of {room} can change who may join.")
        if private or not view.private or history is not None:
            self._do(self._client.set_access(self.conv, private=private, history=history))
        elif not self._may(refusal, is_of_operators=True):
            return
        elif view.history == "hidden":  # it can't be shown
            self._do(self._client.set_access(self.conv, private=private, history="hidden"))
        else:
            self._ask(self._make_public(self.conv))

    async def _make_public(self, room: str) -> None:
        question = ActionMenu(
            _("{room} becomes public. What was written until now:", room=one_line(room)),
            {
                "shown": _("Show it to those who join"),
                "hidden": _("Hide it from those who join"),
            },
        )
        match await self._view.app.push_screen_wait(question):
            case "shown" | "hidden" as history:
                await self._answer(self._client.set_access(room, private=False, history=history))
            case _:
                pass

    def show_history_setting(self) -> None:
        """Show whether people who join the shown room can read what was written before."""
        if self._is_room():
            self.notify(
                _("People who join this room can read only later messages.")
                if self._model.shown.history == "hidden"
                else _(
                    "People who join this room can read earlier messages, unless they were hidden."
                )
            )

    def set_history(self, history: HistorySetting) -> None:
        """Choose whether those who join the shown room read what was written before."""
        if self._is_room():
            self._do(self._client.set_history(self.conv, history))

    # -- lists ------------------------------------------------------------------------------------

    def _rooms(self) -> None:
        picker = RoomPicker(self._controller.rooms)

        def chosen(key: str) -> None:
            if key.startswith(CREATE):
                self._ask(self._new_room(key.removeprefix(CREATE)))
            else:
                self.open_conversation(key)

        self._open(picker, chosen)
        self._load(self._controller.load_rooms(), picker.show_rooms)

    async def _new_room(self, name: str, why: str = "") -> None:
        wanted = await self._view.app.push_screen_wait(RoomForm(name.lstrip("#"), why))
        if wanted is not None:
            self.create(wanted.room, wanted.topic, private=wanted.private)

    def _members(self) -> None:
        view = self._model.shown
        if not view.is_room:
            self.notify(_("Only you and {person} are here.", person=one_line(view.name)))
            return
        members = self._controller.members.get(view.conv, ())
        title = _("Members of {room}", room=one_line(view.conv))
        picker = MemberPicker(
            title, members, self._model.me, self._model.blocked, self._status_of,
            lambda names: self._controller.ask_statuses(names, picker.statuses_changed),
        )  # fmt: skip

        def chosen(key: str) -> None:
            staff = view.operates or self._model.role != "member"
            if staff and key != self._model.me:
                self._ask(self._with_person(picker.members[key], in_room=True))
            else:
                self._view.open_conversation(f"@{key}")

        self._open(picker, chosen)
        self._load(self._controller.load_members(view.conv), picker.show_members)
