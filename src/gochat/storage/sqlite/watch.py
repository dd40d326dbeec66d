"""Detect that the files of a database are moved, removed or replaced while a server uses them.

SQLite would continue with its open files, whatever happens to their names. Then messages would be
acknowledged that are in a file without a name, or in one that the next start does not read. So
before each commit the names are checked: three calls of ``stat``, 5 µs. The failure is permanent:
whoever moved the file must decide what is to be served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.sqlite import files
from gochat.storage.sqlite.files import FileIdentity

log = structlog.stdlib.get_logger()

#: Suffixes of the files that SQLite has open in WAL mode.
_PARTS: Final = ("", "-wal", "-shm")


class Watch:
    """The identities of a database's files. Create it once SQLite has opened all of them."""

    def __init__(self, path: Path, held: FileIdentity) -> None:
        self._path = path
        self._held = held
        self._parts = [str(files.beside(path, suffix)) for suffix in _PARTS]
        self._expected = [held, *map(files.identity, self._parts[1:])]
        self._finding: str | None = None
        self.require_in_place()

    def require_in_place(self) -> None:
        """Raise :exc:`~gochat.errors.StoreCorrupt` if a file has gone, and from then on.

        The first time, it is logged.

        Raises:
            StoreUnavailable: the files can't be checked now.
        """
        if self._finding is None:
            for part, expected in zip(self._parts, self._expected, strict=True):
                finding = _finding(part, expected)
                if finding is not None:
                    self._finding = f"{finding} while the server used it"
                    log.error("store file lost", path=part, reason=self._finding)
                    break
        if self._finding is not None:
            raise StoreCorrupt(
                f"{self._finding}: nothing is written any more. Bring the file back, or a backup"
            )

    def is_in_place(self) -> bool:
        """Return True if the database file, whose WAL SQLite may remove, is still at its path."""
        try:
            return files.identity(self._path) == self._held
        except OSError:
            return False


def _finding(path: str, expected: FileIdentity) -> str | None:
    try:
        found = files.identity(path)
    except (FileNotFoundError, NotADirectoryError):
        return f"{path} was moved or removed"
    except OSError as error:
        raise StoreUnavailable(f"{path} can't be looked up: {error.strerror}") from error
    return None if found == expected else f"{path} was replaced"
