"""Accounts: registration, and authentication by password.

Passwords are hashed with argon2id, behind a queue (:mod:`gochat.chat.hashing`), unless somebody
else checks them (:mod:`gochat.chat.external`).

Authentication takes time, during which the password may change. So its result has the *generation*
of the account record that it was checked against (:class:`Identity`); a token keeps it, and is
valid while the account has the same. The caller of a login calls :meth:`.Tokens.require_current`
once revocations can see the new session: either the revocation ends it, or the call sees what was
revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import structlog
import trio

from gochat.chat import external, names, one_time_codes, skeletons
from gochat.chat.account import Account
from gochat.chat.external import NO_PASSWORD, Directory, NoDirectory
from gochat.chat.hashing import HashingQueue
from gochat.chat.names import NameKey
from gochat.chat.one_time_codes import KeptCode
from gochat.chat.passwords import Passwords, Verdict
from gochat.chat.refusals import account_banned
from gochat.chat.restriction import held
from gochat.chat.store import Store
from gochat.chat.work_queue import Wait, wait_patiently
from gochat.errors import ChatError, ErrorCode

log = structlog.stdlib.get_logger()


#: Characters of a password that is passed on: no directory knows longer ones.
LONGEST_ELSEWHERE: Final = 1024


class Identity(NamedTuple):
    """An authenticated person, and the generation of the password that was checked."""

    key: NameKey
    name: str
    generation: int = 0


class IssuedCode(NamedTuple):
    """A one-time code, and when it expires, in milliseconds since the Unix epoch."""

    code: str
    expires: int


class Accounts:
    """Registers people and authenticates them.

    `clock` returns milliseconds since the Unix epoch. All methods may raise
    :exc:`~gochat.errors.StoreUnavailable`, and :exc:`~gochat.errors.ChatError` where documented.
    Methods that hash take a `wait` (see :meth:`~gochat.chat.work_queue.WorkQueue.slot`).
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        *,
        passwords: Passwords | None = None,
        queue: HashingQueue | None = None,
        directory: Directory | None = None,
        reserved_names: Iterable[str] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory or NoDirectory()
        self._passwords = passwords or Passwords()
        self._queue = queue or HashingQueue()
        self._reserved = skeletons.of_all(reserved_names)

    def configure(self, passwords: Passwords, reserved_names: Iterable[str]) -> None:
        """Change how passwords are hashed and checked, and which names are reserved."""
        self._passwords = passwords
        self._reserved = skeletons.of_all(reserved_names)

    async def register(
        self,
        name: str,
        password: str,
        wait: Wait = wait_patiently,
        *,
        is_reserved_too: bool = False,
        invitation: bytes | None = None,
    ) -> str:
        """Create an account and return its displayed name.

        It takes a use of the `invitation` with this digest.

        Raises:
            ChatError: ``bad_name``, ``bad_password``, ``name_taken``, ``bad_invite`` or ``busy``. A
                name that is reserved, or looks like another one, counts as taken; the former not if
                `is_reserved_too`.
        """
        shown, key = self._require_allowed(name, is_reserved_too=is_reserved_too)
        self._passwords.check(password)
        if await self._store.account(key) is not None:
            raise taken(shown)
        async with self._queue.slot(wait):
            password_hash = await self._queue.run(self._passwords.hash, password)
        return await self._create(key, shown, password_hash, invitation)

    async def register_with_code(self, name: str, issued: IssuedCode) -> str:
        """Create an account with a one-time code instead of a password; return its displayed name.

        Any name is allowed, reserved ones, too. Raises as :meth:`register` does.
        """
        self.require_local()
        shown, key = self._require_allowed(name, is_reserved_too=True)
        return await self._create(key, shown, one_time_codes.hashed(*issued))

    def new_code(self, lifetime: int) -> IssuedCode:
        """Return a one-time code that is valid for `lifetime` milliseconds, for an account."""
        return IssuedCode(one_time_codes.make(), self._clock() + lifetime)

    def require_local(self) -> None:
        """Require that there can be accounts whose passwords are kept here.

        Raises:
            ChatError: ``not_permitted``: a directory has all of them.
        """
        if self._directory.is_on and not self._directory.allows_local:
            raise external.registered_elsewhere()

    async def reset_password(self, account: Account, lifetime: int) -> IssuedCode:
        """Put a one-time code, for `lifetime` milliseconds, in the place of an account's password.

        That revokes all tokens.

        Raises:
            ChatError: ``busy`` if the account has changed meanwhile; ``not_permitted`` if its
                password is not kept here.
        """
        if self._directory.is_on and not await self._has_password(account.key):
            raise external.reset_elsewhere(account.name)
        issued = self.new_code(lifetime)
        if not await self._store.change_password(account, one_time_codes.hashed(*issued)):
            raise has_changed(account.name)
        return issued

    def _require_allowed(self, name: str, *, is_reserved_too: bool = False) -> tuple[str, NameKey]:
        """Return a new account's name as it is displayed, and its key.

        Raises:
            ChatError: ``bad_name``; ``name_taken`` if it is reserved.
        """
        shown = names.check(name)
        is_reserved = not self._reserved.isdisjoint(skeletons.skeletons(shown))
        if is_reserved and not is_reserved_too:
            raise skeletons.reserved(shown)
        return shown, names.fold(name)

    async def _create(
        self, key: NameKey, shown: str, password_hash: str, invitation: bytes | None = None
    ) -> str:
        account = Account(key=key, name=shown, password_hash=password_hash, created=self._clock())
        if not await self._store.create_account(account, invitation):
            raise taken(shown)
        return shown

    async def log_in(
        self, name: str, password: str, wait: Wait = wait_patiently, *, address: str = ""
    ) -> Identity:
        """Return the identity of the account with this name and password.

        Where a directory knows them, the account is created if there is none. `address` is where
        the login comes from. With a one-time code and a new password, set that first. Of concurrent
        logins with one code one succeeds.

        Raises:
            ChatError: ``bad_credentials``, the same whether name or password is wrong; ``busy``;
                with the right password ``account_disabled`` or ``account_banned``; with the right
                code ``bad_credentials`` if it has expired, or ``bad_password`` without a new
                password, or with one of a wrong length; of a directory also ``unavailable``, and
                ``name_taken`` for a name that no new account can have.
        """
        if self._directory.is_on and not await self._has_password(
            names.possible_key(name.removeprefix("@"))
        ):
            return await self._log_in_elsewhere(name, password, wait, address)
        async with self._queue.slot(wait):
            account = await self._find(name)
            code = None if account is None else one_time_codes.kept(account.password_hash)
            if account is not None and code is not None:
                return await self._redeem(account, code, password)
            account, verdict = await self._prove(account, password)
            if verdict is Verdict.OUTDATED:
                await self._rehash(account, password)
        return Identity(account.key, account.name, account.generation)

    async def _redeem(self, account: Account, code: KeptCode, password: str) -> Identity:
        """Log in with a one-time code. Needs a slot. A wrong one takes as long as a password."""
        given = one_time_codes.given(password)
        if given is None or not given.is_that(code):
            await self._queue.run(self._passwords.verify, None, password)
            raise wrong_credentials()
        if code.expires <= self._clock():
            raise ChatError(
                ErrorCode.BAD_CREDENTIALS,
                "this one-time code has expired: ask whoever runs the server for a new one",
                field="password",
            )
        _require_active(account, self._clock())
        if not given.password:
            raise ChatError(
                ErrorCode.BAD_PASSWORD,
                "this is a one-time code: as the password, enter the code, a space, and your new "
                "password",
                field="password",
                details={"rule": "one_time_code"},
            )
        self._passwords.check(given.password)
        password_hash = await self._queue.run(self._passwords.hash, given.password)
        if not await self._store.change_password(account, password_hash):
            raise wrong_credentials()
        return Identity(account.key, account.name, account.generation + 1)

    async def change_password(
        self, who: Identity, old: str, new: str, wait: Wait = wait_patiently
    ) -> Identity:
        """Set a new password, which revokes all tokens; return `who` with the new generation.

        Of concurrent changes one succeeds. Nothing is cancelled between the commit and the return.
        After StoreUnavailable the change may have been made.

        Raises:
            ChatError: ``bad_credentials``, also if the password was changed meanwhile;
                ``bad_password``, ``busy``, ``account_disabled`` or ``account_banned``;
                ``not_permitted`` where it is
                not kept here.
        """
        if self._directory.is_on and not await self._has_password(who.key):
            raise external.kept_elsewhere()
        self._passwords.check(new, "new")
        async with self._queue.slot(wait):
            account, _ = await self._prove(await self._find(who.name), old, "old")
            password_hash = await self._queue.run(self._passwords.hash, new)
        with trio.CancelScope(shield=True):  # the old password's sessions must end
            if not await self._store.change_password(account, password_hash):
                raise wrong_credentials("old")
        return who._replace(generation=account.generation + 1)

    # -- with a directory ---------------------------------------------------------------------

    async def _has_password(self, key: NameKey | None) -> bool:
        """Return whether the password of an account is kept here although there is a directory."""
        if not self._directory.allows_local or key is None:
            return False
        account = await self._store.account(key)
        return account is not None and account.password_hash != NO_PASSWORD

    async def _log_in_elsewhere(
        self, name: str, password: str, wait: Wait, address: str
    ) -> Identity:
        """Log in with a password that the directory checks."""
        try:
            key = names.fold_person(name)
        except ChatError:  # nobody has such a name
            raise wrong_credentials() from None
        # A directory may take an empty password for a wish to be anonymous, and allow that (LDAP).
        if not 0 < len(password) <= LONGEST_ELSEWHERE:
            raise wrong_credentials()
        # It gets the key, not what was typed: were it to tell Mei from mei, two people would get
        # one account.
        answer = await self._directory.check(key, password, address, wait)
        if not answer.is_allowed:
            raise wrong_credentials()
        if answer.name is not None and names.possible_key(answer.name) != key:
            log.warning("directory knows another name", account=key, name=answer.name[:64])
            raise wrong_credentials()
        account = await self._store.account(key)
        if account is None:
            account = await self._create_elsewhere(answer.name or name.removeprefix("@"), key)
        _require_active(account, self._clock())
        return Identity(account.key, account.name, account.generation)

    async def _create_elsewhere(self, name: str, key: NameKey) -> Account:
        """Create the account of a person whom the directory knows, and return it."""
        shown, _ = self._require_allowed(name)
        account = Account(key=key, name=shown, password_hash=NO_PASSWORD, created=self._clock())
        if await self._store.create_account(account):
            log.info("account created", account=shown, by="auth.command")
            return account
        found = await self._store.account(key)  # by another login of the same person
        assert found is not None
        return found

    # -- passwords that are kept here -----------------------------------------------------------

    async def _find(self, name: str) -> Account | None:
        try:
            return await self._store.account(names.fold_person(name))
        except ChatError:  # no account can have such a name
            return None

    async def _prove(
        self, account: Account | None, password: str, field: str = "password"
    ) -> tuple[Account, Verdict]:
        """Require that an account has this password; `account` is as it was before the hashing.

        `field` has the password in the request. Needs a slot.
        """
        password_hash = account.password_hash or None if account is not None else None
        verdict = await self._queue.run(self._passwords.verify, password_hash, password)
        if account is None or verdict is Verdict.WRONG:
            raise wrong_credentials(field)
        _require_active(account, self._clock())
        return account, verdict

    async def _rehash(self, account: Account, password: str) -> None:
        """Hash a password again, with the current algorithm and parameters. Needs a slot."""
        password_hash = await self._queue.run(self._passwords.hash, password)
        await self._store.rehash_password(account, password_hash)


