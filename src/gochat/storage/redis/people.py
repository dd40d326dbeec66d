"""Data about people besides their entries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from gochat.chat import restriction, status
from gochat.chat.account import Account, decode_status, encode_status
from gochat.chat.admission import not_valid
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.server_roles import ServerRole
from gochat.chat.skeletons import looks_taken
from gochat.protocol.messages import Level, Status
from gochat.storage.redis import keys as key_kinds
from gochat.storage.redis import scripts
from gochat.storage.redis.admission import Use
from gochat.storage.redis.claims import Claim
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, RedisCommand, call
from gochat.storage.redis.reading import Reading

#: Accounts queried in one step.
CHUNK: Final = 500

#: The fields of an account's hash from which :func:`decode_account` makes it. Those from `role` on
#: are missing in accounts from before there were roles.
ACCOUNT_FIELDS: Final = (
    *("name", "hash", "created", "generation", "role", "bot", "state"),
    *("ban", "mute", "status"),
)

#: msgspec collects what a struct is made of when it is first decoded, and leaves that half made for
#: other threads to find: one that decodes the same struct meanwhile crashes, and the process with
#: it. So it is done here, before there are threads.
_PREPARED: Final = msgspec.json.Decoder(Account)


def decode_account(key: NameKey, row: Sequence[bytes | None]) -> Account | None:
    """Return an account from its fields; None if there is none."""
    name, password_hash, created, generation, role, bot, state, ban, mute, said = row
    if name is None or password_hash is None:
        return None
    return msgspec.convert(
        {
            "key": key,
            "name": name.decode(),
            "password_hash": password_hash.decode(),
            "created": int(created or 0),
            "generation": int(generation or 0),
            "role": (role or b"member").decode(),
            "bot": bot == b"1",
            "state": (state or b"active").decode(),
            "ban": restriction.decode(ban),
            "mute": restriction.decode(mute),
            "status": decode_status(said),
        },
        Account,
    )


def encode_account(account: Account) -> tuple[str | int, ...]:
    """Return an account's fields and their values, in turns."""
    fields = ("role", "bot", "state", "generation", "ban", "mute")
    standing = (word for pair in zip(fields, _standing(account), strict=True) for word in pair)
    said = encode_status(account.status)
    return (
        *("name", account.name, "hash", account.password_hash, "created", account.created),
        *standing,
        *(("status", said) if said else ()),
    )


def _standing(account: Account) -> tuple[str | int, ...]:
    kept = restriction.encode(account.ban), restriction.encode(account.mute)
    return account.role, int(account.bot), account.state, account.generation, *kept


