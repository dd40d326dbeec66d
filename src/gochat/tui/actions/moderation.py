"""What operators do to people in the shown room, and whom a person blocks."""

from __future__ import annotations

from datetime import timedelta

from gochat.client import Member, Restriction, RestrictionKind, RoomBan
from gochat.protocol.messages import LOBBY
from gochat.tui.actions.address_bans import AddressBanning, imposed
from gochat.tui.actions.reporting import BANNED, MUTED
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.pickers import PersonMenu
from gochat.tui.language import N_, _, pgettext
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.presentation import span
from gochat.tui.text.sanitise import one_line


class RoomModeration(AddressBanning):
    """What is done to people; the base of :class:`~gochat.tui.actions.rooms.RoomActions`."""

    def invite(self, person: str) -> None:
        """Invite a person to the shown room."""
        person = self._spelled(person)
        if self._is_room():
            self._do(
                self._client.invite(self.conv, person),
                lambda: self.notify(_("{person} is invited.", person=one_line(person))),
            )

    def kick(self, person: str, reason: str = "") -> None:
        """Remove a person from the shown room, after asking."""
        if self._is_room() and self._may(N_("Only the operators of {room} can remove people.")):
            self._ask(self._kick(self.conv, self._spelled(person), reason))

    async def _kick(self, room: str, person: str, reason: str) -> None:
        text = _("Remove {person} from {room}?", person=one_line(person), room=one_line(room))
        question = Confirm(text, _("Remove"))
        if await self._view.app.push_screen_wait(question):
            await self._answer(self._client.kick(room, person, reason=reason))

    def set_operator(self, person: str, *, on: bool) -> None:
        """Make a person an operator of the shown room, or an ordinary member again."""
        if not self._is_room():
            return
        if on and (advice := instead_of_op(self._model, self._spelled(person))):
            self.notify(advice)
            return
        refusal = N_("Only the operators of {room} can choose operators.")
        if not self._may(refusal, is_of_operators=True):
            return
        if on and self._spelled(person) == self._model.me:
            self.notify(_("You are an operator of {room} already.", room=one_line(self.conv)))
        else:
            self._do(self._client.set_operator(self.conv, person, on=on))

    # -- bans -------------------------------------------------------------------------------------

    def ban(self, person: str, duration: timedelta | None = None, reason: str = "") -> None:
        """Ban a person from the shown room, after asking."""
        if self._is_room() and self._may(N_("Only the operators of {room} can ban people.")):
            self._ask(self._ban(self.conv, self._spelled(person), duration, reason))

    async def _ban(self, room: str, person: str, duration: timedelta | None, reason: str) -> None:
        shown, place = one_line(person), one_line(room)
        question = Confirm(
            _("Ban {person} from {room}?", person=shown, room=place)
            if duration is None
            else _("Ban {person} from {room} for {time}?", person=shown, room=place,
                   time=span(duration)),
            pgettext("from a room", "Ban"),
            detail=_("They are removed, and can't join or be invited until the ban ends."),
        )  # fmt: skip
        if await self._view.app.push_screen_wait(question):
            await self._answer(self._client.ban(room, person, duration=duration, reason=reason))

    def unban(self, person: str) -> None:
        """Lift a ban from the shown room."""
        if self._is_room():
            self._do(self._client.unban(self.conv, person))

    def show_bans(self) -> None:
        """List who is banned from the shown room; choosing one lifts the ban."""
        if self._is_room():
            room, shown = self.conv, one_line(self.conv)
            self._open_list(
                _("Banned from {room}: Enter lifts a ban", room=shown),
                _("Nobody is banned from {room}.", room=shown),
                self._bans(room),
                lambda person: self._do(self._client.unban(room, person)),
            )

    async def _bans(self, room: str) -> dict[str, str]:
        return {ban.name: about_ban(ban) for ban in await self._client.bans(room)}

    # -- modes ------------------------------------------------------------------------------------

    def set_slow_mode(self, interval: timedelta) -> None:
        """Set slow mode: each member can write in the shown room once in an interval."""
        if self._is_room():
            self._do(self._client.set_slow_mode(self.conv, interval))

    def set_announcements(self, *, on: bool) -> None:
        """Choose whether only operators can write in the shown room."""
        if self._is_room():
            self._do(self._client.set_announcements(self.conv, on=on))

    def set_archived(self, *, on: bool) -> None:
        """Archive the shown room, after asking, or bring it back."""
        if not self._is_room():
            return
        if on:
            self._ask(self._archive(self.conv))
        else:
            self._do(self._client.set_archived(self.conv, on=False))

    async def _archive(self, room: str) -> None:
        question = Confirm(
            _("Archive {room}?", room=one_line(room)), _("Archive"),
            detail=_("Nobody can write there any more. Its operators can bring it back."),
        )  # fmt: skip
        if await self._view.app.push_screen_wait(question):
            await self._answer(self._client.set_archived(room, on=True))

    # -- the server -------------------------------------------------------------------------------

    def restrict(
        self,
        person: str,
        kind: RestrictionKind,
        duration: timedelta | None = None,
        reason: str = "",
    ) -> None:
        """Ban a person from the server, or mute them, after asking."""
        if self._moderates():
            self._ask(self._restrict(self._spelled(person), kind, duration, reason))

    async def _restrict(
        self, person: str, kind: RestrictionKind, duration: timedelta | None, reason: str
    ) -> None:
        shown, time = one_line(person), "" if duration is None else span(duration)
        if kind == "ban":
            question = Confirm(
                _("Ban {person} from the server for {time}?", person=shown, time=time)
                if time
                else _("Ban {person} from the server?", person=shown),
                pgettext("from the server", "Ban"),
                detail=_(BANNED),
            )
        else:
            question = Confirm(
                _("Mute {person} for {time}?", person=shown, time=time)
                if time
                else _("Mute {person}?", person=shown),
                _("Mute"),
                detail=_(MUTED),
            )
        if await self._view.app.push_screen_wait(question):
            await self._impose(person, kind, duration, reason)

    def unrestrict(self, person: str, kind: RestrictionKind) -> None:
        """Lift a ban from the server, or a mute."""
        if self._moderates():
            person = self._spelled(person)
            done = (
                _("{person} is no longer banned from the server.", person=one_line(person))
                if kind == "ban"
                else _("{person} is no longer muted.", person=one_line(person))
            )
            self._do(self._client.unrestrict(person, kind), lambda: self.notify(done))

    def hand_over(self, room: str, person: str, reason: str = "") -> None:
        """Make a person an operator of a room, as an admin of the server, after asking."""
        if self._administers():
            self._ask(self._hand_over(room, self._spelled(person), reason))

    async def _hand_over(self, room: str, person: str, reason: str) -> None:
        shown, place = one_line(person), one_line(room)
        question = Confirm(
            _("Make {person} an operator of {room}?", person=shown, room=place),
            pgettext("a room", "Hand over"),
            detail=_("They join it if they are not in it, and everybody there sees it."),
        )
        if await self._view.app.push_screen_wait(question):
            await self._answer(self._client.hand_over(room, person, reason=reason))
            self.notify(_("{person} is an operator of {room}.", person=shown, room=place))

    def show_restrictions(self) -> None:
        """List who is banned from the server or muted; choosing one lifts that."""
        if self._moderates():
            found: dict[str, Restriction] = {}
            self._open_list(
                _("Banned or muted at the server: Enter lifts it"),
                _("Nobody is banned from the server or muted."),
                self._restrictions(found),
                lambda chosen: self.unrestrict(found[chosen].name, found[chosen].kind),
                self._moderation_refusal,
            )

    async def _restrictions(self, found: dict[str, Restriction]) -> dict[str, str]:
        found |= {f"{one.kind} {one.name}": one for one in await self._client.restrictions()}
        return {key: about_restriction(one) for key, one in found.items()}

    # -- blocks -----------------------------------------------------------------------------------

    def block(self, person: str, *, on: bool) -> None:
        """Block or unblock a person."""
        shown = one_line(person)
        if on:
            done = _(
                "You will not receive messages, mentions or invitations from {person} any more.",
                person=shown,
            )
            self._do(self._client.block(person), lambda: self.notify(done))
        else:
            done = _("You no longer block {person}.", person=shown)
            self._do(self._client.unblock(person), lambda: self.notify(done))

    def show_blocked(self) -> None:
        """List whom the person blocks; choosing one ends that."""
        self._open_list(
            _("Blocked people: Enter unblocks"),
            _("You have not blocked anybody."),
            self._blocked(),
            lambda person: self.block(person, on=False),
        )

    async def _blocked(self) -> dict[str, str]:
        return {name: one_line(name) for name in await self._client.blocked()}

    async def _with_person(self, member: Member, *, in_room: bool) -> None:
        """Ask what to do with a person, who is a member of the shown room or just online."""
        name, room = member.name, self.conv if in_room else None

        def actions() -> dict[str, str]:
            return self._actions_for(member, room)

        title = " · ".join(filter(None, (one_line(name), self._status_of(name))))
        chosen = await self._view.app.push_screen_wait(PersonMenu(title, actions))
        match chosen if chosen in actions() else None:
            case "write":
                self._view.open_conversation(f"@{name}")
            case "operator" | "member" as role:
                self.set_operator(name, on=role == "operator")
            case "hand-over":
                await self._hand_over(self.conv, name, "")
            case "kick":
                self.kick(name)
            case "ban":
                self.ban(name)
            case "mute":
                await self._restrict_with_form(name, "mute")
            case "server-ban":
                await self._restrict_with_form(name, "ban")
            case "block" | "unblock" as act:
                self.block(name, on=act == "block")
            case _:
                pass

    def _actions_for(self, member: Member, room: str | None) -> dict[str, str]:
        """Return what the person may do now with somebody: in `room`, as long as that is shown and
        they are in it, and at the server."""
        name, view, role = member.name, self._model.shown, self._model.role
        known = view.members or {}
        actions = {"write": _("Write to them")}
        if view.conv == room and view.operates and (not known or name in known):
            is_operator = known.get(name, member.operator)
            if view.operator:
                actions["member" if is_operator else "operator"] = (
                    _("Make them an ordinary member") if is_operator else _("Make them an operator")
                )
            elif role == "admin" and not is_operator:
                actions["hand-over"] = _("Hand this room over to them")
            actions["kick"] = _("Remove them from this room")
            actions["ban"] = _("Ban them from this room")
        if role != "member":
            actions["mute"] = _("Mute them in #lobby and public rooms")
            actions["server-ban"] = _("Ban them from the server")
        if name in self._model.blocked:
            actions["unblock"] = _("Unblock them")
        else:
            actions["block"] = _("Block them")
        return actions


def instead_of_op(model: ChatModel, person: str) -> str | None:
    """Return what an admin of the server writes to make a person an operator of the shown room, of
    which they are none themselves; None where that is not so."""
    view = model.shown
    is_public = view.is_room and not view.private and view.conv != LOBBY
    if model.role != "admin" or view.operator or not is_public:
        return None
    room, name = one_line(view.conv), one_line(person)
    return _(
        "Only the operators of {room} can choose operators. As an admin, write: "
        "/hand-over {room} {person}",
        room=room, person=name,
    )  # fmt: skip


def about_ban(ban: RoomBan) -> str:
    """Return a ban in words: whom, until when, by whom and why."""
    return imposed(ban, one_line(ban.name))


def about_restriction(one: Restriction) -> str:
    """Return a restriction in words: whom, how, until when, by whom and why."""
    name = one_line(one.name)
    what = (
        _("{person}, banned", person=name)
        if one.kind == "ban"
        else _("{person}, muted", person=name)
    )
    return imposed(one, what)
