"""What goes over the admin socket: a JSON object on each line, a reply for each request. Sans-IO.

::

    {"command": "account show", "arguments": {"name": "mei"}, "reason": ""}
    {"ok": true, "result": {"name": "Mei", …}}
    {"ok": false, "error": {"code": "unknown_person", "text": "…"}}

Requests are handled in order, each after the reply to the one before. After a line that is too long
the connection ends. Codes are those of :class:`~gochat.errors.ErrorCode`, and ``internal``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from gochat.errors import ErrorCode, FrameError

#: Bytes of a request at most: no command needs a tenth.
MAX_REQUEST: Final = 64 * 1024
#: Bytes of a reply at most, for who reads it: a page of accounts has some hundred KiB.
MAX_REPLY: Final = 16 * 1024 * 1024
#: The code of an error that is a bug.
INTERNAL: Final = "internal"


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command with its arguments; `reason` is for the audit log."""

    command: str
    arguments: dict[str, Any] = {}
    reason: Annotated[str, Meta(max_length=500)] = ""


class Failure(Struct, frozen=True, kw_only=True):
    """Why a command was refused or failed."""

    code: str
    text: str


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a command: its `result` if it is `ok`, else its `error`."""

    ok: bool
    result: Any = None
    error: Failure | None = None


_encoder: Final = msgspec.json.Encoder()


def encode(message: Request | Reply) -> bytes:
    """Return a message as a line."""
    return _encoder.encode(message) + b"\n"


class LineDecoder:
    """Splits what arrives into lines of at most `longest` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._searched = 0

    def receive_data(self, data: bytes) -> None:
        """Add what has arrived."""
        self._buffer += data

    def next_line(self) -> bytes | None:
        """Return the next line without its end, or None if it has not arrived yet.

        Raises:
            FrameError: it is too long; nothing after it can be read.
        """
        end = self._buffer.find(b"\n", self._searched)
        if max(end, 0 if end >= 0 else len(self._buffer)) > self._longest:
            raise FrameError(
                ErrorCode.FRAME_TOO_LARGE,
                f"a line has at most {self._longest} bytes",
                details={"max": self._longest},
            )
        self._searched = len(self._buffer) if end < 0 else 0
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line
