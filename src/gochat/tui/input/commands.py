"""What can be written after a slash: one table, for doing, hints, completion and help. Pure.

A command asks a :class:`CommandContext` to do something. Texts that go to people begin with ``//``
where their first character is a slash.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, Protocol, TypeAlias, get_args

from gochat.client import Form, HistorySetting, Level, RestrictionKind
from gochat.tui.language import N_, _

#: What an argument is, for completing it. ``text`` is the rest of the line.
Kind: TypeAlias = Literal[
    "person", "room", "network", "number", "text", "level", "history", "theme", "command"
]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
HISTORY: Final[tuple[HistorySetting, ...]] = get_args(HistorySetting)


class CommandContext(Protocol):
    """What commands ask for. `conv` is always the conversation that is shown."""

    @property
    def conv(self) -> str: ...  # noqa: D102 – see above
    def notify(self, text: str) -> None:
        """Show the person a notification."""

    def open_conversation(self, conv: str) -> None:
        """Show a conversation."""

    def send(self, conv: str, text: str, *, form: Form = "text") -> None:
        """Send a message; an ``action`` says what its sender does."""

    def join(self, room: str) -> None:
        """Become a member of a room, and show it."""

    def leave(self, room: str) -> None:
        """Leave a room, or take a private conversation out of the list."""

    def create(self, room: str, topic: str, *, private: bool) -> None:
        """Create a room, and show it."""

    def decline(self, room: str) -> None:
        """Turn down an invitation."""

    def set_topic(self, topic: str) -> None:
        """Set the topic of the shown room."""

    def show_topic(self) -> None:
        """Show the topic of the shown room."""

    def set_access(self, *, private: bool, history: HistorySetting | None = None) -> None:
        """Make the shown room private, or public; what becomes of its history is asked for where it
        has to be known."""

    def show_history_setting(self) -> None:
        """Show whether people who join the shown room can read what was written before."""

    def set_history(self, history: HistorySetting) -> None:
        """Choose whether those who join the shown room read what was written before."""

    def invite(self, person: str) -> None:
        """Invite a person to the shown room."""

    def kick(self, person: str, reason: str = "") -> None:
        """Remove a person from the shown room."""

    def ban(self, person: str, duration: timedelta | None = None, reason: str = "") -> None:
        """Ban a person from the shown room."""

    def unban(self, person: str) -> None:
        """Lift a ban from the shown room."""

    def show_bans(self) -> None:
        """List who is banned from the shown room."""

    def restrict(
        self,
        person: str,
        kind: RestrictionKind,
        duration: timedelta | None = None,
        reason: str = "",
    ) -> None:
        """Ban a person from the server, or mute them in the lobby and public rooms."""

    def unrestrict(self, person: str, kind: RestrictionKind) -> None:
        """Lift a ban from the server, or a mute."""

    def show_restrictions(self) -> None:
        """List who is banned from the server or muted."""

    def ban_address(
        self, network: str, duration: timedelta | None = None, reason: str = ""
    ) -> None:
        """Ban an address or a network: nobody connects from there."""

    def unban_address(self, network: str) -> None:
        """Lift the ban of an address or a network."""

    def show_address_bans(self) -> None:
        """List the addresses and networks that are banned."""

    def hand_over(self, room: str, person: str, reason: str = "") -> None:
        """Make a person an operator of a room, as an admin of the server."""

    def report_selected(self, reason: str = "") -> None:
        """Report the selected message to the moderators."""

    def show_reports(self) -> None:
        """List the reports that wait for the person."""

    def resolve_report(self, report: int, note: str = "") -> None:
        """Resolve a report, with a note of what came of it."""

    def pin_selected(self, *, on: bool) -> None:
        """Pin the selected message for everybody in the conversation, or unpin it."""

    def save_selected(self, *, on: bool) -> None:
        """Save the selected message for the person, or no longer."""

    def set_slow_mode(self, interval: timedelta) -> None:
        """Set slow mode: each member can write in the shown room once in an interval."""

    def set_announcements(self, *, on: bool) -> None:
        """Choose whether only operators can write in the shown room."""

    def set_archived(self, *, on: bool) -> None:
        """Archive the shown room, or bring it back."""

    def block(self, person: str, *, on: bool) -> None:
        """Block or unblock a person."""

    def show_blocked(self) -> None:
        """List whom the person blocks."""

    def set_operator(self, person: str, *, on: bool) -> None:
        """Make a person an operator of the shown room, or an ordinary member again."""

    def away(self, text: str | None) -> None:
        """Set the away notice, or take it back."""

    def set_status(self, text: str) -> None:
        """Set the person's status as it was written; without a text, clear it or ask for one."""

    def set_level(self, level: Level) -> None:
        """Choose which messages of the shown conversation notify the person."""

    def silence(self, duration: timedelta) -> None:
        """Let nothing in the shown conversation notify the person for a while, on this device."""

    def be_quiet(self, duration: timedelta | None) -> None:
        """Notify the person of nothing for a while; None: as usual."""

    def show_quiet(self) -> None:
        """Say whether anything notifies the person now."""

    def set_theme(self, theme: str) -> None:
        """Change the colours."""

    def go_to(self, place: str) -> None:
        """Show what `place` names: a message's link, or a day."""

    def go_to_first(self) -> None:
        """Show the first message of the shown conversation."""

    def favourite(self) -> None:
        """Put the shown conversation among the favourites, or take it from there."""

    def open_panel(self, panel: str, text: str = "") -> None:
        """Open ``search``, ``rooms``, ``members``, ``people``, ``settings``, ``help`` …"""

    def log_out(self) -> None:
        """End the session, and go back to the first screen."""

    def quit(self) -> None:
        """Leave the app."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, as it is shown: ``[TOPIC]`` where it may be left out."""

    name: str
    kind: Kind
    optional: bool = False

    @property
    def shown(self) -> str:
        """The argument as help shows it."""
        return f"[{_(self.name)}]" if self.optional else _(self.name)


