"""What operators do to people in the shown room, and whom a person blocks."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from gochat.client import Member, Restriction, RestrictionKind, RoomBan
from gochat.tui.actions.address_bans import AddressBanning
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.forms import BanForm, MuteForm
from gochat.tui.dialogs.pickers import ActionMenu
from gochat.tui.model.presentation import span
from gochat.tui.text.sanitise import one_line

#: What comes of a ban from the server, and of a mute.
_BANNED: Final = "All their sessions end, and they can't log in until the ban ends."
_MUTED: Final = "They write nothing in #lobby and public rooms until it ends."


class RoomModeration(AddressBanning):
    """What is done to people; the base of :class:`~gochat.tui.actions.rooms.RoomActions`."""

    def invite(self, person: str) -> None:
        """Invite a person to the shown room."""
        person = self._spelled(person)
        if self._is_room("invite to"):
            self._do(
                self._client.invite(self.conv, person),
                lambda: self.notify(f"{one_line(person)} is invited."),
            )

    def kick(self, person: str, reason: str = "") -> None:
        """Remove a person from the shown room, after asking."""
        if self._is_room("remove somebody from") and self._may("remove people"):
            self._ask(self._kick(self.conv, self._spelled(person), reason))

    async def _kick(self, room: str, person: str, reason: str) -> None:
        question = Confirm(f"Remove {one_line(person)} from {one_line(room)}?", "Remove")
        if await self._view.app.push_screen_wait(question):
            await self._client.kick(room, person, reason=reason)

    def set_operator(self, person: str, *, on: bool) -> None:
        """Make a person an operator of the shown room, or an ordinary member again."""
        if not self._is_room("be an operator of"):
            return
        if not self._may("choose operators", is_of_operators=True):
            return
        if on and self._spelled(person) == self._model.me:
            self.notify(f"You are an operator of {one_line(self.conv)} already.")
        else:
            self._do(self._client.set_operator(self.conv, person, on=on))

    # -- bans -------------------------------------------------------------------------------------

    def ban(self, person: str, duration: timedelta | None = None, reason: str = "") -> None:
        """Ban a person from the shown room, after asking."""
        if self._is_room("ban somebody from") and self._may("ban people"):
            self._ask(self._ban(self.conv, self._spelled(person), duration, reason))

    async def _ban(self, room: str, person: str, duration: timedelta | None, reason: str) -> None:
        time = f" for {span(duration)}" if duration is not None else ""
        question = Confirm(
            f"Ban {one_line(person)} from {one_line(room)}{time}?", "Ban",
            detail="They are removed, and can't join or be invited until the ban ends.",
        )  # fmt: skip
        if await self._view.app.push_screen_wait(question):
            await self._client.ban(room, person, duration=duration, reason=reason)

    def unban(self, person: str) -> None:
        """Lift a ban from the shown room."""
        if self._is_room("lift a ban of"):
            self._do(self._client.unban(self.conv, person))

    def show_bans(self) -> None:
        """List who is banned from the shown room; choosing one lifts the ban."""
        if self._is_room("be banned from"):
            self._ask(self._bans(self.conv))

    async def _bans(self, room: str) -> None:
        bans = {ban.name: about_ban(ban) for ban in await self._client.bans(room)}
        if not bans:
            self.notify(f"Nobody is banned from {one_line(room)}.")
            return
        menu = ActionMenu(f"Banned from {one_line(room)}: Enter lifts a ban", bans)
        if (person := await self._view.app.push_screen_wait(menu)) is not None:
            await self._client.unban(room, person)

    # -- modes ------------------------------------------------------------------------------------

    def set_slow_mode(self, interval: timedelta) -> None:
        """Set slow mode: each member can write in the shown room once in an interval."""
        if self._is_room("slow down"):
            self._do(self._client.set_slow_mode(self.conv, interval))

    def set_announcements(self, *, on: bool) -> None:
        """Choose whether only operators can write in the shown room."""
        if self._is_room("announce"):
            self._do(self._client.set_announcements(self.conv, on=on))

    def set_archived(self, *, on: bool) -> None:
        """Archive the shown room, after asking, or bring it back."""
        if not self._is_room("archive"):
            return
        if on:
            self._ask(self._archive(self.conv))
        else:
            self._do(self._client.set_archived(self.conv, on=False))

    async def _archive(self, room: str) -> None:
        question = Confirm(
            f"Archive {one_line(room)}?", "Archive",
            detail="Nobody can write there any more. Its operators can bring it back.",
        )  # fmt: skip
        if await self._view.app.push_screen_wait(question):
            await self._client.set_archived(room, on=True)

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
        time = f" for {span(duration)}" if duration is not None else ""
        question = (
            Confirm(
                f"Ban {one_line(person)} from the server{time}?", "Ban",
                detail=_BANNED,
            )
            if kind == "ban"
            else Confirm(
                f"Mute {one_line(person)}{time}?", "Mute",
                detail=_MUTED,
            )
        )  # fmt: skip
        if await self._view.app.push_screen_wait(question):
            await self._impose(person, kind, duration, reason)

    async def _restrict_with_form(self, person: str, kind: RestrictionKind) -> None:
        form = (
            BanForm(f"{one_line(person)}: {_BANNED}")
            if kind == "ban"
            else MuteForm(f"{one_line(person)}: {_MUTED}")
        )
        answer = await self._view.app.push_screen_wait(form)
        if answer is not None:
            await self._impose(person, kind, *answer)

    async def _impose(
        self, person: str, kind: RestrictionKind, duration: timedelta | None, reason: str
    ) -> None:
        await self._client.restrict(person, kind, duration=duration, reason=reason)
        done = "banned from the server" if kind == "ban" else "muted"
        self.notify(f"{one_line(person)} is {done}.")

    def unrestrict(self, person: str, kind: RestrictionKind) -> None:
        """Lift a ban from the server, or a mute."""
        if self._moderates():
            person = self._spelled(person)
            word = "banned from the server" if kind == "ban" else "muted"
            self._do(
                self._client.unrestrict(person, kind),
                lambda: self.notify(f"{one_line(person)} is no longer {word}."),
            )

    def show_restrictions(self) -> None:
        """List who is banned from the server or muted; choosing one lifts that."""
        if self._moderates():
            self._ask(self._restrictions())

    async def _restrictions(self) -> None:
        found = await self._client.restrictions()
        if not found:
            self.notify("Nobody is banned from the server or muted.")
            return
        rows = {f"{one.kind} {one.name}": about_restriction(one) for one in found}
        menu = ActionMenu("Banned or muted at the server: Enter lifts it", rows)
        if (chosen := await self._view.app.push_screen_wait(menu)) is not None:
            one = next(one for one in found if chosen == f"{one.kind} {one.name}")
            self.unrestrict(one.name, one.kind)

    # -- blocks -----------------------------------------------------------------------------------

    def block(self, person: str, *, on: bool) -> None:
        """Block or unblock a person."""
        shown = one_line(person)
        if on:
            done = f"You will not receive messages, mentions or invitations from {shown} any more."
            self._do(self._client.block(person), lambda: self.notify(done))
        else:
            done = f"You no longer block {shown}."
            self._do(self._client.unblock(person), lambda: self.notify(done))

    def show_blocked(self) -> None:
        """List whom the person blocks; choosing one ends that."""
        self._ask(self._show_blocked())

    async def _show_blocked(self) -> None:
        blocked = {name: one_line(name) for name in await self._client.blocked()}
        if not blocked:
            self.notify("You have not blocked anybody.")
            return
        menu = ActionMenu("Blocked people: Enter unblocks", blocked)
        if (person := await self._view.app.push_screen_wait(menu)) is not None:
            self.block(person, on=False)

    async def _with_person(self, member: Member, *, in_room: bool) -> None:
        """Ask what to do with a person, who is a member of the shown room or just online."""
        name = member.name
        actions = {"write": "Write to them"}
        if in_room and self._model.shown.operates:
            if self._model.shown.operator:
                actions["member" if member.operator else "operator"] = (
                    "Make them an ordinary member" if member.operator else "Make them an operator"
                )
            actions["kick"] = "Remove them from this room"
            actions["ban"] = "Ban them from this room"
        if self._model.role != "member":
            actions["mute"] = "Mute them in #lobby and public rooms"
            actions["server-ban"] = "Ban them from the server"
        is_blocked = name in self._model.blocked
        actions["block"] = "Unblock them" if is_blocked else "Block them"
        match await self._view.app.push_screen_wait(ActionMenu(one_line(name), actions)):
            case "write":
                self._view.open_conversation(f"@{name}")
            case "operator" | "member" as role:
                self.set_operator(name, on=role == "operator")
            case "kick":
                self.kick(name)
            case "ban":
                self.ban(name)
            case "mute":
                await self._restrict_with_form(name, "mute")
            case "server-ban":
                await self._restrict_with_form(name, "ban")
            case "block":
                self.block(name, on=not is_blocked)
            case _:
                pass


def about_ban(ban: RoomBan) -> str:
    """Return a ban in words: whom, until when, by whom and why."""
    return one_line(ban.name) + _until_by_why(ban)


def about_restriction(one: Restriction) -> str:
    """Return a restriction in words: whom, how, until when, by whom and why."""
    return f"{one_line(one.name)}, {'banned' if one.kind == 'ban' else 'muted'}{_until_by_why(one)}"


def _until_by_why(one: RoomBan | Restriction) -> str:
    until = f" until {one.until.astimezone():%d %b %Y %H:%M}" if one.until is not None else ""
    reason = f": {one_line(one.reason)}" if one.reason else ""
    return f"{until}, by {one_line(one.sender)}{reason}"
