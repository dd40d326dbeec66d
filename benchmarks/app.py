"""The app as somebody in front of a terminal has it: a real one, on a pseudo-terminal, on a real
server. What counts is when bytes arrive that show what was waited for.

Keys are ideographs, each another one: whatever else is drawn, it shows up when the key does. On a
machine that others use, too, much of that time is waiting for a core; the kernel counts it, and
"less waiting" is without it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import random
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import servers
from benchmarks.report import Report, Row, quantile
from benchmarks.servers import PASSWORD, Gochat, cpu_exactly, wait_for
from gochat.protocol.codec import encode
from gochat.protocol.messages import CreateRoom, LoggedIn, Login, Send, Sent
from gochat.tui.profile.state import SavedSession, StateDirectory

COLUMNS: Final = 160
ROWS: Final = 48
#: Messages a second that arrive while keys are pressed, and how many people send them.
RATE: Final = 500
_SENDERS: Final = 10
#: Seconds between two keys: a fast typist.
_KEY_INTERVAL: Final = 0.08
#: Messages sent at once while a log is filled.
_BATCH: Final = 250
READER: Final = "reader"
#: A small terminal at the end of a slow link: bytes a second, and seconds there and back.
SLOW_SIZE: Final = (120, 40)
LINK_NAME: Final = "100 kbit/s, 300 ms"
_SPEED: Final = 100_000 / 8
_DELAY: Final = 0.3
#: Seconds for which nothing is done.
_IDLE: Final = 10.0
_PATIENCE: Final = 60.0
_FIRST_KEY: Final = 0x4E00
_WORDS: Final = (
    "a", "log", "of", "many", "words,", "**some**", "of", "them", "`code`,", "https://example.org",
    "and", "more",
)  # fmt: skip


class Terminal:
    """A terminal in which the app runs."""

    def __init__(self, state: Path, *arguments: str, size: tuple[int, int] = (COLUMNS, ROWS)):
        self.begun = time.perf_counter()
        leader, follower = pty.openpty()
        columns, rows = size
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = os.environ | {
            "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8",
            "GOCHAT_TUI_CONFIG": str(state / "none.toml"),
        }  # fmt: skip
        command = [sys.executable, "-m", "gochat", "tui", "--state-dir", str(state), *arguments]
        self.process = subprocess.Popen(
            command, stdin=follower, stdout=follower, stderr=follower, env=environment
        )
        os.close(follower)
        self._leader = leader
        self.written = 0  # bytes

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._leader, keys.encode())

    def wait_for(self, text: str) -> float:
        """Wait until `text` is drawn from now on; return when that was."""
        wanted, seen = text.encode(), b""
        deadline = time.monotonic() + _PATIENCE
        while wanted not in seen:
            assert time.monotonic() < deadline, f"{text!r} was not drawn in {_PATIENCE:g} s"
            seen = seen[-len(wanted) :] + self.read(0.1)
        return time.perf_counter()

    def read(self, seconds: float) -> bytes:
        """Return what is drawn next; nothing if nothing is in this time."""
        if not select.select([self._leader], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self._leader, 1 << 16)
        except OSError as error:
            if error.errno == errno.EIO:  # how Linux says that the other end is closed
                raise AssertionError("the app has ended") from error
            raise
        self.written += len(data)
        return data

    def idle(self, seconds: float) -> None:
        """Look at it for some time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)

    def close(self) -> None:
        """End the app."""
        self.process.kill()
        self.process.wait()
        os.close(self._leader)


@contextmanager
def open_terminal(
    state: Path, *arguments: str, size: tuple[int, int] = (COLUMNS, ROWS)
) -> Iterator[Terminal]:
    """Run the app; end it at the end."""
    terminal = Terminal(state, *arguments, size=size)
    try:
        yield terminal
    finally:
        terminal.close()


