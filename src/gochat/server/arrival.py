"""Coming and going: register, log in, resume, log out; and what a session is sent as it arrives.

The seam. A session that resumes is sent what it missed, then what is said from now on, with no gap
and nothing twice. So it joins the hub and notes the hub's cursor in one step; what the hub posts
from then on is held back; what is in the log up to that cursor is read and sent; then what was
held goes out, and the rest comes live. The rooms of somebody who was not online yet have to be
looked up first, so each of these has a cursor of its own, noted in the step in which the hub
begins to post it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import structlog
import trio

import gochat
from gochat.chat import conversations, names
from gochat.chat.accounts import Identity, IssuedToken
from gochat.chat.conversations import ConversationKey
from gochat.chat.exchange import Revoked
from gochat.chat.names import NameKey
from gochat.chat.store import Cursor
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    ByeReason,
    CaughtUp,
    ChangePassword,
    Limits,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Message,
    PasswordChanged,
    Position,
    Register,
    Registered,
    Resume,
)
from gochat.server.services import Services
from gochat.server.session import NOWHERE, Session

log = structlog.stdlib.get_logger()

#: Entries of a conversation that a client gets instead of all that it missed.
NEWEST_PAGE: Final = 200
#: Seconds for the last things to be kept when a session has ended.
FAREWELL_TIMEOUT: Final = 2.0
_MINUTE: Final = 60.0


class _Held:
    """Takes a session's events in place of its outlet, until they may go out."""

    def __init__(self, max_bytes: int) -> None:
        self._frames: list[bytes] = []
        self._room = max_bytes

    def post(self, frames: bytes) -> None:
        self._frames.append(frames)
        self._room -= len(frames)

    send = post

    def release(self, session: Session) -> None:
        if session.events is not self:
            return  # it is about to end, and what is here may be behind a gap
        session.events = session.outlet
        if self._room < 0:
            session.outlet.evict()  # it comes back for what it missed
        for frames in self._frames:
            session.outlet.post(frames)


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
        log.info("registered", name=name, address=session.address)
        session.reply(Registered(name=name, request_id=request.request_id))

    async def log_in(self, session: Session, request: Login) -> None:
        """Log in by password."""
        session.caps = _kept(frozenset(request.caps))  # it may want signs of life before the reply
        now = trio.current_time()
        account = _fold_or_nobody(request.name)
        session.login_failures = [t for t in session.login_failures if t > now - _MINUTE]
        if len(session.login_failures) >= self._limits.login_failures:
            wait = session.login_failures[0] + _MINUTE - now
            raise ChatError(
                ErrorCode.RATE_LIMITED,
                f"too many failed logins: try again in {wait:.0f} s",
                retry_after=wait,
            )
        self._services.logins.check(account, session.address, now)
        try:
            who = await self._services.accounts.log_in(
                request.name, request.password, session.while_there
            )
        except ChatError as error:
            if error.code == ErrorCode.BAD_CREDENTIALS:
                session.login_failures.append(now)
                self._services.logins.failed(account, session.address, now)
                log.info("login failed", name=request.name[:64], address=session.address)
            raise
        self._services.logins.succeeded(account, session.address)
        token = await self._services.accounts.issue_token(who)
        with self._arriving(session, who, token, request):
            as_of = self._services.hub.cursor
            await self._load_rooms(session)
            if not session.wants_log:
                await self._push_unread(session, as_of)

    async def resume(self, session: Session, request: Resume) -> None:
        """Log in by token and catch up."""
        session.caps = _kept(frozenset(request.caps))
        try:
            who, token = await self._services.accounts.resume(request.token)
        except ChatError:
            log.info("token refused", address=session.address)
            raise
        with self._arriving(session, who, token, request):
            assert session.person is not None
            as_of, joined = self._services.hub.cursor, frozenset(session.person.rooms)
            await self._load_rooms(session)
            for position in request.positions:
                await self._catch_up(session, position, as_of, joined)

    async def log_out(self, session: Session, request: Logout) -> None:
        """Leave, and make the token worthless."""
        if session.token_digest is not None:
            await self._services.accounts.revoke(session.token_digest)
        await self.leave(session)
        session.reply(LoggedOut(request_id=request.request_id))

    async def change_password(self, session: Session, request: ChangePassword) -> None:
        """Set a new password; the account's other sessions end, for their tokens do."""
        assert session.identity is not None
        assert session.person is not None
        who, now = session.identity, trio.current_time()
        self._services.logins.check(who.key, session.address, now)
        try:
            token = await self._services.accounts.change_password(
                who, request.old, request.new, session.while_there
            )
        except ChatError as error:
            if error.code == ErrorCode.BAD_CREDENTIALS:
                self._services.logins.failed(who.key, session.address, now)
            raise
        session.token_digest = token.digest
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
        session.bytes_received = 0
        self._services.connections.logged_out()
        self._services.hub.leave(session, person)
        log.info("logged out", name=identity.name, address=session.address)
        await self.save_markers(session, identity.key)

    async def save_markers(self, session: Session, person: NameKey) -> None:
        """Note as read what was delivered to a client that keeps no marker of its own."""
        unmarked, session.unmarked = session.unmarked, {}
        with trio.move_on_after(FAREWELL_TIMEOUT):
            for conversation, seq in unmarked.items():
                try:
                    await self._services.store.mark_read(person, conversation, seq)
                except StoreUnavailable:
                    return  # then it is delivered again next time, which loses nothing

    # -- what a session is sent as it arrives -----------------------------------------------------

    @contextmanager
    def _arriving(
        self, session: Session, who: Identity, token: IssuedToken, request: Login | Resume
    ) -> Iterator[None]:
        """Log the session in; hold its events back until the body has sent what comes first."""
        limits = self._limits
        session.identity = who
        session.token_digest = token.digest
        session.wants_log = "log" in session.caps
        held = _Held(limits.mailbox_bytes)
        session.events = held
        session.person = self._services.hub.join(session, who.key, who.name)
        self._services.connections.logged_in()
        log.info("logged in", name=who.name, address=session.address)
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
            yield
        except StoreUnavailable:
            # It is logged in, but what it missed can't be read: it has to come again. What was held
            # back is behind a gap.
            session.events = NOWHERE
            session.close(ByeReason.INTERNAL, "the store can't be reached", retry_after=1.0)
        finally:
            held.release(session)
            session.outlet.flush()

    async def _load_rooms(self, session: Session) -> None:
        person = session.person
        assert person is not None
        generation, keys = -1, set[ConversationKey]()
        while generation != person.generation:  # a membership changed while we read: read again
            generation = person.generation
            keys = await self._services.store.conversation_keys(person.key)
        self._services.hub.enter(person, keys)

    async def _catch_up(
        self,
        session: Session,
        position: Position,
        as_of: Cursor,
        joined: Collection[ConversationKey],
    ) -> None:
        """Send what was missed up to `as_of`, or in a room that the session came to only after it
        had `joined`, up to there."""
        person = session.person
        assert person is not None
        try:
            key = conversations.key(position.conv, person.key)
        except ChatError:
            return
        if not self._may_read(session, key):
            return
        if key not in joined:
            as_of = person.rooms.get(key, as_of)
        store = self._services.store
        limit = self._limits.resume_max
        page = await store.page(
            key, viewer=person.key, after=position.seq, limit=limit + 1, as_of=as_of
        )
        if page.epoch == position.epoch and position.seq > page.head:
            await self._check_not_behind(session, key, position)
        recovered = (
            page.epoch == position.epoch
            and position.seq <= page.head
            and len(page.entries) <= limit
            # A store may keep only the newest entries.
            and (not page.entries or page.entries[0].seq == position.seq + 1)
        )
        if not recovered:
            page = await store.page(key, viewer=person.key, limit=NEWEST_PAGE, as_of=as_of)
        first = page.entries[0].seq if page.entries else page.head + 1
        caught_up = CaughtUp(
            conv=position.conv, epoch=page.epoch, seq=first - 1, head=page.head, recovered=recovered
        )
        session.outlet.post(encode(caught_up))
        for entry in page.entries:
            if session.wants_log or entry.kind == "text":
                await self._post_gently(session, entry)

    async def _check_not_behind(
        self, session: Session, key: ConversationKey, position: Position
    ) -> None:
        """Raise StoreUnavailable if the client, at another node, was sent what is yet to come here.

        It would be told that its history is over, or be sent it twice.
        """
        assert session.person is not None
        newest = await self._services.store.page(key, viewer=session.person.key, limit=1)
        if newest.epoch == position.epoch and position.seq <= newest.head:
            raise StoreUnavailable("this node has not read as far as the client")

    async def _push_unread(self, session: Session, as_of: Cursor) -> None:
        """Send the private messages that waited to a client that doesn't keep a log."""
        person = session.person
        assert person is not None
        store = self._services.store
        for key in sorted(await store.conversation_keys(person.key)):
            if not conversations.is_private(key):
                continue
            state = await store.conversation(person.key, key)
            if state is None or not state.unread:
                continue
            after = max(state.read, state.head - NEWEST_PAGE)
            page = await store.page(
                key, viewer=person.key, after=after, limit=NEWEST_PAGE, as_of=as_of
            )
            for entry in page.entries:
                if entry.kind == "text" and not entry.deleted:
                    await self._post_gently(session, entry)
                session.note_delivered(key, entry.seq)

    async def _post_gently(self, session: Session, entry: Message) -> None:
        """Post an entry, waiting for the peer to read where much is waiting already."""
        session.outlet.post(encode(entry))
        if session.outlet.backlog > self._limits.mailbox_bytes // 4:
            session.outlet.flush()
            await session.outlet.drain()

    def _may_read(self, session: Session, key: ConversationKey) -> bool:
        assert session.person is not None
        return (
            key == conversations.LOBBY_KEY
            or conversations.is_private(key)
            or key in session.person.rooms
        )


def _fold_or_nobody(name: str) -> NameKey:
    try:
        return names.fold(name)
    except ChatError:
        return NameKey("")


@lru_cache(64)  # there are few kinds of clients, each with a great many sessions
def _kept(caps: frozenset[str]) -> frozenset[str]:
    return caps
