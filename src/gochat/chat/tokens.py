"""Session tokens, and programs' tokens.

A token spares its owner the hashing of a password. It is ``gct_`` and, in base64url, an id of 16
bytes, by which it is found, and a secret of 32 random bytes, of which the store keeps the SHA-256
digest; a slow hash is unnecessary, because it can't be guessed. It stands for a device: any number
of connections may use it, and it is valid for one lifetime after its last use. A program's may do
only what it was made for (:mod:`gochat.chat.grants`), and ends at a fixed time.
"""

from __future__ import annotations

import contextlib
import secrets
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple

import trio
from msgspec.structs import replace

from gochat.chat.accounts import Identity, shut, wrong_credentials
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.store import LOGIN_MEMORY, Store
from gochat.chat.token import MAX_PROGRAMS, TOKEN_ID_SIZE, Token
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import TokenScope

#: In milliseconds.
TOKEN_LIFETIME: Final = 30 * 24 * 3600 * 1000
#: The longest lifetime of a program's token, in milliseconds.
PROGRAM_LIFETIME: Final = 365 * 24 * 3600 * 1000
#: With which a token begins, so that people and tools that look for secrets recognise it.
TOKEN_PREFIX: Final = "gct_"  # noqa: S105 -- no secret: what all tokens begin with
_SECRET_SIZE: Final = 32
#: A token that is valid for more lifetimes than this was issued while the clock was far ahead, and
#: would stay valid for as long. More than one, because the clock may be behind now, which must not
#: end a session.
FROM_A_JUMP: Final = 2
#: Milliseconds that must have passed since a token was last renewed, and the part of its lifetime,
#: if that is less. They bound the writes for a token, however often it is used.
RENEW_EVERY: Final = 24 * 3600 * 1000
RENEW_AFTER: Final = 0.1


class IssuedToken(NamedTuple):
    """A token as its owner gets it, in `text`, and as the store keeps it.

    `replaced` has the ids of those that were revoked to make room for it.
    """

    text: str
    kept: Token
    replaced: tuple[bytes, ...] = ()

    @property
    def id(self) -> bytes:
        """The id of the session that it stands for."""
        return self.kept.id

    @property
    def expires(self) -> int:
        """When it expires, in milliseconds since the Unix epoch."""
        return self.kept.expires


class HeldToken:
    """A token that a connection uses.

    `expires` is in milliseconds since the Unix epoch. `until`, when it expires unless it is
    renewed, and `due`, when to renew it, are in seconds of the Trio clock. `slides`: renewing
    extends it.
    """

    __slots__ = ("device", "due", "expires", "id", "slides", "until")

    def __init__(self, token: Token, until: float, due: float) -> None:
        self.id: Final = token.id
        self.device: Final = token.device
        self.expires = token.expires
        self.slides: Final = not token.is_program
        self.until = until
        self.due = due


class Resumed(NamedTuple):
    """The person who resumed with a token, and whether from an address that is new for them."""

    who: Identity
    token: IssuedToken
    is_new_address: bool


