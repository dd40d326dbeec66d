"""`gochat check` succeeds when people can log in and write, and fails when they can't."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from peers import PASSWORD, RunningServer, config, running_server
from processes import GOCHAT
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.cli import main
from gochat.cli.check import VARIABLE
from gochat.protocol.messages import History, HistoryPage, Ping, Pong

pytestmark = pytest.mark.trio


async def check(port: int, *flags: str, password: str = PASSWORD) -> tuple[int, str]:
    """Run the command; return its exit code and its output."""
    done = await trio.run_process(
        [*GOCHAT, "check", f"gochat://127.0.0.1:{port}", "--timeout=60", *flags],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={**os.environ, VARIABLE: password},
    )
    said = (done.stdout + done.stderr).decode()
    assert "Traceback" not in said
    return done.returncode, said


async def register(server: RunningServer) -> None:
    async with server.connect() as peer:
        await peer.register("monitor")


async def test_repeated_checks_leave_one_message(
    tmp_path: Path,
) -> None:
    file = tmp_path / "password"
    async with running_server() as server:
        await register(server)
        for text in (f"{PASSWORD}\n", f"\ufeff{PASSWORD}\r\n"):  # as editors on Windows save it
            file.write_text(text, encoding="utf-8", newline="")
            code, said = await check(server.port, f"--password-file={file}", password="")
            assert code == 0, said
            assert said.startswith("ok: monitor logged in and wrote at 127.0.0.1")
        async with server.peer("monitor") as monitor:
            page = await monitor.ask(History(conv="@monitor"), HistoryPage)
            assert [entry.text for entry in page.entries] == ["gochat check"]


async def test_check_fails_without_a_server_or_with_a_refused_account() -> None:
    async with running_server() as server:
        await register(server)
        code, said = await check(server.port, password="wrong horse")
        assert code == 1
        assert "password" in said
        port = server.port
    code, said = await check(port)
    assert code == 1
    assert str(port) in said


@pytest.mark.parametrize("flags", [[], ["--password-file=missing"]])
async def test_check_without_a_password_is_a_usage_error(flags: list[str]) -> None:
    code, said = await check(1, *flags, password="")
    assert code == 2
    assert "--password-file" in said


async def test_check_fails_while_the_database_is_locked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "chat.db"
    async with running_server(config(store=f"sqlite:///{path}")) as server:
        await register(server)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            code, said = await check(server.port)
            async with server.connect() as peer:
                await peer.ask(Ping(), Pong)
            assert code == 1
            assert "the server's database is in use by another program" in said
        assert (await check(server.port))[0] == 0


async def test_check_fails_while_redis_is_dead(
    start_redis: Callable[..., RedisServer],
) -> None:
    redis = start_redis("--appendonly", "yes")
    async with running_server(config(store=Nodes(redis).url())) as server:
        await register(server)
        assert (await check(server.port))[0] == 0
        redis.kill()
        code, said = await check(server.port)
        async with server.connect() as peer:
            await peer.ask(Ping(), Pong)
        assert code == 1
        assert "the server's store can't be reached" in said


async def test_check_of_a_frozen_server_times_out() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        code, said = await check(listener.socket.getsockname()[1], "--timeout=0.3")
    assert code == 1
    assert "within 0.3 s" in said


async def test_check_warns_of_plain_text_across_a_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("anyio.run", lambda *_, **__: None)
    monkeypatch.setenv(VARIABLE, PASSWORD)
    assert main(["check", "gochat://chat.example"]) == 0
    assert "chat.example:8889 is not encrypted" in capsys.readouterr().err
    for url in ("chat.example", "gochats://chat.example", "127.0.0.1"):
        assert main(["check", url]) == 0
        assert not capsys.readouterr().err
