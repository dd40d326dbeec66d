"""Daily quotas of what a person adds: bytes of the log, rooms, private conversations, reports.

A quota is available at once, and refills over a day. The rate limit for writing bounds how many
entries a person can add, but not how much disk they take; quotas do. Each server keeps what its
people have used in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final

from gochat.chat.log import Appended
from gochat.chat.log_requests import LogRequest, content
from gochat.chat.names import NameKey
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Ban, CreateRoom, Delete, Kick, Leave, Send
from gochat.server.limits import MAX_REMEMBERED
from gochat.token_bucket import Buckets

#: Bytes that an entry costs besides its text: what an entry of a single character takes on disk.
ENTRY: Final = 100
_DAY: Final = 24 * 3600.0


class QuotaExceeded(ChatError):
    """A person has used up a daily quota. `quota` is the configuration's key."""

    def __init__(self, quota: str, what: str, wait: float, *, field: str | None = None) -> None:
        when = f"{ceil(wait / 60)} min" if wait >= 60 else f"{ceil(wait)} s"
        super().__init__(
            ErrorCode.RATE_LIMITED,
            f"{what} today: try again in {when}",
            field=field,
            retry_after=wait,
            details={"limit": quota},
        )
        self.quota: Final = quota


def size(request: LogRequest) -> int:
    """Return what a request costs of the quota of bytes: what it writes, in UTF-8.

    Measured on SQLite's disk, a message and its part of the search index take 1.3 to 2.3 times as
    many bytes where people talk or paste logs, and 11 to 12 times if all is random, whether in
    ASCII, in letters of two bytes or in 漢字. Characters that fold to many, of which the index has
    more than was written, are few, so they add little to the index: 0.2 to 1.1 times.
    """
    _, text, _ = content(request)
    size = ENTRY + _bytes(text) + _bytes(request.cid or "")
    match request:
        case Send():
            size += sum(_bytes(key) + _bytes(value) for key, value in request.meta.items())
        case Ban() | Delete() | Kick() | Leave():
            size += _bytes(request.reason)
        case CreateRoom():  # and its topic, an entry of its own
            size += ENTRY + _bytes(request.room) + _bytes(request.topic)
    return size


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


class Quotas:
    """The quotas of all people of a server. `clock` is monotonic, in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bytes = _buckets(limits.bytes_per_day)
        self._rooms = _buckets(limits.rooms_per_day)
        self._conversations = _buckets(limits.conversations_per_day)
        self._reports = _buckets(limits.reports_per_day)

    def configure(self, limits: Limits) -> None:
        """Change the limits, also of quotas that are in use."""
        now = self._clock()
        for buckets, per_day in (
            (self._bytes, limits.bytes_per_day),
            (self._rooms, limits.rooms_per_day),
            (self._conversations, limits.conversations_per_day),
            (self._reports, limits.reports_per_day),
        ):
            buckets.configure(per_day, per_day / _DAY, now)

    def charge(self, person: NameKey, request: LogRequest) -> None:
        """Charge for a request that is about to be appended.

        It may cost more than is left: then the remainder is owed. Raises QuotaExceeded, and charges
        nothing, if nothing is left.
        """
        now = self._clock()
        written = self._bytes.of(person, now)
        if wait := written.wait(now):
            raise QuotaExceeded("bytes_per_day", "you have written too much", wait)
        if isinstance(request, CreateRoom):
            rooms = self._rooms.of(person, now)
            if wait := rooms.take(now):
                raise QuotaExceeded("rooms_per_day", "you have created many rooms", wait)
        written.charge(now, size(request))

    def settle(self, person: NameKey, request: LogRequest, appended: Appended | None) -> None:
        """Adjust the charge for a request to its outcome.

        `appended` is its new entry, or None if it added none, which refunds it.
        """
        if appended is None:
            now = self._clock()
            self._bytes.of(person, now).give_back(size(request))
            if isinstance(request, CreateRoom):
                self._rooms.of(person, now).give_back()
        elif isinstance(request, Send) and request.to.startswith("@") and appended.entry.seq == 1:
            now = self._clock()
            self._conversations.of(person, now).charge(now)

    def charge_report(self, person: NameKey) -> None:
        """Charge for a report that is about to be added. Raises QuotaExceeded."""
        now = self._clock()
        if wait := self._reports.of(person, now).take(now):
            raise QuotaExceeded("reports_per_day", "you have made many reports", wait)

    def refund_report(self, person: NameKey) -> None:
        """Undo that, because none was added."""
        self._reports.of(person, self._clock()).give_back()

    def new_conversation(self, person: NameKey) -> QuotaExceeded | None:
        """Return None if a person may start a private conversation, or the refusal."""
        now = self._clock()
        wait = self._conversations.of(person, now).wait(now)
        if not wait:
            return None
        what = "you have begun many private conversations"
        return QuotaExceeded("conversations_per_day", what, wait, field="to")


def _buckets(per_day: int) -> Buckets[NameKey]:
    return Buckets(per_day, per_day / _DAY, MAX_REMEMBERED)
