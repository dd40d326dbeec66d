"""The state of the search index in Redis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import redis
import trio
from patience import PATIENCE
from redis_process import RedisServer


def lag(servers: Sequence[RedisServer], prefix: str) -> int:
    """Return the entries that are not in the index, or not in their present form."""
    missing = 0
    for client, key in _keys(servers, f"{prefix}:{{*}}:c:*"):
        seq, base, indexed = (int(n or 0) for n in client.hmget(key, "seq", "base", "indexed"))
        missing += max(0, seq - max(base, indexed))
        missing += client.zcard(key.replace(b"}:c:", b"}:x:", 1))
    return missing


def hashes(servers: Sequence[RedisServer], prefix: str) -> dict[str, set[str]]:
    """Return the terms of each block, by ``CONVERSATION:NUMBER``."""
    return {
        key.decode().partition("}:i:")[2]: set(client.hget(key, "pieces").decode().split())
        for client, key in _keys(servers, f"{prefix}:{{*}}:i:*")
    }


def is_ready(servers: Sequence[RedisServer], prefix: str) -> bool:
    """Return whether the engine has indexed everything from before its index."""
    for server in servers:
        client: Any = redis.Redis(port=server.port, protocol=2)
        try:
            for name in client.execute_command("FT._LIST"):
                if name.startswith(prefix.encode()) and _is_indexing(client, name):
                    return False
        finally:
            client.close()
    return True


def _is_indexing(client: Any, name: bytes) -> bool:
    answer = client.execute_command("FT.INFO", name)
    return bool(int(answer[answer.index(b"indexing") + 1]))


async def until_indexed(servers: Sequence[RedisServer], prefix: str) -> None:
    """Wait until everything is in the index, and the index is used."""

    def is_done() -> bool:
        return not lag(servers, prefix) and is_ready(servers, prefix)

    with trio.fail_after(PATIENCE):
        while True:
            since = trio.current_time()
            if await trio.to_thread.run_sync(is_done):
                return
            await trio.sleep(max(0.05, trio.current_time() - since))


def _keys(servers: Sequence[RedisServer], pattern: str) -> Iterator[tuple[Any, bytes]]:
    for server in servers:
        client: Any = redis.Redis(port=server.port)  # whose methods have no useful types
        try:
            for key in client.scan_iter(pattern, count=1000):
                yield client, key
        finally:
            client.close()
