"""Replies and events that carry log entries, cut so that each fits its frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gochat.chat.store import Page
from gochat.protocol.codec import encode
from gochat.protocol.messages import History, HistoryPage, Message

#: Bytes of a frame for what is around the entries.
_ENVELOPE: Final = 1024


def history_page(request: History, address: str, page: Page, frame_bytes: int) -> HistoryPage:
    """Return the reply to `request`, without the entries that would not fit the frame.

    What is left out is what is farthest from where the request begins, so that the next request
    continues there without a gap.
    """
    entries = list(page.entries)
    if request.after is not None:
        entries = fitting(entries, frame_bytes)
    elif request.around is not None:
        middle = next((i for i, e in enumerate(entries) if e.seq >= (request.around or 0)), 0)
        newer = fitting(entries[middle:], frame_bytes // 2)
        older = fitting(reversed(entries[:middle]), frame_bytes // 2)
        entries = [*reversed(older), *newer]
    else:
        entries = fitting(reversed(entries), frame_bytes)[::-1]
    return HistoryPage(
        request_id=request.request_id,
        conv=address,
        epoch=page.epoch,
        head=page.head,
        entries=tuple(entries),
        older=bool(entries) and entries[0].seq > 1,
        newer=bool(entries) and entries[-1].seq < page.head,
    )


def fitting(entries: Iterable[Message], frame_bytes: int) -> list[Message]:
    """Return as many of `entries`, from the first, as fit one frame."""
    # In a page an entry is escaped as often as in a frame of its own, so that is its size there.
    room = frame_bytes - _ENVELOPE
    fit = []
    for entry in entries:
        room -= len(encode(entry))
        if room < 0:
            break
        fit.append(entry)
    return fit
