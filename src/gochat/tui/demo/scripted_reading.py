"""Pages of history and of hits, as a scripted client is given them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gochat.client.moments import milliseconds
from gochat.protocol import search_query
from gochat.protocol.messages import ActivityItem, Message, Pinned, SavedItem
from gochat.protocol.text import is_mentioned
from gochat.tui.demo.scripted_chat import ScriptedChat
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


def activity(chat: ScriptedChat) -> list[ActivityItem]:
    """Return what concerns the person, the newest first."""
    found = [
        item
        for own in chat.conversations()
        for entry in chat.log(own.conv)
        if (item := concern(chat, own.conv, chat.as_it_reads(own.conv, entry))) is not None
    ]
    return sorted(found, key=lambda item: (item.ts, item.entry.seq), reverse=True)


def concern(chat: ScriptedChat, conv: str, entry: Message) -> ActivityItem | None:
    """Return how an entry concerns the person now, or None."""
    if entry.deleted or entry.from_ == chat.me or entry.from_ in chat.blocked:
        return None
    if entry.kind == "text" and is_mentioned(chat.me, entry.mentions):
        return ActivityItem(kind="mention", ts=entry.ts, entry=entry)
    if entry.ref is None or entry.kind not in ("text", "react"):
        return None
    target = chat.as_it_reads(conv, chat.log(conv)[entry.ref - 1])
    if target.from_ != chat.me:
        return None
    about = target.text[:200]
    if entry.kind == "text" and conv.startswith("#"):
        return ActivityItem(kind="reply", ts=entry.ts, entry=entry, about=about)
    given = any(one.emoji == entry.text and entry.from_ in one.names for one in target.reactions)
    return ActivityItem(kind="reaction", ts=entry.ts, entry=entry, about=about) if given else None


def pins(chat: ScriptedChat, conv: str) -> list[Pinned]:
    """Return what is pinned in a conversation, what was pinned last first."""
    found: dict[int, Message] = {}
    for entry in chat.log(conv):
        if entry.kind in ("pin", "unpin") and entry.ref is not None:
            found.pop(entry.ref, None)
            if entry.kind == "pin":
                found[entry.ref] = entry
    log = chat.log(conv)
    return [
        Pinned(seq=pin.seq, by=pin.from_, ts=pin.ts, entry=message)
        for seq, pin in reversed(found.items())
        if (message := chat.as_it_reads(conv, log[seq - 1])).pinned
    ]


def saved(chat: ScriptedChat) -> list[SavedItem]:
    """Return what the person has saved, what was saved last first."""
    return [
        SavedItem(ts=ts, entry=entry)
        for (conv, seq), ts in reversed(chat.saved.items())
        if not (entry := chat.as_it_reads(conv, chat.log(conv)[seq - 1])).deleted
    ]
