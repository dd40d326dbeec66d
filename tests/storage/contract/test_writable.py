"""The Store's contract: trying whether it can be written leaves no trace in the chat."""

from __future__ import annotations

import pytest
from storing import Chat

pytestmark = pytest.mark.trio


async def test_try_changes_nothing_that_anybody_sees(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "one")
    before = await chat.entries("Bob", "#lobby"), await chat.addresses("Bob")
    for _ in range(3):
        await chat.store.check_writable()
    assert (await chat.entries("Bob", "#lobby"), await chat.addresses("Bob")) == before
    assert chat.store.health.commit_sizes.total >= 3
