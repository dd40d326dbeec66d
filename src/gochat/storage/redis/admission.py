"""The registration mode, and invitations to the server. All of it is in partition 0."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from uuid import uuid4

import msgspec

from gochat.chat.admission_store import KEPT_AFTER, MAX_KEPT, ServerInvitation
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import (
    Operation,
    PipelineWorker,
    RedisCommand,
    call,
)
from gochat.storage.redis.link.wire import Arguments
from gochat.storage.redis.records import InvitationRecord

_MODE: Final = "registration"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(InvitationRecord).decode


class RedisAdmission:
    """Implements :class:`~gochat.chat.admission_store.AdmissionStore`."""

    def __init__(self, keys: Keys, writer: PipelineWorker) -> None:
        self._keys = keys
        self._writer = writer

    async def mode(self) -> str | None:
        return await self._writer.carry_out(_read_mode(self._keys))

    async def set_mode(self, mode: str | None) -> None:
        await self._writer.carry_out(_change(mode_command(self._keys, mode)))

    async def add(self, invitation: ServerInvitation) -> bool:
        return await self._writer.carry_out(_add(self._keys, invitation))

    async def invitation(self, digest: bytes) -> ServerInvitation | None:
        return await self._writer.carry_out(_find(self._keys, digest))

    async def invitations(self) -> Sequence[ServerInvitation]:
        return await self._writer.carry_out(_all(self._keys))

    async def revoke(self, digest: bytes, now: int) -> bool:
        return await self._writer.carry_out(_revoke(self._keys, digest, now))


class Use:
    """An attempt to take a use of an invitation for an account that is about to be created."""

    def __init__(self, keys: Keys, digest: bytes, account: NameKey, now: int) -> None:
        self._keys: Final = keys
        self._digest: Final = digest.hex()
        self._account: Final = account
        self._now: Final = now
        self._attempt: Final = uuid4().hex

    def take(self) -> Operation[bool]:
        """Take it. Return False, and take nothing, if the invitation can't be used."""
        keys = (
            self._keys.server_invitations,
            self._keys.revoked_invitations,
            self._keys.invitation_uses + self._digest,
        )
        arguments = (self._digest, self._account, self._attempt, self._now, KEPT_AFTER)
        (is_taken,) = yield [call(0, scripts.INVITATION_TAKE, keys, *arguments)]
        return bool(is_taken)

    def give_back(self) -> Operation[None]:
        """Give back what only this attempt has taken."""
        keys = (self._keys.invitation_uses + self._digest,)
        yield [call(0, scripts.INVITATION_GIVE_BACK, keys, self._account, self._attempt)]


def mode_query(keys: Keys) -> Arguments:
    """Return the command that reads the registration mode."""
    return ("HGET", keys.settings, _MODE)


def mode_command(keys: Keys, mode: str | None) -> Arguments:
    """Return the command that sets the registration mode, or clears it."""
    if mode is None:
        return ("HDEL", keys.settings, _MODE)
    return ("HSET", keys.settings, _MODE, mode)


def insertion(keys: Keys, invitation: ServerInvitation, now: int) -> Iterator[Arguments]:
    """Yield the commands that add an invitation, with its uses."""
    digest, uses = invitation.digest.hex(), keys.invitation_uses + invitation.digest.hex()
    yield ("HSET", keys.server_invitations, digest, _packed(invitation))
    if invitation.revoked:
        yield ("HSET", keys.revoked_invitations, digest, invitation.revoked)
    if invitation.used:
        yield ("HSET", uses, *(word for who in invitation.used for word in (who, "")))
        yield ("PEXPIRE", uses, max(1, invitation.expires + KEPT_AFTER - now))


def reading(keys: Keys, digests: Iterable[str] | None = None) -> list[Arguments]:
    """Return the two commands that read some invitations, or all, without their uses."""
    both = (keys.server_invitations, keys.revoked_invitations)
    if digests is None:
        return [("HGETALL", key) for key in both]
    return [("HMGET", key, *digests) for key in both]


def unpacked(
    digest: str, packed: bytes, revoked: bytes | None, used: Iterable[bytes]
) -> ServerInvitation:
    """Return an invitation from its stored parts. Raises msgspec's errors."""
    record = _decode(packed)
    return ServerInvitation(
        digest=bytes.fromhex(digest),
        maker=NameKey(record.maker) if record.maker else None,
        room=ConversationKey(record.room) if record.room else None,
        note=record.note,
        uses=record.uses,
        created=record.created,
        expires=record.expires,
        revoked=int(revoked or 0),
        used=tuple(sorted(NameKey(who.decode()) for who in used)),
    )


def _packed(invitation: ServerInvitation) -> bytes:
    record = InvitationRecord(
        invitation.maker or "",
        invitation.room or "",
        invitation.note,
        invitation.uses,
        invitation.created,
        invitation.expires,
    )
    return _encode(record)


def _change(command: Arguments) -> Operation[None]:
    yield [RedisCommand(0, command)]


def _read_mode(keys: Keys) -> Operation[str | None]:
    (mode,) = yield [RedisCommand(0, mode_query(keys))]
    return None if mode is None else str(mode.decode())


def _add(keys: Keys, invitation: ServerInvitation) -> Operation[bool]:
    both = (keys.server_invitations, keys.revoked_invitations)
    digest, before = invitation.digest.hex(), invitation.created - KEPT_AFTER
    arguments = (digest, _packed(invitation), MAX_KEPT, before)
    (is_added,) = yield [call(0, scripts.INVITATION_ADD, both, *arguments)]
    return bool(is_added)


def _find(keys: Keys, digest: bytes) -> Operation[ServerInvitation | None]:
    name = digest.hex()
    (packed,), (revoked,), used = yield [
        *(RedisCommand(0, words) for words in reading(keys, [name])),
        RedisCommand(0, ("HGETALL", keys.invitation_uses + name)),
    ]
    return None if packed is None else unpacked(name, packed, revoked, used[::2])


def _all(keys: Keys) -> Operation[list[ServerInvitation]]:
    kept, revoked = yield [RedisCommand(0, words) for words in reading(keys)]
    found = {name.decode(): packed for name, packed in pairs(kept)}
    ended = {name.decode(): at for name, at in pairs(revoked)}
    used = (
        (yield [RedisCommand(0, ("HGETALL", keys.invitation_uses + name)) for name in found])
        if found
        else []
    )
    invitations = [
        unpacked(name, packed, ended.get(name), who[::2])
        for (name, packed), who in zip(found.items(), used, strict=True)
    ]
    return sorted(invitations, key=lambda invitation: (invitation.created, invitation.digest))


def _revoke(keys: Keys, digest: bytes, now: int) -> Operation[bool]:
    name = digest.hex()
    is_there, is_first = yield [
        RedisCommand(0, ("HEXISTS", keys.server_invitations, name)),
        RedisCommand(0, ("HSETNX", keys.revoked_invitations, name, now)),
    ]
    if not is_there:
        yield [RedisCommand(0, ("HDEL", keys.revoked_invitations, name))]
    return bool(is_there and is_first)


def pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields and values of a hash."""
    return zip(flat[::2], flat[1::2], strict=True)
