"""Data about people besides their entries."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.skeletons import looks_taken
from gochat.chat.store import LOGIN_ADDRESSES, LOGIN_MEMORY, MAX_TOKENS, Account, Token
from gochat.protocol.messages import Level
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.claims import Claim
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.reading import Reading

#: Milliseconds for which an expired token is kept: the server's clock may be behind that of Redis.
#: The token's own expiry time decides whether it has expired.
TOKEN_SLACK: Final = 24 * 3600 * 1000
#: Accounts queried in one step.
CHUNK: Final = 500


class _Token(Struct, array_like=True, frozen=True):
    """A stored token. It is valid while `generation` equals that of its account."""

    account: NameKey
    expires: int
    generation: int
    address: str = ""


_encode = msgspec.msgpack.Encoder().encode
decode_token = msgspec.msgpack.Decoder(_Token).decode


def encode_token(token: Token) -> bytes:
    """Return a token in its stored form."""
    return _encode(_Token(token.account, token.expires, token.generation, token.address))


def lifetime(expires: int, now: int) -> int:
    """Return for how many milliseconds to keep a token."""
    return max(0, expires - now) + TOKEN_SLACK


class PeopleOperations:
    """Create the operations. :class:`~gochat.chat.store.Store` documents what they do."""

    def __init__(self, keys: Keys, reading: Reading) -> None:
        self._keys = keys
        self._reading = reading

    # -- accounts -------------------------------------------------------------------------------

    def create_account(self, account: Account) -> Operation[bool]:
        """Store a new account."""
        claim = Claim(self._keys, account.key, account.name)
        if not (yield from claim.make()):
            if (yield from self.account(account.key)) is not None:
                return False
            raise looks_taken(account.name)
        # Read the lobby's head first: messages sent while the account is created are then unread.
        ((read, texts),) = yield [
            RedisCommand(
                self._keys.partition(LOBBY_KEY),
                ("HMGET", self._keys.conversation(LOBBY_KEY, key_kinds.META)[0], "seq", "texts"),
            )
        ]
        partition = self._keys.partition(account.key)
        keys = (
            self._keys.person(account.key, key_kinds.ACCOUNT),
            self._keys.common(partition, "people"),
        )
        (is_new,) = yield [
            call(
                partition,
                scripts.REGISTER,
                keys,
                account.key,
                account.name,
                account.password_hash,
                account.created,
                int(read or 0),
                int(texts or 0),
                account.generation,
            )
        ]
        if not is_new:
            yield from claim.release()
        return bool(is_new)

    def account(self, key: NameKey) -> Operation[Account | None]:
        """Find an account."""
        ((name, password_hash, created, generation),) = yield [
            self._about(key, "HMGET", "name", "hash", "created", "generation")
        ]
        if name is None:
            return None
        return Account(
            key=key,
            name=name.decode(),
            password_hash=password_hash.decode(),
            created=int(created),
            generation=int(generation or 0),
        )

    def display_names(self, keys: Collection[NameKey]) -> Operation[dict[NameKey, str]]:
        """Find the display names of those keys that have accounts."""
        wanted = list(keys)
        found: dict[NameKey, str] = {}
        for start in range(0, len(wanted), CHUNK):
            some = wanted[start : start + CHUNK]
            replies = yield [self._about(key, "HGET", "name") for key in some]
            found.update(
                (key, name.decode())
                for key, name in zip(some, replies, strict=True)
                if name is not None
            )
        return found

    def change_password(self, proved: Account, password_hash: str) -> Operation[bool]:
        """Replace a password, if it is still the one that was proved."""
        return (yield from self._set_hash(proved, "", password_hash, 1))

    def rehash_password(self, proved: Account, password_hash: str) -> Operation[bool]:
        """Replace the hash of an unchanged password."""
        return (yield from self._set_hash(proved, proved.password_hash, password_hash, 0))

    def _set_hash(self, proved: Account, before: str, after: str, count: int) -> Operation[bool]:
        partition = self._keys.partition(proved.key)
        keys = (
            self._keys.person(proved.key, key_kinds.ACCOUNT),
            self._keys.person(proved.key, key_kinds.ADDRESSES),
        )
        (is_set,) = yield [
            call(partition, scripts.PASSWORD, keys, proved.generation, before, after, count)
        ]
        return bool(is_set)

    # -- tokens ---------------------------------------------------------------------------------

    # A token's digest determines its partition, which differs from its account's. Deleting all
    # tokens of an account would miss one that is just being added. So each has the generation that
    # was proved for it, and incrementing the account's generation revokes all.

    def add_token(self, token: Token, address: str | None, now: int) -> Operation[None]:
        """Store a token until some time after it expires."""
        partition, key = self._keys.token(token.digest)
        expiry = lifetime(token.expires, now)
        yield [RedisCommand(partition, ("SET", key, encode_token(token), "PX", expiry))]
        yield from self._note_token(token, now)
        if address is not None:
            yield from self._note_login(token.account, address, now)

    def _note_token(self, token: Token, now: int) -> Operation[None]:
        """Count a token, and revoke the oldest if there are too many."""
        partition, key = (
            self._keys.partition(token.account),
            self._keys.person(token.account, key_kinds.TOKENS),
        )
        _, _, oldest = yield [
            RedisCommand(partition, ("ZADD", key, token.expires, token.digest.hex())),
            RedisCommand(partition, ("PEXPIRE", key, lifetime(token.expires, now))),
            RedisCommand(partition, ("ZRANGE", key, 0, -MAX_TOKENS - 1)),
        ]
        digests = {bytes.fromhex(one.decode()) for one in oldest} - {token.digest}
        if digests:
            places = map(self._keys.token, digests)
            yield [RedisCommand(at, ("DEL", one)) for at, one in places]
            yield [RedisCommand(partition, ("ZREM", key, *(digest.hex() for digest in digests)))]

    def _note_login(self, account: NameKey, address: str, now: int) -> Operation[None]:
        partition, key = (
            self._keys.partition(account),
            self._keys.person(account, key_kinds.ADDRESSES),
        )
        _, _, oldest = yield [
            RedisCommand(partition, ("ZADD", key, now, address)),
            RedisCommand(partition, ("PEXPIRE", key, LOGIN_MEMORY)),
            RedisCommand(partition, ("ZRANGE", key, 0, -LOGIN_ADDRESSES - 1)),
        ]
        if oldest:
            yield [RedisCommand(partition, ("ZREM", key, *oldest))]

    def last_login(self, account: NameKey, address: str) -> Operation[int | None]:
        """Find when a person last logged in from an address."""
        partition, key = (
            self._keys.partition(account),
            self._keys.person(account, key_kinds.ADDRESSES),
        )
        (at,) = yield [RedisCommand(partition, ("ZSCORE", key, address))]
        return None if at is None else int(float(at))

    def token(self, digest: bytes, now: int) -> Operation[Token | None]:
        """Find a valid token."""
        token = yield from self._current(digest)
        return token if token is not None and token.expires > now else None

    def renew_token(self, digest: bytes, expires: int, address: str, now: int) -> Operation[bool]:
        """Extend the validity of a token."""
        token = yield from self._current(digest)
        if token is None:
            return False
        renewed = replace(token, expires=max(expires, token.expires), address=address)
        partition, key = self._keys.token(digest)
        expiry = lifetime(renewed.expires, now)
        # XX: a token that was revoked meanwhile is not restored.
        words = ("SET", key, encode_token(renewed), "XX", "PX", expiry)
        (is_renewed,) = yield [RedisCommand(partition, words)]
        if is_renewed is not None:
            yield from self._note_token(renewed, now)
        return is_renewed is not None

    def _current(self, digest: bytes) -> Operation[Token | None]:
        """Find a token of the account's present generation, expired or not."""
        partition, key = self._keys.token(digest)
        (packed,) = yield [RedisCommand(partition, ("GET", key))]
        if packed is None:
            return None
        kept = decode_token(packed)
        # After the token, so that an earlier change of the password is seen.
        (generation,) = yield [self._about(kept.account, "HGET", "generation")]
        if generation is None or int(generation) != kept.generation:
            return None
        return Token(
            digest=digest,
            account=kept.account,
            expires=kept.expires,
            generation=kept.generation,
            address=kept.address,
        )

    def revoke_token(self, digest: bytes) -> Operation[None]:
        """Delete a token, and stop counting it."""
        partition, key = self._keys.token(digest)
        packed, _ = yield [
            RedisCommand(partition, ("GET", key)),
            RedisCommand(partition, ("DEL", key)),
        ]
        if packed is not None:
            account = decode_token(packed).account
            at, counted = (
                self._keys.partition(account),
                self._keys.person(account, key_kinds.TOKENS),
            )
            yield [RedisCommand(at, ("ZREM", counted, digest.hex()))]

    # -- markers --------------------------------------------------------------------------------

    def mark_read(self, person: NameKey, key: ConversationKey, seq: int) -> Operation[bool]:
        """Move a read marker forward."""
        return (yield from self._change(person, key, "read", seq))

    def set_level(self, person: NameKey, key: ConversationKey, level: Level) -> Operation[bool]:
        """Set a person's notification level."""
        return (yield from self._change(person, key, "level", level))

    def _change(
        self, person: NameKey, key: ConversationKey, what: str, value: int | str
    ) -> Operation[bool]:
        began = (yield from self._reading.began(person)) if key == LOBBY_KEY else None
        (changed,) = yield [
            call(
                self._keys.partition(key),
                scripts.MARK,
                self._keys.conversation(
                    key,
                    key_kinds.META,
                    key_kinds.LOG,
                    key_kinds.PARTICIPANTS,
                    key_kinds.MENTIONS,
                    key_kinds.UNREAD,
                ),
                what,
                person,
                self._reading.name(person),
                value,
                *self._reading.initial_marker(key, began),
            )
        ]
        return bool(changed)

    def _about(self, person: NameKey, command: str, *arguments: str | int) -> RedisCommand:
        key = self._keys.person(person, key_kinds.ACCOUNT)
        return RedisCommand(self._keys.partition(person), (command, key, *arguments))
