"""What goes wrong at real terminals: nothing typed is lost, and the terminal is left usable."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import PATIENCE
from terminal_app import SERVER
from terminal_screen import TerminalScreen

from gochat.tui.profile.state import StateDirectory

_SCRIPT = Path(__file__).parents[2] / "support" / "terminal_app.py"
_SEQUENCE = re.compile(rb"\x1b(\[[0-9:;<=>?]*[ !\"$']?[@-~]|\][^\x1b\x07]*(\x1b\\|\x07)|[78=>])")
_CTRL_Q, _CTRL_X, _F4, _F12 = b"\x11", b"\x18", b"\x1bOS", b"\x1b[24~"
_FOCUS_OUT = b"\x1b[O"


class Terminal:
    """A terminal with the app in it. What the app draws is only ever awaited, never measured."""

    def __init__(self, leader: int, process: subprocess.Popen[bytes], attributes: list[object]):
        self.leader, self.process = leader, process
        self.written = b""
        self._attributes = attributes
        self._seen = self._fed = 0
        self._screen = TerminalScreen()

    def press(self, keys: bytes) -> None:
        """Send what a terminal sends for keys."""
        os.write(self.leader, keys)

    def read(self) -> None:
        """Read what the app has written, or wait a little for it."""
        try:
            if select.select([self.leader], [], [], 0.02)[0]:
                self.written += os.read(self.leader, 65536)
        except OSError:  # the other end is closed
            time.sleep(0.02)

    def sees(self, text: str) -> None:
        """Wait until `text` is drawn after what was seen, or in part: then it is shown."""
        end = time.monotonic() + PATIENCE
        while True:
            if has_ended := self.process.poll() is not None:
                self._drain()  # the last it wrote, perhaps right before its end
            drawn = _SEQUENCE.sub(b"", self.written[self._seen :])
            self._screen.feed(self.written[self._fed :])
            self._fed = len(self.written)
            if text.encode() in drawn or text in self._screen.text:
                break
            assert not has_ended, f"the app has ended: {drawn.decode(errors='replace')}"
            assert time.monotonic() < end, f"no {text!r} in {drawn.decode(errors='replace')!r}"
            self.read()
        self._seen = len(self.written)

    def _drain(self) -> None:
        """Read all that was written, without waiting for more."""
        while select.select([self.leader], [], [], 0)[0]:
            before = len(self.written)
            self.read()
            if len(self.written) == before:
                break

    def wait_for_app(self) -> None:
        """Wait until the app has the terminal: before, that shows what is typed by itself."""
        end = time.monotonic() + PATIENCE
        while termios.tcgetattr(self.leader)[3] & (termios.ICANON | termios.ECHO):
            assert self.process.poll() is None
            assert time.monotonic() < end
            self.read()

    def types(self, text: str) -> None:
        """Paste a text and wait until it is drawn."""
        self.press(b"\x1b[200~" + text.encode() + b"\x1b[201~")
        self.sees(text)

    def code(self) -> int:
        """Wait for the end; return the exit code."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        assert self.process.returncode is not None
        self._drain()
        return self.process.returncode

    def hang_up(self) -> None:
        """Close the terminal's window."""
        os.close(self.leader)
        self.leader = -1

    def is_usable(self) -> bool:
        """Return whether the app has left the terminal as it was: cursor, screen, echo."""
        last = {mode: self.written.rfind(mode) for mode in (b"\x1b[?1049l", b"\x1b[?1049h")}
        cursor = self.written.rfind(b"\x1b[?25h") > self.written.rfind(b"\x1b[?25l")
        attributes = termios.tcgetattr(self.leader)
        is_left = last[b"\x1b[?1049l"] > last[b"\x1b[?1049h"]
        return is_left and cursor and attributes == self._attributes