@dataclass(frozen=True, slots=True)
class Command:
    """A command; `run` gets what was given for each argument, "" for what was left out. `text` is
    the message of what it does.
    """

    name: str
    arguments: tuple[Argument, ...]
    text: str
    run: Callable[[CommandContext, list[str]], None]
    aliases: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """What it does."""
        return _(self.text)

    @property
    def usage(self) -> str:
        """How it is written."""
        return " ".join([f"/{self.name}", *(argument.shown for argument in self.arguments)])


_PERSON: Final = Argument(N_("NAME"), "person")
_ROOM: Final = Argument(N_("ROOM"), "room")
_NETWORK: Final = Argument(N_("ADDRESS"), "network")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: Digits of a report's number at most: the protocol's numbers have no more.
_DIGITS: Final = 15
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])")


def _message(context: CommandContext, given: list[str]) -> None:
    conv, text = f"@{given[0].lstrip('@')}", given[1]
    if text:
        context.send(conv, text)
    context.open_conversation(conv)


def _room(text: str) -> str:
    return f"#{text.lstrip('#')}"


def _name(text: str) -> str:
    return text.lstrip("@")


def duration(text: str) -> timedelta | None:
    """Return the time span that a text as ``90s``, ``30m``, ``2h`` or ``7d`` names, or None."""
    found = _DURATION.fullmatch(text)
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def _time_and_reason(text: str) -> tuple[timedelta | None, str]:
    first, _gap, remainder = text.partition(" ")
    time = duration(first)
    return time, text if time is None else remainder.strip()


def _ban(context: CommandContext, given: list[str]) -> None:
    context.ban(_name(given[0]), *_time_and_reason(given[1]))


def _mute(context: CommandContext, given: list[str]) -> None:
    context.restrict(_name(given[0]), "mute", *_time_and_reason(given[1]))


def _server_ban(context: CommandContext, given: list[str]) -> None:
    context.restrict(_name(given[0]), "ban", *_time_and_reason(given[1]))


def _address_ban(context: CommandContext, given: list[str]) -> None:
    context.ban_address(given[0], *_time_and_reason(given[1]))


def _resolve(context: CommandContext, given: list[str]) -> None:
    number = given[0].lstrip("#")
    if number.isascii() and number.isdigit() and len(number) <= _DIGITS:
        context.resolve_report(int(number), given[1])
    else:
        context.notify(_("Write /resolve and the number of a report, as /reports shows it."))


def _slow(context: CommandContext, given: list[str]) -> None:
    time = timedelta(0) if given[0] in ("off", "0") else duration(given[0])
    if time is None:
        context.notify(_("Write /slow 30s, /slow 5m, /slow 1h or /slow off."))
    else:
        context.set_slow_mode(time)


def _announce(context: CommandContext, given: list[str]) -> None:
    if given[0] in ("on", "off"):
        context.set_announcements(on=given[0] == "on")
    else:
        context.notify(_("Write /announce on or /announce off."))


