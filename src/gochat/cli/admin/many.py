"""``gochat admin account create-many``: accounts for a list of names.

The codes are made here, and are in the file before the first account is made. So whenever it is
interrupted, the same command with the same files goes on, and no code is lost.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, get_args

from gochat import private
from gochat.chat.server_roles import ServerRole
from gochat.cli import progress
from gochat.cli.admin import output
from gochat.errors import NOT_NOW, ChatError, ConfigError
from gochat.server.admin.arguments import MANY, MAX_HOURS
from gochat.server.admin.wire import Failure, Reply

T = TypeVar("T")

#: Lines of a list: more than one server has people.
MAX_LINES: Final = 100_000
#: Accounts that are made in a moment.
FEW: Final = 500
_COLUMNS: Final = ("name", "role", "code", "expires")

#: Sends arguments of the command to the server.
Ask: TypeAlias = Callable[[Mapping[str, Any]], Reply]


class _Person(NamedTuple):
    """A line of the list."""

    line: int
    name: str
    role: str


class _Row(NamedTuple):
    """A line of the file with the codes."""

    name: str
    role: str
    code: str
    expires: datetime


class _Refused(NamedTuple):
    """Why there can't be an account for a line of the list."""

    line: int
    text: str


class _Failed(Exception):
    """The server has refused a request as a whole, or could not carry it out."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes besides the usual."""
    parser.add_argument(
        "list",
        metavar="LIST",
        help="a file with a NAME in each line, or NAME,ROLE; - is standard input",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="write the codes to this file (CSV), instead of printing a table; "
        "after an interruption the same command goes on with it",
    )
    parser.add_argument(
        "--hours",
        type=int,
        choices=range(1, MAX_HOURS + 1),
        metavar="HOURS",
        default=24,
        help="hours for which the codes are valid, at most 720 (default: 24)",
    )
    parser.add_argument(
        "--skip-taken",
        action="store_true",
        help="leave out the names that have an account already, instead of refusing the list",
    )


def create(ask: Ask, args: argparse.Namespace) -> int:
    """Check all names, write their codes, and create the accounts; return the exit code.

    If a line is refused, nothing is written and no account is made.

    Raises:
        ConfigError: a file can't be read or written, or is not what it should be.
        ConnectionLost: the server does not answer, or no longer.
    """
    counts = dict.fromkeys(("made", "made_before", "logged_in_before", "skipped"), 0)
    try:
        refused, rows = _create(ask, args, counts)
    except _Failed as failed:
        return _fail(args, counts, failed.failure)
    if refused:
        return _refuse(args, counts, sorted(refused))
    result: dict[str, Any] = {**counts, "file": None if args.output is None else str(args.output)}
    if args.json:
        result["accounts"] = [_as_json(row) for row in rows]
    output.print_result(result, as_json=args.json)
    return 0


def _create(
    ask: Ask, args: argparse.Namespace, counts: dict[str, int]
) -> tuple[list[_Refused], list[_Row]]:
    from gochat.chat import one_time_codes  # no other command loads the rules

    people, refused = _read_list(args.list)
    before = {} if args.output is None else _read_rows(args.output)
    added = [person for person in people if person.name not in before]
    taken, others = _check(ask, added)
    refused += others
    if args.skip_taken:
        counts["skipped"] = len(taken)
    else:
        refused += [one._replace(text=f"{one.text} (--skip-taken leaves it out)") for one in taken]
    if refused:
        return refused, []
    skipped, expires = {one.line for one in taken}, _in_hours(args.hours)
    rows = before | {
        one.name: _Row(one.name, one.role, one_time_codes.make(), expires)
        for one in added
        if one.line not in skipped
    }
    _write(args, rows)
    lines = {person.name: person.line for person in people}
    wanted = [row for row in rows.values() if row.name in lines]
    for row, made in _shown(_made(ask, wanted), len(wanted)):
        match made["outcome"]:
            case "created":
                counts["made"] += 1
            case "created before":
                counts["made_before"] += 1
            case "taken" if row.name in before:
                counts["logged_in_before"] += 1
            case _:  # what has happened since it was checked
                refused.append(_Refused(lines[row.name], f"{row.name}: {made['text']}"))
                del rows[row.name]
    if refused and args.output is not None:
        _write(args, rows)
    return refused, wanted


def _read_list(path: str) -> tuple[list[_Person], list[_Refused]]:
    """Return who is in the list, and what is wrong with it by itself.

    Raises:
        ConfigError: it can't be read, is not UTF-8, or is too long.
    """
    from gochat.chat import names, skeletons

    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8") from error
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise ConfigError(f"{path} has more than {MAX_LINES} lines: make several of it")
    people, refused = [], []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, *more = (part.strip() for part in line.split(","))
        role = more[0] if more and more[0] else "member"
        if not name or name.startswith("#") or (number == 1 and [name, *more] == ["name", "role"]):
            continue
        if len(more) > 1 or role not in get_args(ServerRole):
            text = f"expected NAME or NAME,ROLE, the role one of {', '.join(get_args(ServerRole))}"
            refused.append(_Refused(number, text))
            continue
        try:
            shown = names.check(name)
        except ChatError as error:
            refused.append(_Refused(number, f"{name[:64]}: {error.text}"))
            continue
        looks_like = skeletons.skeletons(shown)
        earlier = next((seen[one] for one in looks_like if one in seen), None)
        if earlier is not None:
            refused.append(
                _Refused(number, f"{shown}: the same as line {earlier}, or looks like it")
            )
            continue
        seen |= dict.fromkeys(looks_like, number)
        people.append(_Person(number, shown, role))
    return people, refused


