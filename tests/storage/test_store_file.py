"""The store as a file: its names, its permissions, and what happens to it under a server."""

# ruff: noqa: ASYNC240 -- these files are small, and nothing waits for the loop meanwhile

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from store_files import crash, epoch, opened, run_python, serving, texts
from structlog.testing import capture_logs

from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage.maintenance import backup, check, states
from gochat.storage.restore import restore
from gochat.storage.sqlite import files
from gochat.storage.sqlite.file_size import has_wal
from gochat.storage.transfer.copy import copy

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(os.name != "posix", reason="Windows moves no file that is open"),
]


# -- one file, several names -----------------------------------------------------------------------


def _symlink(path: Path) -> Path:
    other = path.parent.parent / "link.db"
    other.symlink_to(path)
    return other


def _linked_directory(path: Path) -> Path:
    other = path.parent.parent / "elsewhere"
    other.symlink_to(path.parent)
    return other / path.name


def _hard_link(path: Path) -> Path:
    other = path.parent.parent / "hard.db"
    other.hardlink_to(path)
    return other


def _renamed(path: Path) -> Path:
    return path.rename(path.parent.parent / "renamed.db")


@pytest.mark.parametrize("name", [_symlink, _linked_directory, _hard_link, _renamed])
async def test_second_server_under_another_name_is_refused(
    path: Path, name: Callable[[Path], Path]
) -> None:
    with serving(path):
        other = name(path)
        with pytest.raises(
            (StoreUnavailable, ConfigError), match=r"in use by another|more than one"
        ):
            async with opened(other):
                pass
        # Nor in the same process, where another descriptor would release SQLite's own locks.
        with pytest.raises((StoreUnavailable, ConfigError), match=r"in use|more than one"):
            copy(f"sqlite:///{other}", f"sqlite:///{path.with_name('copy.db')}")


async def test_backup_and_check_follow_a_symbolic_link_to_a_live_store(path: Path) -> None:
    link = _symlink(path)
    async with opened(path) as chat:
        await chat.say("Mei", "#lobby", "only in the write-ahead log")
        await trio.to_thread.run_sync(backup, link, path.with_name("copy.db"))
        assert await trio.to_thread.run_sync(check, link) == []
        assert states(link)[0] == f"a link to {path}"
    async with opened(path.with_name("copy.db")) as copied:
        texts = [entry.text for entry in await copied.entries("Mei", "#lobby")]
    assert texts == ["hello", "only in the write-ahead log"]


@pytest.mark.parametrize("name", [_hard_link, _renamed])
async def test_live_store_is_not_read_where_its_log_is_missing(
    path: Path, name: Callable[[Path], Path]
) -> None:
    with serving(path):
        other = name(path)
        for use in (check, lambda file: backup(file, path.with_name("copy.db"))):
            with pytest.raises(
                (StoreUnavailable, ConfigError), match=r"another name|more than one"
            ):
                use(other)
    assert not path.with_name("copy.db").exists()


