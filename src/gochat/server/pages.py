"""Replies and events that carry log entries, cut so that each fits its frame."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Final

from gochat.chat.conversations import addressed
from gochat.chat.deletion import without_names
from gochat.chat.extras import plain
from gochat.chat.log import Page
from gochat.chat.names import NameKey
from gochat.protocol.codec import encode
from gochat.protocol.messages import History, HistoryPage, Message

#: Bytes of a frame for everything but the entries.
ENVELOPE: Final = 1024


def as_received(
    entries: Iterable[Message],
    reader: NameKey,
    gone: Collection[NameKey],
    *,
    is_minimal: bool = False,
) -> list[Message]:
    """Return entries as a session of `reader` gets them; `is_minimal`: it has no capabilities.

    `gone` are the accounts that were deleted.
    """
    if is_minimal:
        return [without_names(plain(entry), gone) for entry in entries]
    return [without_names(addressed(entry, reader), gone) for entry in entries]


def history_page(request: History, address: str, page: Page, frame_bytes: int) -> HistoryPage:
    """Return the reply to `request`, without the entries that would not fit the frame.

    Entries are dropped at the end farthest from where the request begins, so that the next request
    continues there without a gap.
    """
    entries = page.entries
    if request.after is not None:
        entries = fitting(entries, frame_bytes)
    elif request.around is not None:
        entries = _around(request.around, entries, frame_bytes)
    else:
        entries = fitting(reversed(entries), frame_bytes)[::-1]
    first = max(page.floor, page.base) + 1
    if entries:
        older, newer = entries[0].seq > first, entries[-1].seq < page.head
    else:  # all entries are on the other side of the request's bound
        older = page.head >= first and request.before is None
        newer = page.head >= first and request.before is not None
    return HistoryPage(
        request_id=request.request_id,
        conv=address,
        epoch=page.epoch,
        head=page.head,
        entries=tuple(entries),
        older=older,
        newer=newer,
        floor=page.floor,
        base=page.base,
    )


def fitting(entries: Iterable[Message], frame_bytes: int) -> list[Message]:
    """Return as many of `entries`, from the first, as fit one frame."""
    room = frame_bytes - ENVELOPE
    fit = []
    for entry in entries:
        room -= size(entry)
        if room < 0:
            break
        fit.append(entry)
    return fit


def _around(seq: int, entries: Sequence[Message], frame_bytes: int) -> Sequence[Message]:
    """Return as many of `entries` around `seq` as fit one frame.

    The one with `seq`, or else the last before it or the first; then alternately the next newer and
    older ones, while there are any and they fit.
    """
    sizes = [size(entry) for entry in entries]
    start = end = max(0, bisect_right(entries, seq, key=attrgetter("seq")) - 1)
    room = frame_bytes - ENVELOPE
    grows_newer = grows_older = True
    while grows_newer or grows_older:
        if grows_newer := grows_newer and end < len(entries) and sizes[end] <= room:
            room -= sizes[end]
            end += 1
        if grows_older := grows_older and start > 0 and sizes[start - 1] <= room:
            start -= 1
            room -= sizes[start]
    return entries[start:end]


def size(entry: Message) -> int:
    """Return how many bytes of a frame an entry takes."""
    # An entry is escaped as often in a page as in a frame of its own, so it has the same size.
    return len(encode(entry))
