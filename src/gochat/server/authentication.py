"""Register, log in, resume and log out.

What a session without the capability `log` is sent after its login is in
:mod:`gochat.server.waiting_messages`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Final

import trio

from gochat.chat import names, status
from gochat.chat.account import Account
from gochat.chat.accounts import Identity
from gochat.chat.admission_store import ServerInvitation
from gochat.chat.commits import Outcome, settle
from gochat.chat.grants import Grant
from gochat.chat.log import Appended
from gochat.chat.names import NameKey
from gochat.chat.tokens import IssuedToken
from gochat.config import Limits
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.messages import (
    ByeReason,
    Capability,
    ChangePassword,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    NewLogin,
    PasswordChanged,
    Register,
    Registered,
    Resume,
)
from gochat.server import server_info
from gochat.server.budget import ARRIVING
from gochat.server.hub import OnlinePerson
from gochat.server.limits import subscriber
from gochat.server.login import ActiveLogin
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.server.waiting_messages import WaitingMessages
from gochat.storage.common.clock import wall_clock

_MINUTE: Final = 60.0
#: Why a token ended that a login replaced.
TOO_MANY: Final = "you have logged in on so many devices that this one, not used for longest, ended"
_CAPABILITIES: Final[frozenset[str]] = frozenset(Capability)


class Authentication:
    """Handles the requests that log sessions in and out."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def _limits(self) -> Limits:
        return self._services.config.limits

    async def register(self, session: Session, request: Register) -> None:
        """Create an account."""
        admission, limiter = self._services.admission, self._services.registrations
        mode = await admission.require_open()
        invitation = None
        if mode == "invite" or request.invite:
            invitation = await limiter.check_invite(session.address, request.invite, admission.find)
        with limiter.attempt(session.address):
            name = await self._services.accounts.register(
                request.name,
                request.password,
                session.while_there,
                invitation=None if invitation is None else invitation.digest,
            )
        by = {} if invitation is None else {"invitation": invitation.id}
        session.note("account registered", account=name, **by)
        if invitation is not None:
            await self._join(session, Identity(names.known(name), name), invitation)
        session.reply(Registered(name=name, request_id=request.request_id))

    async def _join(self, session: Session, who: Identity, invitation: ServerInvitation) -> None:
        """Bring somebody who has registered into the room of their invitation.

        If that fails they are not there, and have to join it themselves; the account is made.
        """
        admission, store = self._services.admission, self._services.store
        outcome: Outcome
        try:
            outcome = await settle(lambda _: admission.joining(who, invitation), store.append)
        except (ChatError, StoreUnavailable) as error:
            outcome = error
        if invitation.room is not None and not isinstance(outcome, Appended):
            session.note("room of the invitation not joined", account=who.name, id=invitation.id)

    async def log_in(self, session: Session, request: Login) -> None:
        """Log in with a password."""
        session.caps = _known(request.caps)  # it may need heartbeats before the reply
        now = trio.current_time()
        session.login_failures = [t for t in session.login_failures if t > now - _MINUTE]
        if len(session.login_failures) >= self._limits.login_failures:
            wait = session.login_failures[0] + _MINUTE - now
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"too many failed logins: try again in {wait:.0f} s",
                retry_after=wait,
                details={"limit": "login_failures"},
            )
        account = _fold_or_nobody(request.name)
        accounts, logins = self._services.accounts, self._services.logins
        tokens = self._services.tokens
        logins.check(account, session.address, now)
        origin = subscriber(session.address)
        is_known = await tokens.has_logged_in_from(account, origin)
        if not is_known and logins.is_over(origin, now):
            self._services.login_lines.check(origin)
            await session.while_there(partial(self._services.login_lines.wait, origin))
            logins.check(account, origin, trio.current_time())  # others may have tried meanwhile
        try:
            who = await accounts.log_in(
                request.name, request.password, session.while_there, address=session.address
            )
        except ChatError as error:
            if error.code == ErrorCode.BAD_CREDENTIALS:
                now = trio.current_time()
                session.login_failures.append(now)
                logins.failed(account, origin, now, is_known=is_known)
            raise
        logins.succeeded(account, origin)
        self._services.rechecks.note(who.key)
        self._services.budgets.charge(session.address, who.key, ARRIVING)
        token = await tokens.issue(who, origin, device=request.device, is_login=True)
        self._services.revocations.tokens_revoked(who.key, token.replaced, TOO_MANY)
        await self._arrive(session, who, token, request, is_new_address=not is_known)

    async def resume(self, session: Session, request: Resume) -> None:
        """Log in with a token."""
        session.caps = _known(request.caps)
        origin = subscriber(session.address)
        who, token, is_new = await self._services.tokens.resume(request.token, origin)
        self._services.budgets.charge(session.address, who.key, ARRIVING)
        await self._arrive(session, who, token, request, is_new_address=is_new)

    async def log_out(
        self, session: Session, who: Identity, person: OnlinePerson, request: Logout
    ) -> None:
        """Log out, and revoke the token, which ends the other connections that use it."""
        token = session.require_login().token
        if token is not None:
            try:
                await self._services.tokens.revoke(who, token.id)
            except StoreUnavailable:
                self._services.revocations.doubt()
                raise
        await self.leave(session)
        if token is not None:
            self._services.revocations.tokens_revoked(
                who.key, [token.id], "you have logged out on another connection"
            )
        session.note("logged out")
        session.reply(LoggedOut(request_id=request.request_id))

    async def change_password(
        self, session: Session, who: Identity, person: OnlinePerson, request: ChangePassword
    ) -> None:
        """Set a new password. The account's other sessions end, because their tokens are revoked.

        The reply waits for their end, for somewhat longer than that takes if all is well; its
        `others_ended` is whether it was confirmed.
        """
        revocations, login = self._services.revocations, session.require_login()
        self._services.logins.check(who.key, session.address, trio.current_time())
        try:
            # This has the new generation. Until the other sessions have ended, nothing may come
            # between.
            login.identity = who = await self._services.accounts.change_password(
                who, request.old, request.new, session.while_there
            )
        except ChatError as error:
            if error.code == ErrorCode.BAD_CREDENTIALS:
                # Not counted against the address: this person can guess at one account only.
                now = trio.current_time()
                self._services.logins.failed(who.key, session.address, now, is_known=True)
            raise
        except StoreUnavailable:
            revocations.doubt()  # the change may have been committed
            raise
        device = login.token.device if login.token is not None else ""
        login.token = None
        session.note("password changed")
        is_confirmed = await revocations.password_changed(session, who.key, who.generation)
        try:
            address = subscriber(session.address)
            token = await self._services.tokens.issue(who, address, device=device, is_login=True)
        except StoreUnavailable:
            # An error would mean that nothing has happened.
            session.close(ByeReason.SESSION_REVOKED, "the password was changed: log in again")
            return
        login.token = self._services.tokens.hold(token.kept)
        session.reply(
            PasswordChanged(
                token=token.text,
                expires=token.expires,
                others_ended=is_confirmed,
                request_id=request.request_id,
            )
        )

    async def leave(self, session: Session) -> None:
        """Undo the login, if any. After an account's last session, the others see it go offline."""
        login = session.login
        if login is None:
            return
        session.login = None
        session.opened = trio.current_time()  # from here on it has to log in again
        session.anonymous_bytes = session.anonymous_frames = 0
        self._services.connections.logged_out()
        self._services.anonymous.add(session)
        self._services.hub.leave(login, login.person)
        self._services.revocations.left(login)

    def _bound(self, person: OnlinePerson) -> None:
        """Close an account's oldest connections beyond the limit.

        The newest is where the person is, and some of the older ones may be dead.
        """
        most = self._limits.connections_per_account
        logins = (session for session in person.sessions if isinstance(session, ActiveLogin))
        sessions = [login.session for login in logins if not login.session.is_ending]
        for session in sessions[: max(0, len(sessions) - most)]:
            session.close(
                ByeReason.REPLACED,
                f"replaced by a newer connection of this account: {most} are allowed",
            )

    async def _arrive(
        self,
        session: Session,
        who: Identity,
        token: IssuedToken,
        request: Login | Resume,
        *,
        is_new_address: bool,
    ) -> None:
        """Log the session in, and send the messages that wait, unless it has `log`.

        It is sent no events before the reply, and all of them after it.

        Raises:
            ChatError: the token or the login was revoked meanwhile.
            StoreUnavailable: it is not logged in.
        """
        is_login = isinstance(request, Login)
        session.due = 1
        login = session.login = ActiveLogin(
            session,
            who,
            self._services.tokens.hold(token.kept),
            Grant.of(token.kept.scopes, token.kept.rooms),
            session.caps,
            session.outlet,
            session.track_receipts(None if Capability.LOG in session.caps else who.key),
        )
        self._services.directory.note(who.key, who.name)
        is_first = who.key not in self._services.hub.roster
        login.person = person = self._services.hub.join(login, who.key, who.name)
        self._services.connections.logged_in()
        self._services.anonymous.discard(session)
        try:
            # Only now can a revocation see this session; see gochat.server.revocation.
            await self._services.tokens.require_current(token.id, is_login=is_login)
            await self._load_rooms(person)
            account = await self._services.store.account(who.key)
            if account is not None and is_first:
                await self._show_status(account)
        except (ChatError, StoreUnavailable):
            await self.leave(session)
            raise
        if login.role is None:  # no change of it came meanwhile
            login.role = "member" if account is None else account.role
        self._bound(person)
        session.last_name = who.name
        by = "password" if is_login else "token"
        session.note("logged in", by=by, **({"new_address": True} if is_new_address else {}))
        if is_new_address:
            event = NewLogin(address=subscriber(session.address), by=by)
            self._services.hub.publish_login(who.key, event, besides=login)
        session.reply(
            LoggedIn(
                name=who.name,
                token=token.text,
                expires=token.expires,
                limits=server_info.limits(self._services.config),
                heartbeat=self._limits.heartbeat_interval,
                server=server_info.VERSION,
                caps=tuple(sorted(session.caps)),
                # msgspec leaves a default out only if it is the same object.
                role="member" if login.role == "member" else login.role,
                request_id=request.request_id,
            )
        )
        login.begin()
        if not login.wants_log:
            try:
                await WaitingMessages(self._services, session, login).send()
            except StoreUnavailable as error:
                # It is logged in, but what waits can't be read: the client must reconnect.
                session.close(ByeReason.INTERNAL, error.public, retry_after=error.retry_after)

    async def _show_status(self, account: Account) -> None:
        """Show the status of a person who comes online, or forget it if it has ended."""
        hub, said = self._services.hub, status.current(account.status, wall_clock())
        if said is not None and (here := hub.roster.get(account.key)) and here.status is None:
            hub.set_status(account.key, said)
        elif said is None and account.status is not None:
            await self._services.store.set_status(account, None)

    async def _load_rooms(self, person: OnlinePerson) -> None:
        """Look up a person's rooms, and subscribe to them."""
        generation, floors = -1, {}
        while generation != person.generation:  # changed while reading: read again
            generation = person.generation
            floors = await self._services.store.conversation_keys(person.key)
        self._services.hub.enter(person, floors)


def _fold_or_nobody(name: str) -> NameKey:
    try:
        return names.fold_person(name)
    except ChatError:
        return NameKey("")


def _known(caps: Iterable[str]) -> frozenset[str]:
    """Return the capabilities that this server knows; others are not kept."""
    return _shared(_CAPABILITIES.intersection(caps))


@lru_cache(64)  # few kinds of clients, each with a great many sessions
def _shared(caps: frozenset[str]) -> frozenset[str]:
    return caps
