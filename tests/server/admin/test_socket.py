"""The admin socket: who may use it, what it takes, and what a bad client can't do."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import structlog
import trio
from admin_peer import AdminPeer, administered, connected, needs_linux
from msgspec import Struct, structs
from peers import PASSWORD, RunningServer, config, running_server

from gochat.config import Admin
from gochat.errors import ConfigError
from gochat.protocol.messages import LoggedIn, Login
from gochat.server import workers
from gochat.server.admin import admin_socket, wire
from gochat.server.admin.call import Call
from gochat.server.admin.commands import COMMANDS
from gochat.server.admin.handlers import HANDLERS
from gochat.server.admin.place import socket_path

# ruff: noqa: ASYNC240 -- nobody else runs

pytestmark = [pytest.mark.trio, needs_linux]

NOBODY = 65534


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[tuple[RunningServer, AdminPeer]]:
    async with administered(tmp_path) as both:
        yield both


async def test_requests_get_replies_in_order(serving: tuple[RunningServer, AdminPeer]) -> None:
    server, admin = serving
    async with server.peer("Mei"):
        line = json.dumps({"command": "account show", "arguments": {"name": "mei"}})
        other = json.dumps({"command": "account show", "arguments": {"name": "nobody"}})
        await admin.stream.send_all(f"{line}\n{other}\n{line[:9]}".encode())
        first, second = await admin.line(), await admin.line()
        third = await admin.send(line[9:])
    assert (first["ok"], first["result"]["name"], third["ok"]) == (True, "Mei", True)
    assert second == {
        "ok": False,
        "error": {
            "code": "unknown_person",
            "text": "no account is named 'nobody': `account list --matching` finds names",
        },
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("", "bad_request"),
        ("\x00\xff", "bad_request"),
        ("[1]", "bad_request"),
        ('{"command": 1}', "bad_request"),
        ('{"command": "account show", "arguments": {}}', "bad_request"),
        ('{"command": "account show", "arguments": {"name": 3}}', "bad_request"),
        ('{"command": "account show", "arguments": {"name": "mei", "more": 1}}', "bad_request"),
        ('{"command": "account show", "arguments": {"name": ""}}', "bad_name"),
        ('{"command": "account list", "arguments": {"limit": 0}}', "bad_request"),
        ('{"command": "audit", "reason": "' + "x" * 501 + '"}', "bad_request"),
        ('{"command": "account burn"}', "unknown_type"),
        ("[" * 5000, "bad_request"),
    ],
)
async def test_invalid_request_is_refused_and_the_connection_goes_on(
    serving: tuple[RunningServer, AdminPeer], line: str, code: str
) -> None:
    _, admin = serving
    reply = await admin.send(line)
    assert (reply["ok"], reply["error"]["code"]) == (False, code)
    assert reply["error"]["text"]
    assert await admin.ask("account list") == {"accounts": [], "next": ""}


@pytest.mark.parametrize("end", ["", "\n"])
async def test_line_that_is_too_long_ends_the_connection(
    serving: tuple[RunningServer, AdminPeer], end: str
) -> None:
    _, admin = serving
    await admin.stream.send_all(b"x" * (wire.MAX_REQUEST + 1) + end.encode())
    assert (await admin.line())["error"]["code"] == "frame_too_large"
    with pytest.raises((trio.EndOfChannel, trio.BrokenResourceError)):
        await admin.line()


async def test_longest_line_is_read() -> None:
    lines = wire.LineDecoder(8)
    for piece in (b"1234", b"5678", b"\nab\n"):
        lines.receive_data(piece)
    assert [lines.next_line() for _ in range(3)] == [b"12345678", b"ab", None]


async def test_idle_connections_make_room(
    tmp_path: Path, serving: tuple[RunningServer, AdminPeer]
) -> None:
    _, oldest = serving
    async with trio.open_nursery() as nursery:

        async def hold(*, task_status: trio.TaskStatus[None]) -> None:
            async with connected(tmp_path / "admin") as idle:
                await idle.ask("account list")
                task_status.started()
                await trio.sleep_forever()

        for _ in range(2 * admin_socket.MAX_CONNECTIONS):
            await nursery.start(hold)
        with pytest.raises((trio.EndOfChannel, trio.BrokenResourceError)):
            await oldest.line()
        nursery.cancel_scope.cancel()


async def test_silent_client_is_left_after_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_socket, "TIMEOUT", 0.01)
    async with administered(tmp_path) as (_, admin):
        with pytest.raises((trio.EndOfChannel, trio.BrokenResourceError)):
            await admin.line()


async def test_who_takes_no_replies_is_left_after_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with administered(tmp_path) as (server, admin):
        await admin.ask("account list")
        monkeypatch.setattr(admin_socket, "TIMEOUT", 0.1)
        line = json.dumps({"command": "x" * 60}).encode() + b"\n"

        async def send_for_ever() -> None:
            while True:
                await admin.stream.send_all(line * 1000)

        with pytest.raises(trio.BrokenResourceError):
            await send_for_ever()
        async with server.peer("Mei"):
            pass


async def test_socket_is_for_its_owner_only(
    tmp_path: Path, serving: tuple[RunningServer, AdminPeer]
) -> None:
    assert stat.S_IMODE((tmp_path / "admin").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_other_user_is_refused_and_logged() -> None:
    """Also if the mode of the socket lets them connect."""
    with TemporaryDirectory() as place, structlog.testing.capture_logs() as logs:
        Path(place).chmod(0o755)
        async with administered(Path(place)) as (server, _):
            (Path(place) / "admin").chmod(0o666)
            child = (
                "import os, socket\n"
                f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
                "one = socket.socket(socket.AF_UNIX)\n"
                f"one.connect({place!r} + '/admin')\n"
                'one.sendall(b\'{"command": "account list"}\\n\')\n'
                "print(one.makefile().read())\n"
            )
            done = await trio.run_process(
                [sys.executable, "-c", child], capture_stdout=True, cwd="/"
            )
            reply = json.loads(done.stdout)
            assert (reply["ok"], reply["error"]["code"]) == (False, "not_permitted")
            async with server.peer("Mei"):
                pass
    assert [log["uid"] for log in logs if log["event"] == "admin connection refused"] == [NOBODY]


@pytest.mark.parametrize("mode", [0o777, 0o720])
async def test_socket_is_not_opened_where_others_can_replace_it(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match="others can write there"), flatten_subgroups=True
    ):
        async with administered(tmp_path):
            pass


async def test_default_is_beside_the_store_and_left_out_if_it_fails(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'chat.db'}"
    assert socket_path(config(store=store)) == tmp_path / "chat.db.admin"
    assert socket_path(config()) is None
    redis = socket_path(config(store="redis://localhost"))
    assert redis is not None
    assert redis.name == "redis.admin"
    (tmp_path / "chat.db.admin").write_text("mine")
    with structlog.testing.capture_logs() as logs:
        async with running_server(config(store=store)) as server, server.peer("Mei"):
            pass
    (warning,) = [log for log in logs if log["event"] == "admin socket unavailable"]
    assert "not a socket" in warning["reason"]
    assert (tmp_path / "chat.db.admin").read_text() == "mine"


async def test_of_several_workers_the_first_has_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = structs.replace(config(), admin=Admin(socket=str(tmp_path / "admin")))
    for worker, has_it in (("1", True), ("2", False)):
        monkeypatch.setenv(workers.VARIABLE, worker)
        with admin_socket.opened(configuration) as listener:
            assert (listener is not None, (tmp_path / "admin").exists()) == (has_it, has_it)
            if listener is not None:
                await listener.aclose()


async def test_socket_of_a_killed_server_is_replaced(tmp_path: Path) -> None:
    leave = f"import socket; socket.socket(socket.AF_UNIX).bind({str(tmp_path / 'admin')!r})"
    await trio.run_process([sys.executable, "-c", leave])
    async with administered(tmp_path) as (_, admin):
        assert await admin.ask("account list")
    assert not (tmp_path / "admin").exists()


async def test_bug_in_a_command_is_logged_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(call: Call, _: object) -> Struct:
        await call.record("mei")
        raise ZeroDivisionError

    broken = dict(HANDLERS) | {"bot on": fail}
    monkeypatch.setattr(admin_socket.AdminSocket.__init__, "__defaults__", (broken,))
    async with administered(tmp_path) as (_, admin):
        with structlog.testing.capture_logs() as logs:
            assert await admin.refused("bot on", name="mei") == "internal"
        failed, tried = (await admin.ask("audit"))["acts"]
    assert "admin command failed" in [log["event"] for log in logs]
    assert (tried["act"], tried["subject"], tried["detail"]) == ("bot on", "mei", "")
    assert failed["detail"].startswith("FAILED: ")


async def test_each_command_has_a_handler() -> None:
    assert COMMANDS.keys() == HANDLERS.keys()


async def test_people_log_in_while_the_socket_is_flooded(
    serving: tuple[RunningServer, AdminPeer], tmp_path: Path
) -> None:
    server, _ = serving
    async with trio.open_nursery() as nursery:

        async def flood() -> None:
            async with connected(tmp_path / "admin") as peer:
                while True:
                    await peer.refused("account show", name="nobody")

        async with server.peer("Mei") as mei:
            for _ in range(8):
                nursery.start_soon(flood)
            for _ in range(10):
                async with server.connect() as peer:
                    await peer.ask(Login(name=mei.name, password=PASSWORD), LoggedIn)
        nursery.cancel_scope.cancel()