def _leave(context: CommandContext, given: list[str]) -> None:
    context.leave(
        _room(given[0]) if given[0] and not given[0].startswith("@") else given[0] or context.conv
    )


def _topic(context: CommandContext, given: list[str]) -> None:
    if not given[0]:
        context.show_topic()
    else:
        context.set_topic("" if given[0] == "-" else given[0])


def _level(context: CommandContext, given: list[str]) -> None:
    level = next((level for level in LEVELS if level == given[0]), None)
    time = duration(given[1])
    if level == "none" and time is not None:
        context.silence(time)
    elif level is None or given[1]:
        context.notify(_("Write /notify all, mentions or none; for a while /notify none 8h."))
    else:
        context.set_level(level)


def _quiet(context: CommandContext, given: list[str]) -> None:
    time = duration(given[0])
    if not given[0]:
        context.show_quiet()
    elif given[0] == "off" or time is not None:
        context.be_quiet(time)
    else:
        context.notify(_("Write /dnd 30m, /dnd 2h or /dnd off."))


def _history_setting(text: str) -> HistorySetting | None:
    return next((setting for setting in HISTORY if setting == text), None)


def _public(context: CommandContext, given: list[str]) -> None:
    setting = _history_setting(given[0])
    if given[0] and setting is None:
        context.notify(_("Write /public, /public shown or /public hidden."))
    else:
        context.set_access(private=False, history=setting)


def _history(context: CommandContext, given: list[str]) -> None:
    setting = _history_setting(given[0])
    if not given[0]:
        context.show_history_setting()
    elif setting is None:
        context.notify(_("Write /history, /history shown or /history hidden."))
    else:
        context.set_history(setting)


