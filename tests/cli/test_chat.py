"""``gochat chat``: a server for the app, for exactly as long as the app lives."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace as replace_field
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace
from patience import PATIENCE, wait_for
from peers import requests_in
from processes import serve

from gochat.cli import chat, main, tui
from gochat.cli.chat import running_server, why_not_own
from gochat.client.address import Address
from gochat.errors import GochatError
from gochat.private import make_directory, replace_file
from gochat.protocol.codec import encode
from gochat.protocol.messages import Error, Ping, Pong
from gochat.protocol.proof import new_key, prove

HOST = "127.0.0.1"


def flags(port: int, tmp_path: Path) -> list[str]:
    return ["--port", str(port), "--store", f"sqlite:///{tmp_path / 'chat.db'}"]


def own(port: int) -> Address:
    """Return the address of this user's own server on `port`."""
    return Address(HOST, port, tls=False, key_file=chat._key_file(port))


def listens(port: int) -> bool:
    """Return whether a server answers there: one that is just ending accepts connections but is
    silent."""
    try:
        socket.create_connection((HOST, port), PATIENCE).close()
    except OSError:
        return False
    return True


def test_server_is_started_and_ends_with_the_app(
    free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    assert why_not_own(own(port))
    with running_server(own(port), flags(port, tmp_path)):
        assert not why_not_own(own(port))
    assert why_not_own(own(port))


def test_new_chat_is_reported_once_on_standard_error(
    free_port: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Otherwise a mistyped path would silently become an empty chat."""
    monkeypatch.setattr(tui, "run", lambda _: 0)
    assert main(["chat", *flags(free_port(), tmp_path)]) == 0
    assert capsys.readouterr() == ("", f"gochat: starting a new chat in {tmp_path / 'chat.db'}\n")
    assert main(["chat", *flags(free_port(), tmp_path)]) == 0
    assert capsys.readouterr() == ("", "")


def test_server_ends_when_the_app_fails(free_port: Callable[[], int], tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(ZeroDivisionError), running_server(own(port), flags(port, tmp_path)):
        raise ZeroDivisionError
    assert why_not_own(own(port))


def test_running_own_server_is_used_and_left_running(
    free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    with running_server(own(port), flags(port, tmp_path)):
        with running_server(own(port), ["--no-such-flag"]):
            assert not why_not_own(own(port))
        assert not why_not_own(own(port))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_server_ends_when_the_app_is_killed(
    name: str, free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    program = (
        "import time\n"
        "from pathlib import Path\n"
        "from gochat.cli.chat import running_server\n"
        "from gochat.client.address import Address\n"
        f"server = Address({HOST!r}, {port}, False, Path({str(chat._key_file(port))!r}))\n"
        f"with running_server(server, {flags(port, tmp_path)!r}):\n"
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
    wait_for(lambda: not listens(port), "the server's end")


def test_unavailable_store_is_reported_at_once(free_port: Callable[[], int]) -> None:
    port, store = free_port(), f"redis://127.0.0.1:{free_port()}"
    flags = ["--host", HOST, "--port", str(port), "--store", store]
    with (
        pytest.raises(GochatError, match=r"did not start: Redis at .*: start Redis"),
        running_server(own(port), flags),
    ):
        pass


def test_reason_of_a_failed_start_is_reported(free_port: Callable[[], int], tmp_path: Path) -> None:
    port = free_port()
    with (
        pytest.raises(GochatError, match=r"did not start: --set limits\.burst: expected"),
        running_server(own(port), ["--port", str(port), "--set", "limits.burst=many"]),
    ):
        pass


@contextmanager
def stranger(answer: Callable[[bytes], bytes]) -> Iterator[tuple[int, bytearray]]:
    """Listen, answer, and record everything received."""
    received = bytearray()
    with closing(socket.create_server((HOST, 0))) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    while data := connection.recv(65536):
                        received.extend(data)
                        connection.sendall(answer(data))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], received
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def test_stranger_on_the_port_gets_neither_token_nor_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It gets not one byte, and the person learns what to do."""
    monkeypatch.setattr(tui, "run", lambda _: pytest.fail("the app was started"))
    with stranger(lambda _: encode(Pong())) as (port, received):
        assert main(["chat", "--port", str(port)]) == 1
        told = capsys.readouterr().err
        assert f"port {port} is in use, but what answers there did not prove to be your own" in told
        assert f"gochat tui {HOST}:{port}" in told
        assert "not running" not in told
        assert "gochat chat --port" in told
        assert not received


@pytest.mark.parametrize("answers", ["pong", "made-up proof", "nothing"])
def test_stranger_in_place_of_the_own_server_gets_only_a_challenge(answers: str) -> None:
    """The key of a server that was killed is still there, and another program has its port."""

    def answer(data: bytes) -> bytes:
        [ping] = requests_in(data)
        pong = Pong(request_id=ping.request_id)
        match answers:
            case "made-up proof":
                pong = replace(pong, proof=prove(new_key(), "a challenge"))
            case "nothing":
                return encode(Error(request_id=ping.request_id, code="bad_request", text="no"))
        return encode(pong)

    with stranger(answer) as (port, received):
        key_file = chat._key_file(port)
        make_directory(key_file.parent)
        replace_file(key_file, new_key())
        with pytest.raises(GochatError, match="in use"), running_server(own(port), []):
            pass
        [request] = requests_in(bytes(received))
        assert isinstance(request, Ping)


def test_gochat_serve_of_another_user_is_a_stranger(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        with (
            pytest.raises(GochatError, match="did not prove to be your own server"),
            running_server(own(running.port), []),
        ):
            pass
        assert why_not_own(own(running.port))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_person_can_use_key_log_and_directories(
    free_port: Callable[[], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the umask, and whatever was there before."""
    port = free_port()
    key_file, log = chat._key_file(port), chat._log_path(port)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("of an earlier version")
    log.chmod(0o644)
    log.parent.chmod(0o755)
    before = os.umask(0)
    try:
        with running_server(own(port), flags(port, tmp_path)):
            modes = {
                path: stat.S_IMODE(path.stat().st_mode)
                for path in (key_file, key_file.parent, log, log.parent)
            }
    finally:
        os.umask(before)
    assert list(modes.values()) == [0o600, 0o700, 0o600, 0o700]
    assert (
        f"{log.parent} was open to other users: now only you can use it" in capsys.readouterr().err
    )
    assert not key_file.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_log_that_is_a_symlink_is_not_followed(
    free_port: Callable[[], int], tmp_path: Path
) -> None:
    port, target = free_port(), tmp_path / "precious"
    target.write_text("precious")
    log = chat._log_path(port)
    make_directory(log.parent)
    log.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"), running_server(own(port), []):
        pass
    assert target.read_text() == "precious"


def test_server_logs_go_to_a_file_not_over_the_app(
    free_port: Callable[[], int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with running_server(own(port), flags(port, tmp_path)):
        pass
    assert capfd.readouterr() == ("", "")
    log = Path(os.environ["XDG_STATE_HOME"]) / "gochat" / "log" / f"server-{port}.log"
    if sys.platform == "linux":  # other systems have other paths
        assert "listening" in log.read_text()


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "0.0.0.0"])
def test_app_connects_to_the_server_of_this_machine(
    listens_on: str,
    free_port: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At an address that can be connected to, even if the server listens on all addresses."""
    port = free_port()
    config = tmp_path / "server.toml"
    config.write_text(f"host = '{listens_on}'\n")
    seen: list[tuple[str, bool]] = []

    def run_app(args: argparse.Namespace) -> int:
        seen.append((args.url, True))
        return 5

    @contextmanager
    def running(server: Address, flags: list[str]) -> Iterator[None]:
        assert flags == [
            "--port",
            str(port),
            "--store",
            "sqlite:///:memory:",
            "--config",
            str(config),
        ]
        seen.append((server.host, False))
        yield

    monkeypatch.setattr(tui, "run", run_app)
    monkeypatch.setattr(chat, "running_server", running)
    argv = ["chat", "--port", str(port), "--store", "sqlite:///:memory:", "--config", str(config)]
    assert main(argv) == 5
    assert seen == [(HOST, False), (own(port).url, True)]


def test_encrypted_own_server_is_recognised(free_port: Callable[[], int], tmp_path: Path) -> None:
    """Even if its certificate is for a name by which this machine is not reached."""
    authority = trustme.CA()
    pem = str(tmp_path / "both.pem")
    authority.issue_cert("chat.example").private_key_and_cert_chain_pem.write_to_path(pem)
    port = free_port()
    encrypted = replace_field(own(port), tls=True)
    tls = ["--tls-cert", pem, "--tls-key", pem]
    with running_server(encrypted, [*flags(port, tmp_path), *tls]):
        assert not why_not_own(encrypted)
        assert why_not_own(own(port))
