"""Session tokens, and the addresses of logins.

All tokens of an account are in one hash, so that a script can count them. A token is looked up by
its id alone; so ``t:ID``, in a partition of its own, has the account. It decides nothing: it may
remain when the token is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from gochat.chat.names import NameKey
from gochat.chat.store import LOGIN_ADDRESSES, LOGIN_MEMORY
from gochat.chat.token import MAX_DEVICES, MAX_PROGRAMS, Token
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.records import TokenRecord

#: Milliseconds for which an expired token can be looked up: the server's clock may be behind that
#: of Redis. The token's own expiry time decides whether it has expired.
TOKEN_SLACK: Final = 24 * 3600 * 1000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TokenRecord).decode


def encode_token(token: Token) -> bytes:
    """Return a token in its stored form."""
    return _encode(
        TokenRecord(
            digest=token.digest.hex(),
            generation=token.generation,
            device=token.device,
            address=token.address,
            created=token.created,
            seen=token.seen,
            expires=token.expires,
            scopes=token.scopes,
            rooms=token.rooms,
        )
    )


def decode_token(token_id: bytes, account: NameKey, packed: bytes) -> Token:
    """Return a stored token. Raises msgspec's errors, and ValueError."""
    record = _decode(packed)
    return Token(
        id=token_id,
        digest=bytes.fromhex(record.digest),
        account=account,
        expires=record.expires,
        generation=record.generation,
        device=record.device,
        address=record.address,
        created=record.created,
        seen=record.seen,
        scopes=record.scopes,
        rooms=record.rooms,
    )


def lifetime(expires: int, now: int) -> int:
    """Return for how many milliseconds a token can be looked up."""
    return max(0, expires - now) + TOKEN_SLACK