COMMANDS: Final[tuple[Command, ...]] = (
    Command("msg", (_PERSON, Argument(N_("TEXT"), "text", optional=True)),
            N_("write to one person"), _message, ("query", "dm")),
    Command("me", (Argument(N_("TEXT"), "text"),), N_("say what you do, as in /me waves"),
            lambda context, a: context.send(context.conv, a[0], form="action")),
    Command("join", (_ROOM,), N_("become a member of a room"),
            lambda context, a: context.join(_room(a[0]))),
    Command("leave", (Argument(N_("ROOM"), "room", optional=True),),
            N_("leave this room, or close this conversation"), _leave, ("part", "close")),
    Command("create", (_ROOM, Argument(N_("TOPIC"), "text", optional=True)),
            N_("create a public room"),
            lambda context, a: context.create(_room(a[0]), a[1], private=False)),
    Command("create-private", (_ROOM, Argument(N_("TOPIC"), "text", optional=True)),
            N_("create a room that people must be invited to"),
            lambda context, a: context.create(_room(a[0]), a[1], private=True)),
    Command("topic", (Argument(N_("TOPIC"), "text", optional=True),),
            N_("set what this room is about; - clears it"), _topic),
    Command("invite", (_PERSON,), N_("invite somebody to this room"),
            lambda context, a: context.invite(_name(a[0]))),
    Command("kick", (_PERSON, Argument(N_("REASON"), "text", optional=True)),
            N_("remove somebody from this room"),
            lambda context, a: context.kick(_name(a[0]), a[1])),
    Command("ban", (_PERSON, Argument(N_("TIME REASON"), "text", optional=True)),
            N_("keep somebody out of this room, for 30m, 2h or 7d, or until /unban"), _ban),
    Command("unban", (_PERSON,), N_("let somebody who was banned join this room again"),
            lambda context, a: context.unban(_name(a[0]))),
    Command("bans", (), N_("who is banned from this room"), lambda context, a: context.show_bans()),
    Command("slow", (Argument(N_("TIME"), "text"),),
            N_("let each member write here only once in 30s, 5m or 1h; off ends it"), _slow),
    Command("announce", (Argument(N_("ON"), "text"),),
            N_("let only operators write here: on; or everybody: off"), _announce),
    Command("archive", (), N_("archive this room: it can be read, but not written to"),
            lambda context, a: context.set_archived(on=True)),
    Command("unarchive", (), N_("bring an archived room back"),
            lambda context, a: context.set_archived(on=False)),
    Command("mute", (_PERSON, Argument(N_("TIME REASON"), "text", optional=True)),
            N_("as a moderator: let somebody write nothing in #lobby and public rooms, for 2h or "
               "7d"),
            _mute),
    Command("unmute", (_PERSON,), N_("as a moderator: let somebody write there again"),
            lambda context, a: context.unrestrict(_name(a[0]), "mute")),
    Command("server-ban", (_PERSON, Argument(N_("TIME REASON"), "text", optional=True)),
            N_("as a moderator: keep somebody off this server, for 2h or 7d"), _server_ban),
    Command("server-unban", (_PERSON,), N_("as a moderator: let somebody log in again"),
            lambda context, a: context.unrestrict(_name(a[0]), "ban")),
    Command("restrictions", (), N_("as a moderator: who is banned from this server or muted"),
            lambda context, a: context.show_restrictions()),
    Command("address-ban", (_NETWORK, Argument(N_("TIME REASON"), "text", optional=True)),
            N_("as an admin: let nobody connect from an address or a network, for 2h or 7d"),
            _address_ban),
    Command("address-unban", (_NETWORK,), N_("as an admin: let people connect from there again"),
            lambda context, a: context.unban_address(a[0])),
    Command("address-bans", (), N_("as an admin: the addresses and networks that are banned"),
            lambda context, a: context.show_address_bans()),
    Command("hand-over", (_ROOM, _PERSON, Argument(N_("REASON"), "text", optional=True)),
            N_("as an admin: make somebody an operator of a public room"),
            lambda context, a: context.hand_over(_room(a[0]), _name(a[1]), a[2])),
    Command("report", (Argument(N_("REASON"), "text", optional=True),),
            N_("report the selected message to the moderators"),
            lambda context, a: context.report_selected(a[0])),
    Command("reports", (), N_("as a moderator: look into what was reported"),
            lambda context, a: context.show_reports()),
    Command("resolve", (Argument(N_("NUMBER"), "number"),
                        Argument(N_("NOTE"), "text", optional=True)),
            N_("as a moderator: resolve a report, by its number"), _resolve),
    Command("block", (_PERSON,),
            N_("block somebody: no messages, mentions or invitations from them"),
            lambda context, a: context.block(_name(a[0]), on=True), ("ignore",)),
    Command("unblock", (_PERSON,), N_("unblock somebody"),
            lambda context, a: context.block(_name(a[0]), on=False), ("unignore",)),
    Command("blocked", (), N_("the people you block"), lambda context, a: context.show_blocked()),
    Command("decline", (_ROOM,), N_("turn down an invitation to a room"),
            lambda context, a: context.decline(_room(a[0]))),
    Command("op", (_PERSON,), N_("make somebody an operator of this room"),
            lambda context, a: context.set_operator(_name(a[0]), on=True)),
    Command("deop", (_PERSON,), N_("make an operator an ordinary member again"),
            lambda context, a: context.set_operator(_name(a[0]), on=False)),
    Command("private", (), N_("let only invited people join this room"),
            lambda context, a: context.set_access(private=True)),
    Command("public", (Argument(N_("HISTORY"), "history", optional=True),),
            N_("let everybody join this room; shown or hidden: what was written before"), _public),
    Command("history", (Argument(N_("HISTORY"), "history", optional=True),),
            N_("whether those who join read what was written before: shown or hidden"), _history),
    Command("rooms", (), N_("all rooms, to join or create one"),
            lambda context, a: context.open_panel("rooms"), ("list",)),
    Command("members", (), N_("who is in this room"),
            lambda context, a: context.open_panel("members"), ("names",)),
    Command("who", (), N_("who is online"), lambda context, a: context.open_panel("people")),
    Command("search", (Argument(N_("TEXT"), "text", optional=True),), N_("search messages"),
            lambda context, a: context.open_panel("search", a[0]), ("find",)),
    Command("activity", (), N_("who mentions you, replies or reacts to you; invitations"),
            lambda context, a: context.open_panel("activity"), ("mentions",)),
    Command("pin", (), N_("pin the selected message for everybody here"),
            lambda context, a: context.pin_selected(on=True)),
    Command("unpin", (), N_("unpin the selected message"),
            lambda context, a: context.pin_selected(on=False)),
    Command("pins", (), N_("what is pinned here"),
            lambda context, a: context.open_panel("pins"), ("pinned",)),
    Command("save", (), N_("save the selected message for yourself, on all your devices"),
            lambda context, a: context.save_selected(on=True), ("bookmark",)),
    Command("unsave", (), N_("remove the selected message from what you saved"),
            lambda context, a: context.save_selected(on=False)),
    Command("saved", (), N_("what you saved"),
            lambda context, a: context.open_panel("saved"), ("bookmarks",)),
    Command("goto", (Argument(N_("PLACE"), "text"),),
            N_("go to a day, as 2026-03-12, or to a message's link"),
            lambda context, a: context.go_to(a[0]), ("jump",)),
    Command("first", (), N_("go to the first message"), lambda context, a: context.go_to_first()),
    Command("favourite", (), N_("put this at the top of the list, or take it from there"),
            lambda context, a: context.favourite(), ("favorite", "fav")),
    Command("away", (Argument(N_("TEXT"), "text", optional=True),), N_("show that you are away"),
            lambda context, a: context.away(a[0] or "away")),
    Command("back", (), N_("show that you are back"), lambda context, a: context.away(None)),
    Command("status", (Argument(N_("TEXT"), "text", optional=True),),
            N_("say what you are up to, as :palm: on holiday until 18:00; or clear it"),
            lambda context, a: context.set_status(a[0])),
    Command("notify", (Argument(N_("LEVEL"), "level"), Argument(N_("TIME"), "text", optional=True)),
            N_("what to be notified of here: all, mentions or none, or none for 8h"), _level),
    Command("dnd", (Argument(N_("TIME"), "text", optional=True),),
            N_("do not disturb: be notified of nothing for 30m or 2h, or off"), _quiet, ("quiet",)),
    Command("theme", (Argument(N_("THEME"), "theme"),), N_("change the colours"),
            lambda context, a: context.set_theme(a[0])),
    Command("settings", (), N_("how the app looks and behaves"),
            lambda context, a: context.open_panel("settings")),
    Command("password", (), N_("change your password"),
            lambda context, a: context.open_panel("password")),
    Command("sessions", (), N_("the devices on which you are logged in; end one"),
            lambda context, a: context.open_panel("sessions"), ("devices",)),
    Command("help", (Argument(N_("COMMAND"), "command", optional=True),), N_("keys and commands"),
            lambda context, a: context.open_panel("help", a[0].lstrip("/")), ("h", "?")),
    Command("logout", (), N_("end this session, and go to the first screen"),
            lambda context, a: context.log_out()),
    Command("quit", (), N_("leave the app; you stay logged in for next time"),
            lambda context, a: context.quit(), ("exit", "q")),
)  # fmt: skip

