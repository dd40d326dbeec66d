"""Revocation: end the sessions whose credential was revoked, on this node and the others.

A credential is checked before its session joins the hub, and may be revoked in between. So a
session that has joined checks the store once more before it is logged in
(:meth:`~gochat.chat.accounts.Accounts.require_current`), and a revocation changes the store first
and then ends the sessions in the hub. Whichever comes second sees the other.

Nodes send each other :class:`~gochat.chat.node_bus.Revoked`, and acknowledge it when the sessions
have ended: none of them is in the middle of a request any more. A node checks all tokens when it
may have missed something, because it was cut off, or because the store did not confirm whether a
token was revoked; and, where there are several nodes, from time to time, because a node may die
before it has sent anything.

The others don't wait for a node without a lease. So while it has none, and until it has checked all
tokens after that, it checks a session's token before each of its requests.

The same check renews the tokens of sessions that stay connected, which counts as using them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Final, NoReturn

import structlog
import trio

from gochat.chat.accounts import Accounts
from gochat.chat.names import NameKey
from gochat.chat.node_bus import Acknowledged, Revoked
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import ByeReason
from gochat.server.hub import Hub
from gochat.server.limits import subscriber
from gochat.server.session import Session

log = structlog.stdlib.get_logger()

#: Shortest and longest time, in seconds, between two checks of all tokens. Between these bounds it
#: is this part of a token's lifetime, half of what must have passed before it is renewed.
LOOK_EVERY: Final = (0.1, 300.0)
LOOKS_PER_LIFETIME: Final = 20
#: Seconds to wait for sessions of this node to finish their request: no store takes longer to fail.
END_WITHIN: Final = 15.0


CHANGED: Final = "the password was changed: log in again"
EXPIRED: Final = "the session has expired: log in again"
ENDED: Final = "the session was ended: log in again"


class _Ending:
    """Sessions that have been closed; calls `done` when all of them have left the hub."""

    def __init__(self, sessions: Iterable[Session], done: Callable[[], None]) -> None:
        self.sessions = set(sessions)
        self._done = done
        self.check()

    def check(self) -> None:
        if not self.sessions:
            self._done()


class Revocations:
    """Ends revoked sessions, and checks for others that must end."""

    def __init__(self, store: Store, hub: Hub, accounts: Accounts) -> None:
        self._store = store
        self._hub = hub
        self._accounts = accounts
        self._endings: dict[Session, list[_Ending]] = {}
        self._must_look = trio.Event()
        self._is_in_doubt = False  # until all have been checked

    async def password_changed(self, by: Session, person: NameKey, generation: int) -> bool:
        """End all sessions of an older generation, everywhere, after `by` has changed the password.

        Closes the local sessions and notifies the other nodes before anything is awaited. Return
        True when the sessions have ended, False if that is not known in time.
        """
        revoked = Revoked(person, generation, receipt=secrets.token_hex(8))
        here = trio.Event()
        self._end(revoked, CHANGED, here.set)
        is_confirmed = False

        async def wait() -> None:
            nonlocal is_confirmed
            elsewhere = self._store.node_bus is None or await self._store.node_bus.confirm(revoked)
            with trio.move_on_after(END_WITHIN):
                await here.wait()
            is_confirmed = elsewhere and here.is_set()

        await by.while_there(wait)
        if not is_confirmed:
            more = by.journal.admit("revocation not confirmed")
            if more is not None:
                by.log.warning("revocation not confirmed", generation=generation, **more)
        return is_confirmed

    def token_revoked(self, person: NameKey, digest: bytes, text: str) -> None:
        """End all sessions that use a token: those here at once, those elsewhere soon."""
        revoked = Revoked(person, digest=digest)
        self._end(revoked, text, _nothing)
        self._hub.publish(revoked)

    def receive(self, revoked: Revoked) -> None:
        """End the sessions that another node has revoked, and acknowledge that."""

        def acknowledge() -> None:
            if revoked.receipt:
                self._hub.publish(Acknowledged(revoked.receipt))

        self._end(revoked, CHANGED if revoked.digest is None else ENDED, acknowledge)

    def left(self, session: Session) -> None:
        """Record that a session has left the hub."""
        for ending in self._endings.pop(session, ()):
            ending.sessions.discard(session)
            ending.check()

    def doubt(self) -> None:
        """Check the tokens of all sessions soon: something may have been revoked."""
        self._is_in_doubt = True
        self._must_look.set()

    async def require(self, session: Session) -> None:
        """Require that a session's token is valid, if it may have been revoked without notice.

        Raises:
            ChatError: ``not_logged_in``: it was revoked, and the session is closing.
            StoreUnavailable: the store can't be read now.
        """
        node_bus = self._store.node_bus
        if not self._is_in_doubt and (node_bus is None or node_bus.has_lease):
            return
        identity, digest = session.identity, session.token_digest
        if identity is None or digest is None or await self._store.token(digest, 0) is not None:
            return
        self._end(Revoked(identity.key, digest=digest), ENDED, _nothing)
        raise ChatError(ErrorCode.NOT_LOGGED_IN, ENDED)

    async def run(self) -> NoReturn:
        """Check all tokens from time to time, and when in doubt, until cancelled."""
        least, most = LOOK_EVERY
        lifetime = self._accounts.token_lifetime / 1000
        pause = min(max(lifetime / LOOKS_PER_LIFETIME, least), most)
        while True:
            with trio.move_on_after(pause):
                await self._must_look.wait()
            self._must_look = trio.Event()
            must_ask = self._is_in_doubt or self._store.node_bus is not None
            by_token: dict[tuple[NameKey, bytes], list[Session]] = {}
            for session in self._hub.sessions():
                if isinstance(session, Session) and session.identity and session.token_digest:
                    token = session.identity.key, session.token_digest
                    by_token.setdefault(token, []).append(session)
            for (person, digest), sessions in by_token.items():
                try:
                    await self._look(person, digest, sessions, must_ask=must_ask)
                except StoreUnavailable as error:
                    if self._is_in_doubt:
                        self._must_look.set()
                    await trio.sleep(error.retry_after)
                    break
            else:
                self._is_in_doubt = self._must_look.is_set()  # new doubts meanwhile

    async def _look(
        self, person: NameKey, digest: bytes, sessions: list[Session], *, must_ask: bool
    ) -> None:
        """End the sessions of a token if it is revoked or expired; renew it if that is due."""
        now, lifetime = trio.current_time(), self._accounts.token_lifetime / 1000
        until = max(session.token_until for session in sessions)
        is_valid = True
        if self._accounts.is_renewal_due(1000 * (until - now)):
            # Extend it by Trio's clock, not the wall clock, which may jump.
            expires = max(session.token_expires for session in sessions)
            expires += int(1000 * (now + lifetime - until))
            try:
                address = subscriber(sessions[0].address)
                is_valid = await self._store.renew_token(digest, expires, address)
            except StoreUnavailable:
                if now < until:
                    raise
                # Only here: another node may have renewed it.
                self._end(Revoked(person, digest=digest), EXPIRED, _nothing)
                return
            else:
                for session in sessions:
                    if session.token_digest == digest:
                        session.token_expires, session.token_until = expires, now + lifetime
        elif must_ask:
            is_valid = await self._store.token(digest, 0) is not None
        if is_valid:
            return
        self.token_revoked(person, digest, ENDED)
        account = await self._store.account(person)
        if account is not None:
            revoked = Revoked(person, account.generation)
            self._end(revoked, CHANGED, _nothing)
            self._hub.publish(revoked)

    def _end(self, revoked: Revoked, text: str, done: Callable[[], None]) -> None:
        """Close the sessions that `revoked` means; call `done` when all have left the hub."""
        person = self._hub.person(revoked.person)
        meant = [
            session
            for session in (person.sessions if person is not None else ())
            if isinstance(session, Session) and _is_meant(session, revoked)
        ]
        ending = _Ending(meant, done)
        for session in meant:
            self._endings.setdefault(session, []).append(ending)
            session.close(ByeReason.SESSION_REVOKED, text)


def _is_meant(session: Session, revoked: Revoked) -> bool:
    if revoked.digest is not None:
        return session.token_digest == revoked.digest
    return session.identity is not None and session.identity.generation < revoked.generation


def _nothing() -> None:
    pass