def run(
    report: Report, directory: Path, *, messages: int, starts: int, keys: int, scrolls: bool
) -> None:
    """Measure starts, keys with and without load, and opening a conversation so long.

    With `scrolls`, keys also while one looks at what was said before.
    """
    with servers.gochat(directory / "app") as server:
        state = directory / "state"
        _remember(server, READER, state)
        report.table(
            f"The app: opening it, and a conversation ({COLUMNS}×{ROWS})",
            _openings(server, state, directory / "demo", messages, starts),
        )
        rows = [
            _keys(server, state, keys, 0, "nothing else happens"),
            _keys(server, state, keys, RATE, f"{RATE} messages/s arrive"),
        ]
        if scrolls:
            name = f"{RATE} messages/s, scrolled up"
            rows.append(_keys(server, state, keys, RATE, name, scrolled=True))
    report.table("The app: from a key to the screen", rows)
    columns, lines = SLOW_SIZE
    name = f"The app: what the terminal is sent ({columns}×{lines}), and over a slow link"
    report.table(name, _written(directory / "demo", starts))


def _remember(server: Gochat, name: str, directory: Path) -> None:
    """Have the app start as somebody who is logged in."""
    with server.connect() as connection:
        connection.sendall(server.greeting(name))
        logged_in = wait_for(connection, LoggedIn)
    assert isinstance(logged_in, LoggedIn)
    session = SavedSession(
        server=f"gochat://127.0.0.1:{server.port}", name=name, token=logged_in.token,
        expires=logged_in.expires,
    )  # fmt: skip
    StateDirectory(directory).remember(session)


# -- opening ---------------------------------------------------------------------------------------


def _openings(server: Gochat, state: Path, demo: Path, messages: int, starts: int) -> list[Row]:
    rooms = {"#few": 100, "#many": messages}
    for room, count in rooms.items():
        _fill(server, READER, room, count)
    taken: dict[str, list[float]] = {
        "start, to the first paint (demo)": [],
        "start, to the chat on a server": [],
        **{f"open a conversation of {count:,}": [] for count in rooms.values()},
        f"go back to that of {rooms['#few']:,}": [],
    }
    first, chat, *opened = taken
    for _ in range(starts):
        with open_terminal(demo, "--demo") as terminal:
            taken[first].append(terminal.wait_for("Rooms") - terminal.begun)
        with open_terminal(state) as terminal:
            taken[chat].append(terminal.wait_for("connected") - terminal.begun)
            terminal.idle(0.5)
            for place, last, name in (
                (2, f"few-{rooms['#few'] - 1}!", opened[0]),
                (3, f"many-{messages - 1}!", opened[1]),
                (2, f"few-{rooms['#few'] - 1}!", opened[2]),
            ):
                begun = time.perf_counter()
                terminal.press(f"\x1b{place}")
                taken[name].append(terminal.wait_for(last) - begun)
                terminal.idle(0.5)
    return [
        {
            "what": name,
            "p50 ms": quantile(times, 0.5) * 1e3,
            "slowest ms": max(times) * 1e3,
            "times": len(times),
        }
        for name, times in taken.items()
    ]


def _fill(server: Gochat, name: str, room: str, count: int) -> None:
    """Have a person talk to themselves in a room of their own."""
    chance = random.Random(0)
    with server.connect() as writer:
        writer.sendall(encode(Login(name=name, password=PASSWORD, caps=("log",))))
        wait_for(writer, LoggedIn)
        writer.sendall(encode(CreateRoom(room=room, request_id="1")))
        wait_for(writer, Sent)
        for start in range(0, count, _BATCH):
            numbers = range(start, min(count, start + _BATCH))
            texts = (_text(chance, f"{room[1:]}-{number}!") for number in numbers)
            writer.sendall(b"".join(encode(Send(to=room, text=text)) for text in texts))
            acknowledged, rest = 0, b""
            while acknowledged < len(numbers):
                data = rest + writer.recv(1 << 18)
                acknowledged += data.count(b'{"msg_type":"sent"')
                rest = data[-17:]


def _text(chance: random.Random, mark: str) -> str:
    return " ".join([*chance.choices(_WORDS, k=chance.randrange(1, 12)), mark])


# -- bytes -----------------------------------------------------------------------------------------


