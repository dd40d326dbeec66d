"""Which history a file has when a server starts on it: the old one, or a new one."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from store_files import Crash, crash, epoch, kinds, opened, run_python, serving
from storing import Chat, person
from structlog.testing import capture_logs

from gochat.errors import ChatError, StoreUnavailable
from gochat.storage.maintenance import backup, check, states
from gochat.storage.restore import restore
from gochat.storage.sqlite import files, history
from gochat.storage.transfer.copy import copy

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(os.name != "posix", reason="Windows moves no file that is open"),
]


# -- which history it has --------------------------------------------------------------------------


async def test_backup_restored_twice_has_two_histories(path: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.db"
    backup(path, saved)
    epochs = [await epoch(path)]
    for number in range(3):
        target = tmp_path / f"{number}.db"
        if number:
            restore(saved, target, replace=False)
        else:
            shutil.copy(saved, target)
        epochs += [await epoch(target), await epoch(target)]
    assert epochs[1] == epochs[2]
    assert epochs[3] == epochs[4]
    assert epochs[5] == epochs[6]
    assert len(set(epochs)) == 4


def _copy_alone(path: Path) -> Path:
    target = path.parent.parent / "copied.db"
    shutil.copy(path, target)
    return target


def _copy_directory(path: Path) -> Path:
    shutil.copytree(path.parent, path.parent.with_name("copied"))
    return path.parent.with_name("copied") / path.name


def _in_place(path: Path) -> Path:
    saved = shutil.copytree(path.parent, path.parent.with_name("saved"))
    for file in saved.iterdir():  # as `cp -a saved/* chat/`: into the existing files
        shutil.copy2(file, path.parent / file.name)
    return path


def _older_in_place(path: Path) -> Path:
    older = path.read_bytes()
    _stop(path)
    path.write_bytes(older)
    return path


def _generation_lost(path: Path) -> Path:
    path.with_name("chat.db.generation").unlink()
    return path


def _generation_damaged(path: Path) -> Path:
    path.with_name("chat.db.generation").write_bytes(b"\xff{")
    return path


def _crashed_and_copied(path: Path) -> Path:
    crash(path)
    return _copy_directory(path)


def _copy_of_a_crash_put_back(path: Path, *, ends: Callable[[Path], None], removed: bool) -> Path:
    """Like `cp -a chat.db* saved/`, later `cp -a saved/* .`: the inodes of the existing files
    stay."""
    crash(path)
    saved = shutil.copytree(path.parent, path.parent.with_name("saved"))
    ends(path)
    for file in saved.iterdir():
        if removed:
            (path.parent / file.name).unlink(missing_ok=True)
        shutil.copy2(file, path.parent / file.name)
    return path


def _stop(path: Path) -> None:
    with serving(path) as process:
        process.communicate("stop\n")


def _crash_twice(path: Path) -> None:
    """The file system may give the inode of the first side file to the third."""
    crash(path)
    crash(path)


def _crash_put_back_over_a_stop(path: Path) -> Path:
    return _copy_of_a_crash_put_back(path, ends=_stop, removed=False)


def _crash_put_back_over_a_crash(path: Path) -> Path:
    return _copy_of_a_crash_put_back(path, ends=crash, removed=False)


def _crash_put_back_over_crashes(path: Path) -> Path:
    return _copy_of_a_crash_put_back(path, ends=_crash_twice, removed=False)


def _crash_put_back_in_place_of_a_stop(path: Path) -> Path:
    return _copy_of_a_crash_put_back(path, ends=_stop, removed=True)


def _stop_put_back_over_a_crash(path: Path) -> Path:
    saved = shutil.copytree(path.parent, path.parent.with_name("saved"))
    crash(path)
    path.with_name("chat.db-wal").unlink()  # otherwise it is refused: the log's owner is unknown
    for file in saved.iterdir():
        shutil.copy2(file, path.parent / file.name)
    return path


COPIES = [
    _copy_alone,
    _copy_directory,
    _in_place,
    _older_in_place,
    _generation_lost,
    _generation_damaged,
    _crashed_and_copied,
    _crash_put_back_over_a_stop,
    _crash_put_back_over_a_crash,
    _crash_put_back_over_crashes,
    _crash_put_back_in_place_of_a_stop,
    _stop_put_back_over_a_crash,
]


@pytest.mark.parametrize("copied", COPIES)
async def test_cold_copy_begins_a_new_history_once_and_logs_why(
    path: Path, copied: Callable[[Path], Path]
) -> None:
    before = await epoch(path)
    target = copied(path)
    assert any("begins a new epoch" in state for state in states(target))
    with capture_logs() as logs:
        after = await epoch(target)
        assert await epoch(target) == after != before
    (said,) = (line for line in logs if line["event"] == "new epoch")
    assert said["epoch"] == after
    assert said["reason"]
    assert check(target) == []


async def test_cursor_of_a_search_lasts_as_long_as_the_history(path: Path) -> None:
    async def search(chat: Chat, cursor: str | None = None) -> tuple[list[str], str | None]:
        hits, more = await chat.store.search(person("Mei"), ("cafe",), cursor=cursor, limit=1)
        return [hit.text for hit in hits], more

    async with opened(path) as chat:
        for text in ("café 1", "cafe 2", "cafe 3"):
            await chat.say("Mei", "#lobby", text)
        _, within = await search(chat)
        _, between = await search(chat, within)  # exact matches, and others
    async with opened(path) as chat:
        assert (await search(chat, within))[0] == ["cafe 2"]
        assert (await search(chat, between))[0] == ["café 1"]
    async with opened(_copy_alone(path)) as chat:
        for cursor in (within, between):
            with pytest.raises(ChatError) as refused:
                await search(chat, cursor)
            assert (refused.value.code, refused.value.field) == ("bad_cursor", "cursor")


async def test_history_survives_restarts_kills_and_moves(path: Path) -> None:
    before = await epoch(path)
    crash(path)
    assert await epoch(path) == before
    moved = path.parent.rename(path.parent.with_name("moved"))
    assert await epoch(moved / path.name) == before
    assert await epoch(moved / path.name) == before


_READ = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM entry").fetchone()
print("reading", flush=True)
sys.stdin.readline()
"""


