"""Accounts: registering, proving who one is, and session tokens.

Passwords are hashed with argon2id, for which people wait in line (:mod:`gochat.chat.hashing`).

A token spares its owner the hashing: it is 256 random bits, of which the store keeps the SHA-256
digest. That needs no slow hash, for there is nothing to guess.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from gochat.chat import names
from gochat.chat.hashing import HashingQueue, Wait, wait_patiently
from gochat.chat.names import NameKey
from gochat.chat.passwords import Passwords, Verdict
from gochat.chat.store import LOGIN_MEMORY, Account, Store, Token
from gochat.errors import ChatError, ErrorCode

#: In milliseconds.
TOKEN_LIFETIME: Final = 30 * 24 * 3600 * 1000
#: A token that holds for more lifetimes than this was issued while the clock was far ahead, and
#: would hold for as long. Not just one: the clock may be behind now, which must end no session.
FROM_A_JUMP: Final = 2


class Identity(NamedTuple):
    """Who somebody has proved to be."""

    key: NameKey
    name: str


class IssuedToken(NamedTuple):
    """A token as its owner gets it. `expires` is in milliseconds since the Unix epoch."""

    secret: str
    digest: bytes
    expires: int


class Accounts:
    """Registers people and tells who they are.

    `clock` returns milliseconds since the Unix epoch. All methods may raise
    :exc:`~gochat.errors.StoreUnavailable`, and :exc:`~gochat.errors.ChatError` as they say. What
    hashes takes a `wait` (see :meth:`~gochat.chat.hashing.HashingQueue.slot`).
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        *,
        passwords: Passwords | None = None,
        token_lifetime: int = TOKEN_LIFETIME,
        queue: HashingQueue | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._token_lifetime = token_lifetime
        self._queue = queue or HashingQueue()

    async def register(self, name: str, password: str, wait: Wait = wait_patiently) -> str:
        """Create an account and return the name as it will be shown.

        Raises:
            ChatError: ``bad_name``, ``bad_password``, ``name_taken`` or ``busy``.
        """
        shown = names.check(name)
        key = names.fold(name)
        self._passwords.check(password)
        if await self._store.account(key) is None:
            async with self._queue.slot(wait):
                password_hash = await self._queue.run(self._passwords.hash, password)
            account = Account(
                key=key, name=shown, password_hash=password_hash, created=self._clock()
            )
            if await self._store.create_account(account):
                return shown
        raise ChatError(ErrorCode.NAME_TAKEN, f"the name {shown!r} is taken", field="name")

    async def log_in(self, name: str, password: str, wait: Wait = wait_patiently) -> Identity:
        """Return who has this name and password.

        Raises:
            ChatError: ``bad_credentials``, the same whether name or password is wrong; ``busy``.
        """
        async with self._queue.slot(wait):
            account, verdict = await self._prove(name, password)
            if verdict is Verdict.OUTDATED:
                await self._rehash(account, password)
        return Identity(account.key, account.name)

    async def change_password(
        self, who: Identity, old: str, new: str, wait: Wait = wait_patiently
    ) -> IssuedToken:
        """Set a new password, revoke all tokens and return a new one.

        Raises:
            ChatError: ``bad_credentials``, ``bad_password`` or ``busy``.
        """
        self._passwords.check(new)
        async with self._queue.slot(wait):
            account, _ = await self._prove(who.name, old)
            password_hash = await self._queue.run(self._passwords.hash, new)
        if await self._store.account(who.key) != account:
            raise _wrong()  # somebody else with the old password was faster
        await self._store.set_password_hash(who.key, password_hash)
        await self._store.revoke_tokens(who.key)
        return await self.issue_token(who)

    async def has_logged_in_from(self, account: NameKey, address: str) -> bool:
        """Return whether somebody has logged in from this address of late, by password."""
        at = await self._store.last_login(account, address)
        return at is not None and at > self._clock() - LOGIN_MEMORY

    async def issue_token(self, who: Identity, address: str | None = None) -> IssuedToken:
        """Return a new session token, for a login by password from `address`, if it was one."""
        secret = secrets.token_urlsafe(32)
        token = IssuedToken(secret, _digest(secret), self._clock() + self._token_lifetime)
        await self._store.add_token(
            Token(digest=token.digest, account=who.key, expires=token.expires), address
        )
        return token

    async def resume(self, secret: str) -> tuple[Identity, IssuedToken]:
        """Return whose token this is, and the token.

        Raises:
            ChatError: ``bad_token``: there is none, it was revoked, or it has expired.
        """
        now = self._clock()
        token = await self._store.token(_digest(secret), now)
        if token is not None and token.expires - now > FROM_A_JUMP * self._token_lifetime:
            token = None
        account = await self._store.account(token.account) if token is not None else None
        if token is None or account is None:
            raise ChatError(
                ErrorCode.BAD_TOKEN, "the session has ended: log in again", field="token"
            )
        issued = IssuedToken(secret, token.digest, token.expires)
        return Identity(account.key, account.name), issued

    async def revoke(self, digest: bytes) -> None:
        """Make a token worthless."""
        await self._store.revoke_token(digest)

    async def _prove(self, name: str, password: str) -> tuple[Account, Verdict]:
        """Return the account with this name and password, as it is now. Needs a slot."""
        try:
            account = await self._store.account(names.fold(name))
        except ChatError:  # no account can have such a name
            account = None
        while True:
            password_hash = account.password_hash if account is not None else None
            verdict = await self._queue.run(self._passwords.verify, password_hash, password)
            if account is None or verdict is Verdict.WRONG:
                raise _wrong()
            # Hashing takes its time. Who changes a password meanwhile must be sure that nobody
            # comes in by the old one any more, so look again.
            now = await self._store.account(account.key)
            if now == account:
                return account, verdict
            account = now

    async def _rehash(self, account: Account, password: str) -> None:
        """Hash a password again, in the form and by the parameters of today. Needs a slot."""
        password_hash = await self._queue.run(self._passwords.hash, password)
        now = await self._store.account(account.key)
        if now == account:  # not over a password that was changed meanwhile
            await self._store.set_password_hash(account.key, password_hash)


def _wrong() -> ChatError:
    return ChatError(
        ErrorCode.BAD_CREDENTIALS, "the name or the password is wrong", field="password"
    )


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