def _written(demo: Path, rounds: int) -> list[Row]:
    """Count what a terminal is sent for a key, and how long that takes a slow link."""
    keys = {
        "Ctrl+K": "\x0b", "Esc, back from it": "\x1b[27u", "F5": "\x1b[15~",
        "Esc, back from that": "\x1b[27u", "a notch of the wheel": "\x1b[<64;60;20M",
        "↑ selects a message": "\x1b[A", "Esc, back to the input": "\x1b[27u", "a letter": "x",
    }  # fmt: skip
    found: dict[str, list[int]] = {name: [] for name in (*keys, "a second of idling")}
    with open_terminal(demo, "--demo", size=SLOW_SIZE) as terminal:
        terminal.wait_for("Rooms")
        terminal.idle(3.0)
        for _ in range(rounds):
            for name, key in keys.items():
                before = terminal.written
                terminal.press(key)
                terminal.idle(0.8)
                found[name].append(terminal.written - before)
            terminal.press("\x15")
            terminal.idle(1.0)
        before = terminal.written
        terminal.idle(_IDLE)
        found["a second of idling"].append(round((terminal.written - before) / _IDLE))
    rows: list[Row] = []
    for name, sizes in found.items():
        size = quantile(sizes, 0.5)
        rows.append(
            {"what": name, "bytes": size, f"ms over {LINK_NAME}": 1e3 * (_DELAY + size / _SPEED)}
        )
    return rows


# -- keys ------------------------------------------------------------------------------------------


def _keys(
    server: Gochat, state: Path, keys: int, rate: int, name: str, *, scrolled: bool = False
) -> Row:
    """Press keys one by one, and see how long each takes to be shown."""
    with contextlib.ExitStack() as stack:
        terminal = stack.enter_context(open_terminal(state))
        terminal.wait_for("connected")
        terminal.idle(1.0)
        load = stack.enter_context(_talking(server, rate)) if rate else None
        terminal.idle(2.0)
        if scrolled:
            terminal.press("\x1b[5~")
            terminal.idle(1.0)
        used, begun = cpu_exactly(terminal.process.pid), time.perf_counter()
        said, written = load.said if load else 0, terminal.written
        taken, net = [], []
        for number in range(keys):
            key = chr(_FIRST_KEY + number)
            waited, pressed = _waited(terminal.process.pid), time.perf_counter()
            terminal.press(key)
            taken.append(terminal.wait_for(key) - pressed)
            net.append(max(0.0, taken[-1] - (_waited(terminal.process.pid) - waited)))
            if number % 20 == 19:
                terminal.press("\x15")  # an empty line again
                terminal.idle(0.5)
            terminal.idle(_KEY_INTERVAL)
        seconds = time.perf_counter() - begun
        return {
            "while": name,
            "messages/s": ((load.said if load else 0) - said) / seconds,
            "p50 ms": quantile(taken, 0.5) * 1e3,
            "p99 ms": quantile(taken, 0.99) * 1e3,
            "p50 less waiting": quantile(net, 0.5) * 1e3,
            "p99 less waiting": quantile(net, 0.99) * 1e3,
            "CPU of the app": (cpu_exactly(terminal.process.pid) - used) / seconds,
            "KB/s drawn": (terminal.written - written) / seconds / 1e3,
        }


def _waited(pid: int) -> float:
    """Return for how many seconds the app's main thread and this one have waited for a core."""
    tasks = (pid, threading.get_native_id())
    files = [Path(f"/proc/{task}/schedstat") for task in tasks]
    return sum(int(file.read_text().split()[1]) for file in files) / 1e9


class _Load:
    """How much has been said until now."""

    said = 0


@contextmanager
def _talking(server: Gochat, rate: int) -> Iterator[_Load]:
    """Have some people say `rate` messages a second in the lobby, evenly."""
    load, is_over = _Load(), threading.Event()
    names = [f"speaker{number}x{time.monotonic_ns() % 10**9}" for number in range(_SENDERS)]
    connections = server.enter(names)
    chance = random.Random(1)

    def drain() -> None:
        while not is_over.is_set():
            for connection in select.select(connections, [], [], 0.05)[0]:
                connection.recv(1 << 18)

    def speak() -> None:
        due = time.monotonic()
        while not is_over.is_set():
            text = _text(chance, str(load.said))
            connections[load.said % len(connections)].sendall(encode(Send(to="#lobby", text=text)))
            load.said += 1
            due += 1 / rate
            is_over.wait(max(0.0, due - time.monotonic()))

    threads = [threading.Thread(target=work) for work in (drain, speak)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.close()
