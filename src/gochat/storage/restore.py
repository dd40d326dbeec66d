"""Restore a backup over a store that no server uses.

The target path is never empty or half written, even if the restore is interrupted: a server started
meanwhile finds the old store or the backup, or reports why it can't start. The old store is kept
beside it, with its write-ahead log.
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
    """Replace `target` by a copy of `backup`; return where the old store is kept, None without one.

    The copy is checked before anything else is touched, and marked: the first server that starts on
    it begins a new epoch. Under root, the copy belongs to the owner of the old store or, without
    one, of the directory.

    Raises:
        ConfigError: `backup` does not exist; or a store exists at `target` and `replace` is false.
        StoreUnavailable: a server uses one of them, or the disk is full. Nothing is changed.
        StoreCorrupt: the backup is damaged. Nothing is changed.
    """
    target = files.real(target)
    if not backup.exists():
        raise ConfigError(f"no such backup: {backup}")
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
        files.remove(
            files.beside(target, ".restoring")
        )  # left by a killed restore: we have the lock
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
    """Replace `target` by `new`; keep the old file, and return its new path."""
    kept = _name_to_keep(target)
    # First, so that an old store started meanwhile gets a new epoch: without its write-ahead log it
    # lacks acknowledged entries.
    history.forget(target)
    if not kept.exists():
        os.link(target, kept)  # never overwrites; from here on no server starts on the old file
    for suffix in files.COMPANIONS:
        if files.beside(target, suffix).exists():
            files.beside(target, suffix).replace(files.beside(kept, suffix))
    new.replace(target)
    files.sync_directory(target)
    return kept


def _name_to_keep(target: Path) -> Path:
    """Return the name to keep a store under, which an interrupted restore may have given it."""
    for path in target.parent.glob(f"{escape(target.name)}.replaced-*"):
        if path.samefile(target):
            return path
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return files.beside(target, f".replaced-{now}")


def _give_to_owner(path: Path, target: Path) -> None:
    if os.name == "posix" and os.geteuid() == 0:
        owner = target.stat() if target.exists() else target.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
