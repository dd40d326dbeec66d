"""The command line. One module per command, loaded only when that command runs.

Each has ``add_arguments(parser)`` and ``run(args) -> int``. Commands raise; only :func:`main` turns
an exception into an exit code and a line of text. ``docs/reference/cli.md`` lists them.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from gochat import __version__
from gochat.errors import ConfigError, GochatError, StoreCorrupt

#: The commands, in the order of the help: module and summary.
COMMANDS: Final = {
    "chat": "chat now: start a server if none runs here, then the app",
    "tui": "the app: connect to a server and chat",
    "serve": "run a server",
    "check": "check that people can log in and write, for monitoring",
    "status": "show the state of a running server: people, connections, store, delays",
    "check-config": "check whether a server would start with its configuration",
    "doctor": "look for problems with a server on this machine",
    "admin": "administer a running server: accounts, bans, reports, rooms",
    "db": "back up, check, restore and copy the store",
}

#: The extras of the package that a command needs; a client alone needs none.
EXTRAS: Final = {"chat": "server,tui", "tui": "tui"} | dict.fromkeys(
    ("serve", "db", "admin", "status", "check-config", "doctor"), "server"
)

OK: Final = 0
FAILED: Final = 1  # no server or store answers, the store or the port is in use: may pass
USAGE: Final = 2  # argparse's own code too: the command or the configuration is wrong
CORRUPT: Final = 3  # retrying can't help and may harm: a supervisor must not restart it
_SIGPIPE: Final = 13
SIGNALLED: Final = 128  # plus the signal's number, as shells do
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
            sys.stdout.flush()  # if nobody reads it, here and not at the interpreter's end
            return code
    except BaseException as error:
        leaves = [_explain_missing(leaf, command) for leaf in _leaves(error)]
        expected = (GochatError, OSError, KeyboardInterrupt, SystemExit)
        if not all(isinstance(leaf, expected) for leaf in leaves):
            raise  # a bug: the traceback helps
        for leaf in leaves:
            if isinstance(leaf, SystemExit):  # argparse, which has printed why; or a signal
                return leaf.code if isinstance(leaf.code, int) else USAGE
        if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
            return INTERRUPTED
        if any(isinstance(leaf, BrokenPipeError) for leaf in leaves) and _is_output_unread():
            return SIGNALLED + _SIGPIPE
        for leaf in leaves:
            print(f"gochat: {_printable(_describe(leaf))}", file=sys.stderr)
        return max(_code(leaf) for leaf in leaves)


def _open_standard_streams() -> None:
    """Connect closed standard streams to the null device.

    Otherwise the first file or connection that is opened takes the place of a stream, and gets its
    output: a traceback in the database, for example.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free descriptor, so this one: those below are open by now.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)  # noqa: FBT003 - takes no keywords; for children, too
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - stays open


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Make the signals that end a process run its ``finally`` blocks first.

    By default they run none: the terminal would stay as the app had set it up. A command can set
    its own handlers meanwhile. Ignored signals stay ignored (``nohup``).
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


class _Parser(argparse.ArgumentParser):
    """Refuses what it does not know itself, and so do the parsers of its subcommands.

    By default a subcommand's parser leaves that to the parser above it, which then shows a usage
    that has nothing of what was wrong.
    """

    def parse_known_args(  # type: ignore[override]  # its types are overloads
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; none are left over."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


def _build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="gochat",
        description="The chat that people run themselves and use from the terminal.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gochat {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    # Only the requested command's module is loaded: `gochat serve` does not load the app, nor the
    # app the server.
    asked_for = _command(argv)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:], allow_abbrev=False
        )
        if name == asked_for:
            if EXTRAS.get(name) == "server" and name != "db":  # which shows progress with it
                # structlog would load it, for tracebacks that no command shows: a quarter of the
                # time until a server listens.
                sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # cannot be imported
            module = import_module(f"{__name__}.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _command(argv: Sequence[str]) -> str:
    """Return the requested command, or an empty text. No option before it takes a value."""
    return next((word for word in argv if not word.startswith("-")), "")


def _explain_missing(error: BaseException, command: str) -> BaseException:
    """If `error` is a missing package of an extra, return an error with what to install."""
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


def _is_output_unread() -> bool:
    """Return whether standard output is a pipe that nobody reads any more, as after ``| head``.

    Then what is left of it goes nowhere: it isn't worth an error, as it isn't elsewhere.
    """
    if not hasattr(select, "poll"):  # on Windows
        return False
    output = sys.stdout.fileno()
    poll = select.poll()
    poll.register(output, 0)
    if not any(happened & select.POLLERR for _, happened in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True


def _leaves(error: BaseException) -> Iterator[BaseException]:
    # A nursery wraps exceptions in a group, even a single one.
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
    # It may contain a server's text, and the terminal obeys control characters.
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
