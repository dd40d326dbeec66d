"""What is kept about people besides what they say."""

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

#: Milliseconds for which a token stays after it has expired: the server's clock may be behind that
#: of Redis. Whether it has expired is decided by what it says itself.
TOKEN_SLACK: Final = 24 * 3600 * 1000
#: Accounts asked for in one step.
CHUNK: Final = 500


class _Token(Struct, array_like=True, frozen=True):
    """A token as it is kept. It is valid while `generation` is that of its account."""

    account: NameKey
    expires: int
    generation: int
    address: str = ""


_encode = msgspec.msgpack.Encoder().encode
decode_token = msgspec.msgpack.Decoder(_Token).decode


def encode_token(token: Token) -> bytes:
    """Return a token as it is kept."""
    return _encode(_Token(token.account, token.expires, token.generation, token.address))


def lifetime(expires: int, now: int) -> int:
    """Return the milliseconds for which a token is kept."""
    return max(0, expires - now) + TOKEN_SLACK


class PeopleOperations:
    """Makes the operations. See :class:`~gochat.chat.store.Store` for what they do."""

    def __init__(self, keys: Keys, reading: Reading) -> None:
        self._keys = keys
        self._reading = reading

    # -- accounts -------------------------------------------------------------------------------

    def create_account(self, account: Account) -> Operation[bool]:
        """Keep a new account."""
        claim = Claim(self._keys, account.key, account.name)
        if not (yield from claim.make()):
            if (yield from self.account(account.key)) is not None:
                return False
            raise looks_taken(account.name)
        # First where the lobby stands: what is said while the account is made is unread, no more.
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
        """Find the names of those that are accounts."""
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
        """Replace the hash of the same password."""
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

    # A token is found by its digest, so it lies wherever that says, and not with its account. To
    # revoke all of an account by deleting them would leave one that is just being added. So each
    # has the generation that was proved for it, and revoking all is counting the account's up.

    def add_token(self, token: Token, address: str | None, now: int) -> Operation[None]:
        """Keep a token until some time after it has expired."""
        partition, key = self._keys.token(token.digest)
        expiry = lifetime(token.expires, now)
        yield [RedisCommand(partition, ("SET", key, encode_token(token), "PX", expiry))]
        yield from self._note_token(token, now)
        if address is not None:
            yield from self._note_login(token.account, address, now)

    def _note_token(self, token: Token, now: int) -> Operation[None]:
        """Count a token, and revoke those that are too many."""
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
        """Find when somebody last logged in from an address."""
        partition, key = (
            self._keys.partition(account),
            self._keys.person(account, key_kinds.ADDRESSES),
        )
        (at,) = yield [RedisCommand(partition, ("ZSCORE", key, address))]
        return None if at is None else int(float(at))

    def token(self, digest: bytes, now: int) -> Operation[Token | None]:
        """Find a token that is valid."""
        token = yield from self._current(digest)
        return token if token is not None and token.expires > now else None

    def renew_token(self, digest: bytes, expires: int, address: str, now: int) -> Operation[bool]:
        """Move the end of a token forward."""
        token = yield from self._current(digest)
        if token is None:
            return False
        renewed = replace(token, expires=max(expires, token.expires), address=address)
        partition, key = self._keys.token(digest)
        expiry = lifetime(renewed.expires, now)
        # One that was revoked meanwhile stays away.
        words = ("SET", key, encode_token(renewed), "XX", "PX", expiry)
        (is_renewed,) = yield [RedisCommand(partition, words)]
        if is_renewed is not None:
            yield from self._note_token(renewed, now)
        return is_renewed is not None

    def _current(self, digest: bytes) -> Operation[Token | None]:
        """Find a token of the account's generation, expired or not."""
        partition, key = self._keys.token(digest)
        (packed,) = yield [RedisCommand(partition, ("GET", key))]
        if packed is None:
            return None
        kept = decode_token(packed)
        # After the token: a change of the password that was made before this is seen.
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
        """Forget a token, and count it no more."""
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
        """Set what somebody wants to be notified of."""
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
