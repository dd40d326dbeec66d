"""The terminal: one that can't show the app is refused, and keys with Alt are recognised."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE
from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser

from gochat.cli import main
from gochat.tui.host.terminal import LOOKS_PER_SECOND, teach_legacy_keys


@pytest.fixture
def taught() -> Iterator[None]:
    """Textual knows the keys, for one test."""
    before = dict(ANSI_SEQUENCES_KEYS)
    teach_legacy_keys()
    yield
    ANSI_SEQUENCES_KEYS.clear()  # type: ignore[attr-defined]  # a dict, typed as a Mapping
    ANSI_SEQUENCES_KEYS.update(before)  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize(
    ("sequence", "key"),
    [
        ("\x1b\r", "alt+enter"),
        ("\x1b/", "alt+slash"),
        ("\x1b1", "alt+1"),
        ("\x1b\x06", "escape ctrl+f"),
        ("\x1b\x0bx", "escape ctrl+k x"),
        ("\x1b9", "alt+9"),
        ("\x1b[13;3u", "alt+enter"),
        ("\x1b[13;2u", "shift+enter"),
        ("\n", "ctrl+j"),
        ("\r", "enter"),
    ],
)
@pytest.mark.usefixtures("taught")
def test_what_terminals_send_for_keys_is_understood(sequence: str, key: str) -> None:
    found = [e.key for e in XTermParser().feed(sequence) if isinstance(e, events.Key)]
    assert found == key.split()


def run_on_a_terminal(**environ: str) -> tuple[int, str]:
    """Run `gochat tui --demo` on a pseudo-terminal; it must end by itself."""
    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gochat", "tui", "--demo"],
            stdin=follower, stdout=follower, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
            env={**os.environ, **environ}, check=False,
        )  # fmt: skip
    finally:
        os.close(leader)
        os.close(follower)
    return done.returncode, done.stderr


def test_a_locale_without_utf_8_is_told_with_its_remedy() -> None:
    code, text = run_on_a_terminal(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert code == 2
    assert "needs UTF-8" in text
    assert "LC_ALL=C.UTF-8" in text
    assert "Traceback" not in text


def test_an_encoding_that_is_set_for_python_is_told_with_its_remedy() -> None:
    code, text = run_on_a_terminal(LC_ALL="C.UTF-8", PYTHONIOENCODING="iso8859-1")
    assert code == 2
    assert "unset that variable" in text
    assert "Traceback" not in text


def test_a_dumb_terminal_is_told_apart() -> None:
    code, text = run_on_a_terminal(TERM="dumb")
    assert code == 2
    assert "dumb" in text
    assert "--plain" in text
    assert "Traceback" not in text


def test_without_a_terminal_there_is_no_app(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tui", "--demo"]) == 2
    error = capsys.readouterr().err
    assert "needs a terminal" in error
    assert "--plain" in error


def locale_reported(**environ: str) -> str:
    """Return a new Python's verdict on the locale that `environ` sets."""
    cleared = {n: v for n, v in os.environ.items() if n != "LANG" and not n.startswith("LC_")}
    code = "from gochat.tui.host.terminal import locale_problem; print(locale_problem())"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True,
        env={**cleared, "PYTHONUTF8": "", **environ},
    ).stdout.strip()  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "start"),
    [
        ({"LANG": "C"}, "The locale C is not UTF-8 here."),
        ({"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, "The locale POSIX is not UTF-8 here."),
        ({}, "No locale is set."),
    ],
)
def test_a_locale_in_which_python_only_assumes_utf_8_is_told(
    environ: dict[str, str], start: str
) -> None:
    problem = locale_reported(**environ)
    assert problem.startswith(start)
    assert "LC_ALL=C.UTF-8" in problem


@pytest.mark.parametrize("environ", [{"LC_ALL": "C.UTF-8"}, {"LANG": "C", "PYTHONUTF8": "1"}])
def test_a_locale_with_utf_8_and_one_that_was_overruled_need_no_word(
    environ: dict[str, str],
) -> None:
    assert locale_reported(**environ) == ""


def test_the_app_ends_with_its_terminal_also_if_no_signal_tells_it(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "gochat", "tui", "--demo"],
        stdin=follower, stdout=follower, stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", "HOME": str(tmp_path)},
    ) as process:  # fmt: skip
        try:
            os.close(follower)
            written = b""
            while b"Rooms" not in written:
                written += os.read(leader, 65536)
            os.close(leader)
            assert process.wait(PATIENCE) == 129
        finally:
            process.kill()


def test_textual_looks_for_what_is_to_be_drawn_as_often_as_was_asked() -> None:
    # In a process of its own: Textual asks once, when it is loaded.
    script = (
        "import sys; from gochat.tui.host.terminal import draw_soon; draw_soon()\n"
        "assert 'textual' not in sys.modules\n"
        "from textual.screen import UPDATE_PERIOD; print(round(1 / UPDATE_PERIOD))"
    )
    environ = {name: value for name, value in os.environ.items() if name != "TEXTUAL_FPS"}
    for asked, found in (({}, LOOKS_PER_SECOND), ({"TEXTUAL_FPS": "30"}, 30)):
        printed = subprocess.check_output(
            [sys.executable, "-c", script], env=environ | asked, text=True
        )
        assert int(printed) == found
