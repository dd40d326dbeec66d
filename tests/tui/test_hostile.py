"""Texts of others on a real terminal: not one byte of them is obeyed. And the app never crashes,
whatever keys and sizes come."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import re
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest
from pilots import OpenApp, settle
from textual.errors import NoWidget

from gochat.tui.demo.conversation import furnish
from gochat.tui.demo.scripted_client import ScriptedClient

#: What Textual and the app write, as a terminal reads it: CSI, private modes, cursor, OSC 2, 8, 9.
_KNOWN = re.compile(
    r"\x1b\[[0-9:;<=>?]*[ !\"$']?[@-~]"  # CSI
    r"|\x1b\]2;[^\x1b\x07]*\x1b\\"  # the title
    r"|\x1b\]9;[^\x1b\x07]*\x1b\\"  # a notification
    r"|\x1b\]8;[^\x1b\x07]*\x1b\\"  # links
    r"|\x1b\]22;[a-z]*\x07"  # the mouse's pointer
    r"|\x1b[78=>]"  # the cursor, the keypad
)
_LINK = re.compile(r"\x1b\]8;[^;]*;([^\x1b\x07]*)\x1b\\")
_TITLE = re.compile(r"\x1b\][29];([^\x1b\x07]*)\x1b\\")
#: What must not be left when those are taken away.
_OBEYED = re.compile("[\x00-\x09\x0b-\x0c\x0e-\x1f\x7f-\x9f]")
_HIDDEN = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\U000e0000-\U000e007f]")


#: Seconds in which nothing happens when all has been done for a key: more than the app waits
#: before it searches for what was typed, and than Textual does to know Escape from a sequence.
QUIET = 0.25


def sleeps(pid: int) -> bool:
    """Return whether no thread of a process runs or would like to, as far as that can be seen."""
    try:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # a thread has just ended
        return False
    return all(stat.rpartition(") ")[2][0] in "SZ" for stat in stats)


def run_and_look(tmp_path: Path, keys: list[bytes]) -> str:
    """Run the app, press `keys` with time between them, and return all that it wrote."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    script = Path(__file__).parent.parent / "support" / "hostile_app.py"
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdin=follower, stdout=follower, stderr=follower, env=environment,
    ) as process:  # fmt: skip
        os.close(follower)
        written = b""

        def read() -> bool:
            """Read what has been written by now; return whether there was something."""
            nonlocal written
            before = len(written)
            with suppress(OSError):  # the other end is closed
                while select.select([leader], [], [], 0)[0] and (data := os.read(leader, 65536)):
                    written += data
            return len(written) > before

        def read_until_quiet() -> None:
            since = time.monotonic()
            while time.monotonic() - since < QUIET:
                if read() or not sleeps(process.pid):
                    since = time.monotonic()
                time.sleep(0.01)

        try:
            while b"Online" not in written and process.poll() is None:
                read_until_quiet()
            for key in (*keys, b"\x1b"):
                os.write(leader, key)
                read_until_quiet()
            os.write(leader, b"\x11")
            while process.poll() is None:
                read_until_quiet()
            read()
        finally:
            process.kill()
            os.close(leader)
    assert process.returncode == 0
    return written.decode()


def test_no_text_of_others_reaches_the_terminal_as_anything_but_text(tmp_path: Path) -> None:
    written = run_and_look(
        tmp_path,
        [
            b"\x0b", b"p", b"\x1b",  # the switcher
            b"\x06", b"x", b"\x1b",  # the search
            b"\x1bOR", b"\x1b",  # the people
            b"\x1bOS", b"\x1b",  # the rooms
            b"@p", b"\t", b"\x1b", b"\x15",  # completion
            b"\x1b[17~", b"\x1b[17~", b"\x1b[17~",  # the next unread
            b"\x1b[A", b"\x1b[A", b"r",  # a reply
        ],
    )  # fmt: skip
    assert "Online" in written
    for link in _LINK.findall(written):
        assert link == "" or link.startswith(("https://a.example/", "https://evil.example/"))
    for title in _TITLE.findall(written):
        assert not _OBEYED.search(title)
    text = _KNOWN.sub("", written)
    assert not _OBEYED.search(text), repr(_OBEYED.search(text))
    assert not _HIDDEN.search(text)
    assert "\x1b]52" not in written
    assert "[red]markup[/red]" in text


_KEYS = (
    *"abc @#:/", "enter", "tab", "shift+tab", "escape", "up", "down", "left", "right", "home",
    "end", "pageup", "pagedown", "backspace", "delete", "ctrl+k", "ctrl+p", "ctrl+f", "ctrl+g",
    "ctrl+j", "alt+enter", "alt+1", "alt+2", "alt+3", "alt+slash", "alt+a", "f1", "f2", "f3", "f4",
    "f5", "f6", "f7", "ctrl+home", "ctrl+end", "ctrl+t", "ctrl+up", "ctrl+down", "ctrl+a", "ctrl+c",
    "ctrl+z", "e", "d", "r", "y", "plus", "o", "n", "shift+up", "shift+left", "space",
)  # fmt: skip
_SIZES = ((120, 36), (60, 20), (80, 24), (20, 6), (1, 1), (200, 50), (79, 24), (10, 40))


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(2))
async def test_no_keys_sizes_and_events_crash_it(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("gochat.tui.app.GochatApp.open_url", lambda *_, **__: None)
    furnish(client)
    chance = random.Random(seed)
    async with open_app() as pilot:
        for _ in range(120):
            match chance.randrange(10):
                case 0:
                    await pilot.resize_terminal(*chance.choice(_SIZES))
                    await settle(pilot)
                case 1:
                    client.say("#lobby", "mei", "hello " * chance.randrange(1, 40))
                case 2:
                    client.say(chance.choice(["@mei", "#design"]), "mei", "hi")
                case 3:
                    chance.choice([client.cut, client.restore])()
                case 4:
                    name = chance.choice(["mei", "tomas", "zoë"])
                    chance.choice([client.arrive, client.depart])(name)
                case 5:
                    width, height = pilot.app.screen.size
                    if width and height:  # a screen that just opened has no size yet
                        x, y = chance.randrange(width), chance.randrange(height)
                        with suppress(NoWidget):  # it has a size, and nothing to click yet
                            await pilot.click(offset=(x, y))
                case _:
                    await pilot.press(chance.choice(_KEYS))
        await pilot.resize_terminal(120, 36)
        await settle(pilot)
        assert pilot.app.is_running
