"""Check that a database file has all of its pages, and whether it depends on a log.

SQLite reads the missing part of the last page as zeros, and notices a missing page only when it
needs it. While a server runs, or after a crash, the file can legitimately be shorter, or end within
a page: the write-ahead log has the remainder, or SQLite rolls the file back from its journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gochat.errors import StoreCorrupt
from gochat.storage.sqlite import files

_HEADER_SIZE: Final = 100
#: How a header represents 65536, which does not fit.
_LARGEST_PAGE: Final = 1


def has_wal(path: Path) -> bool:
    """Return True if the database's write-ahead log is not empty."""
    wal = files.beside(path, "-wal")
    return wal.exists() and wal.stat().st_size > 0


def has_journal(path: Path) -> bool:
    """Return True if a transaction outside of WAL mode was cut short: SQLite will roll it back."""
    return files.beside(path, "-journal").exists()


def require_whole(path: Path) -> None:
    """Check that a database without a WAL or a journal is as long as its header states.

    Hold the lock: a running server writes the header and the pages one after the other.

    Raises:
        StoreCorrupt: it is shorter, or not a number of whole pages.
        StoreUnavailable: it can't be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(_HEADER_SIZE)
    except OSError as error:
        raise files.unreadable(path, error) from error
    page_size = int.from_bytes(header[16:18], "big")
    if page_size == _LARGEST_PAGE:
        page_size = 65536
    if page_size == 0 or size % page_size:
        raise StoreCorrupt(
            f"{path} is damaged: its {size} bytes are not a number of whole pages of {page_size}, "
            "perhaps because copying it was cut short. It is left as it is: bring a backup back"
        )
    pages = int.from_bytes(header[28:32], "big")
    is_noted = header[24:28] == header[92:96]  # else an old SQLite wrote it without the count
    if is_noted and size < pages * page_size:
        raise StoreCorrupt(
            f"{path} is damaged: it has {size // page_size} pages of the {pages} in its header, "
            "perhaps because copying it was cut short. It is left as it is: bring a backup back"
        )
