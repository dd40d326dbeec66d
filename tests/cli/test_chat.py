"""``gochat chat``: a server for the app, for exactly as long as the app lives."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trustme
from patience import PATIENCE
from processes import serve

from gochat.cli import chat, main, tui
from gochat.cli.chat import answers, running_server
from gochat.errors import GochatError

HOST = "127.0.0.1"


def flags(port: int, tmp_path: Path) -> list[str]:
    return ["--port", str(port), "--store", f"sqlite:///{tmp_path / 'chat.db'}"]


def listens(port: int) -> bool:
    """Return whether anybody does: who is just ending takes connections and answers nothing."""
    try:
        socket.create_connection((HOST, port), PATIENCE).close()
    except OSError:
        return False
    return True


def test_server_is_started_and_ends_with_the_app(
    free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    assert not answers(HOST, port)
    with running_server(HOST, port, flags(port, tmp_path)):
        assert answers(HOST, port)
    assert not answers(HOST, port)


def test_new_chat_is_reported_once_on_standard_error(
    free_port: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A mistyped path would be an empty chat, with nobody the wiser."""
    monkeypatch.setattr(tui, "run", lambda _: 0)
    assert main(["chat", *flags(free_port(), tmp_path)]) == 0
    assert capsys.readouterr() == ("", f"gochat: a new chat begins, in {tmp_path / 'chat.db'}\n")
    assert main(["chat", *flags(free_port(), tmp_path)]) == 0
    assert capsys.readouterr() == ("", "")


def test_server_ends_also_when_the_app_fails(free_port: Callable[[], int], tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(ZeroDivisionError), running_server(HOST, port, flags(port, tmp_path)):
        raise ZeroDivisionError
    assert not answers(HOST, port)


def test_server_that_runs_already_is_used_and_left_running(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        with running_server(HOST, running.port, ["--no-such-flag"]):
            assert answers(HOST, running.port)
        assert answers(HOST, running.port)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_server_ends_also_when_the_app_is_killed(
    name: str, free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    program = (
        "import time\n"
        "from gochat.cli.chat import running_server\n"
        f"with running_server({HOST!r}, {port}, {flags(port, tmp_path)!r}):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as app:
        try:
            assert app.stdout is not None
            assert app.stdout.readline() == b"ready\n"
            app.send_signal(signal.Signals[name])
            app.wait(PATIENCE)
        finally:
            app.kill()
    deadline = time.monotonic() + PATIENCE
    while listens(port):
        assert time.monotonic() < deadline, "the server outlives its app"
        time.sleep(0.05)


def test_store_that_is_not_up_is_said_at_once(free_port: Callable[[], int]) -> None:
    port, store = free_port(), f"redis://127.0.0.1:{free_port()}"
    flags = ["--host", HOST, "--port", str(port), "--store", store]
    with (
        pytest.raises(GochatError, match=r"did not start: Redis at .*: start Redis"),
        running_server(HOST, port, flags),
    ):
        pass


def test_why_the_server_did_not_start_is_said(free_port: Callable[[], int], tmp_path: Path) -> None:
    port = free_port()
    with (
        pytest.raises(GochatError, match=r"did not start: --set limits\.burst: expected"),
        running_server(HOST, port, ["--port", str(port), "--set", "limits.burst=many"]),
    ):
        pass


@contextmanager
def stranger(reply: bytes) -> Iterator[int]:
    """Something that listens and says `reply`, on a port of its own."""
    with closing(socket.create_server((HOST, 0))) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x02{}"])
def test_something_else_on_the_port_is_not_taken_for_a_server(reply: bytes) -> None:
    with stranger(reply) as port, pytest.raises(GochatError, match=f"port {port} is in use"):
        answers(HOST, port)


def test_logs_of_the_server_go_to_a_file_and_not_over_the_app(
    free_port: Callable[[], int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with running_server(HOST, port, flags(port, tmp_path)):
        pass
    assert capfd.readouterr() == ("", "")
    log = Path(os.environ["XDG_STATE_HOME"]) / "gochat" / "log" / f"server-{port}.log"
    if sys.platform == "linux":  # elsewhere it is somewhere else
        assert "listening" in log.read_text()


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "0.0.0.0"])
def test_app_is_sent_to_the_server_of_this_machine(
    listens_on: str,
    free_port: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By an address that can be connected to, also where the server listens on all."""
    port = free_port()
    config = tmp_path / "server.toml"
    config.write_text(f"host = '{listens_on}'\n")
    seen: list[tuple[str, bool]] = []

    def run_app(args: argparse.Namespace) -> int:
        seen.append((args.url, True))
        return 5

    @contextmanager
    def running(host: str, port: int, flags: list[str], **_: object) -> Iterator[None]:
        assert flags == [
            "--port",
            str(port),
            "--store",
            "sqlite:///:memory:",
            "--config",
            str(config),
        ]
        seen.append((host, False))
        yield

    monkeypatch.setattr(tui, "run", run_app)
    monkeypatch.setattr(chat, "running_server", running)
    argv = ["chat", "--port", str(port), "--store", "sqlite:///:memory:", "--config", str(config)]
    assert main(argv) == 5
    assert seen == [(HOST, False), (f"gochat://{HOST}:{port}", True)]


def test_encrypted_server_is_recognised_as_what_it_is(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem = str(tmp_path / "both.pem")
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(pem)
    with serve(tmp_path / "chat.db", "--tls-cert", pem, "--tls-key", pem) as running_one:
        assert answers(HOST, running_one.port, is_encrypted=True)
        with pytest.raises(GochatError, match="no gochat server answers"):
            answers(HOST, running_one.port)