class TokenOperations:
    """Create the operations. :class:`~gochat.chat.store.Store` documents what they do."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    # A login may add its token after the password was changed, which deletes those that are there.
    # So each has the generation that was proved for it, and is valid while the account has it.

    def add_token(
        self, token: Token, address: str | None, now: int
    ) -> Operation[Collection[bytes] | None]:
        """Store a token until some time after it expires."""
        place, pointer = self._keys.token(token.id)
        yield [self._pointer(token, now)]
        partition, tokens = self._of(token.account, key_kinds.TOKENS)
        _, account = self._of(token.account, key_kinds.ACCOUNT)
        most = MAX_PROGRAMS if token.is_program else MAX_DEVICES
        arguments = (token.id.hex(), encode_token(token), now, most)
        (revoked,) = yield [call(partition, scripts.TOKEN_ADD, (tokens, account), *arguments)]
        if not isinstance(revoked, list):
            yield [RedisCommand(place, ("DEL", pointer))]
            return None
        if address is not None:
            yield from self._note_login(token.account, address, now)
        ids = [bytes.fromhex(packed.decode()) for packed in revoked]
        yield from self._forget(ids)
        return ids

    def _note_login(self, account: NameKey, address: str, now: int) -> Operation[None]:
        partition, key = self._of(account, key_kinds.ADDRESSES)
        *_, oldest = yield [
            RedisCommand(partition, ("ZADD", key, now, address)),
            RedisCommand(partition, ("PEXPIRE", key, LOGIN_MEMORY)),
            RedisCommand(partition, ("ZREMRANGEBYSCORE", key, "-inf", now - LOGIN_MEMORY)),
            RedisCommand(partition, ("ZRANGE", key, 0, -LOGIN_ADDRESSES - 1)),
        ]
        if oldest:
            yield [RedisCommand(partition, ("ZREM", key, *oldest))]

    def last_login(self, account: NameKey, address: str) -> Operation[int | None]:
        """Find when a person last logged in from an address."""
        partition, key = self._of(account, key_kinds.ADDRESSES)
        (at,) = yield [RedisCommand(partition, ("ZSCORE", key, address))]
        return None if at is None else int(float(at))

    def token(self, token_id: bytes, now: int) -> Operation[Token | None]:
        """Find a valid token."""
        token = yield from self._current(token_id)
        return token if token is not None and token.expires > now else None

    def tokens(self, account: NameKey, now: int) -> Operation[list[Token]]:
        """Find all valid tokens of an account."""
        found = yield from self.of_many((account,), now)
        return found[account]

    def of_many(
        self, accounts: Sequence[NameKey], now: int
    ) -> Operation[dict[NameKey, list[Token]]]:
        """Find all valid tokens of accounts."""
        commands: list[RedisCommand] = []
        for account in accounts:
            partition, key = self._of(account, key_kinds.TOKENS)
            commands += [RedisCommand(partition, ("HGETALL", key)), self._generation(account)]
        replies = yield commands
        return {
            account: _valid(account, kept, generation, now)
            for account, kept, generation in zip(accounts, replies[::2], replies[1::2], strict=True)
        }

    def renew_token(self, token_id: bytes, expires: int, address: str, now: int) -> Operation[bool]:
        """Extend the validity of a token."""
        token = yield from self._current(token_id)
        if token is None:
            return False
        renewed = replace(token, expires=max(expires, token.expires), address=address, seen=now)
        yield [self._pointer(renewed, now)]
        partition, key = self._of(token.account, key_kinds.TOKENS)
        arguments = (token_id.hex(), encode_token(renewed))
        (is_renewed,) = yield [call(partition, scripts.TOKEN_RENEW, (key,), *arguments)]
        return bool(is_renewed)

    def _current(self, token_id: bytes) -> Operation[Token | None]:
        """Find a token of the account's present generation, expired or not."""
        place, pointer = self._keys.token(token_id)
        (found,) = yield [RedisCommand(place, ("GET", pointer))]
        if found is None:
            return None
        account = NameKey(found.decode())
        partition, key = self._of(account, key_kinds.TOKENS)
        # After the token, so that an earlier change of the password is seen.
        packed, generation = yield [
            RedisCommand(partition, ("HGET", key, token_id.hex())),
            self._generation(account),
        ]
        if packed is None:
            return None
        token = decode_token(token_id, account, packed)
        return token if _is_current(token, generation) else None

    def void_token(self, token_id: bytes, now: int) -> Operation[Token | None]:
        """Find a token of an earlier generation of its account."""
        place, pointer = self._keys.token(token_id)
        (found,) = yield [RedisCommand(place, ("GET", pointer))]
        if found is None:
            return None
        account = NameKey(found.decode())
        partition, key = self._of(account, key_kinds.TOKENS)
        (packed,) = yield [RedisCommand(partition, ("HGET", key, token_id.hex()))]
        token = None if packed is None else decode_token(token_id, account, packed)
        return token if token is not None and token.expires > now else None

    def revoke_token(self, account: NameKey, token_id: bytes) -> Operation[bool]:
        """Delete a token of an account."""
        partition, key = self._of(account, key_kinds.TOKENS)
        (count,) = yield [RedisCommand(partition, ("HDEL", key, token_id.hex()))]
        if count:
            yield from self._forget([token_id])
        return bool(count)

    def revoke_other_tokens(self, account: NameKey, token_id: bytes) -> Operation[list[bytes]]:
        """Delete all tokens of an account but one."""
        partition, key = self._of(account, key_kinds.TOKENS)
        (found,) = yield [RedisCommand(partition, ("HKEYS", key))]
        others = [
            other for other in (bytes.fromhex(f.decode()) for f in found) if other != token_id
        ]
        if others:
            fields = [other.hex() for other in others]
            yield [RedisCommand(partition, ("HDEL", key, *fields))]
            yield from self._forget(others)
        return others

    def _pointer(self, token: Token, now: int) -> RedisCommand:
        place, key = self._keys.token(token.id)
        words = ("SET", key, token.account, "PX", lifetime(token.expires, now))
        return RedisCommand(place, words)

    def _forget(self, ids: Iterable[bytes]) -> Operation[None]:
        if places := [self._keys.token(known) for known in ids]:
            yield [RedisCommand(place, ("DEL", pointer)) for place, pointer in places]

    def _generation(self, account: NameKey) -> RedisCommand:
        partition, key = self._of(account, key_kinds.ACCOUNT)
        return RedisCommand(partition, ("HGET", key, "generation"))

    def _of(self, account: NameKey, kind: str) -> tuple[int, str]:
        return self._keys.partition(account), self._keys.person(account, kind)


def _valid(
    account: NameKey, kept: Sequence[bytes], generation: bytes | None, now: int
) -> list[Token]:
    """Return the valid ones of an account's tokens, from ids and tokens in turns."""
    pairs = zip(kept[::2], kept[1::2], strict=True)
    found = (decode_token(bytes.fromhex(i.decode()), account, packed) for i, packed in pairs)
    valid = (t for t in found if t.expires > now and _is_current(t, generation))
    return sorted(valid, key=lambda token: (token.created, token.id))


def _is_current(token: Token, generation: bytes | None) -> bool:
    return generation is not None and int(generation) == token.generation
