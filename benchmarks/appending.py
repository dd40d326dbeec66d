"""Somebody who appends messages to a store, for the benchmarks of following and of commits."""

from __future__ import annotations

import secrets
from typing import Final

import trio

from gochat.chat import conversations
from gochat.chat.account import Account
from gochat.chat.log import Appended, Draft
from gochat.chat.names import fold
from gochat.chat.store import Store

SPEAKER: Final = Account(
    key=fold("speaker"), name="speaker", password_hash="-", created=1_700_000_000_000
)


async def append(store: Store, callers: int, messages: int) -> None:
    """Have so many callers append so many messages of the one speaker."""
    left = iter(range(messages))

    async def say() -> None:
        for number in left:
            draft = Draft(
                conversation=conversations.LOBBY_KEY,
                to="#lobby",
                sender_key=SPEAKER.key,
                sender=SPEAKER.name,
                text=f"message {number:07} and this is what somebody has to say",
                cid=secrets.token_hex(8),
            )
            (result,) = await store.append((draft,))
            assert isinstance(result, Appended)

    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(say)
