"""Restoring a backup, also when that fails."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from store_files import Crash, crash, epoch, opened, texts

from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage.maintenance import backup
from gochat.storage.restore import restore
from gochat.storage.sqlite import database, files, history

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(os.name != "posix", reason="Windows moves no file that is open"),
]


# -- restoring -------------------------------------------------------------------------------------


@pytest.fixture
async def saved(path: Path, tmp_path: Path) -> Path:
    """A backup of the store, to which then more messages are added."""
    saved = tmp_path / "saved.db"
    backup(path, saved)
    async with opened(path) as chat:
        await chat.say("Mei", "#lobby", "after the backup")
    return saved


def _files(directory: Path) -> dict[str, bytes]:
    return {
        file.name: file.read_bytes()
        for file in directory.iterdir()
        if not file.name.endswith(".lock")
    }


async def test_restore_with_replace_keeps_the_old_store_whole(path: Path, saved: Path) -> None:
    before = _files(path.parent)
    with pytest.raises(ConfigError, match="--replace"):
        restore(saved, path, replace=False)
    assert _files(path.parent) == before
    old = await epoch(path)
    crash(path)  # so that there is a write-ahead log to keep, too
    files.beside(path, ".restoring").write_bytes(b"of a restore that was killed")
    kept = restore(saved, path, replace=True)
    assert kept is not None
    assert await texts(path) == ["hello"]
    assert await epoch(path) != old
    assert await texts(kept) == ["hello", "after the backup"]
    assert len({old, await epoch(path), await epoch(kept)}) == 3


async def test_restore_does_not_touch_a_store_in_use(path: Path, saved: Path) -> None:
    async with opened(path) as chat:
        with pytest.raises(StoreUnavailable, match="in use"):
            restore(saved, path, replace=True)
        await chat.say("Mei", "#lobby", "goes on")
    async with opened(saved):
        with pytest.raises(StoreUnavailable, match="in use"):
            restore(saved, path.with_name("other.db"), replace=False)
    with pytest.raises(ConfigError, match="the store itself"):
        restore(path, path, replace=True)
    with pytest.raises(ConfigError, match="no such backup"):
        restore(path.with_name("missing.db"), path, replace=True)
    assert await texts(path) == ["hello", "after the backup", "goes on"]


async def test_damaged_backup_and_full_disk_change_nothing(
    path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(path.parent)
    raw = bytearray(saved.read_bytes())
    raw[8192:12288] = bytes(4096)
    damaged = saved.with_name("damaged.db")
    damaged.write_bytes(raw)
    with pytest.raises(StoreCorrupt):
        restore(damaged, path, replace=True)
    assert _files(path.parent) == before

    connect = database.connect

    def small(path: Path | None, access: database.Access = "rw") -> sqlite3.Connection:
        db = connect(path, access)
        if access == "rw":
            db.execute("PRAGMA max_page_count = 10")
        return db

    monkeypatch.setattr(database, "connect", small)
    with pytest.raises(StoreUnavailable, match="full"):
        restore(saved, path, replace=True)
    assert _files(path.parent) == before
    with pytest.raises(StoreUnavailable, match="full"):
        backup(path, path.with_name("new.db"))
    assert _files(path.parent) == before


@pytest.mark.parametrize("step", range(6))
async def test_interrupted_restore_leaves_one_of_the_two_stores(
    path: Path, saved: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is started then: the old store, the backup with a new epoch, or nothing, for a
    stated reason. Never an empty chat."""
    old = await epoch(path)
    crash(path)
    done = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            nonlocal done
            if done == step:
                raise Crash
            done += 1
            return original(*arguments)

        return call

    for owner, name in ((history, "forget"), (os, "link"), (Path, "replace")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    try:
        restore(saved, path, replace=True)
    except Crash:
        pass
    else:
        assert done == step, "there are more steps to be cut at"
    monkeypatch.undo()
    if path.stat().st_nlink > 1:  # the old store, part of which may have been moved already
        with pytest.raises(ConfigError, match="more than one name"):
            async with opened(path):
                pass
        restore(saved, path, replace=True)
    said, now = await texts(path), await epoch(path)
    if now == old:
        assert said == ["hello", "after the backup"]
    assert said in (["hello"], ["hello", "after the backup"])
