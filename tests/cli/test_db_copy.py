"""``gochat db copy``: its output and its exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
import trio
from patience import PATIENCE
from processes import GOCHAT, serve
from redis_nodes import REDIS_TIMEOUT
from redis_process import RedisServer
from storing import Chat, Clock, draft

from gochat.cli import main
from gochat.cli.progress import shown
from gochat.storage import open_store
from gochat.storage.transfer import copy as copying


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with two people and some messages."""
    path = tmp_path / "chat.db"

    async def fill() -> None:
        async with open_store(f"sqlite:///{path}", clock=Clock()) as store:
            chat = Chat(store)
            await chat.register("Mei", "Bob")
            await chat.append(*(draft("Mei", "#lobby", f"{n}") for n in range(98)))

    trio.run(fill)
    return path


def test_copy_reports_what_was_copied_and_compared(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy.db"
    assert main(["db", "copy", f"sqlite:///{store}", f"sqlite:///{target}"]) == 0
    said = capsys.readouterr()
    lines = [line.split() for line in said.out.splitlines()]
    assert [(line[0], line[1]) for line in lines[:10]] == [
        ("conversations", "1"),
        ("entries", "98"),
        ("memberships", "0"),
        ("accounts", "2"),
        ("sessions", "0"),
        ("acts", "0"),
        ("invitations", "0"),
        ("networks", "0"),
        ("reports", "0"),
        ("rules", "0"),
    ]
    assert all(line[3:] == ["the", "same", "in", "both"] for line in lines[:10])
    assert said.out.splitlines()[10:] == [
        "of the entries: 98 text",
        "copied, and compared: a server can be started on it",
    ]
    assert said.err.splitlines() == [
        "copying: 90 % (98 of 100 entries and people)",
        "copying: 100 % (100 of 100 entries and people)",
        "comparing: 90 % (98 of 100 entries and people)",
        "comparing: 100 % (100 of 100 entries and people)",
    ]
    assert main(["db", "check", "--store", f"sqlite:///{target}"]) == 0


@pytest.mark.redis
def test_copy_to_redis_prints_no_password(
    store: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{redis_server.url}?timeout={REDIS_TIMEOUT}&prefix=clicopy"
    assert main(["db", "copy", f"sqlite:///{store}", url]) == 0
    wrong = url.replace("redis://", "redis://somebody:hunter2@")
    assert main(["db", "copy", f"sqlite:///{store}", wrong]) != 0
    assert main(["db", "copy", f"sqlite:///{store}", url]) == 2
    said = capsys.readouterr()
    assert "there is data of gochat" in said.err.splitlines()[-1]
    assert "hunter2" not in said.out + said.err


def test_url_can_be_in_a_file(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "source.url").write_text(f"sqlite:///{store}\n")
    target = tmp_path / "copy.db"
    assert main(["db", "copy", f"@{tmp_path / 'source.url'}", f"sqlite:///{target}"]) == 0
    assert target.exists()
    assert main(["db", "copy", f"@{tmp_path / 'missing'}", f"sqlite:///{target}"]) == 2
    assert "missing" in capsys.readouterr().err


def test_interrupted_copy_says_how_to_resume_and_resumes(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(copying, "BATCH", 10)
    command = ["db", "copy", f"sqlite:///{store}", f"sqlite:///{tmp_path / 'copy.db'}"]
    has_ended = False

    def advance(_: object, what: str, done: int, total: int) -> None:
        nonlocal has_ended
        del what, total
        if done == 50 and not has_ended:
            has_ended = True
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("gochat.cli.progress._Lines.__call__", advance)
    assert main(command) == 130
    assert capsys.readouterr().err == (
        "gochat: not finished; the same command again goes on from here\n"
    )
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "50 entries were there from before it was interrupted"
    )


def test_store_in_use_by_a_server_exits_with_1(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(store):
        target = tmp_path / "copy.db"
        assert main(["db", "copy", f"sqlite:///{store}", f"sqlite:///{target}"]) == 1
    said = capsys.readouterr()
    assert "stop it first" in said.err
    assert len(said.err.splitlines()) == 1
    assert not target.exists()


def test_existing_target_exits_with_2_and_is_unchanged(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy.db"
    target.write_text("something of mine")
    assert main(["db", "copy", f"sqlite:///{store}", f"sqlite:///{target}", "--restart"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert target.read_text() == "something of mine"


@pytest.mark.parametrize("source", ["sqlite:///missing.db", "sqlite://", "mysql://x", "chat.db"])
def test_source_that_is_not_a_store_exits_with_2(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "copy", source, f"sqlite:///{tmp_path / 'copy.db'}"]) == 2
    assert capsys.readouterr().err.startswith("gochat: ")
    assert list(tmp_path.iterdir()) == []


def test_damaged_source_exits_with_3(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = bytearray(store.read_bytes())
    raw[12_288:20_480] = bytes(8192)
    store.write_bytes(raw)
    target = tmp_path / "copy.db"
    assert main(["db", "copy", f"sqlite:///{store}", f"sqlite:///{target}"]) == 3
    assert "damaged" in capsys.readouterr().err
    assert not target.exists()


def test_terminal_gets_a_progress_bar_and_its_cursor_back(store: Path, tmp_path: Path) -> None:
    import pty

    master, slave = pty.openpty()
    command = [*GOCHAT, "db", "copy", f"sqlite:///{store}", f"sqlite:///{tmp_path / 'copy.db'}"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, env=environment) as run:
        os.close(slave)
        shown_there = b""
        try:
            while block := os.read(master, 4096):
                shown_there += block
        except OSError:
            pass  # how Linux reports that no writer is left
        finally:
            os.close(master)
        assert run.wait(PATIENCE) == 0
    assert "copying" in shown_there.decode()
    assert "100%" in shown_there.decode()
    assert "━" in shown_there.decode()
    assert shown_there.rindex(b"\x1b[?25h") > shown_there.rindex(b"\x1b[?25l")


def test_progress_without_work_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("things") as advance:
        advance("copying", 0, 0)
    assert capsys.readouterr().err == "copying: 100 % (0 of 0 things)\n"
