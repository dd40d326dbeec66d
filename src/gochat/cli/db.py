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
        ConfigError: the store can't be backed up or checked in this way, or there is none.
        StoreUnavailable: it can't be read now.
        StoreCorrupt: it is damaged.
    """
    from gochat.config import load_config
    from gochat.storage import maintenance

    url = load_config(args.config, flags={"store": args.store}).store_url
    if args.action == "backup":
        maintenance.backup(url, args.path)
        print(f"{args.path}: a sound copy of {url}")
    else:
        maintenance.check(url)
        print(f"{url}: sound")
    return 0
