"""``gochat db``: back up, check, restore and copy the store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        "restore", help="replace the store with a backup, while no server uses it"
    )
    restore.add_argument("backup", metavar="BACKUP", type=Path, help="the file; it stays as it is")
    restore.add_argument(
        "--replace",
        action="store_true",
        help="replace an existing store, which is kept beside the new one",
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
    from gochat.errors import StoreCorrupt
    from gochat.storage import maintenance
    from gochat.storage.common.clock import wall_clock

    database = _database(load_store_url(args.config, flag=args.store))
    if args.action == "restore":
        return _restore(args, database)
    if args.action == "backup":
        maintenance.backup(database, args.path)
        print(f"{args.path}: a sound copy of {database}")
        return 0
    findings = maintenance.check(database)
    for finding in findings:
        print(f"{database}: {finding}")
    if findings:
        raise StoreCorrupt(
            f"{database} is damaged: restore a backup, and start no server on it before"
        )
    for remark in maintenance.wrong_times(database, wall_clock()):
        print(f"{database}: {remark}")
    for remark in maintenance.lookalikes(database):
        print(f"{database}: {remark}")
    for state in maintenance.states(database):
        print(f"{database}: {state}")
    print(f"{database}: sound")
    return 0


def _restore(args: argparse.Namespace, database: Path) -> int:
    from gochat.storage.restore import restore

    kept = restore(args.backup, database, replace=args.replace)
    if kept is not None:
        print(f"{kept}: the store that was there before")
    print(f"{database}: a sound copy of {args.backup}; a server can be started on it")
    return 0


def _copy(args: argparse.Namespace) -> int:
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

            report = copy(args.source, args.target, restart=args.restart, progress=progress)
    except (KeyboardInterrupt, SystemExit, StoreUnavailable) as error:
        if has_begun and not isinstance(error, StoreCorrupt):
            print("gochat: not finished; the same command again goes on from here", file=sys.stderr)
        raise
    _print(report)
    return 0


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
    print("copied, and compared: a server can be started on it")


def _database(url: str) -> Path:
    from gochat.errors import ConfigError
    from gochat.storage.sqlite.url import parse_url

    path = parse_url(url).path if url.startswith("sqlite:") else None
    if path is None:
        raise ConfigError("only a store in a SQLite file can be backed up and checked like this")
    return path
