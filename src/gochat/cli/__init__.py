"""The command line. One module per command, loaded only when it is the one that runs.

Each has ``add_arguments(parser)`` and ``run(args) -> int``. Commands raise; :func:`main` is the one
place where an exception becomes an exit code and a line of text. ``docs/reference/cli.md`` says
which.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from gochat import __version__
from gochat.errors import ConfigError, GochatError, StoreCorrupt

#: The commands, in the order of the help: module and what it is for.
COMMANDS: Final = {
    "chat": "chat now: start a server if none runs here, then the app",
    "tui": "the app: connect to a server and chat",
    "serve": "run a server",
    "check": "see whether people can log in and write: for monitoring",
    "db": "back up, check, restore and copy the store",
}

#: The extras of the package that a command needs; a client alone needs none.
EXTRAS: Final = {"chat": "server,tui", "tui": "tui", "serve": "server", "db": "server"}

OK: Final = 0
FAILED: Final = 1  # no server or store answers, the store or the port is in use: it may pass
USAGE: Final = 2  # argparse's own code too: the command or the configuration is wrong
CORRUPT: Final = 3  # trying again can't help and may harm: a supervisor must not restart it
SIGNALLED: Final = 128  # and the signal's number, as shells say it
INTERRUPTED: Final = SIGNALLED + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    command = _command(argv)
    _open_standard_streams()
    try:
        with _signals_unwind():
            args = _build_parser(argv).parse_args(argv)
            code: int = args.run(args)
            return code
    except BaseException as error:
        leaves = [_explain_missing(leaf, command) for leaf in _leaves(error)]
        expected = (GochatError, OSError, KeyboardInterrupt, SystemExit)
        if not all(isinstance(leaf, expected) for leaf in leaves):
            raise  # a bug: its traceback is what helps
        for leaf in leaves:
            if isinstance(leaf, SystemExit):  # argparse, which has said why; or a signal
                return leaf.code if isinstance(leaf.code, int) else USAGE
        if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
            return INTERRUPTED
        for leaf in leaves:
            print(f"gochat: {_printable(_describe(leaf))}", file=sys.stderr)
        return max(_code(leaf) for leaf in leaves)


def _open_standard_streams() -> None:
    """Connect those of the standard streams that are closed with the null device.

    Otherwise the first file or connection that is opened takes the place of one, and gets what is
    meant for it: a traceback in the database, say.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest one that is free, so it is this one: those below are open by now.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)  # noqa: FBT003 - takes no keywords; for children, too
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Make the signals that end a process run its ``finally`` blocks first.

    By default they run none: the terminal would be left as the app had set it up. A command can
    set handlers of its own meanwhile. What is ignored stays so (``nohup``).
    """

    def unwind(number: int, _: object) -> None:
        raise SystemExit(SIGNALLED + number)

    changed = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, unwind)
                changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gochat",
        description="The chat that people run themselves and use from the terminal.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gochat {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    # Only the module of the command that is asked for is loaded: `gochat serve` reads no line of
    # the app, and the app none of the server.
    asked_for = _command(argv)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:], allow_abbrev=False
        )
        if name == asked_for:
            module = import_module(f"{__name__}.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _command(argv: Sequence[str]) -> str:
    """Return the command that is asked for, or nothing. No option before it takes a value."""
    return next((word for word in argv if not word.startswith("-")), "")


def _explain_missing(error: BaseException, command: str) -> BaseException:
    """Return what to install, where `error` is that a package of an extra is missing."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return error
    package = error.name.partition(".")[0]
    extra = "redis" if package in ("redis", "hiredis") else EXTRAS.get(command)
    if extra is None or package == "gochat" or package in sys.stdlib_module_names:
        return error
    return ConfigError(
        f"the Python package '{package}' is not installed: gochat {command} needs more than a"
        f" client, install 'gochat[{extra}]'"
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    # What leaves a nursery is wrapped in a group, also when it is the only one.
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return str(error) or type(error).__name__


def _code(error: BaseException) -> int:
    match error:
        case ConfigError():
            return USAGE
        case StoreCorrupt():
            return CORRUPT
        case _:
            return FAILED


def _printable(text: str) -> str:
    # A server's words may be in it, and the terminal obeys control characters.
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
