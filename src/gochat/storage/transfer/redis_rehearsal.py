"""Try the commands of a copy, a backup or a check on scratch keys before it begins.

Otherwise a user without a permission would be refused when nearly everything is copied. Asking
Redis for a user's permissions takes a permission, too, and an administrator may have renamed a
command. So each command runs once on every server.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from gochat.errors import ConfigError, StoreUnavailable
from gochat.storage.redis import scripts
from gochat.storage.redis.link.deployment import Deployment
from gochat.storage.redis.link.wire import Arguments

#: Name of the scratch keys, after a partition's prefix.
_NAME: Final = "rehearsal"


def rehearse_reading(deployment: Deployment, what: str = "a copy") -> None:
    """Try the commands that read a store. Raises ConfigError if one is not permitted.

    `what` names for people what needs them.
    """
    for partition in range(deployment.keys.partitions):
        hash_, list_, set_, zset, text = _keys(deployment, partition)
        _rehearse(
            deployment,
            partition,
            what,
            [
                ("TIME",),
                ("SCAN", 0, "MATCH", text, "COUNT", 1),
                ("HGET", hash_, "seq"),
                ("HMGET", hash_, "seq"),
                ("HGETALL", hash_),
                ("HVALS", hash_),
                ("HKEYS", hash_),
                ("LLEN", list_),
                ("LINDEX", list_, 0),
                ("LRANGE", list_, 0, 0),
                ("SSCAN", set_, 0, "COUNT", 1),
                ("ZRANGEBYLEX", zset, "-", "+"),
                ("GET", text),
            ],
        )


def rehearse_reading_online(deployment: Deployment, what: str) -> None:
    """Try the commands that read a store in use. Raises ConfigError if one is not permitted."""
    rehearse_reading(deployment, what)
    for partition in range(deployment.keys.partitions):
        hash_, list_, set_, zset, text = _keys(deployment, partition)
        keys = (hash_, list_, zset, zset, hash_, zset, hash_, zset)
        _rehearse(
            deployment,
            partition,
            what,
            [
                ("HSCAN", hash_, 0, "COUNT", 1),
                ("HLEN", hash_),
                ("ZCARD", zset),
                ("SISMEMBER", set_, ""),
                ("EXISTS", text),
                ("XRANGE", text, "-", "+", "COUNT", 1),
                ("EVALSHA", scripts.SNAPSHOT.sha, len(keys), *keys, 0, 1, "name"),
            ],
        )


def rehearse_writing(deployment: Deployment) -> None:
    """Try the commands that only writing takes. Raises ConfigError if one is not permitted.

    The scratch keys are deleted, unless that is not permitted.
    """
    for partition in range(deployment.keys.partitions):
        hash_, list_, set_, zset, text = scratch = _keys(deployment, partition)
        extend = ("EVALSHA", scripts.EXTEND.sha, 3, hash_, list_, set_)
        try:
            _rehearse(
                deployment,
                partition,
                "a copy",
                [
                    ("EXISTS", text),
                    ("SMEMBERS", set_),
                    (*extend, "conversation", 0, 0, 1, 0, 0, 0, b"record"),
                    ("HSET", hash_, "name", 0),
                    ("HDEL", hash_, "name"),
                    ("SADD", set_, "conversation"),
                    ("ZADD", zset, 0, "name"),
                    ("ZREMRANGEBYLEX", zset, "[name", "[name"),
                    ("SET", text, 0, "PX", 1000),
                    ("PEXPIRE", text, 1000),
                    ("UNLINK", *scratch),
                    ("DEL", *scratch),
                ],
            )
        except ConfigError:
            with suppress(ConfigError, StoreUnavailable):
                deployment.ask([(partition, ("DEL", *scratch))])
            raise


def _keys(deployment: Deployment, partition: int) -> tuple[str, str, str, str, str]:
    """Return a key for each type of value: hash, list, set, zset, string."""
    names = (deployment.keys.common(partition, f"{_NAME}:{kind}") for kind in "hlszt")
    hash_, list_, set_, zset, text = names
    return hash_, list_, set_, zset, text


def _rehearse(
    deployment: Deployment, partition: int, what: str, commands: Sequence[Arguments]
) -> None:
    try:
        deployment.ask([(partition, words) for words in commands])
    except ConfigError as error:
        raise ConfigError(
            f"{what} needs more rights than this Redis user has, and was not begun: {error}"
        ) from error
