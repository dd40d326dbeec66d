"""Whatever arrives while a person's own messages wait, the log shows the timeline's order."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gochat.client.convert import to_entry
from gochat.protocol.messages import Message
from gochat.tui.model.timeline import Timeline
from gochat.tui.widgets.log_feed import LogFeed


class Log:
    """A log that keeps only the order of its keys."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.older_exhausted = False

    def reset(self, keys: list[str]) -> None:
        self.keys = list(keys)

    def append(self, *keys: str) -> None:
        assert not set(keys) & set(self.keys)
        self.keys += keys

    def prepend(self, keys: list[str]) -> None:
        self.keys[:0] = keys

    def insert_before(self, key: str, *keys: str) -> None:
        assert not set(keys) & set(self.keys)
        index = self.keys.index(key)
        self.keys[index:index] = keys

    def replace(self, key: str, new: str) -> None:
        index = self.keys.index(key)
        assert new == key or new not in self.keys
        self.keys[index] = new

    def remove(self, key: str) -> None:
        self.keys.remove(key)


@pytest.mark.parametrize("seed", range(50))
def test_the_log_shows_the_order_of_the_timeline(seed: int) -> None:
    chance = random.Random(seed)
    timeline, log = Timeline("me"), Log()
    feed = LogFeed(log, lambda entry: entry.key)  # type: ignore[arg-type, return-value] # keys will do
    feed.show(timeline)
    waiting: list[str] = []
    sent: set[str] = set()
    seq = 0

    def logged(sender: str, cid: str) -> None:
        nonlocal seq
        seq += 1
        fields: dict[str, Any] = {"to": "#lobby", "epoch": "e", "seq": seq, "ts": seq}
        timeline.add(to_entry(Message(from_=sender, cid=cid, text=cid, **fields), "ada"))

    for step in range(200):
        match chance.choice(["mine", "theirs", "acknowledged", "sent first", "again", "refused"]):
            case "mine":
                waiting.append(f"c{step}")
                timeline.put(waiting[-1], "text", step, outbox_index=step)
            case "theirs":
                logged("mei", f"x{step}")
            case "acknowledged" if waiting:
                logged("me", waiting.pop(0))
            case "sent first" if waiting:
                timeline.put(waiting[0], "text", step, state="sent")
                sent.add(waiting[0])
            case "again" if sent:  # the server has lost it
                cid = sent.pop()
                timeline.put(cid, "text", step, outbox_index=int(cid[1:]))
            case "refused" if waiting and waiting[0] not in sent:
                timeline.put(waiting.pop(0), "text", step, state="failed", error="no")
        if chance.random() < 0.3:
            feed.apply(timeline, timeline.take_changes())
            assert log.keys == [entry.key for entry in timeline]
