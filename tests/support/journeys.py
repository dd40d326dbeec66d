"""Journeys: what a person does in front of a terminal, as a script; played on a real server.

A script is lines of a verb and what it is about; :data:`_VERBS` has them. It is played in tmux with
``make journeys``, which takes the pictures of the documentation, and on a pseudo-terminal in the
tests, up to the line ``long``.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog
from live_server import LiveServer, live_server
from patience import PATIENCE
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text
from terminal_screen import TerminalScreen

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPTS: Final = {path.stem: path for path in sorted((ROOT / "tests" / "journeys").glob("*.txt"))}
IMAGES: Final = ROOT / "docs" / "images"
#: What terminals send for keys that are not characters.
_KEYS: Final = {
    "Enter": "\r", "Tab": "\t", "Esc": "\x1b", "Up": "\x1b[A", "Down": "\x1b[B", "Right": "\x1b[C",
    "Left": "\x1b[D", "Home": "\x1b[H", "End": "\x1b[F", "PgUp": "\x1b[5~", "PgDn": "\x1b[6~",
    "Backspace": "\x7f", "Space": " ", "F1": "\x1bOP", "F2": "\x1bOQ", "F3": "\x1bOR",
    "F4": "\x1bOS", "F5": "\x1b[15~", "F6": "\x1b[17~", "F7": "\x1b[18~", "F8": "\x1b[19~",
    "C-Home": "\x1b[1;5H", "C-End": "\x1b[1;5F", "FocusOut": "\x1b[O", "FocusIn": "\x1b[I",
}  # fmt: skip


_TMUX: Final = """\
set -g focus-events on
set -g allow-passthrough on
set -g status off
set -g remain-on-exit on
set -g escape-time 0
set -g default-terminal tmux-256color
set -ga terminal-features ",*:RGB"
"""


def sent_for(key: str) -> str:
    """Return what a terminal sends for a key: ``x``, ``Enter``, ``C-k``, ``M-1``."""
    if key in _KEYS:
        return _KEYS[key]
    if key.startswith("C-"):
        return chr(ord(key[2].upper()) & 0x1F)
    return f"\x1b{key[2:]}" if key.startswith("M-") else key


class Terminal(Protocol):
    """A terminal in which a program runs."""

    def send(self, data: str) -> None:
        """Send what is typed, all of it at once."""

    def text(self) -> str:
        """Return what is on the screen now, or after a short wait for more."""

    def resize(self, columns: int, rows: int) -> None:
        """Have another size."""

    def picture(self) -> str:
        """Return the screen with its colours, as a terminal is sent them; empty: it has none."""

    def close(self) -> None:
        """End the program."""


class PtyTerminal:
    """A pseudo-terminal."""

    def __init__(self, command: Sequence[str], size: tuple[int, int], environ: dict[str, str]):
        self._leader, follower = pty.openpty()
        self._set_size(*size)
        self._process = subprocess.Popen(
            command, stdin=follower, stdout=follower, stderr=follower,
            env=os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | environ,
        )  # fmt: skip
        os.close(follower)
        self._screen = TerminalScreen()

    def send(self, data: str) -> None:
        """As said above."""
        os.write(self._leader, data.encode())

    def text(self) -> str:
        """As said above."""
        try:
            while select.select([self._leader], [], [], 0.02)[0]:
                self._screen.feed(os.read(self._leader, 65536))
        except OSError:  # the other end is closed
            time.sleep(0.02)
        return self._screen.text

    def resize(self, columns: int, rows: int) -> None:
        """As said above."""
        self._screen = TerminalScreen()
        self._set_size(columns, rows)
        self._process.send_signal(signal.SIGWINCH)  # the terminal is nobody's own

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def picture(self) -> str:
        """None."""
        return ""

    def close(self) -> None:
        """As said above."""
        self._process.kill()
        self._process.wait()
        os.close(self._leader)


class TmuxTerminal:
    """A pane of a tmux of its own."""

    def __init__(self, command: Sequence[str], size: tuple[int, int], environ: dict[str, str]):
        self._name = f"gochat-journey-{uuid.uuid4().hex[:8]}"
        settings = [f"{name}={value}" for name, value in environ.items()]
        shown = ["env", *settings, *command]
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write(_TMUX)
            config.flush()
            where = ("-x", str(size[0]), "-y", str(size[1]))
            self._run("-f", config.name, "new-session", "-d", *where, shlex.join(shown))

    def _run(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._name, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def send(self, data: str) -> None:
        """As said above."""
        self._run("send-keys", "-H", *(f"{byte:02x}" for byte in data.encode()))

    def text(self) -> str:
        """As said above."""
        time.sleep(0.05)
        return self._run("capture-pane", "-p")

    def resize(self, columns: int, rows: int) -> None:
        """As said above."""
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def picture(self) -> str:
        """As said above."""
        return self._run("capture-pane", "-p", "-e")

    def close(self) -> None:
        """As said above."""
        self._run("kill-server")


#: Opens a terminal.
OpenTerminal = Callable[[Sequence[str], tuple[int, int], dict[str, str]], Terminal]


class Journey:
    """Plays a script."""

    def __init__(self, server: LiveServer, state: Path, open_terminal: OpenTerminal) -> None:
        self._server, self._state, self._open = server, state, open_terminal
        self._terminal: Terminal | None = None
        self._size, self._environ = (80, 24), dict[str, str]()
        self._person = ""

    def play(self, script: Path, *, whole: bool) -> None:
        """Play a script; up to ``long`` if not the `whole`."""
        try:
            for number, line in enumerate(script.read_text(encoding="utf-8").splitlines(), 1):
                verb, _, rest = line.strip().partition(" ")
                if verb == "long" and not whole:
                    break
                if not verb or verb.startswith("#") or verb == "long":
                    continue
                try:
                    _VERBS[verb](self, rest.strip())
                except Exception as error:
                    shown = self._terminal.text() if self._terminal else ""
                    raise AssertionError(f"{script.name}:{number}: {line}\n{shown}") from error
        finally:
            self.close()

    def close(self) -> None:
        """End what runs in the terminal."""
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None

    @property
    def terminal(self) -> Terminal:
        """The terminal in which the app was started."""
        assert self._terminal is not None, "start it first"
        return self._terminal

    def until(self, holds: Callable[[str], bool]) -> str:
        """Wait until what is shown is so; return it."""
        end = time.monotonic() + PATIENCE
        while not holds(shown := self.terminal.text()):
            assert time.monotonic() < end, "that is not so"
        return shown

    # -- the verbs --------------------------------------------------------------------------------

    def use(self, rest: str) -> None:
        """``terminal 80 24 NO_COLOR=1``: what the next start has."""
        columns, rows, *environ = rest.split()
        self._size = (int(columns), int(rows))
        self._environ = dict(each.split("=", 1) for each in environ)

    def start(self, rest: str) -> None:
        """``start NAME [--plain]``: the app of a person, in a terminal."""
        self.close()
        name, *flags = rest.split()
        command = [sys.executable, "-m", "gochat", "tui", self._server.url, *flags]
        config = self._state / f"{name}.toml"
        environ = self._environ | {"GOCHAT_TUI_CONFIG": str(config), "TZ": "UTC"}
        self._terminal = self._open(
            [*command, "--state-dir", str(self._state / name)], self._size, environ
        )

    def configure(self, rest: str) -> None:
        """``config NAME preset vim``: a line below [keys] in the person's file."""
        name, key, value = rest.split()
        path = self._state / f"{name}.toml"
        path.write_text(f'[keys]\n{key} = "{value}"\n', encoding="utf-8")

    def type(self, rest: str) -> None:
        """``type a text``: all of it at once."""
        self.terminal.send(rest)

    def keys(self, rest: str) -> None:
        """``keys C-k m Enter``: all of them at once."""
        self.terminal.send("".join(map(sent_for, rest.split())))

    def see(self, rest: str) -> None:
        """``see text``: wait until it is shown."""
        self.until(lambda shown: rest in shown)

    def gone(self, rest: str) -> None:
        """``gone text``: wait until it is not shown."""
        self.until(lambda shown: rest not in shown)

    def click(self, rest: str) -> None:
        """``click text``: with the mouse, on the first place that has it."""
        lines = self.until(lambda shown: rest in shown).splitlines()
        y, line = next((y, line) for y, line in enumerate(lines, 1) if rest in line)
        x = len(line[: line.index(rest)]) + 1
        self.terminal.send(f"\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m")

    def resize(self, rest: str) -> None:
        """``resize 40 15``: another size."""
        columns, rows = map(int, rest.split())
        self.terminal.resize(columns, rows)

    def room(self, rest: str) -> None:
        """``room #name NAME topic``: somebody has a public room."""
        room, name, topic = rest.split(" ", 2)
        self._server.run(partial(self._server.bot(name).create_room, room, topic=topic))

    def invite(self, rest: str) -> None:
        """``invite #name NAME PERSON``: somebody invites a person."""
        room, name, person = rest.split()
        self._server.run(self._server.bot(name).invite, room, person)

    def say(self, rest: str) -> None:
        """``say NAME #room|@name text``: somebody writes."""
        name, to, text = rest.split(" ", 2)
        client = self._server.bot(name)

        async def send() -> None:
            await client.send(to, text.replace("\\n", "\n")).sent()

        self._server.run(send)

    def cut(self, _: str) -> None:
        """``cut``: the connection breaks, and no other can be made."""
        self._server.cut()

    def admit(self, _: str) -> None:
        """``admit``: the server can be reached again."""
        self._server.admit()

    def picture(self, rest: str) -> None:
        """``picture name``: for the documentation; only in tmux."""
        if ansi := self.terminal.picture():
            (IMAGES / f"{rest}.svg").write_text(_drawn(ansi, self._size), encoding="utf-8")


