"""Daily quotas of what a person adds: bytes of the log, rooms, private conversations, reports.

A quota is available at once, and refills over a day. The rate limit for writing bounds how many
entries a person can add, but not how much disk they take; quotas do. Each server keeps what its
people have used in memory.
"""

from __future__ import annotations

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
    cid = ENTRY if request.cid is None else ENTRY + _bytes(request.cid)
    if isinstance(request, Send):
        meta = sum(_bytes(key) + _bytes(value) for key, value in request.meta.items())
        return cid + _bytes(request.text) + meta
    _, text, _ = content(request)
    size = cid + _bytes(text)
    match request:
        case Ban() | Delete() | Kick() | Leave():
            size += _bytes(request.reason)
        case CreateRoom():  # and its topic, an entry of its own
            size += ENTRY + _bytes(request.room) + _bytes(request.topic)
    return size


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


class Quotas:
    """The quotas of all people of a server.

    The caller passes the present time, in seconds of a monotonic clock.
    """

    def __init__(self, limits: Limits) -> None:
        self._bytes = _buckets(limits.bytes_per_day)
        self._rooms = _buckets(limits.rooms_per_day)
        self._conversations = _buckets(limits.conversations_per_day)
        self._reports = _buckets(limits.reports_per_day)

    def configure(self, limits: Limits, now: float) -> None:
        """Change the limits, also of quotas that are in use."""
        for buckets, per_day in (
            (self._bytes, limits.bytes_per_day),
            (self._rooms, limits.rooms_per_day),
            (self._conversations, limits.conversations_per_day),
            (self._reports, limits.reports_per_day),
        ):
            buckets.configure(per_day, per_day / _DAY, now)

    def charge(self, person: NameKey, request: LogRequest, now: float) -> None:
        """Charge for a request that is about to be appended.

        It may cost more than is left: then the remainder is owed. Raises QuotaExceeded, and charges
        nothing, if nothing is left.
        """
        written, cost = self._bytes.of(person, now), size(request)
        if wait := written.take(now, cost):
            raise QuotaExceeded("bytes_per_day", "you have written too much", wait)
        if isinstance(request, CreateRoom) and (wait := self._rooms.of(person, now).take(now)):
            written.give_back(cost)
            raise QuotaExceeded("rooms_per_day", "you have created many rooms", wait)

    def settle(
        self, person: NameKey, request: LogRequest, appended: Appended | None, now: float
    ) -> None:
        """Adjust the charge for a request to its outcome.

        `appended` is its new entry, or None if it added none, which refunds it.
        """
        if appended is None:
            self._bytes.of(person, now).give_back(size(request))
            if isinstance(request, CreateRoom):
                self._rooms.of(person, now).give_back()
        elif appended.entry.seq == 1 and isinstance(request, Send) and request.to.startswith("@"):
            self._conversations.of(person, now).charge(now)

    def charge_report(self, person: NameKey, now: float) -> None:
        """Charge for a report that is about to be added. Raises QuotaExceeded."""
        if wait := self._reports.of(person, now).take(now):
            raise QuotaExceeded("reports_per_day", "you have made many reports", wait)

    def refund_report(self, person: NameKey, now: float) -> None:
        """Undo that, because none was added."""
        self._reports.of(person, now).give_back()

    def new_conversation(self, person: NameKey, now: float) -> QuotaExceeded | None:
        """Return None if a person may start a private conversation, or the refusal."""
        wait = self._conversations.of(person, now).wait(now)
        if not wait:
            return None
        what = "you have begun many private conversations"
        return QuotaExceeded("conversations_per_day", what, wait, field="to")


def _buckets(per_day: int) -> Buckets[NameKey]:
    return Buckets(per_day, per_day / _DAY, MAX_REMEMBERED)
