"""``gochat tui``: the app."""

from __future__ import annotations

import argparse
from pathlib import Path

from gochat.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="the server: host:port (TLS, unless it is this machine), or gochat://host:port for "
        "plain text (default: the one used last, else this machine)",
    )
    parser.add_argument(
        "--demo", action="store_true", help="show a lively conversation; needs no server"
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="lines instead of a screen: for screen readers, pipes and scripts",
    )
    parser.add_argument(
        "--name", help="with --plain: the name to log in with (default: the one used last)"
    )
    parser.add_argument(
        "--state-dir",
        metavar="PATH",
        type=Path,
        help="where sessions, drafts and unsent messages are kept (default: the system's place)",
    )
    parser.add_argument(
        "--language",
        metavar="LANGUAGE",
        default="",
        help="language of the app, as zh_CN or en (default: as configured, else the system's)",
    )
    parser.add_argument(
        "--config", metavar="PATH", type=Path, help="configuration of the app (default: tui.toml)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the app until the person quits.

    Raises:
        ConfigError: the configuration, the address or the terminal can't be used.
    """
    from gochat.tui.host.gc_pauses import nothing_collected

    with nothing_collected():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from gochat.tui import language
    from gochat.tui.host.terminal import check_terminal, draw_soon

    language.use(args.language)  # until the configuration is read

    if args.plain:
        from gochat.tui.start import run_line_mode

        return run_line_mode(
            args.url, name=args.name, state_dir=args.state_dir, config=args.config,
            chosen_language=args.language,
        )  # fmt: skip
    if args.name is not None:
        raise ConfigError(language._("--name is for --plain: the app asks for the name"))
    check_terminal()
    draw_soon()
    from gochat.tui.start import run_app

    return run_app(
        args.url, demo=args.demo, state_dir=args.state_dir, config=args.config,
        chosen_language=args.language,
    )  # fmt: skip
