"""Coming and going: register, log in, resume, log out. What a session is sent as it arrives is in
:mod:`gochat.server.catch_up`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Final

import trio

import gochat
from gochat.chat import names
from gochat.chat.accounts import Identity, IssuedToken
from gochat.chat.exchange import Revoked
from gochat.chat.names import NameKey
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import (
    ByeReason,
    Capability,
    ChangePassword,
    Limits,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    PasswordChanged,
    Register,
    Registered,
    Resume,
)
from gochat.server.catch_up import CatchUp
from gochat.server.limits import subscriber
from gochat.server.receipts import Receipts
from gochat.server.services import Services
from gochat.server.session import Session

_MINUTE: Final = 60.0


class Arrivals:
    """Handles the requests by which people come and go."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limits = services.config.limits

    async def register(self, session: Session, request: Register) -> None:
        """Create an account."""
        registration, limiter = self._services.config.registration, self._services.registrations
        if registration.mode == "closed":
            raise ChatError(ErrorCode.REGISTRATION_CLOSED, "this server takes no new accounts")
        if registration.mode == "invite":
            limiter.check_invite(session.address, request.invite, registration.invites)
        with limiter.attempt(session.address):
            name = await self._services.accounts.register(
                request.name, request.password, session.while_there
            )
        session.note("account registered", account=name)
        session.reply(Registered(name=name, request_id=request.request_id))

    async def log_in(self, session: Session, request: Login) -> None:
        """Log in by password."""
        session.caps = _kept(frozenset(request.caps))  # it may want signs of life before the reply
        now = trio.current_time()
        session.login_failures = [t for t in session.login_failures if t > now - _MINUTE]
        if len(session.login_failures) >= self._limits.login_failures:
            wait = session.login_failures[0] + _MINUTE - now
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"too many failed logins: try again in {wait:.0f} s",
                retry_after=wait,
            )
        account = _fold_or_nobody(request.name)
        accounts, logins = self._services.accounts, self._services.logins
        logins.check(account, session.address, now)
        origin = subscriber(session.address)
        is_known = await accounts.has_logged_in_from(account, origin)
        if not is_known and logins.is_over(origin, now):
            self._services.login_lines.check(origin)
            await session.while_there(partial(self._services.login_lines.wait, origin))
            logins.check(account, origin, trio.current_time())  # others have tried meanwhile
        try:
            who = await accounts.log_in(request.name, request.password, session.while_there)
        except ChatError as error:
            if error.code == ErrorCode.BAD_CREDENTIALS:
                now = trio.current_time()
                session.login_failures.append(now)
                logins.failed(account, origin, now, is_known=is_known)
            raise
        logins.succeeded(account, origin)
        token = await accounts.issue_token(who, origin)
        async with self._arriving(session, who, token, request):
            pass

    async def resume(self, session: Session, request: Resume) -> None:
        """Log in by token and catch up."""
        session.caps = _kept(frozenset(request.caps))
        who, token = await self._services.accounts.resume(request.token)
        async with self._arriving(session, who, token, request) as catch_up:
            await catch_up.send_missed(request.positions)

    async def log_out(self, session: Session, request: Logout) -> None:
        """Leave, and make the token worthless."""
        if session.token_digest is not None:
            await self._services.accounts.revoke(session.token_digest)
        await self.leave(session)
        session.note("logged out")
        session.reply(LoggedOut(request_id=request.request_id))

    async def change_password(self, session: Session, request: ChangePassword) -> None:
        """Set a new password; the account's other sessions end, for their tokens do."""
        assert session.identity is not None
        assert session.person is not None
        who = session.identity
        self._services.logins.check(who.key, session.address, trio.current_time())
        try:
            token = await self._services.accounts.change_password(
                who, request.old, request.new, session.while_there
            )
        except ChatError as error:
            if error.code == ErrorCode.BAD_CREDENTIALS:
                # Not for the address: who is logged in guesses at one account only.
                now = trio.current_time()
                self._services.logins.failed(who.key, session.address, now, is_known=True)
            raise
        session.token_digest = token.digest
        session.note("password changed")
        for other in session.person.sessions:
            if other is not session and isinstance(other, Session):
                other.close(ByeReason.SESSION_REVOKED, "the password was changed: log in again")
        self._services.hub.tell_nodes(Revoked(who.key))
        session.reply(
            PasswordChanged(
                token=token.secret, expires=token.expires, request_id=request.request_id
            )
        )

    async def leave(self, session: Session) -> None:
        """Undo the login, if there is one. Everybody is told if it was the account's last."""
        identity, person = session.identity, session.person
        if identity is None or person is None:
            return
        session.identity = session.person = session.token_digest = None
        session.opened = trio.current_time()  # from here on it has to log in again
        session.anonymous_bytes = 0
        self._services.connections.logged_out()
        self._services.hub.leave(session, person)

    @asynccontextmanager
    async def _arriving(
        self, session: Session, who: Identity, token: IssuedToken, request: Login | Resume
    ) -> AsyncIterator[CatchUp]:
        """Log the session in; hold its events back until what comes first is sent: by the body what
        was missed, and then what waits for a client without the log."""
        limits = self._limits
        session.identity = who
        session.token_digest = token.digest
        session.wants_log = Capability.LOG in session.caps
        session.receipts = None if session.wants_log else Receipts(who.key)
        session.outlet.on_progress = None if session.wants_log else session.note_written
        session.person = self._services.hub.join(session, who.key, who.name)
        catch_up = CatchUp(self._services, session, session.person)
        self._services.connections.logged_in()
        session.last_name = who.name
        session.note("logged in", by="password" if isinstance(request, Login) else "token")
        session.reply(
            LoggedIn(
                name=who.name,
                token=token.secret,
                expires=token.expires,
                limits=Limits(
                    frame_bytes=limits.frame_bytes,
                    text_chars=limits.text_chars,
                    burst=limits.burst,
                    per_second=limits.per_second,
                    history_page=limits.history_page,
                ),
                heartbeat=limits.heartbeat_interval,
                server=f"gochat {gochat.__version__}",
                request_id=request.request_id,
            )
        )
        try:
            await catch_up.load_rooms()
            yield catch_up
            await catch_up.send_waiting()
            await catch_up.finish()
        except StoreUnavailable as error:
            # It is logged in, but what it missed can't be read: it has to come again.
            session.close(ByeReason.INTERNAL, error.public, retry_after=error.retry_after)
        finally:
            catch_up.abandon()
            session.outlet.flush()


def _fold_or_nobody(name: str) -> NameKey:
    try:
        return names.fold(name)
    except ChatError:
        return NameKey("")


@lru_cache(64)  # there are few kinds of clients, each with a great many sessions
def _kept(caps: frozenset[str]) -> frozenset[str]:
    return caps