def has_changed(name: str) -> ChatError:
    """Return the error for an account that somebody else has changed at the same moment."""
    return ChatError(
        ErrorCode.BUSY,
        f"the account of {name} was changed at the same time: check it, and try again",
        retry_after=1.0,
        details={"rule": "conflict"},
    )


def shut(account: Account, now: int) -> ChatError | None:
    """Return the error for who can't log in to their account, or None."""
    if (ban := held(account.ban, now)) is not None:
        return account_banned(ban)
    if account.state != "active":
        return ChatError(
            ErrorCode.ACCOUNT_DISABLED,
            f"this account {'was deleted' if account.is_deleted else 'is disabled'}: "
            "ask whoever runs the server",
            field="name",
        )
    return None


def _require_active(account: Account, now: int) -> None:
    if (error := shut(account, now)) is not None:
        raise error


def taken(shown: str) -> ChatError:
    """Return the error for a name that somebody has."""
    return ChatError(
        ErrorCode.NAME_TAKEN,
        f"the name {shown!r} is taken",
        field="name",
        details={"name": shown, "rule": "taken"},
    )


def wrong_credentials(field: str = "password") -> ChatError:
    """Return the error for a wrong name or password; the request has it in `field`."""
    return ChatError(ErrorCode.BAD_CREDENTIALS, "the name or the password is wrong", field=field)
