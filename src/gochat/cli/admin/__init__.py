"""``gochat admin``: steer a running server, over its admin socket.

The commands are those of the server's table (:data:`gochat.server.admin.commands.COMMANDS`), from
which their arguments are made.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from gochat.cli.admin import connection, exporting, many, offline, output, paging
from gochat.errors import NOT_NOW, ConfigError
from gochat.server.admin.command import DURATION, HIDDEN, SECRET
from gochat.server.admin.commands import COMMANDS
from gochat.server.admin.place import socket_path
from gochat.server.admin.wire import Reply, Request

#: What the words are about that several commands begin with.
GROUPS: Final[Mapping[str, str]] = {
    "account": "list, make and lock accounts",
    "address-ban": "addresses and networks from where nobody can connect",
    "report": "messages that people have reported",
    "role": "who moderates and who administers",
    "bot": "which accounts are programs'",
    "invitation": "codes with which people can register",
    "registration": "who may register",
    "retention": "for how long, and how many, entries are kept",
    "room": "rooms without an operator",
    "export": "what the server has of a room or a person, as a file",
}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
#: A number without a bound that matters to anybody.
_ANY: Final = 2**53 - 1
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: Codes of errors that may pass.
_MAY_PASS: Final = frozenset(NOT_NOW)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their flags."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    groups: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        group, _, word = name.rpartition(" ")
        if group and group not in groups:
            group_parser = actions.add_parser(group, help=GROUPS[group], allow_abbrev=False)
            groups[group] = group_parser.add_subparsers(required=True, metavar="ACTION")
        its = groups.get(group, actions).add_parser(
            word, help=command.summary, description=_sentence(command.summary), allow_abbrev=False
        )
        for field in _fields(command.arguments):
            field.add_to(its)
        if command.exports:
            its.add_argument(
                "-o",
                "--output",
                metavar="FILE",
                type=Path,
                required=True,
                help="the file to write, which must not exist; - is standard output",
            )
        if command.lists:
            many.add_arguments(its)
        if command.acts:
            its.add_argument("--reason", default="", help="why, for the audit log")
        _add_common(its)
        its.set_defaults(carry_out=_send_list if command.lists else _send, admin_command=name)
    offline.add_arguments(actions)


def run(args: argparse.Namespace) -> int:
    """Carry out an action; return 0, or an exit code if the server refuses it.

    With ``--json`` a refusal is in the object, too.

    Raises:
        ConfigError: the configuration is wrong, or this user may not use the socket.
        ConnectionLost: no server answers there.
    """
    code: int = args.carry_out(args)
    return code


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--socket",
        metavar="PATH",
        type=Path,
        help="the server's admin socket (default: as configured)",
    )
    parser.add_argument(
        "--config", metavar="PATH", type=Path, help="the server's configuration file (TOML)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, also on errors")


def _send(args: argparse.Namespace) -> int:
    from gochat.cli import FAILED, USAGE

    command = COMMANDS[args.admin_command]
    fields = {field.name: field for field in _fields(command.arguments)}
    arguments = {
        name: value for name, field in fields.items() if (value := field.value(args)) is not None
    }
    socket = _socket(args)

    def ask(more: Mapping[str, object]) -> Reply:
        request = Request(
            command=args.admin_command,
            arguments={**arguments, **more},
            reason=getattr(args, "reason", ""),
        )
        return connection.ask(socket, request)

    is_on_stdout = command.exports and str(args.output) == "-"
    cursor = next((name for name in paging.CURSORS if name in fields), None)
    if command.exports:
        reply = exporting.export(ask, args.output)
    elif cursor is not None:
        reply = paging.pages(ask, cursor, args.limit or fields["limit"].default)
    else:
        reply = ask({})
    if reply.ok and is_on_stdout:
        return 0
    if args.json:
        print(json.dumps(msgspec.to_builtins(reply)))
    elif reply.ok:
        output.show(reply.result, cursor=cursor)
    if reply.error is None:
        return 0
    print(f"gochat: {output.printable(reply.error.text)}", file=sys.stderr)
    return FAILED if reply.error.code in _MAY_PASS else USAGE


def _send_list(args: argparse.Namespace) -> int:
    socket = _socket(args)

    def ask(arguments: Mapping[str, Any]) -> Reply:
        request = Request(command=args.admin_command, arguments=dict(arguments), reason=args.reason)
        return connection.ask(socket, request)

    return many.create(ask, args)


def _socket(args: argparse.Namespace) -> Path:
    from gochat.config import load_config

    if args.socket is not None:
        return Path(args.socket)
    path = socket_path(load_config(args.config))
    if path is None:
        raise ConfigError("a server with its store in memory has no admin socket: set admin.socket")
    return path


class _Field:
    """An argument of a command, as the command line takes it."""

    def __init__(self, name: str, type_: Any, default: object) -> None:
        self.name: Final = name
        metas = [meta for meta in get_args(type_)[1:] if isinstance(meta, Meta)]
        self._bare = get_args(type_)[0] if metas else type_
        self._help = next((m.description for m in metas if m.description), "")
        self._is_secret = any(m.extra == SECRET for m in metas)
        self._is_duration = any(m.extra == DURATION for m in metas)
        self.default: Final[Any] = default
        self._bounds = _bounds(type_, is_limit=name == "limit")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        options: dict[str, Any] = {"help": self._help}
        choices = next(
            (get_args(kind) for kind in self._kinds if get_origin(kind) is Literal), None
        )
        if choices:
            options["choices"] = choices
        elif int in self._kinds:
            options["type"] = self._whole_number
            options["help"] = self._bounds.added_to(self._help)
        flag = f"--{self.name.replace('_', '-')}"
        if self._is_secret:
            parser.add_argument(f"{flag}-stdin", action="store_true", help=self._help)
        elif self._is_duration:
            parser.add_argument(
                "--for", dest=self.name, metavar="TIME", type=self._seconds, help=self._help
            )
        elif self.default is msgspec.NODEFAULT:
            parser.add_argument(
                self.name, metavar=None if choices else self.name.upper(), **options
            )
        elif self._bare is bool:
            parser.add_argument(flag, action="store_true", help=self._help)
        else:
            parser.add_argument(flag, dest=self.name, default=None, **options)

    def value(self, args: argparse.Namespace) -> object:
        """Return its value, or None if it is not given."""
        if not self._is_secret:
            return getattr(args, self.name)
        if not getattr(args, f"{self.name}_stdin"):
            return None
        try:
            return sys.stdin.buffer.readline().decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ConfigError("the line on standard input is not UTF-8") from error

    def _whole_number(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number not in self._bounds:
            raise argparse.ArgumentTypeError(f"expected {self._bounds}, not {text!r}")
        return number

    def _seconds(self, text: str) -> int:
        """Return the seconds that a text as ``90s`` or ``7d`` means."""
        found = _DURATION.fullmatch(text)
        if found is None:
            raise argparse.ArgumentTypeError(f"invalid time {text!r}: expected 90s, 30m, 2h or 7d")
        seconds = int(found[1]) * _UNITS[found[2]]
        if seconds not in self._bounds:
            most = self._bounds.most // _UNITS["d"]
            raise argparse.ArgumentTypeError(f"invalid time {text!r}: expected at most {most}d")
        return seconds

    @property
    def _kinds(self) -> tuple[Any, ...]:
        return (
            (self._bare, *get_args(self._bare))
            if get_origin(self._bare) is not Literal
            else (self._bare,)
        )


class _Bounds(NamedTuple):
    """The least and the greatest number that an argument takes."""

    least: int = -_ANY
    most: int = _ANY

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.least <= number <= self.most

    def __str__(self) -> str:
        if self.most >= _ANY:
            return "a whole number" if self.least <= -_ANY else f"{self.least} or more"
        return f"{self.least} to {self.most}"

    def added_to(self, text: str) -> str:
        """Return the help of the argument, with the bounds if they are worth it."""
        if self.most >= _ANY:
            return text
        start, found, end = text.rpartition("(default")
        return f"{start}({self}; default{end}" if found else f"{text} ({self})"


def _bounds(type_: Any, *, is_limit: bool) -> _Bounds:
    """Return what the type says. The command line asks for as many pages as `limit` needs."""
    kinds = [type_, *(kind for inner in get_args(type_) for kind in get_args(inner))]
    metas = [meta for kind in kinds for meta in get_args(kind) if isinstance(meta, Meta)]
    least = max((int(meta.ge) for meta in metas if meta.ge is not None), default=-_ANY)
    most = min((int(meta.le) for meta in metas if meta.le is not None), default=_ANY)
    return _Bounds(least, _ANY if is_limit else most)


@cache
def _fields(struct: type[Struct]) -> Sequence[_Field]:
    hints = get_type_hints(struct, include_extras=True)
    return [
        _Field(field.name, hints[field.name], field.default)
        for field in msgspec.structs.fields(struct)
        if not any(getattr(one, "extra", None) == HIDDEN for one in get_args(hints[field.name]))
    ]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
