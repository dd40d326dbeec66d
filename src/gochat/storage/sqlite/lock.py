"""The locks that keep two servers from one database.

SQLite itself would let them both write, and each would miss what the other one commits. There are
two locks, both ``flock``, which go with the process, however that ends:

- On a file of its own beside the database, behind all symbolic links. It has the holder's process
  id, and exists before the database does. It stays, for removing it would race with the next
  server. Rejected: this one alone. It has the database's name, not the database, and misses a hard
  link, a bind mount of the file, and a file that was renamed.
- On the database file itself, where the system keeps ``flock`` and the POSIX locks of SQLite apart:
  on Linux. (On macOS and the BSDs they conflict, and on Windows files are locked by force.)

POSIX locks belong to the process: as soon as it closes *any* descriptor of a file, all its locks
on that file are gone, SQLite's too, and then another program could tidy away the write-ahead log.
So the descriptor that has the second lock stays open for as long as SQLite's do, and a database
that this process has is looked at by ``stat`` only, and never opened a second time
(:data:`_held_here`).

Servers, and copies into a database, lock exclusively; backups, checks and copies from it share.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage.sqlite.files import FileIdentity, beside, identity, unreadable

#: More than a process id, and what is around it.
_TEXT_SIZE: Final = 32
#: Not on Windows, where os.open needs none.
_CAREFUL: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, shared: bool) -> bool:
        del shared  # Windows has only the one kind here
        # Far behind the text, which others must be able to read.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        os.lseek(descriptor, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StoreUnavailable(f"this file system can't lock: {error.strerror}") from error
        return True


#: The databases that this process has locked.
_held_here: Final[set[FileIdentity]] = set()
_changing: Final = threading.Lock()


def is_known(path: Path) -> bool:
    """True if a server has or had the database at `path` open, or this process has it."""
    if _lock_file(path).exists():
        return True
    with suppress(OSError):
        return identity(path) in _held_here
    return False


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the name of a database, whether there is one already or not. `path` is the real one.

    Raises:
        StoreUnavailable: another process holds it; the text says which.
        ConfigError: the lock file can't be made, or is something else.
    """
    descriptor = _open(_lock_file(path), os.O_RDWR | os.O_CREAT)
    try:
        if not _lock(descriptor, shared=False):
            raise StoreUnavailable(f"{path} is in use by {_holder(descriptor)}")
        # Over what was there and no shorter: nothing that is not ours is ever truncated.
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, f"{os.getpid():<{_TEXT_SIZE - 1}}\n".encode())
        except OSError as error:
            raise StoreUnavailable(f"{path}.lock can't be written: {error.strerror}") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def itself(path: Path, *, shared: bool = False) -> Iterator[FileIdentity]:
    """Hold the file of a database, whatever its names, where the system can; yield which it is.

    It must be held for as long as SQLite has the file open in this process.

    Raises:
        StoreUnavailable: another process holds it, or it can't be opened.
    """
    other = "another gochat server, under another name: by a link, or because it was moved"
    if sys.platform != "linux":
        yield identity(path)
        return
    with _changing:
        if identity(path) in _held_here:  # to open it would be to close it again
            raise StoreUnavailable(f"{path} is in use by {other} (pid {os.getpid()})")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | _CAREFUL)
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            if not _lock(descriptor, shared=shared):
                holder = _READER if not shared and _is_shared(descriptor) else other
                raise StoreUnavailable(f"{path} is in use by {holder}")
        except BaseException:
            os.close(descriptor)
            raise
        status = os.fstat(descriptor)
        held = status.st_dev, status.st_ino
        _held_here.add(held)
    try:
        yield held
    finally:
        with _changing:
            _held_here.discard(held)
            os.close(descriptor)


@contextmanager
def at_rest(path: Path) -> Iterator[bool]:
    """Keep servers from a database, if none has it; yield whether none has.

    Makes no file. False means that a server has it by this very name, and it can be read along.

    Raises:
        StoreUnavailable: a server has it under another name: its write-ahead log is not here.
        ConfigError: the lock file can't be opened, or is something else.
    """
    descriptor = None
    try:
        if _lock_file(path).exists():
            descriptor = _open(_lock_file(path), os.O_RDONLY)
            if not _lock(descriptor, shared=True):
                yield False
                return
        with itself(path, shared=True):
            yield True
    finally:
        if descriptor is not None:
            os.close(descriptor)


def holder(path: Path) -> str:
    """Return who has a database, for people."""
    descriptor = _open(_lock_file(path), os.O_RDONLY)
    try:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def forget(path: Path) -> None:
    """Remove the lock file of a database that is no longer there. The lock is held."""
    with suppress(OSError):  # Windows removes no file that is open; it does no harm
        _lock_file(path).unlink()


_HINTS: Final = {
    errno.ELOOP: ". It is a link, which a lock file never is: remove it",
    errno.EACCES: ". Is it another user's, of a server that was once started by them?",
}
_READER: Final = "a backup, a check or a copy, which ends by itself"


def _holder(descriptor: int) -> str:
    if _is_shared(descriptor):
        return _READER
    os.lseek(descriptor, 0, os.SEEK_SET)
    number = os.read(descriptor, _TEXT_SIZE).decode("ascii", "replace").strip()
    return f"another gochat server (pid {number or 'unknown'})"


def _is_shared(descriptor: int) -> bool:
    """True if those who hold the lock share it. Not to be asked of one that is held here."""
    return sys.platform != "win32" and _lock(descriptor, shared=True)


def _open(lock: Path, flags: int) -> int:
    """Open a lock file that is ours, through no link, whatever else somebody has put there."""
    try:
        descriptor = os.open(lock, flags | _CAREFUL, 0o600)
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "")
        reason = f"{error.strerror}{hint}"
        raise ConfigError(f"the lock file {lock} can't be opened: {reason}") from error
    status = os.fstat(descriptor)
    text = os.read(descriptor, _TEXT_SIZE) if stat.S_ISREG(status.st_mode) else b"?"
    if status.st_nlink > 1 or status.st_size > _TEXT_SIZE or text.strip(b"0123456789 \n"):
        os.close(descriptor)
        raise ConfigError(f"{lock} is not a lock file of gochat: move it away")
    return descriptor


def _lock_file(path: Path) -> Path:
    return beside(path, ".lock")
