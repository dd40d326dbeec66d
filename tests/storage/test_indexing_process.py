"""The process that runs the turns of SQLite's search index while much is said."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import threading
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trio
from damage import overwrite
from indexed_store import (
    damage_page,
    filled,
    index_file,
    indexer_of,
    inside,
    outdated,
    progress,
    tampered,
)
from patience import PATIENCE, until
from store_files import opened
from storing import Chat, Following, draft
from structlog.testing import capture_logs

from gochat.errors import StoreCorrupt
from gochat.storage.indexing.turns import VERSION
from gochat.storage.maintenance import check
from gochat.storage.sqlite import database, indexer, indexing_process
from gochat.storage.sqlite.indexer import Indexer
from gochat.storage.sqlite.indexing_process import IndexingProcess, ProcessEnded
from gochat.storage.sqlite.log import Log
from gochat.storage.sqlite.search_index import IndexDamaged

pytestmark = pytest.mark.trio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the test's database."""
    return tmp_path / "chat.db"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a process from the first turn on, and run turns for few texts."""
    monkeypatch.setattr(indexer, "MANY", 0)
    monkeypatch.setattr(indexer, "SOON", inf)
    monkeypatch.setattr(indexer, "DUE", 4)
    init = Indexer.__init__

    def created(self: Indexer, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self._last_turn = 0.0

    monkeypatch.setattr(Indexer, "__init__", created)


def process_of(chat: Chat) -> IndexingProcess | None:
    return indexer_of(chat)._process


def pid_of(chat: Chat) -> int:
    process = process_of(chat)
    assert process is not None
    return process._process.pid


def is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def said(chat: Chat, what: str, number: int) -> None:
    await chat.append(*(draft("Mei", "#lobby", f"{what} {n}") for n in range(number)))


async def test_process_while_much_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first turn, nor when nobody says anything any more, nor after the end."""
    monkeypatch.setattr(indexer, "SOON", inf)
    monkeypatch.setattr(indexer, "IDLE", 0.05)
    pids = []
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        await said(chat, "first", 300)
        await until(lambda: inside(chat).unindexed == 0)
        assert process_of(chat) is None
        for what in ("second", "third"):
            monkeypatch.setattr(indexer, "IDLE", 1000.0)
            await said(chat, what, 300)
            await until(lambda: inside(chat).unindexed == 0)
            pids.append(pid_of(chat))
            assert await chat.find("Bob", f"{what} 299") == [f"{what} 299"]
            if what == "second":
                monkeypatch.setattr(indexer, "IDLE", 0.05)
                indexer_of(chat)._wake()
                await until(lambda: not is_running(pids[0]))
                assert process_of(chat) is None
        assert is_running(pids[1])
    assert not is_running(pids[1])
    assert progress(path) == (900, 0)
    assert check(path) == []


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("seed", range(2))
async def test_index_is_exact_after_any_turns_and_kills(
    path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The process is killed before it is asked, while it works, and before its reply is read."""
    chance = random.Random(seed)
    send, receive = IndexingProcess._send, IndexingProcess._receive

    def killed(process: IndexingProcess) -> None:
        if chance.random() < 0.2:
            process._process.kill()

    def sending(process: IndexingProcess, request: bytes) -> None:
        killed(process)
        send(process, request)
        killed(process)

    def receiving(process: IndexingProcess) -> bytes:
        reply = receive(process)
        killed(process)
        return reply if process._process.poll() is None else b""

    monkeypatch.setattr(IndexingProcess, "_send", sending)
    monkeypatch.setattr(IndexingProcess, "_receive", receiving)
    monkeypatch.setattr(indexer, "RETRY_PROCESS", 0.0)
    with capture_logs() as logs:
        async with opened(path) as chat:
            await chat.register("Mei", "Bob")
            for number in range(20):
                await said(chat, f"hay {number}", 5)
                await chat.append(
                    draft("Mei", "#lobby", f"needle {number}", kind="edit", ref=6 * number + 1)
                )
                await until(lambda: inside(chat).unindexed < 5 and not outdated(path))
            assert len(await chat.find("Bob", "needle")) == 20
    ended = [entry for entry in logs if entry["event"] == "search index process ended"]
    assert len(ended) > 5
    assert {entry["log_level"] for entry in ended} == {"warning"}
    assert any("status -9" in entry["reason"] for entry in ended)
    assert check(path) == []  # nothing is there twice, either


@pytest.mark.usefixtures("at_once")
async def test_process_that_a_killed_server_left_writes_nothing_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last turn may come at any time before, but not after, the next server begins."""
    monkeypatch.setattr(IndexingProcess, "close", lambda _: None)
    monkeypatch.setattr(Log, "close", Log.abandon)
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        await said(chat, "hay", 10)
        await until(lambda: inside(chat).unindexed == 0)
        left = process_of(chat)
        before = indexer_of(chat)._progress
    assert left is not None
    monkeypatch.undo()
    async with opened(path) as chat:
        with pytest.raises(IndexDamaged):
            left.extend(before, [11], [11], 11)
        await said(chat, "straw", 10)
        assert await chat.find("Bob", "straw 9") == ["straw 9"]
        left.close()
    assert check(path) == []


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false", "/bin/cat", "", None])
async def test_without_a_process_the_thread_does_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    """It is tried once, and said once."""
    monkeypatch.setattr(sys, "executable", program)
    with capture_logs() as logs:
        async with opened(path) as chat:
            await chat.register("Mei", "Bob")
            for what in ("hay", "straw"):
                await said(chat, what, 20)
                await until(lambda: inside(chat).unindexed == 0)
            assert await chat.find("Bob", "straw 19") == ["straw 19"]
            assert process_of(chat) is None
    assert [entry["event"] for entry in logs].count("search index process ended") == 1
    assert check(path) == []


@pytest.mark.usefixtures("at_once")
async def test_signals_for_all_processes_of_a_terminal_or_service_are_the_servers(
    path: Path,
) -> None:
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        await said(chat, "hay", 10)
        await until(lambda: inside(chat).unindexed == 0)
        pid = pid_of(chat)
        assert os.getsid(pid) == pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        await said(chat, "straw", 10)
        await until(lambda: inside(chat).unindexed == 0)
        assert pid_of(chat) == pid
    assert check(path) == []


@pytest.mark.usefixtures("at_once")
async def test_process_that_does_not_reply_is_killed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither searches nor the end of the server wait for it for ever."""
    with capture_logs() as logs:
        async with opened(path) as chat:
            await chat.register("Mei", "Bob")
            await said(chat, "hay", 10)
            await until(lambda: inside(chat).unindexed == 0)
            monkeypatch.setattr(indexing_process, "REPLY_WITHIN", 0.1)
            os.kill(pid_of(chat), signal.SIGSTOP)
            await said(chat, "straw", 10)
            await until(lambda: inside(chat).unindexed == 0)
            assert await chat.find("Bob", "straw 9") == ["straw 9"]
    ended = [entry for entry in logs if entry["event"] == "search index process ended"]
    assert len(ended) == 1
    assert ended[0]["reason"].startswith("it did not reply")
    assert check(path) == []


@pytest.mark.usefixtures("at_once")
async def test_without_a_thread_to_watch_the_process_the_indexers_does_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refused)
    async with opened(path) as chat:
        await chat.register("Mei", "Bob")
        await said(chat, "hay", 20)
        await until(lambda: inside(chat).unindexed == 0)
        assert process_of(chat) is None
    assert check(path) == []


@pytest.mark.usefixtures("at_once")
async def test_what_only_the_process_can_not_write_the_thread_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was made read-only, say: the server has it open since before."""
    reply = json.dumps({"file": "index", "code": sqlite3.SQLITE_READONLY, "text": "read-only"})
    program = path.with_name("program")
    program.write_text(f"#!/bin/sh\nwhile read line; do echo '{reply}'; done\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(indexer, "RETRY", 0.01)
    with capture_logs() as logs:
        async with opened(path) as chat:
            await chat.register("Mei", "Bob")
            for what in ("hay", "straw"):
                await said(chat, what, 20)
                await until(lambda: inside(chat).unindexed == 0)
            assert process_of(chat) is None
    events = [entry["event"] for entry in logs if "index" in entry["event"]]
    assert events == ["search index is behind", "search index follows again"]
    assert check(path) == []


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("is_asked", [True, False])
async def test_closing_does_not_wait_for_a_process_that_hangs(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_asked: bool
) -> None:
    monkeypatch.setattr(indexing_process, "REPLY_WITHIN", 10 * PATIENCE)
    monkeypatch.setattr(indexing_process, "_PATIENCE", 10 * PATIENCE)
    monkeypatch.setattr(indexer, "PROCESS_AT_END", 0.1)
    with trio.fail_after(PATIENCE):
        async with opened(path) as chat:
            await chat.register("Mei", "Bob")
            await said(chat, "hay", 10)
            await until(lambda: inside(chat).unindexed == 0)
            pid = pid_of(chat)
            os.kill(pid, signal.SIGSTOP)
            if is_asked:
                await said(chat, "straw", 10)
    assert not is_running(pid)
    assert progress(path) == (20 if is_asked else 10, 0)
    assert check(path) == []


async def test_program_of_another_version_writes_nothing(path: Path) -> None:
    """As after an update, before the server is started again."""
    await filled(path)
    async with opened(path) as chat:
        with tampered(path) as db:
            db.execute(f"PRAGMA user_version = {VERSION + 1}")
        start = indexer_of(chat)._start_process
        assert start is not None
        process = start()
        with pytest.raises(ProcessEnded, match="the index has version"):
            process.update(indexer_of(chat)._progress)
        process.close()
        with tampered(path) as db:
            db.execute(f"PRAGMA user_version = {VERSION}")


async def test_program_ends_with_its_server(path: Path) -> None:
    """Its input ends however the server does."""
    await filled(path)
    async with opened(path) as chat:
        start = indexer_of(chat)._start_process
        assert start is not None
        process = start()
        assert process._process.stdin is not None
        process._process.stdin.close()
        await until(lambda: process._process.poll() == 0)
        assert process._process.stderr is not None
        assert process._process.stderr.read() == b""
        process.close()


async def test_database_that_was_moved_is_not_read(path: Path) -> None:
    """Another that is there now has other texts."""
    await filled(path)
    async with opened(path) as chat:
        start = indexer_of(chat)._start_process
        assert start is not None
        moved = path.with_name("moved.db")
        path.rename(moved)
        await filled(path.with_name("other.db"))
        path.with_name("other.db").rename(path)
        process = start()
        with pytest.raises(ProcessEnded, match="was moved or replaced"):
            process.extend(indexer_of(chat)._progress, [], [], 300)
        process.close()
        moved.replace(path)


@pytest.mark.usefixtures("at_once")
async def test_damage_that_the_process_finds_costs_no_message(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "RETRY", 0.01)
    await filled(path)
    damage_page(path)
    with capture_logs() as logs:
        async with opened(path) as chat:
            for number in range(12):
                await chat.say("Mei", "#lobby", f"more {number}")
            await until(lambda: progress(path)[0] >= 300)
            assert await chat.find("Bob", "more 11") == ["more 11"]
    assert "search index damaged" in [entry["event"] for entry in logs]
    assert check(path) == []


@pytest.mark.usefixtures("at_once")
async def test_damage_of_the_log_that_the_process_meets_ends_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "QUICK_CHECK_TIMEOUT", -1.0)
    monkeypatch.setattr(database, "QUICK_CHECK_STEPS", 1)
    await filled(path)
    index_file(path).unlink()
    overwrite(path, b"hay 150")
    async with opened(path) as chat:
        with trio.fail_after(PATIENCE), pytest.raises(StoreCorrupt):
            await chat.store.follow(Following())


async def test_memory_needs_no_process() -> None:
    async with opened(Path(":memory:")) as chat:
        assert indexer_of(chat)._start_process is None
