"""``gochat db``: back up, check, restore and copy the store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gochat.storage.transfer.copy import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their flags."""
    commands = parser.add_subparsers(required=True, dest="action", metavar="ACTION")
    backup = commands.add_parser(
        "backup", help="copy the store into a new file, also while a server uses it"
    )
    backup.add_argument("path", metavar="PATH", type=Path, help="the new file")
    check = commands.add_parser("check", help="read the whole store and report whether it is sound")
    restore = commands.add_parser(
        "restore", help="replace the store with a backup, or fill an empty Redis with it"
    )
    restore.add_argument("backup", metavar="BACKUP", type=Path, help="the file; it stays as it is")
    restore.add_argument(
        "--replace",
        action="store_true",
        help="replace an existing store in a file, which is kept beside the new one",
    )
    for command in (backup, check, restore):
        command.add_argument(
            "--store",
            metavar="URL",
            help="the store (default: the server's, as configured)",
        )
        command.add_argument(
            "--config", metavar="PATH", type=Path, help="the server's configuration file (TOML)"
        )
    copy = commands.add_parser(
        "copy",
        help="copy a store that no server uses into a new one, also of another kind",
        epilog="A URL can be given as @FILE, which has it on a line of its own: where it has a "
        "password, the list of processes shows none then.",
        fromfile_prefix_chars="@",
    )
    copy.add_argument("source", metavar="FROM", help="the URL of the store; it stays as it is")
    copy.add_argument(
        "target",
        metavar="TO",
        help="the URL of the new store; after an interruption, the same command goes on",
    )
    copy.add_argument(
        "--restart",
        action="store_true",
        help="start over: drop what an interrupted copy has left at TO, and nothing else",
    )


def run(args: argparse.Namespace) -> int:
    """Run the requested action.

    Raises:
        ConfigError: there is no such store, or the new one can't be created there.
        StoreUnavailable: it can't be read now, or the disk is full; or a server uses it, and must
            not.
        StoreCorrupt: it is damaged, and the findings are printed; or a copy differs from its
            source.
    """
    if args.action == "copy":
        return _copy(args)
    from gochat.config import load_store_url
    from gochat.storage import REDIS_SCHEMES

    url = load_store_url(args.config, flag=args.store)
    scheme, separator, _ = url.partition("://")
    is_redis = bool(separator) and scheme in REDIS_SCHEMES
    match args.action:
        case "backup":
            return _back_up_redis(url, args.path) if is_redis else _back_up(url, args.path)
        case "check":
            return _check_redis(url) if is_redis else _check(url)
        case _:
            return _restore_redis(url, args) if is_redis else _restore(_database(url), args)


# -- a SQLite file ---------------------------------------------------------------------------------


def _back_up(url: str, target: Path) -> int:
    from gochat.storage import maintenance

    database = _database(url)
    maintenance.backup(database, target)
    print(f"{target}: a sound copy of {database}")
    return 0


def _check(url: str) -> int:
    from gochat.storage import maintenance
    from gochat.storage.common.clock import wall_clock

    database = _database(url)
    _print_findings(database, maintenance.check(database))
    for remark in maintenance.wrong_times(database, wall_clock()):
        print(f"{database}: {remark}")
    for remark in maintenance.lookalikes(database):
        print(f"{database}: {remark}")
    for state in maintenance.states(database):
        print(f"{database}: {state}")
    print(f"{database}: sound")
    return 0


def _restore(database: Path, args: argparse.Namespace) -> int:
    from gochat.storage.restore import restore

    kept = restore(args.backup, database, replace=args.replace)
    if kept is not None:
        print(f"{kept}: the store that was there before")
    print(f"{database}: a sound copy of {args.backup}; a server can be started on it")
    return 0


def _print_findings(store: object, findings: Sequence[str]) -> None:
    """Print what is wrong with a store. Raises StoreCorrupt if anything is."""
    from gochat.errors import StoreCorrupt

    for finding in findings:
        print(f"{store}: {finding}")
    if findings:
        raise StoreCorrupt(
            f"{store} is damaged: restore a backup, and start no server on it before"
        )


# -- Redis -----------------------------------------------------------------------------------------


def _back_up_redis(url: str, target: Path) -> int:
    from gochat.cli.progress import shown
    from gochat.storage.redis.link.url import parse_url
    from gochat.storage.transfer.redis_backup import backup

    location = parse_url(url)
    with shown("entries and people") as advance:
        backup(url, target, progress=advance)
    print(f"{target}: a sound copy of {location}")
    return 0


def _check_redis(url: str) -> int:
    from gochat.cli.progress import shown
    from gochat.storage.redis.link.url import parse_url
    from gochat.storage.transfer.redis_check import check

    location = parse_url(url)
    with shown("entries and people") as advance:
        report = check(url, progress=advance)
    _print_findings(location, report.findings)
    for remark in (*report.remarks, *report.states):
        print(f"{location}: {remark}")
    print(f"{location}: sound")
    return 0


def _restore_redis(url: str, args: argparse.Namespace) -> int:
    from gochat.errors import ConfigError
    from gochat.storage.redis.link.url import parse_url

    if args.replace:
        raise ConfigError(
            "--replace is for a store in a file: in Redis nothing is replaced. Restore into an "
            "empty Redis, or into another database or prefix, and start the servers on that"
        )
    location = parse_url(url)
    if not args.backup.exists():
        raise ConfigError(f"no such backup: {args.backup}")
    _copy_to(f"sqlite:///{args.backup.absolute()}", url, restart=False)
    print(f"{location}: a sound copy of {args.backup}; servers can be started on it")
    return 0


# -- copies ----------------------------------------------------------------------------------------


def _copy(args: argparse.Namespace) -> int:
    _print(_copy_to(args.source, args.target, restart=args.restart))
    print("copied, and compared: a server can be started on it")
    return 0


def _copy_to(source: str, target: str, *, restart: bool) -> Report:
    """Copy a store; report how to go on if that is interrupted."""
    from gochat.cli.progress import shown
    from gochat.errors import StoreCorrupt, StoreUnavailable
    from gochat.storage.transfer.copy import copy

    has_begun = False
    try:
        with shown("entries and people") as advance:

            def progress(what: str, done: int, total: int) -> None:
                nonlocal has_begun
                has_begun = True
                advance(what, done, total)

            return copy(source, target, restart=restart, progress=progress)
    except (KeyboardInterrupt, SystemExit, StoreUnavailable) as error:
        if has_begun and not isinstance(error, StoreCorrupt):
            print("gochat: not finished; the same command again goes on from here", file=sys.stderr)
        raise


def _print(report: Report) -> None:
    if report.found:
        print(f"{report.found:,} entries were there from before it was interrupted")
    for part in report.parts:
        print(f"{part.what:<14}{part.count:>12,}   {part.digest[:16]}   the same in both")
    kinds = sorted(report.kinds.items(), key=lambda kind: -kind[1])
    print("of the entries: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds))
    if report.reused_cids:
        print(
            f"{report.reused_cids:,} entries have lost their cid, because their sender has used "
            "it again; nothing else of them is different"
        )


def _database(url: str) -> Path:
    from gochat.errors import ConfigError
    from gochat.storage.common.sqlite_url import parse_url

    path = parse_url(url).path if url.startswith("sqlite:") else None
    if path is None:
        raise ConfigError(
            "only a store in a SQLite file or in Redis can be backed up, checked and restored"
        )
    return path
