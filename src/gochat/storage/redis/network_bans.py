"""Bans of networks, which are in partition 0."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gochat.chat.names import NameKey
from gochat.chat.network_bans import MAX_BANS, too_many
from gochat.chat.restriction import Restriction, decode, encode
from gochat.chat.server_roles import ServerRole
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, PipelineWorker, RedisCommand, call
from gochat.storage.redis.link.wire import Arguments

#: Field of ``settings`` that counts the changes: see network_ban.lua.
VERSION = "network_bans"


class RedisNetworkBans:
    """Implements :class:`~gochat.chat.network_bans.NetworkBanStore`."""

    def __init__(
        self, keys: Keys, writer: PipelineWorker, reader: Callable[[], PipelineWorker]
    ) -> None:
        self._keys = keys
        self._writer = writer
        self._reader = reader

    async def version(self) -> int:
        return await self._reader().carry_out(_version(self._keys))

    async def all(self) -> dict[str, Restriction]:
        return await self._reader().carry_out(_all(self._keys))

    async def change(
        self,
        network: str,
        before: Restriction | None,
        after: Restriction | None,
        by: tuple[NameKey, ServerRole] | None = None,
    ) -> bool:
        return await self._writer.carry_out(_change(self._keys, network, before, after, by))


def query(keys: Keys) -> Arguments:
    """Return the command that reads all bans."""
    return ("HGETALL", keys.network_bans)


def decode_bans(flat: Sequence[bytes]) -> dict[str, Restriction]:
    """Return all bans by their networks, in order. Raises msgspec.DecodeError."""
    decoded = (
        (network.decode(), decode(kept))
        for network, kept in zip(flat[::2], flat[1::2], strict=True)
    )
    return {network: ban for network, ban in sorted(decoded, key=_first) if ban is not None}


def insertions(keys: Keys, bans: Mapping[str, Restriction]) -> list[Arguments]:
    """Return the commands that put these bans in the place of all others."""
    fields = [part for network, ban in bans.items() for part in (network, encode(ban))]
    commands: list[Arguments] = [("UNLINK", keys.network_bans)]
    if fields:
        commands.append(("HSET", keys.network_bans, *fields))
    return commands


def _first(item: tuple[str, object]) -> str:
    return item[0]


def _version(keys: Keys) -> Operation[int]:
    (version,) = yield [RedisCommand(0, ("HGET", keys.settings, VERSION))]
    return int(version or 0)


def _all(keys: Keys) -> Operation[dict[str, Restriction]]:
    (flat,) = yield [RedisCommand(0, query(keys))]
    return decode_bans(flat)


def _change(
    keys: Keys,
    network: str,
    before: Restriction | None,
    after: Restriction | None,
    by: tuple[NameKey, ServerRole] | None,
) -> Operation[bool]:
    names = (keys.network_bans, keys.settings, keys.common(0, "roles"))
    arguments = (VERSION, network, encode(before), encode(after), *(by or ("", "")), MAX_BANS)
    (outcome,) = yield [call(0, scripts.NETWORK_BAN, names, *arguments)]
    if outcome < 0:
        raise too_many()
    return bool(outcome)