class PeopleOperations:
    """Create the operations. :class:`~gochat.chat.store.Store` documents what they do."""

    def __init__(self, keys: Keys, reading: Reading) -> None:
        self._keys = keys
        self._reading = reading

    def check_writable(self, now: int) -> Operation[None]:
        """Write in every partition, as each may be on another server."""
        yield [
            RedisCommand(n, ("HSET", self._keys.common(n, "probe"), "at", now))
            for n in range(self._keys.partitions)
        ]

    # -- accounts -------------------------------------------------------------------------------

    def create_account(self, account: Account, invitation: bytes | None) -> Operation[bool]:
        """Store a new account, and take a use of an invitation for it."""
        claim = Claim(self._keys, account.key, account.name)
        if not (yield from claim.make()):
            if (yield from self.account(account.key)) is not None:
                return False
            raise looks_taken(account.name)
        use = None
        if invitation is not None:
            use = Use(self._keys, invitation, account.key, account.created)
            if not (yield from use.take()):
                yield from claim.release()
                raise not_valid()
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
                *_standing(account)[:3],
            )
        ]
        if not is_new:
            yield from claim.release()
            if use is not None:
                yield from use.give_back()
        return bool(is_new)

    def account(self, key: NameKey) -> Operation[Account | None]:
        """Find an account."""
        (found,) = yield from self.accounts([key])
        return found

    def accounts(self, keys: Sequence[NameKey]) -> Operation[list[Account | None]]:
        """Find accounts."""
        replies = yield [self._about(key, "HMGET", *ACCOUNT_FIELDS) for key in keys]
        return [decode_account(key, row) for key, row in zip(keys, replies, strict=True)]

    def change_account(
        self, before: Account, after: Account, by: tuple[NameKey, ServerRole] | None
    ) -> Operation[bool]:
        """Set what is said of an account at the server, if it is still what was proved.

        What commits compare of it is in each partition, too, with the conversations. A role is set
        there first: so from then on no commit is made by the earlier one. Whether somebody has a
        role is decided by the account, so what a failure leaves behind only makes what is decided
        by the earlier one fail, until the role is set again. A mute is set there last, and again if
        the account has changed meanwhile.
        """
        is_role, is_mute = before.role != after.role, before.mute != after.mute
        if is_role:
            yield [
                RedisCommand(p, ("HSET", self._keys.common(p, "roles"), before.key, after.role))
                for p in range(self._keys.partitions)
            ]
        partition = self._keys.partition(before.key)
        keys = (
            *self._of_generation(before.key),
            self._keys.common(partition, "roles"),
            self._keys.common(partition, "restricted"),
        )
        ends_status = int(status.ends_with(before, after))
        words = (
            *(*_standing(before), *_standing(after), before.key),
            *(by or ("", "")),
            ends_status,
        )
        (is_set,) = yield [call(partition, scripts.ACCOUNT_CHANGE, keys, *words)]
        if (is_mute and is_set) or (is_role and not is_set):
            yield from self._publish(before.key)
        return bool(is_set)

    def _publish(self, person: NameKey) -> Operation[None]:
        """Set in each partition what commits compare of an account, until it is as the account is.

        Of several who do this at once, the last one to write has read what is so.
        """
        published: tuple[str, int | None] | None = None
        while (account := (yield from self.account(person))) is not None:
            until = None if account.mute is None else account.mute.until
            if published == (account.role, until):
                return
            published = account.role, until
            commands = []
            for p in range(self._keys.partitions):
                roles, mutes = self._keys.common(p, "roles"), self._keys.common(p, "mutes")
                commands.append(RedisCommand(p, ("HSET", roles, person, account.role)))
                if until is None:
                    commands.append(RedisCommand(p, ("HDEL", mutes, person)))
                else:
                    commands.append(RedisCommand(p, ("HSET", mutes, person, until)))
            yield commands

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

    def set_status(self, account: Account, said: Status | None) -> Operation[bool]:
        """Set a person's status, if the account is as it was."""
        (is_set,) = yield [
            call(
                self._keys.partition(account.key),
                scripts.STATUS,
                (self._keys.person(account.key, key_kinds.ACCOUNT),),
                account.generation,
                account.state,
                restriction.encode(account.mute),
                encode_status(said),
            )
        ]
        return bool(is_set)

    def statuses(self, keys: Collection[NameKey]) -> Operation[dict[NameKey, Status]]:
        """Find the statuses of those who have one."""
        wanted = list(keys)
        replies = yield [self._about(key, "HGET", "status") for key in wanted]
        found = zip(wanted, map(decode_status, replies), strict=True)
        return {key: said for key, said in found if said is not None}

    def change_password(self, proved: Account, password_hash: str) -> Operation[bool]:
        """Replace a password, if it is still the one that was proved."""
        return (yield from self._set_hash(proved, "", password_hash, 1))

    def rehash_password(self, proved: Account, password_hash: str) -> Operation[bool]:
        """Replace the hash of an unchanged password."""
        return (yield from self._set_hash(proved, proved.password_hash, password_hash, 0))

    def _set_hash(self, proved: Account, before: str, after: str, count: int) -> Operation[bool]:
        partition = self._keys.partition(proved.key)
        keys = self._of_generation(proved.key)
        (is_set,) = yield [
            call(partition, scripts.PASSWORD, keys, proved.generation, before, after, count)
        ]
        return bool(is_set)

    def _of_generation(self, person: NameKey) -> tuple[str, ...]:
        """Return the keys of an account, and of what ends with its generation."""
        kinds = (key_kinds.ACCOUNT, key_kinds.ADDRESSES, key_kinds.TOKENS)
        return tuple(self._keys.person(person, kind) for kind in kinds)

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
