"""The numbered writes that are on their way on one connection. Pure.

The server takes a write only if its number is due, and a refusal for now leaves the number due. So
the numbers never have a gap: after such a refusal everything after it is given up, and what comes
next has the number that stayed due. See `docs/reference/protocol.md`, "Sending in order".
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec import structs

from gochat.client.errors import INVALID_REPLY
from gochat.errors import NOT_NOW, ErrorCode, ProtocolError
from gochat.protocol.messages import WriteRequest

#: How many writes may be on their way at once. All that is pasted at once goes in one round trip;
#: what comes after a refused one was sent in vain. `benchmarks/pasting.py` has figures.
WINDOW: Final = 64

#: Refusals that leave the number of a write due: those that mean "not now", and those of what the
#: server did not read.
LEAVES_DUE: Final = NOT_NOW | {
    ErrorCode.MALFORMED,
    ErrorCode.UNKNOWN_TYPE,
    ErrorCode.FRAME_TOO_LARGE,
    ErrorCode.NOT_LOGGED_IN,
    INVALID_REPLY,
}

W = TypeVar("W", bound=WriteRequest)


@dataclass(frozen=True, slots=True)
class _Transmission:
    request: WriteRequest
    at: float


class Pipeline:
    """The writes in flight, in order, and the number of the next one."""

    def __init__(self) -> None:
        self._in_flight: deque[_Transmission] = deque()
        self._next = 1
        self._window = WINDOW

    @property
    def is_full(self) -> bool:
        """Whether no more may be sent until there is a reply."""
        return len(self._in_flight) >= self._window

    @property
    def cids(self) -> set[str | None]:
        """The cids of the writes in flight."""
        return {transmission.request.cid for transmission in self._in_flight}

    @property
    def since(self) -> float | None:
        """When the oldest write in flight was sent, or None."""
        return self._in_flight[0].at if self._in_flight else None

    def begin(self) -> None:
        """Begin with a new login: nothing is in flight."""
        self._in_flight.clear()
        self._next, self._window = 1, WINDOW

    def send(self, write: W, now: float) -> W:
        """Return `write` with its number, a new object; it is in flight from here on."""
        request = structs.replace(write, n=self._next)
        self._next += 1
        self._in_flight.append(_Transmission(request, now))
        return request

    def settle(self, request: WriteRequest, refusal: ErrorCode | str | None) -> int:
        """Take in the reply to a request that :meth:`send` has returned.

        Return how many writes have ended by it: 0 if it was given up before; more than 1 if the
        server takes none of those after it, which are given up now. After a refusal for now the
        next write goes alone, to see whether it is taken.

        Raises:
            ProtocolError: the server counts otherwise.
        """
        in_flight = [transmission.request for transmission in self._in_flight]
        # By identity: the same message, given up and sent again, can have the same number.
        index = next((n for n, other in enumerate(in_flight) if other is request), None)
        if index is None or request.n is None:
            return 0
        if refusal == ErrorCode.OUT_OF_ORDER:
            raise ProtocolError(f"the server expects another number than {request.n}")
        if refusal not in LEAVES_DUE:
            del self._in_flight[index]
            self._window = WINDOW
            return 1
        while len(self._in_flight) > index:
            self._in_flight.pop()
        self._next = request.n
        self._window = 1
        return len(in_flight) - index