async def test_server_starts_while_the_store_is_read_and_keeps_its_history(path: Path) -> None:
    """A check takes long, and a server that is restarted meanwhile must not wait for it."""
    before = await epoch(path)
    crash(path)
    with run_python(_READ, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        crash(path)
        crash(path)
        assert await epoch(path) == before
        process.communicate("done\n")
    crash(path)
    assert await epoch(path) == before
    assert check(path) == []


async def test_store_from_before_generations_keeps_its_history(path: Path) -> None:
    before = await epoch(path)
    path.with_name("chat.db.generation").unlink()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM meta WHERE key = 'generation'")
    assert await epoch(path) == before
    assert await epoch(path) == before


@pytest.mark.parametrize("is_copy", [False, True])
@pytest.mark.parametrize("survived", range(3))
async def test_crash_while_starting_neither_adds_nor_misses_a_history(
    path: Path, is_copy: bool, survived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step between the database and its side file."""
    before = await epoch(path)
    target = _copy_directory(path) if is_copy else path
    steps = 0
    write = history._write

    def crashing(path: Path, beside: history.Beside) -> None:
        nonlocal steps
        if steps == survived:
            raise Crash
        steps += 1
        write(path, beside)
        if steps == survived:
            raise Crash

    monkeypatch.setattr(history, "_write", crashing)
    for _ in range(2):
        steps = 0
        with pytest.raises((Crash, BaseExceptionGroup)) as caught:
            async with opened(target):
                pass
        assert Crash in kinds(caught.value)
    monkeypatch.undo()
    after = await epoch(target)
    assert (after != before) == is_copy
    assert await epoch(target) == after


async def test_backup_can_be_started_in_place(path: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.db"
    backup(path, saved)
    assert "a backup, made 20" in states(saved)[0]
    first = await epoch(saved)
    assert await epoch(saved) == first
    assert f"epoch {first}" in states(saved)[0]


async def test_copies_of_one_copied_store_have_two_histories(path: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied.db"
    copy(f"sqlite:///{path}", f"sqlite:///{copied}")
    shutil.copy(copied, tmp_path / "again.db")
    epochs = {await epoch(file) for file in (path, copied, tmp_path / "again.db")}
    assert len(epochs) == 3


# -- creating, and not creating, a store -----------------------------------------------------------


async def test_new_store_is_logged_and_an_old_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with capture_logs() as logs:
        await epoch(path)
        await epoch(path)
    assert [(line["event"], line["path"]) for line in logs] == [("store created", str(path))]


async def test_interrupted_creation_of_a_store_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.db"
    publish = files.publish

    def crash(*_: object) -> None:
        shutil.copy(files.beside(path, ".new"), tmp_path / "left")
        raise Crash

    monkeypatch.setattr(files, "publish", crash)
    with pytest.raises((Crash, BaseExceptionGroup)) as caught:
        await epoch(path)
    assert Crash in kinds(caught.value)
    assert not path.exists()
    (tmp_path / "left").rename(files.beside(path, ".new"))
    monkeypatch.setattr(files, "publish", publish)
    await epoch(path)
    # Even if only its second name was left to remove.
    files.beside(path, ".new").hardlink_to(path)
    await epoch(path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "chat.db",
        "chat.db.lock",
        "chat.db.generation",
        "chat.db.index",
    }


@pytest.mark.parametrize("copied", ["sqlite", "whole"])
async def test_server_does_not_start_on_an_unfinished_copy(
    path: Path, tmp_path: Path, copied: str
) -> None:
    class Interruption(Exception):
        pass

    def progress(what: str, done: int, total: int) -> None:
        if what == "comparing" or (copied == "sqlite" and done):
            raise Interruption

    target = tmp_path / "copy.db"
    with pytest.raises(Interruption):
        copy(f"sqlite:///{path}", f"sqlite:///{target}", progress=progress)
    unfinished = files.beside(target, ".copying")
    content = unfinished.read_bytes()
    with pytest.raises(StoreUnavailable, match="copy that is not finished"):
        async with opened(unfinished):
            pass
    for use in (check, lambda file: backup(file, tmp_path / "no.db")):
        with pytest.raises(StoreUnavailable, match="copy that is not finished"):
            use(unfinished)
    assert unfinished.read_bytes() == content
    copy(f"sqlite:///{path}", f"sqlite:///{target}")
    await epoch(target)


async def test_side_file_contains_no_device_number(path: Path) -> None:
    beside = json.loads(path.with_name("chat.db.generation").read_text())
    assert set(beside) == {"generations", "inode", "changed"}
    assert path.stat().st_ino == beside["inode"]
