"""Accounts: registration, authentication, and session tokens.

Passwords are hashed with argon2id, behind a queue (:mod:`gochat.chat.hashing`).

A token spares its owner the hashing. It is 256 random bits, of which the store keeps the SHA-256
digest; a slow hash is unnecessary, because it can't be guessed. It stands for a device: any number
of connections may use it, and it is valid for one lifetime after its last use.

Authentication takes time, during which the password may change. So its result has the *generation*
of the account record that it was checked against (:class:`Identity`); a token keeps it, and is
valid while the account has the same. The caller of a login calls :meth:`Accounts.require_current`
once revocations can see the new session: either the revocation ends it, or the call sees what was
revoked.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final, NamedTuple

import trio

from gochat.chat import names, skeletons
from gochat.chat.hashing import HashingQueue, Wait, wait_patiently
from gochat.chat.names import NameKey
from gochat.chat.passwords import Passwords, Verdict
from gochat.chat.store import LOGIN_MEMORY, Account, Store, Token
from gochat.errors import ChatError, ErrorCode, StoreUnavailable

#: In milliseconds.
TOKEN_LIFETIME: Final = 30 * 24 * 3600 * 1000
#: A token that is valid for more lifetimes than this was issued while the clock was far ahead, and
#: would stay valid for as long. More than one, because the clock may be behind now, which must not
#: end a session.
FROM_A_JUMP: Final = 2
#: The part of its lifetime that must have passed since a token was last renewed. It bounds the
#: writes for a token, however often it is used.
RENEW_AFTER: Final = 0.1


class Identity(NamedTuple):
    """An authenticated person, and the generation of the password that was checked."""

    key: NameKey
    name: str
    generation: int = 0


class IssuedToken(NamedTuple):
    """A token as its owner gets it. `expires` is in milliseconds since the Unix epoch."""

    secret: str
    digest: bytes
    expires: int


class Resumed(NamedTuple):
    """The person who resumed with a token, and whether from an address that is new for them."""

    who: Identity
    token: IssuedToken
    is_new_address: bool


class Accounts:
    """Registers people and authenticates them.

    `clock` returns milliseconds since the Unix epoch. All methods may raise
    :exc:`~gochat.errors.StoreUnavailable`, and :exc:`~gochat.errors.ChatError` where documented.
    Methods that hash take a `wait` (see :meth:`~gochat.chat.hashing.HashingQueue.slot`).
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        *,
        passwords: Passwords | None = None,
        token_lifetime: int = TOKEN_LIFETIME,
        queue: HashingQueue | None = None,
        reserved_names: Iterable[str] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords or Passwords()
        #: In milliseconds.
        self.token_lifetime: Final = token_lifetime
        self._queue = queue or HashingQueue()
        self._reserved = skeletons.of_all(reserved_names)

    async def register(self, name: str, password: str, wait: Wait = wait_patiently) -> str:
        """Create an account and return its displayed name.

        Raises:
            ChatError: ``bad_name``, ``bad_password``, ``name_taken`` or ``busy``. A name that is
                reserved, or looks like another one, counts as taken.
        """
        shown = names.check(name)
        key = names.fold(name)
        if not self._reserved.isdisjoint(skeletons.skeletons(shown)):
            raise skeletons.reserved(shown)
        self._passwords.check(password)
        if await self._store.account(key) is None:
            async with self._queue.slot(wait):
                password_hash = await self._queue.run(self._passwords.hash, password)
            account = Account(
                key=key, name=shown, password_hash=password_hash, created=self._clock()
            )
            if await self._store.create_account(account):
                return shown
        raise ChatError(
            ErrorCode.NAME_TAKEN,
            f"the name {shown!r} is taken",
            field="name",
            details={"name": shown, "rule": "taken"},
        )

    async def log_in(self, name: str, password: str, wait: Wait = wait_patiently) -> Identity:
        """Return the identity of the account with this name and password.

        Raises:
            ChatError: ``bad_credentials``, the same whether name or password is wrong; ``busy``.
        """
        async with self._queue.slot(wait):
            account, verdict = await self._prove(name, password)
            if verdict is Verdict.OUTDATED:
                await self._rehash(account, password)
        return Identity(account.key, account.name, account.generation)

    async def change_password(
        self, who: Identity, old: str, new: str, wait: Wait = wait_patiently
    ) -> Identity:
        """Set a new password, which revokes all tokens; return `who` with the new generation.

        Of concurrent changes one succeeds. Nothing is cancelled between the commit and the return.
        After StoreUnavailable the change may have been made.

        Raises:
            ChatError: ``bad_credentials``, also if the password was changed meanwhile;
                ``bad_password`` or ``busy``.
        """
        self._passwords.check(new, "new")
        async with self._queue.slot(wait):
            account, _ = await self._prove(who.name, old, "old")
            password_hash = await self._queue.run(self._passwords.hash, new)
        with trio.CancelScope(shield=True):  # the old password's sessions must end
            if not await self._store.change_password(account, password_hash):
                raise _wrong("old")
        return who._replace(generation=account.generation + 1)

    async def has_logged_in_from(self, account: NameKey, address: str) -> bool:
        """Return whether the account has logged in from this address recently, by password."""
        at = await self._store.last_login(account, address)
        return at is not None and at > self._clock() - LOGIN_MEMORY

    async def issue_token(
        self, who: Identity, address: str = "", *, is_login: bool = False
    ) -> IssuedToken:
        """Return a new session token for a device at `address`.

        `is_login`: after a login by password; the address is remembered for it.
        """
        secret = secrets.token_urlsafe(32)
        token = Token(
            digest=_digest(secret),
            account=who.key,
            expires=self._clock() + self.token_lifetime,
            generation=who.generation,
            address=address,
        )
        await self._store.add_token(token, address if is_login else None)
        return IssuedToken(secret, token.digest, token.expires)

    async def resume(self, secret: str, address: str = "") -> Resumed:
        """Return the owner of a token, used from `address`; renew the token if that is due.

        Raises:
            ChatError: ``bad_token``: it is unknown, was revoked, or has expired.
        """
        now = self._clock()
        token = await self._store.token(_digest(secret), now)
        if token is not None and token.expires - now > FROM_A_JUMP * self.token_lifetime:
            token = None
        account = await self._store.account(token.account) if token is not None else None
        if token is None or account is None:
            raise _ended()
        expires = token.expires
        has_moved = address != token.address
        is_new = (
            has_moved
            and token.address != ""
            and not await self.has_logged_in_from(token.account, address)
        )
        if has_moved or self.is_renewal_due(expires - now):
            # If the store can't write, the token is as valid as before.
            with contextlib.suppress(StoreUnavailable):
                renewed = max(expires, now + self.token_lifetime)
                if not await self._store.renew_token(token.digest, renewed, address):
                    raise _ended()
                expires = renewed
        who = Identity(account.key, account.name, token.generation)
        return Resumed(who, IssuedToken(secret, token.digest, expires), is_new)

    def valid_for(self, token: IssuedToken) -> float:
        """Return for how many seconds a token is valid, if it is not renewed."""
        return (token.expires - self._clock()) / 1000

    def is_renewal_due(self, left: float) -> bool:
        """Return whether a token that is valid for `left` more milliseconds should be renewed."""
        return left < self.token_lifetime * (1 - RENEW_AFTER)

    async def require_current(self, digest: bytes, *, is_login: bool) -> None:
        """Require that a token just issued or resumed, and so its login, has not been revoked.

        Raises:
            ChatError: it has: ``bad_credentials`` for a login by password, else ``bad_token``.
        """
        if await self._store.token(digest, self._clock()) is None:
            raise _wrong() if is_login else _ended()

    async def revoke(self, digest: bytes) -> None:
        """Revoke a token."""
        await self._store.revoke_token(digest)

    async def _prove(
        self, name: str, password: str, field: str = "password"
    ) -> tuple[Account, Verdict]:
        """Return the account with this name and password, as it was before the slow hashing.

        `field` has the password in the request. Needs a slot.
        """
        try:
            account = await self._store.account(names.fold_person(name))
        except ChatError:  # no account can have such a name
            account = None
        password_hash = account.password_hash if account is not None else None
        verdict = await self._queue.run(self._passwords.verify, password_hash, password)
        if account is None or verdict is Verdict.WRONG:
            raise _wrong(field)
        return account, verdict

    async def _rehash(self, account: Account, password: str) -> None:
        """Hash a password again, with the current algorithm and parameters. Needs a slot."""
        password_hash = await self._queue.run(self._passwords.hash, password)
        await self._store.rehash_password(account, password_hash)


def _wrong(field: str = "password") -> ChatError:
    return ChatError(ErrorCode.BAD_CREDENTIALS, "the name or the password is wrong", field=field)


def _ended() -> ChatError:
    return ChatError(ErrorCode.BAD_TOKEN, "the session has ended: log in again", field="token")


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