@contextmanager
def app_on_terminal(
    state: StateDirectory, *, is_session: bool = False, under: Sequence[str] = (), **environ: str
) -> Iterator[Terminal]:
    """Run the app; with `is_session` as a shell in a terminal does, so that signals reach it; or
    `under` a shell that has the terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    attributes = termios.tcgetattr(follower)
    command = [*under, sys.executable, str(_SCRIPT), str(state.directory)]
    is_session = is_session or bool(under)
    if is_session:
        take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
        command = [sys.executable, "-c", f"{take}; os.execvp(sys.argv[1], sys.argv[1:])", *command]
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, start_new_session=is_session,
        env={**os.environ, "TERM": "xterm-256color", **environ},
    ) as process:  # fmt: skip
        terminal = Terminal(leader, process, attributes)
        try:
            yield terminal
        finally:
            process.kill()
            os.close(follower)
            if terminal.leader >= 0:
                os.close(leader)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    """The state directory, which outlives the app."""
    return StateDirectory(tmp_path / "state")


def test_typing_reaches_the_composer_when_the_focus_was_lost_at_the_start(
    state: StateDirectory,
) -> None:
    with app_on_terminal(state) as terminal:
        terminal.press(_FOCUS_OUT)
        terminal.sees("Online")
        terminal.types("pasted")
        terminal.press(b" and typed\r")
        terminal.sees("typed")
        terminal.press(_CTRL_Q)
        assert terminal.code() == 0
        assert terminal.is_usable()


def test_f12_goes_back_to_the_shell_and_fg_returns(state: StateDirectory, tmp_path: Path) -> None:
    shell = tmp_path / "shell"
    shell.write_text('set -m; "$@"; echo "it has stopped"; read line; fg; echo "it has ended"\n')
    with app_on_terminal(state, under=("sh", str(shell))) as terminal:
        terminal.sees("Online")
        terminal.types("a draft")
        terminal.press(_F12)
        terminal.sees("it has stopped")
        assert terminal.is_usable()
        terminal.press(b"\n")
        terminal.wait_for_app()
        terminal.sees("a draft")
        terminal.types("goes on")
        terminal.press(_CTRL_Q)
        terminal.sees("it has ended")
        assert terminal.code() == 0


def test_without_colour_none_is_sent(state: StateDirectory) -> None:
    with app_on_terminal(state, NO_COLOR="1") as terminal:
        terminal.sees("Online")
        terminal.press(b"\x0b")
        terminal.sees("A room or a person")
        codes = re.findall(rb"\x1b\[([0-9;]*)m", terminal.written)
        assert codes, "attributes are sent"
        assert not [
            code for code in codes if re.search(rb"(^|;)(3[0-8]|4[0-8]|9[0-7]|10[0-7])(;|$)", code)
        ]


def test_bytes_that_are_not_utf_8_are_replaced(state: StateDirectory) -> None:
    with app_on_terminal(state) as terminal:
        terminal.sees("Online")
        terminal.press(b"typed \xff \xc3( ")
        terminal.sees("typed � �(")
        terminal.press(b"\x1b[200~pasted \xe9t\xe9\x1b[201~")
        terminal.sees("pasted �t�")
        terminal.press(_CTRL_Q)
        assert terminal.code() == 0
        assert terminal.is_usable()


def test_keys_of_one_chunk_keep_their_order(state: StateDirectory) -> None:
    with app_on_terminal(state) as terminal:
        terminal.sees("Online")
        terminal.press(b"gone\x15one\ntwo\x01Z\x10theme\x1b[27u\x05!")  # Ctrl+U J A P Esc E
        terminal.sees("Ztwo!")
        terminal.press(_CTRL_Q)
        assert terminal.code() == 0
    assert drafts(state) == {"#lobby": "one\nZtwo!"}


def drafts(state: StateDirectory) -> dict[str, str]:
    return state.drafts(SERVER, "ada")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_the_draft_and_restores_the_terminal(
    state: StateDirectory, number: signal.Signals
) -> None:
    with app_on_terminal(state) as terminal:
        terminal.sees("Online")
        terminal.types("just typed")
        terminal.process.send_signal(number)
        assert terminal.code() == 128 + number
        assert terminal.is_usable()
    assert drafts(state) == {"#lobby": "just typed"}


@pytest.mark.parametrize("is_session", [True, False], ids=["with SIGHUP", "without"])
def test_a_terminal_that_goes_away_leaves_the_draft(
    state: StateDirectory, *, is_session: bool
) -> None:
    with app_on_terminal(state, is_session=is_session) as terminal:
        terminal.sees("Online")
        terminal.types("just typed")
        terminal.hang_up()
        assert terminal.process.wait(PATIENCE) == 128 + signal.SIGHUP
    assert drafts(state) == {"#lobby": "just typed"}


def test_a_crash_keeps_the_draft_and_restores_the_terminal(state: StateDirectory) -> None:
    with app_on_terminal(state) as terminal:
        terminal.sees("Online")
        terminal.types("just typed")
        terminal.press(_F4)
        assert terminal.code() == 1
        assert terminal.is_usable()
        assert "a bug in the client" in terminal.written.decode()
    assert drafts(state) == {"#lobby": "just typed"}


def test_a_crash_of_the_thread_that_reads_keys_is_a_failure(state: StateDirectory) -> None:
    with app_on_terminal(state, GOCHAT_TEST_BROKEN_KEYS="1") as terminal:
        assert terminal.code() == 1
        assert terminal.is_usable()
        assert "a bug in the parser" in terminal.written.decode()


@pytest.mark.parametrize(
    "editor", ["no-such-editor", "vi 'unbalanced", "rm", "false"],
    ids=["missing", "unbalanced quote", "deletes its file", "fails"],
)  # fmt: skip
def test_an_editor_that_fails_leaves_the_text_and_the_app(
    state: StateDirectory, editor: str
) -> None:
    with app_on_terminal(state, VISUAL="", EDITOR=editor) as terminal:
        terminal.sees("Online")
        terminal.types("just typed")
        terminal.press(_CTRL_X)
        terminal.sees("failed")
        terminal.types(" and more")
        terminal.press(_CTRL_Q)
        assert terminal.code() == 0
        assert terminal.is_usable()
    assert drafts(state) == {"#lobby": "just typed and more"}
