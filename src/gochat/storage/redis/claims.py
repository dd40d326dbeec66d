"""Claims on names and on their lookalikes.

A claim is in the partition of its skeleton, not in that of the account or room. So it is made
before them, and released if their creation fails. If the node dies in between, the claim remains:
it records the name it was made for, and the next attempt for that name continues with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from gochat.chat.skeletons import skeletons
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.scripts import Script


class Claim:
    """An attempt to claim a name, displayed as `shown`, for the account or room `key`."""

    def __init__(self, keys: Keys, key: str, shown: str) -> None:
        self._claim_keys: Final = [keys.skeleton(skeleton) for skeleton in skeletons(shown)]
        self._owner: Final = key
        self._attempt: Final = uuid4().hex

    def make(self) -> Operation[bool]:
        """Claim the name. Return False, and claim nothing, if it looks like another name."""
        made = yield self._commands(scripts.CLAIM)
        if all(made):
            return True
        yield from self.release()
        return False

    def release(self) -> Operation[None]:
        """Release what only this attempt has claimed."""
        yield self._commands(scripts.RELEASE)

    def _commands(self, script: Script) -> Sequence[RedisCommand]:
        return [
            call(partition, script, (key,), self._owner, self._attempt)
            for partition, key in self._claim_keys
        ]


def owners(keys: Keys, names: Sequence[str]) -> Operation[dict[str, set[str]]]:
    """Return for each displayed name the keys of the names that have what it looks like."""
    wanted = [(shown, keys.skeleton(skeleton)) for shown in names for skeleton in skeletons(shown)]
    held = yield [RedisCommand(partition, ("GET", key)) for _, (partition, key) in wanted]
    found: dict[str, set[str]] = {shown: set() for shown in names}
    for (shown, _), claim in zip(wanted, held, strict=True):
        if claim is not None:
            found[shown].add(claim.partition(b"\0")[0].decode())
    return found
