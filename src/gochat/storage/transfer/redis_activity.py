"""What concerns people (:mod:`gochat.chat.activity`), in a Redis that is being copied into.

It is found from the entries again. A reply and a reaction concern the author of another entry,
which may have been copied long before: that one is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.protocol.text import EVERYBODY
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.deployment import Deployment
from gochat.storage.redis.link.wire import Arguments
from gochat.storage.redis.records import decode_record
from gochat.storage.transfer.contents import ConversationRecord, EntryRecord


def listing(
    redis: Deployment, pieces: Sequence[tuple[ConversationRecord, Sequence[EntryRecord]]]
) -> list[tuple[int, Arguments]]:
    """Return the commands that list the next entries of conversations for whom they concern."""
    keys = redis.keys
    asked: list[tuple[int, Arguments]] = []
    about: list[tuple[ConversationRecord, EntryRecord]] = []
    elements: dict[ConversationKey, list[str]] = {}
    for record, entries in pieces:
        log, reactions = keys.conversation(record.key, key_kinds.LOG, key_kinds.REACTIONS)
        partition = keys.partition(record.key)
        here = {entry.seq: entry for entry in entries}
        listed = elements.setdefault(record.key, [])
        for entry in entries:
            listed += (_element(name, entry) for name in _mentioned(entry))
            if not record.base < entry.ref < entry.seq or not _is_about(entry, record):
                continue
            if (target := here.get(entry.ref)) is not None:
                is_given = any(given.seq == entry.seq for given in target.reactions)
                if target.sender != entry.sender and (entry.kind == "text" or is_given):
                    listed.append(_element(target.sender, entry))
                continue
            about.append((record, entry))
            given = f"{entry.ref:012d}:{entry.seq:012d}"
            asked += [
                (partition, ("LINDEX", log, entry.ref - 1 - record.base)),
                (partition, ("ZRANGEBYLEX", reactions, f"[{given}:", f"({given};")),
            ]
    replies = redis.ask(asked)
    for (record, entry), packed, reaction in zip(about, replies[::2], replies[1::2], strict=True):
        author = decode_record(packed).sender
        if author != entry.sender and (entry.kind == "text" or reaction):
            elements[record.key].append(_element(author, entry))
    return list(_commands(keys, elements))


def _commands(
    keys: Keys, elements: dict[ConversationKey, list[str]]
) -> Iterator[tuple[int, Arguments]]:
    for key, listed in elements.items():
        if listed:
            (activity,) = keys.conversation(key, key_kinds.ACTIVITY)
            scored = [part for element in listed for part in ("0", element)]
            yield keys.partition(key), ("ZADD", activity, *scored)


def _is_about(entry: EntryRecord, record: ConversationRecord) -> bool:
    is_reply = entry.kind == "text" and not entry.deleted
    return entry.kind == "react" or (is_reply and not conversations.is_private(record.key))


def _mentioned(entry: EntryRecord) -> list[str]:
    if entry.kind != "text":
        return []
    if entry.mentions.startswith(EVERYBODY):
        return [EVERYBODY]
    return [name for name in entry.mentions.split(",") if name not in ("", entry.sender)]


def _element(name: str, entry: EntryRecord) -> str:
    return f"{name}\0{entry.seq:012d}:{entry.ts}"