class Tokens:
    """Issues tokens, and checks and revokes them.

    `clock` returns milliseconds since the Unix epoch. All methods but :meth:`hold` may raise
    :exc:`~gochat.errors.StoreUnavailable`, and :exc:`~gochat.errors.ChatError` where documented.
    """

    def __init__(
        self, store: Store, clock: Callable[[], int], *, lifetime: int = TOKEN_LIFETIME
    ) -> None:
        self._store = store
        self._clock = clock
        #: Of a device's token, in milliseconds.
        self.lifetime = lifetime

    async def has_logged_in_from(self, account: NameKey, address: str) -> bool:
        """Return whether the account has logged in from this address recently, by password."""
        at = await self._store.last_login(account, address)
        return at is not None and at > self._clock() - LOGIN_MEMORY

    async def issue(
        self, who: Identity, address: str = "", *, device: str = "", is_login: bool = False
    ) -> IssuedToken:
        """Return a new token for a device at `address`.

        `is_login`: after a login by password; the address is remembered for it.
        """
        token = self._new(who, address, device, self.lifetime)
        replaced = await self._store.add_token(token.kept, address if is_login else None)
        return token._replace(replaced=tuple(replaced or ()))

    async def issue_for_program(
        self,
        who: Identity,
        address: str,
        *,
        device: str,
        scopes: Collection[TokenScope],
        rooms: Collection[ConversationKey],
        lifetime: int,
    ) -> IssuedToken:
        """Return a new token for a program. `lifetime` is in milliseconds.

        Raises:
            ChatError: ``bad_request``: the account has :data:`MAX_PROGRAMS` already.
        """
        token = self._new(who, address, device, lifetime, scopes, rooms)
        if await self._store.add_token(token.kept) is None:
            raise ChatError(
                ErrorCode.BAD_REQUEST,
                f"an account has at most {MAX_PROGRAMS} programs' tokens: end one of them first",
                details={"rule": "too_many", "max": MAX_PROGRAMS},
            )
        return token

    def _new(
        self,
        who: Identity,
        address: str,
        device: str,
        lifetime: int,
        scopes: Collection[TokenScope] = (),
        rooms: Collection[ConversationKey] = (),
    ) -> IssuedToken:
        now = self._clock()
        token_id, secret = secrets.token_bytes(TOKEN_ID_SIZE), secrets.token_bytes(_SECRET_SIZE)
        token = Token(
            id=token_id,
            digest=sha256(secret).digest(),
            account=who.key,
            expires=now + lifetime,
            generation=who.generation,
            device=device,
            address=address,
            created=now,
            seen=now,
            scopes=tuple(sorted(set(scopes))),
            rooms=tuple(sorted(set(rooms))),
        )
        return IssuedToken(TOKEN_PREFIX + urlsafe_b64encode(token_id + secret).decode(), token)

    async def resume(self, text: str, address: str = "") -> Resumed:
        """Return the owner of a token, used from `address`; renew the token if that is due.

        Raises:
            ChatError: ``bad_token``: it is unknown, was revoked, or has expired; or
                ``account_banned`` or ``account_disabled``, if it was revoked by that.
        """
        now = self._clock()
        token = await self._find(text, now)
        account = await self._store.account(token.account) if token is not None else None
        if token is None or account is None:
            raise await self._refusal(text, now)
        has_moved = address != token.address
        is_new = (
            has_moved
            and token.address != ""
            and not await self.has_logged_in_from(token.account, address)
        )
        if has_moved or self._renew_in(token, now) <= 0:
            renewed = replace(token, expires=self._extended(token, now), address=address, seen=now)
            # If the store can't write, the token is as valid as before.
            with contextlib.suppress(StoreUnavailable):
                if not await self._store.renew_token(token.id, renewed.expires, address):
                    raise _ended()
                token = renewed
        who = Identity(account.key, account.name, token.generation)
        return Resumed(who, IssuedToken(text, token), is_new)

    async def _refusal(self, text: str, now: int) -> ChatError:
        """Return why a token is not valid, to who had it until their account was shut."""
        parts = _parse(text)
        token = await self._store.void_token(parts.id, now) if parts is not None else None
        if token is not None and parts is not None and compare_digest(parts.digest, token.digest):
            account = await self._store.account(token.account)
            # It was the ban, or the disabling, that revoked it, and not a new password.
            if account is not None and account.generation == token.generation + 1:
                why = shut(account, now)
                if why is not None:
                    return ChatError(why.code, why.text, field="token", details=why.details)
        return _ended()

    async def _find(self, text: str, now: int) -> Token | None:
        """Return the valid token that is `text`. Only its id decides how long this takes."""
        parts = _parse(text)
        token = await self._store.token(parts.id, now) if parts is not None else None
        if token is None or parts is None or not compare_digest(parts.digest, token.digest):
            return None
        longest = PROGRAM_LIFETIME if token.is_program else self.lifetime
        return token if token.expires - now <= FROM_A_JUMP * longest else None

    def hold(self, token: Token) -> HeldToken:
        """Return the state of a token that a connection uses from now on."""
        now, here = self._clock(), trio.current_time()
        due = here + max(0, self._renew_in(token, now)) / 1000
        return HeldToken(token, here + (token.expires - now) / 1000, due)

    @property
    def renew_every(self) -> float:
        """Milliseconds between two renewals of a token that is used all the time."""
        return min(RENEW_EVERY, self.lifetime * RENEW_AFTER)

    def _renew_in(self, token: Token, now: int) -> float:
        """Return in how many milliseconds a token is to be renewed; at once if it is from ahead."""
        return self.renew_every - (now - token.seen) if token.seen <= now else 0

    def _extended(self, token: Token, now: int) -> int:
        """Return when a token expires that is used now."""
        return token.expires if token.is_program else max(token.expires, now + self.lifetime)

    async def require_current(self, token_id: bytes, *, is_login: bool) -> None:
        """Require that a token just issued or resumed, and so its login, has not been revoked.

        Raises:
            ChatError: it has: ``bad_credentials`` for a login by password, else ``bad_token``.
        """
        if await self._store.token(token_id, self._clock()) is None:
            raise wrong_credentials() if is_login else _ended()

    async def tokens(self, who: Identity) -> Sequence[Token]:
        """Return the person's valid tokens, in the order in which they were created."""
        return await self._store.tokens(who.key, self._clock())

    async def revoke(self, who: Identity, token_id: bytes) -> bool:
        """Revoke a token of this person; return False if they have none with this id."""
        return await self._store.revoke_token(who.key, token_id)

    async def revoke_others(self, who: Identity, token_id: bytes) -> Collection[bytes]:
        """Revoke all tokens of this person but one, and return their ids."""
        return await self._store.revoke_other_tokens(who.key, token_id)


def _ended() -> ChatError:
    return ChatError(ErrorCode.BAD_TOKEN, "the session has ended: log in again", field="token")


class _Parts(NamedTuple):
    """What a token consists of; its secret as a digest."""

    id: bytes
    digest: bytes


def _parse(text: str) -> _Parts | None:
    """Return the parts of a token, or None if it is not the text of one."""
    encoded = text.removeprefix(TOKEN_PREFIX).translate(_FROM_URL)
    try:
        data = a2b_base64(encoded, strict_mode=True) if text.startswith(TOKEN_PREFIX) else b""
    except ValueError:  # also of characters that are not ASCII
        return None
    if len(data) != TOKEN_ID_SIZE + _SECRET_SIZE:
        return None
    return _Parts(data[:TOKEN_ID_SIZE], sha256(data[TOKEN_ID_SIZE:]).digest())


_FROM_URL: Final = str.maketrans("-_+/", "+/??")
