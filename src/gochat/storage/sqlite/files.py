"""The place of a database: what may stand there, and how a new file gets there whole."""

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

#: Which file something is, whatever its names: device and inode. Good while somebody has the file
#: open; later the inode may be another file's, and the device another number.
FileIdentity: TypeAlias = tuple[int, int]

#: What SQLite keeps beside a database, by its name.
COMPANIONS: Final = ("-journal", "-wal", "-shm")
#: The name of a file that is not complete yet ends with one of these: a new store, a backup, one
#: that is restored, a copy of another store.
UNFINISHED: Final = (".new", ".partial", ".restoring", ".copying")


#: Why a file can't be read, where waiting gives nobody the right to.
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})
#: Why a file can't be made where waiting does not help; elsewhere the disk is full, say.
_PERMANENT: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
    | {errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
)


def beside(path: Path, suffix: str) -> Path:
    """Return the name of what belongs to a database."""
    return path.with_name(path.name + suffix)


def real(path: Path) -> Path:
    """Return the name that the file has itself, behind all symbolic links.

    Whoever opens one file by two names would use two locks and two write-ahead logs.

    Raises:
        ConfigError: it can't be a database: a directory, a device, a link to what is not there.
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
    """Return which file has this name now. Raises OSError."""
    status = os.stat(path)  # noqa: PTH116 - before each commit, and Path makes it twice as long
    return status.st_dev, status.st_ino


def require_one_name(path: Path) -> None:
    """Raise :exc:`~gochat.errors.ConfigError` if a file has further names (hard links).

    Its write-ahead log goes by one of them. Opened by another after a crash, the file would lack
    what is in there.
    """
    if path.stat().st_nlink > 1:
        raise ConfigError(
            f"{path} has more than one name (hard links), and its write-ahead log would be found "
            "by only one of them: remove the others, or copy the file"
        )


def remove_unfinished_names(path: Path) -> None:
    """Remove the further name of a file that a crash left while it was published."""
    for suffix in UNFINISHED:
        with suppress(OSError):
            if beside(path, suffix).samefile(path):
                beside(path, suffix).unlink()


def make_directory(path: Path) -> None:
    """Make the file's directory, for its owner only, if it is missing.

    Raises:
        ConfigError: it can't be made, before somebody changes something.
        StoreUnavailable: it can't be made now.
    """
    try:
        private.make_directories(path.parent)
    except OSError as error:
        raise _unmade(path, error) from error


def make_file(path: Path, *, exist_ok: bool = False) -> None:
    """Make an empty file, for its owner only. Raises FileExistsError, and as `make_directory`."""
    try:
        # SQLite gives -wal and -shm the mode of the file itself.
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
    """Return what to raise for a file that can't be read."""
    text = f"{path} can't be read: {error.strerror}"
    return ConfigError(text) if error.errno in _FORBIDDEN else StoreUnavailable(text)


def rights_of_others(path: Path) -> int | None:
    """Return a file's mode if users can open it who are neither its owner nor of its group."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return mode if os.name == "posix" and mode & stat.S_IRWXO else None


def close_to_others(path: Path) -> None:
    """Take all rights on a database from those who are neither its owner nor of its group.

    Passwords' hashes and private messages are in it. What its group may do is left: somebody has
    chosen that. Where the rights can't be changed, there is a warning at each start.
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
    """Make an empty file beside `path`, for its owner only; remove it when leaving, with all that
    SQLite has put beside it.

    Raises:
        ConfigError: there is one already, or it can't be made.
        StoreUnavailable: it can't be made now.
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
    """Remove a database, if it is there, and what SQLite keeps beside it."""
    for part in (path, *(beside(path, suffix) for suffix in COMPANIONS)):
        part.unlink(missing_ok=True)


def publish(partial: Path, target: Path, rule: str) -> None:
    """Give a whole file its name, unless that is taken; `rule` says why not then.

    Raises:
        ConfigError: the name is taken.
        StoreUnavailable: it can't be written.
    """
    try:
        sync(partial)
        if os.name == "posix":
            os.link(partial, target)  # which, other than renaming, overwrites nothing
            partial.unlink(missing_ok=True)  # whoever found both names may have removed it
        else:
            partial.rename(target)  # overwrites nothing on Windows
        sync_directory(target)
    except FileExistsError:
        raise ConfigError(f"{target} exists already; {rule}") from None
    except OSError as error:
        raise StoreUnavailable(f"{target} can't be written: {error.strerror}") from error


def sync(path: Path) -> None:
    """Return when a file is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Return when the name of a file is on the disk. Raises OSError."""
    if os.name != "posix":
        return  # Windows opens no directories, and its file systems keep their own order
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