async def test_process_does_not_open_a_store_twice_under_two_names(path: Path) -> None:
    async with opened(path) as chat:
        renamed = _renamed(path)
        with pytest.raises(StoreUnavailable, match=f"in use .* {os.getpid()}"):
            async with opened(renamed):
                pass
        with pytest.raises(StoreUnavailable, match="in use"):
            check(renamed)
        # SQLite's locks are held: otherwise another process could lock everything.
        renamed.rename(path)
        locking = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).executescript("
        locking += "'PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE')"
        done = await trio.run_process(
            [sys.executable, "-c", locking, str(path)], capture_stderr=True, check=False
        )
        assert b"locked" in done.stderr
        await chat.say("Mei", "#lobby", "goes on")


async def test_hard_link_of_a_backup_can_be_checked_and_restored_but_not_served(
    path: Path,
) -> None:
    """Backup rotations share unchanged files."""
    daily, weekly = path.with_name("daily.db"), path.with_name("weekly.db")
    backup(path, daily)
    weekly.hardlink_to(daily)
    assert check(weekly) == []
    restore(weekly, path.with_name("new.db"), replace=False)
    with pytest.raises(ConfigError, match="more than one name"):
        async with opened(daily):
            pass


async def test_dangling_link_creates_no_store(path: Path) -> None:
    link = _symlink(path.with_name("unmounted.db"))
    with pytest.raises(ConfigError, match="is its disk mounted"):
        async with opened(link):
            pass
    assert not path.with_name("unmounted.db").exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
async def test_path_that_is_not_a_file_is_refused(path: Path, make: Callable[[Path], None]) -> None:
    other = path.with_name("other")
    make(other)
    for use in (check, lambda file: restore(path, file, replace=True)):
        with pytest.raises(ConfigError, match=r"a directory|not a regular file"):
            use(other)
    with pytest.raises(ConfigError, match=r"a directory|not a regular file"):
        async with opened(other):
            pass


async def test_lock_file_is_not_opened_through_a_link_or_truncated(
    path: Path, tmp_path: Path
) -> None:
    lock = path.with_name("chat.db.lock")
    precious = tmp_path / "precious"
    for content in ("1234 and more", "1234"):
        precious.write_text(content)
        for link in (lock.symlink_to, lock.hardlink_to):
            lock.unlink()
            link(precious)
            with pytest.raises(ConfigError, match="lock file"):
                async with opened(path):
                    pass
            assert precious.read_text() == content
    lock.unlink()
    lock.write_text("somebody's notes")
    with pytest.raises(ConfigError, match="not a lock file of gochat"):
        async with opened(path):
            pass
    assert lock.read_text() == "somebody's notes"


# -- a file that is moved under a server -----------------------------------------------------------


def _remove(path: Path) -> None:
    path.unlink()


def _move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def _move_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def _replace(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").replace(path)


def _remove_log(path: Path) -> None:
    path.with_name("chat.db-wal").unlink()


def _remove_shared_memory(path: Path) -> None:
    path.with_name("chat.db-shm").unlink()


@pytest.mark.parametrize(
    "harm", [_remove, _move, _move_directory, _replace, _remove_log, _remove_shared_memory]
)
async def test_lost_file_is_noticed_before_the_next_commit(
    path: Path, harm: Callable[[Path], None]
) -> None:
    with capture_logs() as logs:
        async with opened(path) as chat:
            await chat.say("Mei", "#lobby", "acknowledged")
            harm(path)
            for _ in range(2):
                with pytest.raises(StoreCorrupt, match=r"moved|removed|replaced"):
                    await chat.say("Mei", "#lobby", "not acknowledged")
                with pytest.raises(StoreCorrupt):
                    await chat.register("Bob")
            with pytest.raises(StoreCorrupt):
                await chat.entries("Mei", "#lobby")
    assert [line["event"] for line in logs] == ["store file lost"]
    left = {file.name for file in path.parent.glob("*")}
    if harm is _replace:
        # The new file is left alone, even when the server cleans up.
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT count(*) FROM account").fetchone() == (1,)
    elif harm in (_remove_log, _remove_shared_memory):
        assert {"chat.db", "chat.db.lock", "chat.db.generation"} <= left
        async with opened(path) as chat:  # the file itself still existed, and has everything
            entries = await chat.entries("Mei", "#lobby")
        assert [entry.text for entry in entries] == ["hello", "acknowledged"]
    else:
        assert "chat.db" not in left


async def test_file_moved_away_and_back_has_everything(path: Path) -> None:
    async with opened(path) as chat:
        before = (await chat.say("Mei", "#lobby", "acknowledged")).epoch
        moved = path.rename(path.with_name("moved.db"))
        with pytest.raises(StoreCorrupt):
            await chat.say("Mei", "#lobby", "not acknowledged")
    moved.rename(path)
    async with opened(path) as chat:
        entries = await chat.entries("Mei", "#lobby")
    assert [(e.text, e.epoch) for e in entries] == [("hello", before), ("acknowledged", before)]


async def test_log_of_another_database_is_not_replayed(path: Path, tmp_path: Path) -> None:
    """After a kill, a backup copied over the database would be mixed with its last commits."""
    backup(path, tmp_path / "backup.db")
    old = tmp_path / "old.db"
    shutil.copy(path, old)
    crash(path)
    assert has_wal(path)
    for source in (tmp_path / "backup.db", old):
        shutil.copy(source, path)
        content = path.read_bytes()
        for use in (check, lambda file: backup(file, tmp_path / "no.db")):
            with pytest.raises(StoreCorrupt, match="whether the write-ahead log beside it"):
                use(path)
        with pytest.raises(StoreCorrupt, match="whether the write-ahead log beside it"):
            async with opened(path):
                pass
        assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(StoreCorrupt, match="its write-ahead log is"):
        async with opened(path):
            pass


@pytest.mark.parametrize("is_kept", [True, False])
async def test_copy_put_back_with_its_log_is_restored_as_the_error_advises(
    path: Path, tmp_path: Path, is_kept: bool
) -> None:
    """The log may be its own, so moving it away would lose acknowledged messages."""
    crash(path)
    async with opened(path) as chat:
        await chat.say("Mei", "#lobby", "only in the write-ahead log")
        saved = tmp_path / "saved"
        saved.mkdir()
        for file in (path, path.with_name("chat.db-wal")):  # nothing is written meanwhile
            shutil.copy(file, saved)
    await epoch(path)
    for file in saved.iterdir():
        shutil.copy(file, path.parent)
    if not is_kept:
        shutil.rmtree(saved)
    content = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(StoreCorrupt, match="restore --replace") as caught:
        async with opened(path):
            pass
    assert "away" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == content
    if not is_kept:
        saved.mkdir()
        for file in (path, path.with_name("chat.db-wal")):
            shutil.copy(file, saved)
    restore(saved / path.name, path, replace=True)
    assert await texts(path) == ["hello", "only in the write-ahead log"]


# -- an incomplete file ----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 4000, 4096, 3 * 4096])
@pytest.mark.parametrize("fill", [False, True])
async def test_truncated_file_is_refused(path: Path, missing: int, fill: bool) -> None:
    """SQLite reads the missing part of the last page as zeros; and the last pages may be free."""
    if fill:
        async with opened(path):
            pass
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE filling AS SELECT zeroblob(100000) AS filling")
            db.execute("DROP TABLE filling")
    os.truncate(path, path.stat().st_size - missing)
    content = path.read_bytes()
    for use in (check, lambda file: backup(file, path.with_name("no.db"))):
        with pytest.raises(StoreCorrupt, match=r"whole pages|in its header"):
            use(path)
    with pytest.raises(StoreCorrupt, match=r"whole pages|in its header"):
        async with opened(path):
            pass
    assert path.read_bytes() == content
    assert not path.with_name("no.db").exists()


#: More than SQLite keeps in memory, so that it writes before the commit.
_GROW = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.executescript("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2; BEGIN IMMEDIATE")
db.execute("CREATE TABLE filling (filling)")
for _ in range(50):
    db.execute("INSERT INTO filling VALUES (zeroblob(10000))")
print("written", flush=True)
sys.stdin.readline()
"""


async def test_kill_while_a_start_writes_the_file_is_not_damage(path: Path) -> None:
    """The file may end within a page then; SQLite's journal rolls it back."""
    with run_python(_GROW, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    assert path.with_name("chat.db-journal").exists()
    os.truncate(path, path.stat().st_size - 100)
    for use in (check, lambda file: backup(file, path.with_name("no.db"))):
        with pytest.raises(StoreUnavailable, match="start the server once"):
            use(path)
    assert await texts(path) == ["hello"]
    assert check(path) == []


# -- permissions -----------------------------------------------------------------------------------


async def test_store_open_to_all_users_is_closed_to_them_with_a_warning(
    path: Path,
) -> None:
    before = await epoch(path)
    crash(path)
    parts = [path, path.with_name("chat.db-wal")]
    for part in parts:
        part.chmod(0o666)
    assert "mode 0666" in states(path)[-1]
    with capture_logs() as logs:
        async with opened(path) as chat:
            assert (await chat.page("Mei", "#lobby")).epoch == before
            modes = {file.stat().st_mode & 0o007 for file in path.parent.iterdir()}
            assert modes == {0}
            assert path.stat().st_mode & 0o777 == 0o660, "what the group may do was somebody's will"
    assert {line["event"] for line in logs} == {"store closed to other users"}
    assert str(path) in {line["path"] for line in logs}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO])
async def test_missing_permission_is_permanent_and_a_failing_disk_is_not(
    number: int, tmp_path: Path
) -> None:
    """A service manager restarts a server after the latter, and not after the former."""
    kind = StoreUnavailable if number == errno.EIO else ConfigError
    assert isinstance(files.unreadable(tmp_path, OSError(number, "why")), kind)
