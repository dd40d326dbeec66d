"""Write what the server exports to a file, page after page."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from gochat.errors import ConfigError
from gochat.server.admin.wire import Failure, Reply

_encode = msgspec.json.Encoder().encode


class _Refused(Exception):
    """The server has refused a page."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


def export(ask: Callable[[Mapping[str, object]], Reply], path: Path) -> Reply:
    """Ask for all pages, by their cursors; return a reply with what was written.

    The file is new, and only its owner can read it. If anything fails, there is none. ``-`` is
    standard output.

    Raises:
        ConfigError: the file exists, or can't be written.
    """
    try:
        with _opened(path) as file:
            count, cursor = 0, ""
            while True:
                reply = ask({"cursor": cursor} if cursor else {})
                if reply.error is not None:
                    raise _Refused(reply.error)
                for record in reply.result["records"]:
                    file.write(_encode(record) + b"\n")
                    count += 1
                cursor = reply.result["next"]
                if not cursor:
                    break
    except _Refused as refused:
        return Reply(ok=False, error=refused.failure)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror or error}") from error
    return Reply(ok=True, result={"file": str(path), "records": count})


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | Any]:
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
