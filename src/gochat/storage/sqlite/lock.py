"""The locks that keep two servers from using one database.

SQLite itself would let both write, and each would miss the other's commits. There are two locks,
both ``flock``, which the system releases when the process ends, in whatever way:

- On a lock file beside the database, with symbolic links resolved. It contains the holder's process
  id, and exists before the database does. It is not removed, since that would race with the next
  server. This lock alone was rejected: it guards the database's name, not the file, and misses a
  hard link, a bind mount of the file, and a renamed file.
- On the database file itself, where the system keeps ``flock`` and SQLite's POSIX locks apart: on
  Linux. (On macOS and the BSDs they conflict, and on Windows locks are mandatory.)

POSIX locks belong to the process: when it closes *any* descriptor of a file, it loses all its locks
on that file, including SQLite's, and another program could then remove the write-ahead log. So the
descriptor with the second lock stays open as long as SQLite's do, and this process inspects a
database that it has open only by ``stat``, and never opens it a second time (:data:`_held_here`).

Servers, and copies into a database, lock exclusively; backups, checks and copies from it share the
lock.
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

#: Room for a process id and its padding.
_TEXT_SIZE: Final = 32
#: Zero on Windows, where os.open needs neither flag.
_CAREFUL: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, shared: bool) -> bool:
        del shared  # Windows has only exclusive locks here
        # Far beyond the text, which others must be able to read.
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


#: The databases locked by this process.
_held_here: Final[set[FileIdentity]] = set()
_changing: Final = threading.Lock()


def is_known(path: Path) -> bool:
    """Return True if a server has or had the database at `path` open, or this process has."""
    if _lock_file(path).exists():
        return True
    with suppress(OSError):
        return identity(path) in _held_here
    return False


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lock the name of a database, which need not exist. `path` is the real path.

    Raises:
        StoreUnavailable: another process holds the lock; the message names it.
        ConfigError: the lock file can't be created, or is something else.
    """
    descriptor = _open(_lock_file(path), os.O_RDWR | os.O_CREAT)
    try:
        if not _lock(descriptor, shared=False):
            raise StoreUnavailable(f"{path} is in use by {_holder(descriptor)}")
        # Overwrites the text with one of the same length: a foreign file is never truncated.
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
    """Lock the file of a database under any name, where the system can; yield its identity.

    Hold the lock as long as SQLite has the file open in this process.

    Raises:
        StoreUnavailable: another process holds the lock, or the file can't be opened.
    """
    other = "another gochat server, under another name: by a link, or because it was moved"
    if sys.platform != "linux":
        yield identity(path)
        return
    with _changing:
        if identity(path) in _held_here:  # opening it here would mean closing it again
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
    """Keep servers from a database while none uses it; yield True if none does.

    Creates no file. False means that a server uses it under this same name, and it can be read
    meanwhile.

    Raises:
        StoreUnavailable: a server uses it under another name: its write-ahead log is not here.
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
    """Return a description of the process that holds a database, for people."""
    descriptor = _open(_lock_file(path), os.O_RDONLY)
    try:
        return _holder(descriptor)
    finally:
        os.close(descriptor)


def forget(path: Path) -> None:
    """Remove the lock file of a database. Hold the lock."""
    with suppress(OSError):  # Windows can't remove an open file; leaving it does no harm
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
    """Return True if readers share the lock. Don't call it for a lock held by this process."""
    return sys.platform != "win32" and _lock(descriptor, shared=True)


def _open(lock: Path, flags: int) -> int:
    """Open a lock file of ours, following no link; refuse anything else."""
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
