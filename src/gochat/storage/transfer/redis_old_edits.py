"""Edits from older versions of gochat, which kept the texts of all edits of a message.

Now each edit erases the one before, and the next edit or the deletion of a message erases those
left (append.lua). A copy leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import structs

from gochat.chat.conversations import ConversationKey
from gochat.errors import StoreCorrupt
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.wire import Arguments, Reply
from gochat.storage.redis.records import decode_record
from gochat.storage.transfer.contents import ConversationRecord, EntryRecord


def without_old_edits(
    ask: Callable[[Sequence[tuple[int, Arguments]]], list[Reply]],
    keys: Keys,
    records: Sequence[ConversationRecord],
    found: Sequence[Sequence[EntryRecord]],
) -> list[list[EntryRecord]]:
    """Return the entries, with all edits erased that are not the last of their message.

    `ask` is that of a :class:`~gochat.storage.redis.link.deployment.Deployment`.

    Raises:
        StoreCorrupt: a message is damaged.
    """
    messages: dict[tuple[ConversationKey, int], tuple[int, Arguments]] = {}
    for record, entries in zip(records, found, strict=True):
        partition, (log,) = keys.partition(record.key), keys.conversation(record.key, key_kinds.LOG)
        for entry in entries:
            if _is_readable_edit(entry) and entry.ref > record.base:
                index = entry.ref - 1 - record.base
                messages[record.key, entry.ref] = partition, ("LINDEX", log, index)
    if not messages:
        return [list(entries) for entries in found]
    last_edits = {
        message: _last_edit(message, packed)
        for message, packed in zip(messages, ask(list(messages.values())), strict=True)
    }
    return [
        [
            structs.replace(entry, text="", mentions="", deleted=True)
            if _is_readable_edit(entry) and entry.seq < last_edits.get((record.key, entry.ref), 0)
            else entry
            for entry in entries
        ]
        for record, entries in zip(records, found, strict=True)
    ]


def _is_readable_edit(entry: EntryRecord) -> bool:
    return entry.kind == "edit" and not entry.deleted


def _last_edit(message: tuple[ConversationKey, int], packed: bytes | None) -> int:
    if packed is None:
        return 0
    try:
        return decode_record(packed).edited
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"entry {message[1]} of {message[0]} is damaged ({error})") from error
