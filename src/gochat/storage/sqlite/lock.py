"""The lock that keeps two servers from one database.

SQLite itself would let them both write, and each would miss what the other one commits. The lock
is on a file of its own beside the database: on the database's it would be lost as soon as any
other descriptor of that file is closed (POSIX locks belong to the process). The lock goes with the
process, however that ends; the file stays, for removing it would race with the next server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gochat.errors import ConfigError, StoreUnavailable

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Far behind the text, which others must be able to read.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_known(path: Path) -> bool:
    """True if a server has or had the database at `path` open."""
    return _lock_file(path).exists()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of the database at `path`.

    Raises:
        StoreUnavailable: another server holds it; the text says its process id.
        ConfigError: the lock file can't be made.
    """
    lock = _lock_file(path)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"{lock} can't be made: {error.strerror}") from error
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise StoreUnavailable(
                f"{path} is in use by another gochat server (pid {holder})"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def forget(path: Path) -> None:
    """Remove the lock file of a database that is no longer there. The lock is held."""
    with suppress(OSError):  # Windows removes no file that is open; it does no harm
        _lock_file(path).unlink()


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")
