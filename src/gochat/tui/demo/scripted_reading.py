"""Pages of history and of hits, as a scripted client is given them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gochat.client.moments import milliseconds
from gochat.protocol import search_query
from gochat.protocol.messages import Message
from gochat.tui.text.finding import bare


def span(
    log: Sequence[Message], floor: int, limit: int, *, before: int | None, after: int | None,
    around: int | None, at: datetime | None,
) -> tuple[int, int]:  # fmt: skip
    """Return which slice of a log a page has; entries up to `floor` are hidden."""
    if at is not None:
        since = milliseconds(at)
        around = next((entry.seq for entry in log if entry.ts >= since), len(log) + 1)
    if around is not None:
        after = max(0, around - 1 - limit // 2)
    if after is not None:
        start, end = min(after, len(log)), min(len(log), after + limit)
    else:
        end = len(log) if before is None else min(len(log), max(0, before - 1))
        start = max(0, end - limit)
    return max(start, floor), max(end, floor)


def place(query: str) -> str | None:
    """Return the conversation that a query is limited to."""
    address = search_query.parse(query).place
    return address if address is None or address[0] in "#@" else f"#{address}"


def search(
    texts: Sequence[Message], query: str, me: str, start: int, looks_at: int, limit: int
) -> tuple[list[Message], int | None]:
    """Return those of `texts`, from the `start`-th on, that match, and where to go on, if there are
    more than `looks_at` texts or `limit` hits.

    Unlike a server's, exact matches do not come first.
    """
    wanted = search_query.parse(query)
    words = [bare(term) for term in wanted.terms]
    sender = me if wanted.sender == "me" else (wanted.sender or "").lstrip("@").casefold()
    at, hits = start, list[Message]()
    while at < min(len(texts), start + looks_at) and len(hits) < limit:
        text = texts[at]
        is_of = not sender or text.from_.casefold() == sender
        if is_of and not text.deleted and all(word in bare(text.text) for word in words):
            hits.append(text)
        at += 1
    return hits, at if at < len(texts) else None
