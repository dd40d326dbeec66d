"""Files and directories that only this user can use, whatever the umask and whatever was there
before.

Where the system has no owners and modes (Windows), the permissions are those of the user's profile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import Final

_HAS_OWNERS: Final = os.name == "posix"
#: The permissions of the group and of others.
_OTHERS: Final = 0o077


def make_directories(path: Path) -> None:
    """Create `path` and its missing parents with mode 700.

    Existing directories are left as they are.

    Raises:
        OSError: it can't be created, or is not a directory.
    """
    missing = [directory for directory in path.parents if not directory.exists()]
    for directory in (*reversed(missing), path):
        directory.mkdir(mode=0o700, exist_ok=True)


def make_directory(path: Path) -> bool:
    """Make `path` a directory with mode 700; return whether others could use it before.

    Raises:
        OSError: it can't be created, is not a directory, or belongs to another user.
    """
    make_directories(path)
    if not _HAS_OWNERS:
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _tighten(descriptor, path, 0o700)
    finally:
        os.close(descriptor)


def open_file(path: Path, flags: int, *, follow: bool = True) -> int:
    """Open `path` and return its descriptor; the file gets mode 600, even if it existed before.

    Raises:
        OSError: it can't be opened, belongs to another user, or is a link and `follow` is False.
    """
    no_follow = 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags | no_follow, 0o600)
    try:
        if _HAS_OWNERS:
            _tighten(descriptor, path, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: Path) -> bytes:
    """Return the content of `path`.

    Raises:
        OSError: it can't be read, or belongs to another user, who may have put it there.
    """
    with path.open("rb") as file:
        if _HAS_OWNERS:
            _require_own(os.fstat(file.fileno()), path)
        return file.read()


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` atomically, with mode 600: others can never read it, not even while it is
    created.

    Raises:
        OSError: it can't be written; the old file is unchanged.
    """
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(new).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(new).unlink()
        raise


def _tighten(descriptor: int, path: Path, mode: int) -> bool:
    found = os.fstat(descriptor)
    _require_own(found, path)
    if not found.st_mode & _OTHERS:
        return False
    os.fchmod(descriptor, mode)
    return True


def _require_own(found: os.stat_result, path: Path) -> None:
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
