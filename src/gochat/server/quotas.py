"""How much a person may add in a day to what stays for good: bytes of the log, rooms, private
conversations.

A quota is there at once, and comes again over a day. The rate of writing bounds how many entries
somebody can add, and not how much disk they take; what a quota is measured in does. Each server
remembers what its people have used, in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

from gochat.chat.names import NameKey
from gochat.chat.retries import LogRequest, content
from gochat.chat.store import Appended
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import CreateRoom, Send
from gochat.server.limits import MAX_REMEMBERED
from gochat.token_bucket import Buckets

#: Bytes that an entry costs besides its text: what one of a single character takes on disk.
ENTRY: Final = 100
_DAY: Final = 24 * 3600.0


class QuotaExceeded(ChatError):
    """Somebody has used up what they may add in a day. `quota` is the configuration's key."""

    def __init__(self, quota: str, what: str, wait: float, *, field: str | None = None) -> None:
        when = f"{ceil(wait / 60)} min" if wait >= 60 else f"{ceil(wait)} s"
        super().__init__(
            ErrorCode.RATE_LIMITED,
            f"{what} today: try again in {when}",
            field=field,
            retry_after=wait,
        )
        self.quota: Final = quota


def size(request: LogRequest) -> int:
    """Return what a request costs of the quota of bytes: what it writes, in UTF-8.

    Measured, a message and its part of the search index take on SQLite's disk 1.3 to 2.3 times as
    many bytes where people talk or paste logs, and 11 to 12 times where all is random, whether in
    ASCII, in letters of two bytes or in 漢字. Characters that fold to many, of which the index has
    more than was written, are few, so that they bring it nothing new: 0.2 to 1.1 times.
    """
    _, text, _ = content(request)
    written = [text, request.cid or ""]
    entries = 1
    if isinstance(request, CreateRoom):
        written += [request.room, request.topic]
        entries = 2
    return entries * ENTRY + sum(len(one.encode(errors="surrogatepass")) for one in written)


class Quotas:
    """What all people of a server have used. `clock` is monotonic, in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bytes = _buckets(limits.bytes_per_day)
        self._rooms = _buckets(limits.rooms_per_day)
        self._conversations = _buckets(limits.conversations_per_day)

    def charge(self, person: NameKey, request: LogRequest) -> None:
        """Charge for a request that is about to be appended. It may cost more than there is: that
        is owed. Raises QuotaExceeded, and charges nothing, if nothing is left."""
        now = self._clock()
        written = self._bytes.of(person, now)
        if wait := written.wait(now):
            raise QuotaExceeded("bytes_per_day", "you have written very much", wait)
        if isinstance(request, CreateRoom):
            rooms = self._rooms.of(person, now)
            if wait := rooms.take(now):
                raise QuotaExceeded("rooms_per_day", "you have created many rooms", wait)
        written.charge(now, size(request))

    def settle(self, person: NameKey, request: LogRequest, appended: Appended | None) -> None:
        """Note what became of a request that was charged: what is new of it, or None. Then it costs
        nothing."""
        now = self._clock()
        if appended is None:
            self._bytes.of(person, now).give_back(size(request))
            if isinstance(request, CreateRoom):
                self._rooms.of(person, now).give_back()
        elif isinstance(request, Send) and request.to.startswith("@") and appended.entry.seq == 1:
            self._conversations.of(person, now).charge(now)

    def new_conversation(self, person: NameKey) -> QuotaExceeded | None:
        """Return None if a person may begin a private conversation, or the refusal."""
        now = self._clock()
        wait = self._conversations.of(person, now).wait(now)
        if not wait:
            return None
        what = "you have begun many private conversations"
        return QuotaExceeded("conversations_per_day", what, wait, field="to")


def _buckets(per_day: int) -> Buckets[NameKey]:
    return Buckets(per_day, per_day / _DAY, MAX_REMEMBERED)
