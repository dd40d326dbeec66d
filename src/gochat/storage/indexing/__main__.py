"""The process that runs turns for a server: one request on a line of standard input, one reply.

It ends with the server, whose end closes its input, and at nothing else: a signal for all processes
of a terminal or a service is the server's to act on.

Requests are those of :class:`.Turns`, as JSON: the method's name and its arguments. The reply is
what the method returned, in the same order; ``null``, if the index was overtaken; or what SQLite
found: ``{"file": "log" or "index", "code": its number, "text": its message}``. An error of any
other kind is a bug, and ends the process.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gochat.storage.indexing.turns import (
    VERSION,
    Overtaken,
    Progress,
    TurnsHere,
    connect,
    transaction,
)


class _Failed(Exception):
    def __init__(self, file: str, error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        self.reply = {"file": file, "code": code, "text": str(error)}


@contextmanager
def _used(file: str, db: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    try:
        with transaction(db, begin):
            yield db
    except sqlite3.Error as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise _Failed(file, error) from error


def _answer(turns: TurnsHere, request: list[Any]) -> object:
    match request:
        case "extend", before, positions, entries, last:
            method = partial(turns.extend, Progress(*before), positions, entries, last)
        case "update", before:
            method = partial(turns.update, Progress(*before))
        case _:
            raise ValueError(request)
    try:
        return method()
    except Overtaken:
        return None
    except _Failed as failure:
        return failure.reply


def _serve(turns: TurnsHere) -> None:
    for line in sys.stdin.buffer:
        reply = _answer(turns, json.loads(line))
        sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
        sys.stdout.buffer.flush()


def main() -> None:
    """Answer requests until the input ends.

    The arguments are the database's path, its device and inode, the index's path, the generation of
    both, `synchronous` of the index, and how many seconds to wait for a lock.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    path, device, inode, index_path, generation, synchronous, timeout = sys.argv[1:]
    with (
        closing(connect(Path(path), "mode=ro", float(timeout))) as log,
        closing(connect(Path(index_path), "mode=rw", float(timeout))) as index,
    ):
        (version,) = index.execute("PRAGMA user_version").fetchone()
        if version != VERSION:  # its tokens would be others than those the server looks for
            raise RuntimeError(f"the index has version {version}, and the program {VERSION}")
        index.execute(f"PRAGMA synchronous = {synchronous}")
        log.execute("SELECT 1 FROM entry LIMIT 1").fetchone()  # now it has its files open
        status = Path(path).stat()
        if (status.st_dev, status.st_ino) != (int(device), int(inode)):
            raise FileNotFoundError(f"{path} was moved or replaced")
        _serve(
            TurnsHere(
                partial(_used, "log", log, "BEGIN"),
                partial(_used, "index", index, "BEGIN IMMEDIATE"),
                generation,
            )
        )


if __name__ == "__main__":
    main()
