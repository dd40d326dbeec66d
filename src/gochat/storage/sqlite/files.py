"""The path of a database: what it may name, and how a new file is published there as a whole."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from gochat import private
from gochat.errors import ConfigError, GochatError, StoreUnavailable

log = structlog.stdlib.get_logger()

#: Device and inode of a file, which identify it whatever its names, while somebody has it open.
#: Later, another file may get the inode, and the device another number.
FileIdentity: TypeAlias = tuple[int, int]

#: Suffixes of the files that SQLite keeps beside a database.
COMPANIONS: Final = ("-journal", "-wal", "-shm")
#: Suffixes of unfinished files: a new store, a backup, a restored backup, a copy of another store.
UNFINISHED: Final = (".new", ".partial", ".restoring", ".copying")


#: Errors of reading that waiting does not resolve.
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})
#: Errors of creating a file that waiting does not resolve; others mean, say, a full disk.
_PERMANENT: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
    | {errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
)


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a companion file of a database."""
    return path.with_name(path.name + suffix)


def real(path: Path) -> Path:
    """Return the path of the file itself, with all symbolic links resolved.

    Opening one file under two names would use two locks and two write-ahead logs.

    Raises:
        ConfigError: it can't be a database: a directory, a device, a dangling link.
    """
    try:
        found = Path(os.path.realpath(path))
    except ValueError as error:  # a name that no file can have
        raise ConfigError(f"the store {path} can't be used: {error}") from error
    try:
        mode = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise ConfigError(
                f"{path} is a link to {found}, which is not there: is its disk mounted? To begin a "
                "new store, remove the link"
            ) from None
        return found
    except OSError as error:
        raise ConfigError(f"the store {path} can't be used: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise ConfigError(f"the store {path} is {kind}: give the path of a file")
    return found


def identity(path: Path | str) -> FileIdentity:
    """Return the identity of the file at `path` now. Raises OSError."""
    status = os.stat(path)  # noqa: PTH116 - runs before each commit; Path takes twice as long
    return status.st_dev, status.st_ino


def require_one_name(path: Path) -> None:
    """Raise :exc:`~gochat.errors.ConfigError` if a file has several names (hard links).

    Its write-ahead log is named after one of them. Opened under another after a crash, the file
    would lack the entries in that log.
    """
    if path.stat().st_nlink > 1:
        raise ConfigError(
            f"{path} has more than one name (hard links), and its write-ahead log would be found "
            "by only one of them: remove the others, or copy the file"
        )


def remove_unfinished_names(path: Path) -> None:
    """Remove the second name that a crash while publishing left to a file."""
    for suffix in UNFINISHED:
        with suppress(OSError):
            if beside(path, suffix).samefile(path):
                beside(path, suffix).unlink()


def make_directory(path: Path) -> None:
    """Create the file's directory, accessible only to its owner, if it is missing.

    Raises:
        ConfigError: it can't be created, and waiting does not help.
        StoreUnavailable: it can't be created now.
    """
    try:
        private.make_directories(path.parent)
    except OSError as error:
        raise _unmade(path, error) from error


def make_file(path: Path, *, exist_ok: bool = False) -> None:
    """Create an empty file, accessible only to its owner.

    Raises FileExistsError unless `exist_ok`, and the same errors as :func:`make_directory`.
    """
    try:
        # SQLite gives -wal and -shm the mode of the database file.
        flags = os.O_RDWR | os.O_CREAT | (0 if exist_ok else os.O_EXCL)
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        raise
    except OSError as error:
        raise _unmade(path, error) from error


def _unmade(path: Path, error: OSError) -> GochatError:
    text = f"{path} can't be made: {error.strerror}"
    return ConfigError(text) if error.errno in _PERMANENT else StoreUnavailable(text)


def unreadable(path: Path, error: OSError) -> ConfigError | StoreUnavailable:
    """Return the error to raise for a file that can't be read."""
    text = f"{path} can't be read: {error.strerror}"
    return ConfigError(text) if error.errno in _FORBIDDEN else StoreUnavailable(text)


def rights_of_others(path: Path) -> int | None:
    """Return a file's mode if users other than its owner and group have any rights; None if not."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return mode if os.name == "posix" and mode & stat.S_IRWXO else None


def close_to_others(path: Path) -> None:
    """Remove all rights on a database from users other than its owner and group.

    It contains password hashes and private messages. The rights of the group remain: somebody chose
    them. If the rights can't be changed, each start logs a warning.
    """
    for part in (path, *(beside(path, suffix) for suffix in COMPANIONS)):
        with suppress(FileNotFoundError):
            mode = rights_of_others(part)
            if mode is None:
                continue
            with suppress(PermissionError):
                part.chmod(mode & ~stat.S_IRWXO)
            is_open = rights_of_others(part) is not None
            event = "store open to all users" if is_open else "store closed to other users"
            log.warning(event, path=str(part), mode=f"{mode:04o}")


@contextmanager
def in_the_making(path: Path, suffix: str) -> Iterator[Path]:
    """Yield a new empty file beside `path`, accessible only to its owner.

    Leaving removes the file, and everything that SQLite put beside it.

    Raises:
        ConfigError: the file exists already, or can't be created.
        StoreUnavailable: it can't be created now.
    """
    partial = beside(path, suffix)
    try:
        make_file(partial)
    except FileExistsError:
        raise ConfigError(
            f"{partial} is there, from a command that goes on or was interrupted: "
            "wait for it, or remove it"
        ) from None
    try:
        yield partial
    finally:
        remove(partial)


def remove(path: Path) -> None:
    """Remove a database, if it exists, and the files that SQLite keeps beside it."""
    for part in (path, *(beside(path, suffix) for suffix in COMPANIONS)):
        part.unlink(missing_ok=True)


def publish(partial: Path, target: Path, rule: str) -> None:
    """Give a complete file its name, unless that exists; `rule` then explains the refusal.

    Raises:
        ConfigError: the name exists.
        StoreUnavailable: it can't be written.
    """
    try:
        sync(partial)
        if os.name == "posix":
            os.link(partial, target)  # never overwrites, unlike renaming
            partial.unlink(missing_ok=True)  # a process that found both names may have removed it
        else:
            partial.rename(target)  # overwrites nothing on Windows
        sync_directory(target)
    except FileExistsError:
        raise ConfigError(f"{target} exists already; {rule}") from None
    except OSError as error:
        raise StoreUnavailable(f"{target} can't be written: {error.strerror}") from error


def sync(path: Path) -> None:
    """Sync a file to disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Sync the name of a file to disk. Raises OSError."""
    if os.name != "posix":
        return  # Windows opens no directories, and its file systems order their own writes
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
