"""Reserve a database for one server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from gochat.storage.sqlite import database, files, lock
from gochat.storage.sqlite.files import FileIdentity

log = structlog.stdlib.get_logger()


@contextmanager
def reserved(path: Path) -> Iterator[FileIdentity]:
    """Lock a database, creating it if it is missing; yield the identity of its file.

    Nothing is created beside a file that is not a gochat database.
    """
    if path.exists():
        files.remove_unfinished_names(path)
        files.require_one_name(path)
        if not lock.is_known(path):  # not while this process may have it open (lock.py)
            database.inspect(path)
    else:
        files.make_directory(path)
    with lock.exclusive(path):
        if not path.exists():
            database.create(path)
            log.warning("store created", path=str(path))
        with lock.itself(path) as held:
            yield held
