"""Damage that is found: the first ends the store, and what others find of it changes nothing."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gochat.errors import StoreCorrupt
from gochat.storage.common.integrity import Integrity

pytestmark = pytest.mark.trio


async def test_first_damage_counts_and_is_reported_once() -> None:
    reported: list[StoreCorrupt] = []
    integrity = Integrity(reported.append)
    integrity.require()
    await trio.to_thread.run_sync(integrity.lose, StoreCorrupt("a page"))
    integrity.lose(StoreCorrupt("another page"))
    await trio.testing.wait_all_tasks_blocked()
    assert [str(damage) for damage in reported] == ["a page"]
    assert integrity.is_lost
    with pytest.raises(StoreCorrupt, match=r"^a page$"):
        integrity.require()
