"""``gochat db``: back up and check the store."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their flags."""
    commands = parser.add_subparsers(required=True, dest="action", metavar="ACTION")
    backup = commands.add_parser(
        "backup", help="copy the store into a new file, also while a server uses it"
    )
    backup.add_argument("path", metavar="PATH", type=Path, help="the new file")
    check = commands.add_parser("check", help="read all of the store and say whether it is sound")
    for command in (backup, check):
        command.add_argument(
            "--store", metavar="URL", help="the store (default: the server's, as configured)"
        )
        command.add_argument(
            "--config", metavar="PATH", type=Path, help="the server's configuration file (TOML)"
        )


def run(args: argparse.Namespace) -> int:
    """Do what is asked.

    Raises:
        ConfigError: there is no such store, or the backup can't be written there.
        StoreUnavailable: it can't be read now, or the disk is full.
        StoreCorrupt: it is damaged; what was found is printed.
    """
    from gochat.config import load_config
    from gochat.errors import StoreCorrupt
    from gochat.storage import maintenance

    database = _database(load_config(args.config, flags={"store": args.store}).store_url)
    if args.action == "backup":
        maintenance.backup(database, args.path)
        print(f"{args.path}: a sound copy of {database}")
        return 0
    findings = maintenance.check(database)
    for finding in findings:
        print(f"{database}: {finding}")
    if findings:
        raise StoreCorrupt(f"{database} is not sound: start no server on it, restore a backup")
    print(f"{database}: sound")
    return 0


def _database(url: str) -> Path:
    from gochat.errors import ConfigError
    from gochat.storage.sqlite.database import parse_url

    path = parse_url(url).path if url.startswith("sqlite:") else None
    if path is None:
        raise ConfigError("only a store in a SQLite file can be backed up and checked like this")
    return path
