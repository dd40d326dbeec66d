"""Accounts: registration, and authentication by password.

Passwords are hashed with argon2id, behind a queue (:mod:`gochat.chat.hashing`).

Authentication takes time, during which the password may change. So its result has the *generation*
of the account record that it was checked against (:class:`Identity`); a token keeps it, and is
valid while the account has the same. The caller of a login calls :meth:`.Tokens.require_current`
once revocations can see the new session: either the revocation ends it, or the call sees what was
revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import trio

from gochat.chat import names, skeletons
from gochat.chat.hashing import HashingQueue, Wait, wait_patiently
from gochat.chat.names import NameKey
from gochat.chat.passwords import Passwords, Verdict
from gochat.chat.store import (
    Account,
    Store,
)
from gochat.errors import ChatError, ErrorCode


class Identity(NamedTuple):
    """An authenticated person, and the generation of the password that was checked."""

    key: NameKey
    name: str
    generation: int = 0


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
        queue: HashingQueue | None = None,
        reserved_names: Iterable[str] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._queue = queue or HashingQueue()
        self._reserved = skeletons.of_all(reserved_names)

    def configure(self, passwords: Passwords, reserved_names: Iterable[str]) -> None:
        """Change how passwords are hashed and checked, and which names are reserved."""
        self._passwords = passwords
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
                raise wrong_credentials("old")
        return who._replace(generation=account.generation + 1)

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
            raise wrong_credentials(field)
        return account, verdict

    async def _rehash(self, account: Account, password: str) -> None:
        """Hash a password again, with the current algorithm and parameters. Needs a slot."""
        password_hash = await self._queue.run(self._passwords.hash, password)
        await self._store.rehash_password(account, password_hash)


def wrong_credentials(field: str = "password") -> ChatError:
    """Return the error for a wrong name or password; the request has it in `field`."""
    return ChatError(ErrorCode.BAD_CREDENTIALS, "the name or the password is wrong", field=field)
