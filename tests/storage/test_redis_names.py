"""Names of people and rooms, which all threads forget when the data gets another history."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gochat.chat.conversations import ConversationKey
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.epoch_tracker import EpochTracker
from gochat.storage.redis.log_reading import EntryRange
from gochat.storage.redis.names import Names
from gochat.storage.redis.reading import Reading
from gochat.storage.redis.records import Record


@pytest.mark.parametrize(
    ("key", "names", "to"),
    [("#garden", [b"#Garden"], "#Garden"), ("@bob,mei", [b"Bob", b"Mei"], "@Bob")],
)
def test_entries_read_while_names_are_forgotten_have_their_names(
    key: str, names: list[bytes], to: str
) -> None:
    keys = Keys("t", 1)
    known = Names(keys)
    reading = Reading(keys, EpochTracker(keys, lambda _: None), known)
    record = Record(1, 1, 1, 1, 0, 0, "Mei", "text", 0, "", "hello", "")
    operation: Any = reading.extracts(None, [EntryRange(ConversationKey(key), 1)])
    assert len(next(operation)) == len(names)
    (command,) = operation.send(names)
    assert key in command.words[1]
    known.forget()  # as another thread that finds another history does
    with pytest.raises(StopIteration) as stop:
        operation.send([[b"epoch", 1, 1, [msgspec.msgpack.encode(record)], [], 1, 0, [], 1, 0]])
    (extract,) = stop.value.value
    assert extract.message(0).to == to
