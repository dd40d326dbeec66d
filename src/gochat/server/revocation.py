"""Revocation: end the sessions whose credential was revoked, on this node and the others.

A credential is checked before its session joins the hub, and may be revoked in between. So a
session that has joined checks the store once more before it is logged in
(:meth:`.Tokens.require_current`), and a revocation changes the store first
and then ends the sessions in the hub. Whichever comes second sees the other.

Nodes send each other :class:`~gochat.chat.node_bus.Revoked`, and acknowledge it when the sessions
have ended: none of them is in the middle of a request any more. A node checks all tokens when it
may have missed something, because it was cut off, or because the store did not confirm whether a
token was revoked; and, where there are several nodes, from time to time, because a node may die
before it has sent anything.

The others don't wait for a node without a lease. So while it has none, and until it has checked all
tokens after that, it checks a session's token before each of its requests.

The same check renews the tokens of sessions that stay connected, which counts as using them. That a
token expires is noticed by :mod:`gochat.server.deadlines`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable
from typing import Final, NoReturn

import structlog
import trio

from gochat.chat.account import Account
from gochat.chat.names import NameKey
from gochat.chat.node_bus import Acknowledged, Revoked
from gochat.chat.refusals import account_banned
from gochat.chat.restriction import held
from gochat.chat.store import Store
from gochat.chat.tokens import Tokens
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import ByeReason
from gochat.server.hub import Hub
from gochat.server.limits import subscriber
from gochat.server.login import ActiveLogin
from gochat.server.session import Session
from gochat.storage.common.clock import wall_clock

log = structlog.stdlib.get_logger()

#: Shortest and longest time, in seconds, between two checks of all tokens. Between these bounds it
#: is this part of a token's lifetime, half of what must have passed before it is renewed.
LOOK_EVERY: Final = (0.1, 300.0)
LOOKS_PER_LIFETIME: Final = 20
#: Seconds to wait for sessions of this node to finish their request: no store takes longer to fail.
END_WITHIN: Final = 15.0


CHANGED: Final = "the password was changed: log in again"
ENDED: Final = "the session was ended: log in again"
DISABLED: Final = "this account is disabled: ask whoever runs the server"


class _Ending:
    """Sessions that have been closed; calls `done` when all of them have left the hub."""

    def __init__(self, logins: Iterable[ActiveLogin], done: Callable[[], None]) -> None:
        self.logins = set(logins)
        self._done = done
        self.check()

    def check(self) -> None:
        if not self.logins:
            self._done()


class Revocations:
    """Ends revoked sessions, and checks for others that must end."""

    def __init__(self, store: Store, hub: Hub, tokens: Tokens) -> None:
        self._store = store
        self._hub = hub
        self._tokens = tokens
        self._endings: dict[ActiveLogin, list[_Ending]] = {}
        self._must_look = trio.Event()
        self._is_in_doubt = False  # until all have been checked

    async def password_changed(self, by: Session, person: NameKey, generation: int) -> bool:
        """End all sessions of an older generation, everywhere, after `by` has changed the password.

        Closes the local sessions and notifies the other nodes before anything is awaited. Return
        True when the sessions have ended, False if that is not known in time.
        """
        revoked = Revoked(person, generation, receipt=_receipt(), text=CHANGED)
        return await self._end_everywhere(revoked, by)

    async def sessions_ended(self, by: Session, person: NameKey, tokens: Collection[bytes]) -> bool:
        """End all connections but `by` that use one of these tokens, after `by` revoked them.

        As :meth:`password_changed`.
        """
        if not tokens:
            return True
        revoked = Revoked(person, tokens=tuple(tokens), receipt=_receipt(), text=ENDED)
        return await self._end_everywhere(revoked, by)

    async def ended_by_operator(
        self, person: NameKey, text: str, *, generation: int = 0, tokens: Collection[bytes] = ()
    ) -> bool:
        """End sessions for whoever administers the server; `text` is what they are sent.

        They are those with one of these tokens, or without any, those of an older generation. As
        :meth:`password_changed`.
        """
        revoked = Revoked(person, generation, tuple(tokens), _receipt(), text)
        return await self._end_everywhere(revoked)

    async def _end_everywhere(self, revoked: Revoked, by: Session | None = None) -> bool:
        here = trio.Event()
        self._end(revoked, here.set, besides=by)
        is_confirmed = False

        async def wait() -> None:
            nonlocal is_confirmed
            elsewhere = self._store.node_bus is None or await self._store.node_bus.confirm(revoked)
            with trio.move_on_after(END_WITHIN):
                await here.wait()
            is_confirmed = elsewhere and here.is_set()

        if by is None:
            await wait()
        else:
            await by.while_there(wait)
        if not is_confirmed and by is None:
            log.warning("revocation not confirmed", generation=revoked.generation)
        elif not is_confirmed and by is not None:
            more = by.journal.admit("revocation not confirmed")
            if more is not None:
                by.log.warning("revocation not confirmed", generation=revoked.generation, **more)
        return is_confirmed

    def tokens_revoked(self, person: NameKey, tokens: Collection[bytes], text: str) -> None:
        """End all connections that use these tokens: those here at once, those elsewhere soon."""
        if tokens:
            revoked = Revoked(person, tokens=tuple(tokens), text=text)
            self._end(revoked, _nothing)
            self._hub.publish(revoked)

    def receive(self, revoked: Revoked) -> None:
        """End the sessions that another node has revoked, and acknowledge that."""

        def acknowledge() -> None:
            if revoked.receipt:
                self._hub.publish(Acknowledged(revoked.receipt))

        self._end(revoked, acknowledge)

    def tokens_in_use(self, person: NameKey) -> tuple[bytes, ...]:
        """Return the ids of the tokens that connections of a person at this node use."""
        here = self._hub.person(person)
        logins = here.sessions if here is not None else ()
        tokens = (login.token for login in logins if isinstance(login, ActiveLogin))
        return tuple({token.id for token in tokens if token is not None})

    def left(self, login: ActiveLogin) -> None:
        """Record that a login has left the hub."""
        for ending in self._endings.pop(login, ()):
            ending.logins.discard(login)
            ending.check()

    def doubt(self) -> None:
        """Check the tokens of all sessions soon: something may have been revoked."""
        self._is_in_doubt = True
        self._must_look.set()

    @property
    def must_ask(self) -> bool:
        """True while a token may have been revoked without notice."""
        node_bus = self._store.node_bus
        return self._is_in_doubt or not (node_bus is None or node_bus.has_lease)

    async def require(self, login: ActiveLogin) -> None:
        """Require that a login's token is valid, if it may have been revoked without notice.

        Raises:
            ChatError: ``not_logged_in``: it was revoked, and the session is closing.
            StoreUnavailable: the store can't be read now.
        """
        if not self.must_ask:
            return
        token = login.token
        if token is None or await self._store.token(token.id, 0) is not None:
            return
        self._end(Revoked(login.identity.key, tokens=(token.id,), text=ENDED), _nothing)
        raise ChatError(ErrorCode.NOT_LOGGED_IN, ENDED)

    async def run(self) -> NoReturn:
        """Check all tokens from time to time, and when in doubt, until cancelled."""
        least, most = LOOK_EVERY
        lifetime = self._tokens.lifetime / 1000
        pause = min(max(lifetime / LOOKS_PER_LIFETIME, least), most)
        while True:
            with trio.move_on_after(pause):
                await self._must_look.wait()
            self._must_look = trio.Event()
            must_ask = self._is_in_doubt or self._store.node_bus is not None
            by_token: dict[tuple[NameKey, bytes], list[ActiveLogin]] = {}
            for login in self._hub.sessions():
                if isinstance(login, ActiveLogin) and login.token:
                    token = login.identity.key, login.token.id
                    by_token.setdefault(token, []).append(login)
            for (person, token_id), logins in by_token.items():
                try:
                    await self._look(person, token_id, logins, must_ask=must_ask)
                except StoreUnavailable as error:
                    if self._is_in_doubt:
                        self._must_look.set()
                    await trio.sleep(error.retry_after)
                    break
            else:
                self._is_in_doubt = self._must_look.is_set()  # new doubts meanwhile

    async def _look(
        self, person: NameKey, token_id: bytes, logins: list[ActiveLogin], *, must_ask: bool
    ) -> None:
        """End the sessions of a token if it is revoked; renew it if that is due."""
        tokens = (login.token for login in logins)
        held = [token for token in tokens if token is not None and token.id == token_id]
        if not held:
            return  # they have ended meanwhile
        now, newest = trio.current_time(), max(held, key=lambda token: token.due)
        is_valid = True
        if newest.due <= now:
            # Extend it by Trio's clock, not the wall clock, which may jump.
            left = self._tokens.lifetime / 1000 if newest.slides else newest.until - now
            expires = newest.expires + int(1000 * (now + left - newest.until))
            address = subscriber(logins[0].session.address)
            is_valid = await self._store.renew_token(token_id, expires, address)
            for token in held:
                token.expires, token.until = expires, now + left
                token.due = now + self._tokens.renew_every / 1000
        elif must_ask:
            is_valid = await self._store.token(token_id, 0) is not None
        if is_valid:
            return
        account = await self._store.account(person)
        why = None if account is None else _why(account)
        self.tokens_revoked(person, [token_id], why or ENDED)
        if account is not None:
            text = why or CHANGED
            revoked = Revoked(person, account.generation, text=text)
            self._end(revoked, _nothing)
            self._hub.publish(revoked)

    def _end(
        self,
        revoked: Revoked,
        done: Callable[[], None],
        *,
        besides: Session | None = None,
    ) -> None:
        """Close the sessions that `revoked` means, but for `besides`.

        Call `done` when all have left the hub.
        """
        person = self._hub.person(revoked.person)
        meant = [
            login
            for login in (person.sessions if person is not None else ())
            if isinstance(login, ActiveLogin) and _is_meant(login, revoked)
            if login.session is not besides
        ]
        ending = _Ending(meant, done)
        for login in meant:
            self._endings.setdefault(login, []).append(ending)
            login.session.close(ByeReason.SESSION_REVOKED, revoked.text)


def _why(account: Account) -> str | None:
    """Return why an account can't be logged in to, if it can't."""
    if account.state != "active":
        return DISABLED
    ban = held(account.ban, wall_clock())
    return None if ban is None else account_banned(ban).text


def _is_meant(login: ActiveLogin, revoked: Revoked) -> bool:
    if revoked.tokens:
        return login.token is not None and login.token.id in revoked.tokens
    return login.identity.generation < revoked.generation


def _receipt() -> str:
    return secrets.token_hex(8)


def _nothing() -> None:
    pass