def _check(ask: Ask, people: Sequence[_Person]) -> tuple[list[_Refused], list[_Refused]]:
    """Return whose names are taken, and who can't have an account for another reason."""
    taken: list[_Refused] = []
    refused: list[_Refused] = []
    for piece in _pieces(people):
        asked = [{"name": one.name, "code": "", "role": one.role} for one in piece]
        found = _result(ask({"accounts": asked, "expires": 0, "only_check": True}))
        for person, one in zip(piece, found, strict=True):
            if one["outcome"] != "free":
                refusals = taken if one["outcome"] == "taken" else refused
                refusals.append(_Refused(person.line, f"{person.name}: {one['text']}"))
    return taken, refused


def _made(ask: Ask, rows: Sequence[_Row]) -> Iterator[tuple[_Row, Mapping[str, Any]]]:
    """Create the accounts, and yield what became of each."""
    for expires, group in itertools.groupby(rows, lambda row: row.expires):
        for piece in _pieces(list(group)):
            asked = [{"name": row.name, "code": row.code, "role": row.role} for row in piece]
            reply = ask({"accounts": asked, "expires": int(expires.timestamp() * 1000)})
            yield from zip(piece, _result(reply), strict=True)


def _shown(made: Iterator[T], total: int) -> Iterator[T]:
    """Show the progress, where it takes more than a moment."""
    if total < FEW:
        yield from made
        return
    with progress.shown("accounts") as advance:
        for count, one in enumerate(made, start=1):
            advance("made", count, total)
            yield one


def _result(reply: Reply) -> Sequence[Mapping[str, Any]]:
    if reply.error is not None:
        raise _Failed(reply.error)
    accounts: Sequence[Mapping[str, Any]] = reply.result["accounts"]
    return accounts


def _pieces(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    return (whole[start : start + MANY] for start in range(0, len(whole), MANY))


# -- the codes --------------------------------------------------------------------------------


def _in_hours(hours: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)


def _read_rows(path: Path) -> dict[str, _Row]:
    """Return the rows of a file with codes, by their names; none if there is none.

    Raises:
        ConfigError: it can't be read, or is another file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != _COLUMNS:
                raise ValueError
            rows = (
                _Row(name, role, code, datetime.fromisoformat(expires))
                for name, role, code, expires in reader
            )
            return {row.name: row for row in rows}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise ConfigError(
            f"{path} is there already, and is not a file with codes that this command has written: "
            "give another one"
        ) from error


def _write(args: argparse.Namespace, rows: Mapping[str, _Row]) -> None:
    """Write the codes to the file, or as a table; with ``--json`` they are in the result.

    Raises:
        ConfigError: the file can't be written.
    """
    if args.output is None:
        if not args.json and rows:
            output.show({"accounts": [_as_json(row) for row in rows.values()]})
            sys.stdout.flush()
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([*row[:3], row.expires.isoformat()] for row in rows.values())
    try:
        private.replace_file(args.output, text.getvalue().encode())
    except OSError as error:
        raise ConfigError(f"{args.output} can't be written: {error.strerror or error}") from error


def _as_json(row: _Row) -> dict[str, Any]:
    return {**row._asdict(), "expires": int(row.expires.timestamp() * 1000)}


# -- what went wrong ----------------------------------------------------------------------------


def _refuse(
    args: argparse.Namespace, counts: Mapping[str, int], refused: Sequence[_Refused]
) -> int:
    from gochat.cli import USAGE

    is_made = counts["made"] or counts["made_before"] or counts["logged_in_before"]
    text = (
        f"{len(refused)} lines were refused, all others have accounts"
        if is_made
        else f"{len(refused)} lines are refused, so no account was made"
    )
    if args.json:
        error = {"code": "bad_request", "text": text}
        lines = [one._asdict() for one in refused]
        print(json.dumps({"ok": False, "error": error, "refused": lines, **counts}))
    for one in refused:
        print(f"line {one.line}: {output.printable(one.text)}", file=sys.stderr)
    print(f"gochat: {text}", file=sys.stderr)
    return USAGE


def _fail(args: argparse.Namespace, counts: Mapping[str, int], failure: Failure) -> int:
    from gochat.cli import FAILED, USAGE

    if args.json:
        error = {"code": failure.code, "text": failure.text}
        print(json.dumps({"ok": False, "error": error, **counts}))
    print(
        f"gochat: {output.printable(failure.text)} ({counts['made']} accounts were made)",
        file=sys.stderr,
    )
    return FAILED if failure.code in NOT_NOW else USAGE
