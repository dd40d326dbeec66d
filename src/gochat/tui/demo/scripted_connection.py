"""A scripted session without a server: login, cuts, and sending.

The half of :class:`~gochat.tui.demo.scripted_client.ScriptedClient` that is about the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from itertools import count
from typing import Any, Final

from gochat.client import (
    ChatError,
    ClientEvent,
    ConnectionLost,
    ConnectionState,
    Form,
    Limits,
    MessageId,
    MessageRef,
    Outgoing,
    Reset,
    RoleChanged,
    ServerInfo,
    ServerRole,
    Session,
    StateChanged,
    Synchronised,
    convert,
)
from gochat.client.errors import AlreadyLoggedIn, NotConnected, chat_error
from gochat.client.moments import moment
from gochat.client.timeline import MAX_MISSED
from gochat.errors import ErrorCode
from gochat.protocol.messages import Message
from gochat.tui.demo.scripted_chat import EPOCH, ScriptedChat
from gochat.tui.demo.scripted_devices import ScriptedDevices
from gochat.tui.demo.scripted_outbox import ScriptedOutbox
from gochat.tui.demo.scripted_rules import (
    LIMITS,
    NAME,
    PASSWORD_MAX,
    PASSWORD_MIN,
    check_password,
    wrong_credentials,
)

#: Seconds that a request waits for a connection that was lost.
_PATIENCE: Final = 30.0


class ScriptedConnection:
    """One person's session and outbox on a chat of its own. `now` gives the time in seconds."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._chat = ScriptedChat(now)
        self._events: asyncio.Queue[ClientEvent] = asyncio.Queue()
        self._state = ConnectionState.OFFLINE
        self._reason = "log in first"
        self._is_decided = asyncio.Event()  # whether there is a connection; not while it is cut
        self._is_decided.set()
        self._name: str | None = None
        self._token: str | None = None
        self._known_role: ServerRole | None = None  # what the app knows of this person
        self._numbers = count(1)
        #: The devices that are logged in.
        self.devices = ScriptedDevices(now)
        self._missed: list[Message] = []  # said while the connection was cut
        #: Names with their passwords; empty: everybody may log in with anything.
        self.accounts: dict[str, str] = {}
        #: What the next requests of these methods raise, instead of being done.
        self.refusals: dict[str, ChatError | ConnectionLost] = {}
        self._outbox = ScriptedOutbox(self._chat, self.emit, self.refusals)
        #: Messages looked at for one page of what a search finds.
        self.looks_at = 20_000
        #: What was asked for, for tests to look at.
        self.requests: list[tuple[Any, ...]] = []
        self.motd = ""
        #: Up to where entries are hidden from the person, by conversation.
        self.floors: dict[str, int] = {}
        self.token_is_good = True

    # -- state -------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """How the client stands."""
        return self._state

    @property
    def name(self) -> str | None:
        """Who is logged in."""
        return self._name

    @property
    def me(self) -> str:
        """Who is logged in, or was last."""
        return self._chat.me

    @property
    def token(self) -> str | None:
        """A token that is as good as any, until it is revoked."""
        return self._token

    @property
    def token_expires(self) -> datetime | None:
        """Far away."""
        return moment(2**47) if self._token else None

    @property
    def limits(self) -> Limits | None:
        """The usual limits, from the first login on."""
        return LIMITS if self.me else None

    @property
    def server(self) -> str | None:
        """What answers, from the first login on."""
        return "gochat demo" if self.me else None

    @property
    def role(self) -> ServerRole:
        """Which of those there are one has, as it was set."""
        return self._chat.role

    @role.setter
    def role(self, role: ServerRole) -> None:
        self._chat.role = role
        if self._state is ConnectionState.CONNECTED:
            self._notify_of_role()

    def _notify_of_role(self) -> None:
        """Emit an event if the role is not the one that the app knows."""
        before, self._known_role = self._known_role, self._chat.role
        if before is not None and before != self._chat.role:
            self.emit(RoleChanged(role=self._chat.role, before=before))

    async def server_info(self) -> ServerInfo:
        """Return what answers."""
        return ServerInfo(
            name="demo", version="gochat demo", protocol=1, caps=(), registration="open",
            login=("password",), password_min=PASSWORD_MIN, password_max=PASSWORD_MAX,
            limits=LIMITS, motd=self.motd,
        )  # fmt: skip

    @property
    def outbox(self) -> tuple[Outgoing, ...]:
        """What waits or was refused."""
        return self._outbox.of(self._name)

    async def __aiter__(self) -> AsyncIterator[ClientEvent]:
        """Yield what the script makes happen."""
        while True:
            yield await self._events.get()

    # -- identity ----------------------------------------------------------

    async def register(self, name: str, password: str, *, invite: str | None = None) -> str:
        """Create an account."""
        self._check("register", name, password, invite)
        if not NAME.fullmatch(name):
            raise chat_error(
                ErrorCode.BAD_NAME, "a name has letters, digits and - _ . only", field="name"
            )
        check_password(password)
        if name.casefold() in map(str.casefold, self.accounts):
            raise chat_error(ErrorCode.NAME_TAKEN, f"the name {name} is taken", field="name")
        self.accounts[name] = password
        return name

    async def log_in(self, name: str, password: str, *, device: str = "") -> None:
        """Log in."""
        self._connect()
        try:
            self._check("log_in", name, password)
            if self.accounts:
                key = name.casefold()
                name = next((known for known in self.accounts if known.casefold() == key), name)
                if self.accounts.get(name) != password:
                    raise wrong_credentials()
        except (ChatError, ConnectionLost) as error:
            self._end(str(error))
            raise
        self._begin(name, self.devices.add(device))

    async def resume(self, token: str, *, name: str | None = None) -> None:
        """Log in by a token, as who was remembered."""
        self._name = self._name or name
        self._connect()
        try:
            self._check("resume", token)
            if not self.token_is_good or not self.devices.use(token):
                raise chat_error(
                    ErrorCode.BAD_TOKEN, "the session has ended: log in again", field="token"
                )
        except (ChatError, ConnectionLost) as error:
            self._end(str(error))
            raise
        self._begin(self.me or next(iter(self.accounts), "ada"), token)

    async def log_out(self) -> None:
        """Log out: the token is revoked."""
        try:
            self._check("log_out")
            if self._state is ConnectionState.RECONNECTING:
                raise ConnectionLost(
                    "logged out here only: not connected, so the server was not notified"
                )
            self.devices.revoke(self._token)
        finally:
            self._name = self._token = self._known_role = None
            self._missed.clear()
            self._end("logged out")

    def close(self) -> None:
        """End the connection, as a program does that ends: the token stays valid."""
        self._state = ConnectionState.OFFLINE
        self._name = self._token = self._known_role = None
        self._missed.clear()
        self._events = asyncio.Queue()

    def reconnect_now(self) -> None:
        """Restore the connection, if it was cut."""
        self.requests.append(("reconnect_now",))
        if self._state is ConnectionState.RECONNECTING:
            self.restore()

    async def change_password(self, old: str, new: str) -> bool:
        """Set a new password."""
        await self._request("change_password", old, new)
        check_password(new, "new")
        if self.accounts.get(self.me, old) != old:
            raise wrong_credentials("old")
        self.accounts[self.me] = new
        device = self.devices.name(self._token)
        self.devices.revoke_all()
        self._token = self.devices.add(device)
        return True

    async def sessions(self) -> list[Session]:
        """Return the devices, the oldest first."""
        await self._request("sessions")
        return [convert.to_session(session) for session in self.devices.listed(self._token)]

    async def end_session(self, session_id: str) -> None:
        """End a session."""
        await self._request("end_session", session_id)
        if self.devices.end(session_id) == self._token:
            self.end("the session was ended: log in again")

    def _connect(self) -> None:
        if self._state is not ConnectionState.OFFLINE:
            raise AlreadyLoggedIn("you are logged in: log out first")
        self._move(ConnectionState.CONNECTING)

    def _begin(self, name: str, token: str) -> None:
        self._name, self._token = name, token
        self._chat.enter(name)
        self._outbox.adopt(name)
        self._synchronise()

    def _synchronise(self) -> None:
        self._move(ConnectionState.CONNECTED)
        self._notify_of_role()
        self.emit(
            Synchronised(
                tuple(self._chat.online()),
                tuple(map(convert.to_conversation, self._chat.conversations())),
                tuple(map(convert.to_invitation, self._chat.invitations())),
            )
        )
        missed, self._missed = self._missed, []
        for conv in dict.fromkeys(entry.conversation for entry in missed):
            entries = [entry for entry in missed if entry.conversation == conv]
            if len(entries) > MAX_MISSED:
                entries = self._chat.log(conv)[-LIMITS.history_page :]
                newest = tuple(
                    convert.to_entry(self._chat.as_it_reads(conv, entry), self.me)
                    for entry in entries
                )
                self.emit(Reset(conv, EPOCH, newest))
            else:
                for entry in entries:
                    self.emit_entry(entry)
        self._send_waiting()

    def _end(self, reason: str) -> None:
        self._reason = reason
        self._move(ConnectionState.OFFLINE, None, reason)

    def _move(
        self, state: ConnectionState, retry_in: float | None = None, reason: str = ""
    ) -> None:
        self._state = state
        if state in (ConnectionState.CONNECTED, ConnectionState.OFFLINE):
            self._is_decided.set()
        else:
            self._is_decided.clear()
        self.emit(StateChanged(state, retry_in, reason))

    def _check(self, method: str, *args: object) -> None:
        self.requests.append((method, *args))
        if refusal := self.refusals.pop(method, None):
            raise refusal

    async def _request(self, method: str, *args: object) -> None:
        self._check(method, *args)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._is_decided.wait()
        except TimeoutError:
            raise ConnectionLost(f"the server did not answer within {_PATIENCE:g} s") from None
        if self._state is not ConnectionState.CONNECTED:
            raise NotConnected(f"not connected: {self._reason}")

    # -- messages ----------------------------------------------------------

    def send(self, conversation: str, text: str, *, form: Form = "text") -> Outgoing:
        """Take a message; it is acknowledged a moment later unless the connection is cut."""
        return self._send(conversation, text, None, form)

    def reply(self, message: MessageRef, text: str, *, form: Form = "text") -> Outgoing:
        """Take an answer to a message."""
        return self._send(message.conversation, text, message.seq, form)

    def _send(self, conversation: str, text: str, reply_to: int | None, form: Form) -> Outgoing:
        self._outbox.require_room()
        self.requests.append(("send", conversation, text, reply_to))
        outgoing = Outgoing(
            conversation=conversation, text=text, form=form,
            reply_to=None if reply_to is None else MessageId(conversation, reply_to),
            created=moment(self._chat.time()), cid=self._new_cid(), sender=self._name,
        )  # fmt: skip
        self._outbox.put(outgoing)
        self._send_soon()
        return outgoing

    def _new_cid(self) -> str:
        return f"c{next(self._numbers)}"

    def _send_soon(self) -> None:
        if self._state is ConnectionState.CONNECTED:
            asyncio.get_running_loop().call_soon(self._send_waiting)

    def _send_waiting(self) -> None:
        if self._state is ConnectionState.CONNECTED:
            self._outbox.send(self._name)

    def retry(self, outgoing: Outgoing) -> None:
        """Send a refused message again, after those that wait."""
        self.requests.append(("retry", outgoing.cid))
        if self._outbox.retry(outgoing):
            self._send_soon()

    def discard(self, outgoing: Outgoing) -> None:
        """Forget a refused message."""
        self.requests.append(("discard", outgoing.cid))
        self._outbox.discard(outgoing)

    # -- the script's part ----------------------------------------------------------------------

    def emit(self, event: ClientEvent) -> None:
        """Emit an event to the app."""
        self._events.put_nowait(event)

    def emit_entry(self, entry: Message) -> None:
        """Emit an entry of a log to the app."""
        self.emit(convert.to_entry(entry, self.me))

    def _notify(self, event: ClientEvent) -> None:
        if self._state is ConnectionState.CONNECTED:
            self.emit(event)

    def cut(self, retry_in: float | None = 4.0, reason: str = "the connection was lost") -> None:
        """Cut the connection."""
        self._reason = reason
        self._move(ConnectionState.RECONNECTING, retry_in, reason)

    def restore(self) -> None:
        """Restore the connection: emit missed events, and send the outbox."""
        self._move(ConnectionState.RECONNECTING, None, self._reason)
        self._synchronise()

    def end(self, reason: str) -> None:
        """End the session, as the server does."""
        self.devices.revoke(self._token)
        self._token = None
        self._end(reason)
