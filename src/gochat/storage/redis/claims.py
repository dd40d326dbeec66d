"""The claims on names, and on all that look like them.

A claim lies wherever its skeleton says, and not with the account or the room, so it is made before
them, and given back if nothing came of them. Where the node dies in between, the claim stays: it
says for which name it was made, and the next attempt for that name goes on with it.
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
    """An attempt to have a name, shown as `shown`, for the account or the room with this key."""

    def __init__(self, keys: Keys, key: str, shown: str) -> None:
        self._claim_keys: Final = [keys.skeleton(one) for one in skeletons(shown)]
        self._owner: Final = key
        self._attempt: Final = uuid4().hex

    def make(self) -> Operation[bool]:
        """Claim the name. Return False, and claim nothing, if it looks like another one."""
        made = yield self._commands(scripts.CLAIM)
        if all(made):
            return True
        yield from self.release()
        return False

    def release(self) -> Operation[None]:
        """Give back what only this attempt has claimed."""
        yield self._commands(scripts.RELEASE)

    def _commands(self, script: Script) -> Sequence[RedisCommand]:
        return [
            call(partition, script, (key,), self._owner, self._attempt)
            for partition, key in self._claim_keys
        ]
