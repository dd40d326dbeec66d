"""Bringing a backup back, in the place of a store that no server uses.

There is no moment at which the place is empty or half written, wherever it ends: a server that is
started in between finds the store of before, the backup, or says why it can't start. What was
there is kept beside it, with its write-ahead log.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime
from glob import escape
from pathlib import Path

from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage import maintenance
from gochat.storage.sqlite import files, history, lock
from gochat.storage.transfer.sqlite_source import opened_to_read


def restore(backup: Path, target: Path, *, replace: bool) -> Path | None:
    """Put a copy of `backup` in the place of `target`; return where the store of before is kept.

    The copy is checked before anything else is touched, and marked: the first server that starts
    on it begins a new epoch. Run by root, it belongs to whom the store of before, or else the
    directory, belongs to.

    Raises:
        ConfigError: there is no `backup`; or there is a store at `target` already and it is not to
            be replaced.
        StoreUnavailable: a server uses one of them; or the disk is full. Nothing is changed then.
        StoreCorrupt: the backup is damaged. Nothing is changed.
    """
    target = files.real(target)
    if not backup.exists():
        raise ConfigError(f"there is no backup {backup}")
    files.make_directory(target)
    with ExitStack() as stack:
        stack.enter_context(lock.exclusive(target))
        _give_to_owner(files.beside(target, ".lock"), target)
        exists = target.exists()
        if exists:
            if backup.samefile(target):
                raise ConfigError(f"{backup} is the store itself: there is nothing to restore")
            if not replace:
                raise ConfigError(
                    f"there is a store at {target} already: with --replace it is kept beside the "
                    "backup that takes its place"
                )
            stack.enter_context(lock.itself(target))
        db = stack.enter_context(opened_to_read(backup, alone=True))
        files.remove(files.beside(target, ".restoring"))  # of one that was killed: the lock is held
        new = stack.enter_context(files.in_the_making(target, ".restoring"))
        maintenance.copy(db, new)
        try:
            _give_to_owner(new, target)
            files.sync(new)
            if exists:
                return _take_place(new, target)
        except OSError as error:
            raise StoreUnavailable(f"{target} can't be replaced: {error.strerror}") from error
        files.publish(new, target, "another process has made it")
        return None


def _take_place(new: Path, target: Path) -> Path:
    """Put `new` in the place of `target`, whose file is kept; return under which name."""
    kept = _name_to_keep(target)
    # First, so that whatever of the store of before is started in between has a new epoch: without
    # its write-ahead log it lacks what was acknowledged.
    history.forget(target)
    if not kept.exists():
        os.link(target, kept)  # overwrites nothing; from here on no server starts on the old file
    for suffix in files.COMPANIONS:
        if files.beside(target, suffix).exists():
            files.beside(target, suffix).replace(files.beside(kept, suffix))
    new.replace(target)
    files.sync_directory(target)
    return kept


def _name_to_keep(target: Path) -> Path:
    """Return the name under which a store is kept; it may have it since a restore was cut short."""
    for path in target.parent.glob(f"{escape(target.name)}.replaced-*"):
        if path.samefile(target):
            return path
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return files.beside(target, f".replaced-{now}")


def _give_to_owner(path: Path, target: Path) -> None:
    if os.name == "posix" and os.geteuid() == 0:
        owner = target.stat() if target.exists() else target.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