_VERBS: Final[dict[str, Callable[[Journey, str], None]]] = {
    "terminal": Journey.use, "start": Journey.start, "config": Journey.configure,
    "type": Journey.type, "keys": Journey.keys, "see": Journey.see, "gone": Journey.gone,
    "click": Journey.click, "resize": Journey.resize, "room": Journey.room,
    "invite": Journey.invite, "say": Journey.say, "cut": Journey.cut, "admit": Journey.admit,
    "picture": Journey.picture,
}  # fmt: skip


def _drawn(ansi: str, size: tuple[int, int]) -> str:
    """Return a screen as SVG, with the terminal's font."""
    console = Console(
        record=True, width=size[0], height=size[1], file=io.StringIO(), color_system="truecolor",
        force_terminal=True, legacy_windows=False,
    )  # fmt: skip
    for line in ansi.rstrip("\n").split("\n"):
        console.print(Text.from_ansi(line), no_wrap=True, overflow="crop", highlight=False)
    svg = console.export_svg(title="gochat", theme=MONOKAI, unique_id="journey")
    return re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)


@contextmanager
def journey(open_terminal: OpenTerminal, state: Path) -> Iterator[Journey]:
    """Run a server for one journey."""
    with live_server() as server:
        yield Journey(server, state, open_terminal)


def main() -> None:
    """Play journeys in tmux, as a whole: those that are named, or all."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", default=list(SCRIPTS))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    for name in parser.parse_args().names:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(journey(TmuxTerminal, directory)).play(SCRIPTS[name], whole=True)
        print(f"{name}: as written")


if __name__ == "__main__":
    main()
