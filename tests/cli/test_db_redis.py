"""``gochat db`` with a store in Redis: its output and its exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import trio
from processes import GOCHAT
from redis_nodes import REDIS_TIMEOUT
from redis_process import RedisServer
from storing import Chat, draft

from gochat.cli import main
from gochat.storage import open_store

pytestmark = pytest.mark.redis


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    """A store in Redis with two people and some messages."""
    url = f"{redis_server.url}?timeout={REDIS_TIMEOUT}&prefix=t{uuid4().hex}"

    async def fill() -> None:
        async with open_store(url) as store:
            chat = Chat(store)
            await chat.register("Mei", "Bob")
            await chat.append(*(draft("Mei", "#lobby", f"{n}") for n in range(98)))

    trio.run(fill)
    return url


def test_backup_check_and_restore(
    url: str, redis_server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, shown = tmp_path / "copy.db", redis_server.url
    assert main(["db", "check", "--store", url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{shown}: 16 partitions; 0 gochat servers use it",
        f"{shown}: sound",
    ]
    assert main(["db", "backup", str(copy), "--store", url]) == 0
    said = capsys.readouterr()
    assert said.out == f"{copy}: a sound copy of {shown}\n"
    assert said.err.splitlines()[-1] == "reading: 100 % (100 of 100 entries and people)"
    assert main(["db", "check", "--store", f"sqlite:///{copy}"]) == 0
    again = f"{url}again"
    assert main(["db", "restore", str(copy), "--store", again]) == 0
    assert main(["db", "check", "--store", again]) == 0
    assert main(["db", "restore", str(copy), "--store", f"sqlite:///{tmp_path / 'file.db'}"]) == 0
    said = capsys.readouterr()
    assert f"{shown}: a sound copy of {copy}; servers can be started on it" in said.out
    assert main(["db", "backup", str(tmp_path / "again.db"), "--store", again]) == 0


def test_restore_replaces_nothing_in_redis(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    assert main(["db", "backup", str(copy), "--store", url]) == 0
    assert main(["db", "restore", str(copy), "--store", url]) == 2
    assert "there is data of gochat" in capsys.readouterr().err
    assert main(["db", "restore", str(copy), "--replace", "--store", url]) == 2
    assert "in Redis nothing is replaced" in capsys.readouterr().err
    assert main(["db", "restore", str(tmp_path / "missing.db"), "--store", f"{url}x"]) == 2
    assert "no such backup" in capsys.readouterr().err


def test_damage_exits_with_3_and_passwords_are_not_printed(
    url: str, redis_server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix, copy = url.rpartition("=")[2], tmp_path / "copy.db"
    with_password = url.replace("://", "://somebody:hunter2@")
    client: Any = redis.Redis(port=redis_server.port)  # whose methods have no useful types
    with closing(client):
        client.execute_command("ACL", "SETUSER", "somebody", "on", ">hunter2", "+@all", "~*")
        for action in (["check"], ["backup", str(copy)], ["restore", str(copy)]):
            where = f"{with_password}new" if action[0] == "restore" else with_password
            assert main(["db", *action, "--store", where]) == 0
        [log] = client.keys(f"{prefix}:*:l:#lobby")
        client.lset(log, 5, "x")
        for action in (["check"], ["backup", str(tmp_path / "other.db")]):
            assert main(["db", *action, "--store", with_password]) == 3
        wrong = with_password.replace("hunter2", "hunter2!")
        for action in (["check"], ["backup", str(copy)], ["restore", str(copy)]):
            assert main(["db", *action, "--store", wrong]) == 2
        client.execute_command("ACL", "DELUSER", "somebody")
    said = capsys.readouterr()
    assert f"{log.decode()}: entry 6 is damaged" in said.out
    assert "is damaged: restore a backup" in said.err
    assert "hunter2" not in said.out + said.err
    assert [file.name for file in tmp_path.iterdir()] == ["copy.db"]


def test_redis_that_is_not_there_exits_with_1(
    redis_server: RedisServer, tmp_path: Path, free_port: object
) -> None:
    assert callable(free_port)
    gone = f"redis://127.0.0.1:{free_port()}"
    for action in (["check"], ["backup", str(tmp_path / "copy.db")]):
        assert main(["db", *action, "--store", gone]) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_backup_leaves_nothing(url: str, tmp_path: Path, how: signal.Signals) -> None:
    """It is interrupted when it has said how far it is."""
    command = [*GOCHAT, "db", "backup", str(tmp_path / "copy.db"), "--store", url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ) as run:
        assert run.stderr is not None
        run.stderr.readline()
        run.send_signal(how)
        code = run.wait()
    left = [file.name for file in tmp_path.iterdir()]
    assert (code, left) in ((128 + how, []), (0, ["copy.db"]))
