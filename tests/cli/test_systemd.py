"""`gochat serve` as a service of systemd: notifications, and sockets that are handed over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from children import child
from patience import PATIENCE
from peers import Peer
from processes import CHEAP, GOCHAT, Running

from gochat.protocol.messages import Ping, Pong
from gochat.server.systemd import Notifier

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is for Linux")

#: Takes a socket to descriptor 3 and runs its arguments in its own place, as systemd does.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def service(
    store: Path,
    *flags: str,
    environment: Mapping[str, str],
    listening: socket.socket | None = None,
) -> Iterator[Running]:
    """Run the command until it listens."""
    command = [*GOCHAT, "serve", "--store", f"sqlite:///{store}", "--log-format=json"]
    passed: tuple[int, ...] = ()
    if listening is not None:
        command = [sys.executable, "-c", HAND_OVER, str(listening.fileno()), *command]
        passed = (listening.fileno(),)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GOCHAT_")}
    with subprocess.Popen(
        [*command, *CHEAP, *flags],
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, **environment},
        pass_fds=passed,
    ) as process:
        running = Running(child(process), 0)
        assert process.stderr is not None
        try:
            for line in process.stderr:
                running.log.append(line)
                if line.startswith("{") and json.loads(line)["event"] == "listening":
                    running.port = json.loads(line).get("port", 0)
                    break
            yield running
        finally:
            process.kill()


@contextmanager
def manager(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(PATIENCE)
        yield listening


def until(listening: socket.socket, state: str) -> list[str]:
    """Return the states that were notified up to this one."""
    seen: list[str] = []
    while not seen or state not in seen[-1]:
        seen.append(listening.recv(4096).decode())
    return seen


def test_manager_is_notified_of_all_that_happens(tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text("port = 0\n")
    with manager(tmp_path / "notify") as listening:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with service(
            tmp_path / "chat.db", "--config", str(config), environment=environment
        ) as running:
            [first, *_] = until(listening, "READY=1")
            assert "STATUS=serving on 127.0.0.1:" in first
            until(listening, "WATCHDOG=1")
            running.process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in until(listening, "RELOADING=1")[-1]
            assert "STATUS=serving, reloaded" in until(listening, "READY=1")[-1]
            config.write_text("prot = 0\n")
            running.process.send_signal(signal.SIGHUP)
            until(listening, "RELOADING=1")
            assert "STATUS=serving; the reload failed" in until(listening, "READY=1")[-1]
            until(listening, "WATCHDOG=1")
            running.process.terminate()
            until(listening, "STOPPING=1")
            assert running.finish() == 0


def test_notifier_leaves_nothing_to_children_and_needs_no_manager(tmp_path: Path) -> None:
    environ = {
        "NOTIFY_SOCKET": str(tmp_path / "nobody"),
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": "1",
        "PATH": "/bin",
    }
    notifier = Notifier.take(environ)
    assert environ == {"PATH": "/bin"}
    notifier.ready("fine")
    notifier.reloading()
    notifier.stopping()


@pytest.mark.trio
async def test_socket_outlives_the_server(tmp_path: Path) -> None:
    """Nobody who connects during a restart is refused: they wait."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        handed = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "gochat.socket"}
        for _ in range(2):
            waiting = await trio.open_tcp_stream("127.0.0.1", port)  # before it runs
            with service(tmp_path / "chat.db", listening=listening, environment=handed) as running:
                assert running.port == port
                await Peer(waiting).ask(Ping(), Pong)
                await waiting.aclose()
                running.process.terminate()
                assert running.finish() == 0


@pytest.mark.trio
async def test_socket_is_used_as_the_listener_of_its_name_says(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("[[listen]]\nsystemd = 'chat'\nproxy_from = ['127.0.0.1']\n")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        handed = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "chat"}
        flags = ["--config", str(file)]
        with service(
            tmp_path / "chat.db", *flags, listening=listening, environment=handed
        ) as running:
            stream = await trio.open_tcp_stream("127.0.0.1", running.port)
            await stream.send_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 8889\r\n")
            await Peer(stream).log_in("mei")
            await stream.aclose()
            running.process.terminate()
            assert running.finish() == 0
    assert any('"address": "192.0.2.7"' in line for line in running.log)


@pytest.mark.parametrize("kind", ["missing", "not listening"])
def test_socket_that_cannot_be_used_is_reported(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text("[[listen]]\nsystemd = 'chat'\n")
    with socket.socket() as unready:
        handed = {} if kind == "missing" else {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "chat"}
        given = None if kind == "missing" else unready
        flags = ["--config", str(file)]
        with service(tmp_path / "chat.db", *flags, listening=given, environment=handed) as running:
            assert running.finish() == 2
    expected = "handed over no socket named 'chat'" if kind == "missing" else "ListenStream="
    assert any(expected in line for line in running.log)
