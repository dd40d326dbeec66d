"""What a copy writes into Redis for an entry."""

from __future__ import annotations

import msgspec

from gochat.protocol.text import EVERYBODY
from gochat.storage.redis.link.wire import Arguments
from gochat.storage.redis.records import Record
from gochat.storage.transfer.contents import EntryRecord


class Tail(msgspec.Struct):
    """The end of a conversation, from which the record of the next entry continues."""

    seq: int
    texts: int
    stamp: int


def record_of(entry: EntryRecord, tail: Tail) -> Record:
    """Return an entry as it is stored; `tail` is that of its conversation."""
    return Record(
        entry.ts,
        0,
        tail.stamp,
        tail.texts,
        entry.edited,
        int(entry.deleted),
        entry.sender,
        entry.kind,
        entry.ref,
        entry.cid,
        entry.text,
        entry.mentions,
        entry.extra,
        entry.pinned,
    )


def counted(entry: EntryRecord) -> list[str]:
    """Return for whom a message counts as a mention, as ``append.lua`` writes it."""
    if entry.mentions.startswith(EVERYBODY):
        return [EVERYBODY, f"{EVERYBODY} {entry.sender}"]
    return [name for name in entry.mentions.split(",") if name not in ("", entry.sender)]


def forget_read(unread: str, name: str, read: int) -> Arguments:
    """Return the command that removes from a set what a person has read."""
    return ("ZREMRANGEBYLEX", unread, f"[{name}\0", f"[{name}\0{read:012d}")
