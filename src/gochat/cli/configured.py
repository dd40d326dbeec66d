"""The flags by which commands find the server's configuration."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and ``--set``."""
    parser.add_argument("--config", metavar="PATH", type=Path, help="configuration file (TOML)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set any key of the configuration, as in --set limits.burst=20; may be repeated",
    )


def settings(args: argparse.Namespace) -> dict[str, str]:
    """Return the keys and values of ``--set``. Raises ConfigError."""
    from gochat.errors import ConfigError

    found: dict[str, str] = {}
    for setting in args.set:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, as in --set limits.burst=20")
        found[key.strip()] = value
    return found