_BY_NAME: Final = {
    name: command for command in COMMANDS for name in (command.name, *command.aliases)
}


def find(name: str) -> Command | None:
    """Return the command of this name or alias."""
    return _BY_NAME.get(name.casefold())


def is_command(text: str) -> bool:
    """Return whether `text` is a command: one slash, and then a word."""
    return text.startswith("/") and not text.startswith("//") and text[1:2].strip() != ""


def plain(text: str) -> str:
    """Return a text that is not a command as it is sent: two slashes at its start become one."""
    return text[1:] if text.startswith("//") else text


def carry_out(text: str, context: CommandContext) -> str | None:
    """Run the command in `text`; return None, or what is wrong with it if nothing was done."""
    word, _gap, remainder = text[1:].partition(" ")
    command = find(word)
    if command is None:
        near = difflib.get_close_matches(word.casefold(), _BY_NAME, n=2, cutoff=0.5)
        return " ".join((
            _("Unknown command: /{word}.", word=word), _hint([f"/{name}" for name in near]),
            _("To send it as text, write //{word}.", word=word),
        ))  # fmt: skip
    given, missing = _given(command, remainder.strip())
    if missing:
        return _("Please write {usage}: {about}.", usage=command.usage, about=command.about)
    command.run(context, given)
    return None


def _hint(near: list[str]) -> str:
    match near:
        case [one, other]:
            return _("Did you mean {one} or {other}?", one=one, other=other)
        case [one]:
            return _("Did you mean {one}?", one=one)
        case _:
            return _("/help shows what there is.")


def _given(command: Command, remainder: str) -> tuple[list[str], bool]:
    given: list[str] = []
    for argument in command.arguments:
        if argument.kind == "text":
            value, remainder = remainder, ""
        else:
            value, _gap, remainder = remainder.partition(" ")
            remainder = remainder.strip()
        if not value and not argument.optional:
            return given, True
        given.append(value)
    return given, False


def argument_at(text: str) -> tuple[Command, Argument | None] | None:
    """Return the command that `text` begins with, and the argument that its end is in."""
    if not is_command(text):
        return None
    word, space, remainder = text[1:].partition(" ")
    command = find(word)
    if command is None or not space:
        return None
    index = len(remainder.split(" ")) - 1
    for number, argument in enumerate(command.arguments):
        if number == index or argument.kind == "text":
            return command, argument
    return command, None
