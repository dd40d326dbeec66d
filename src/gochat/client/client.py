"""The client: typed requests, one stream of events, and an outbox."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from gochat.client import pages
from gochat.client.address import Security, parse, plain_text_warning
from gochat.client.events import ClientEvent, ConnectionState
from gochat.client.options import ClientOptions
from gochat.client.outbox import Outbox
from gochat.client.outgoing import Outgoing, new_cid
from gochat.client.supervisor import ConnectionSupervisor
from gochat.client.sync_state import SyncState
from gochat.client.tasks import background
from gochat.protocol import messages as wire
from gochat.protocol.messages import (
    Conversation,
    CreatedToken,
    Form,
    Found,
    HistoryPage,
    HistorySetting,
    Level,
    Limits,
    Member,
    Person,
    Room,
    Sent,
    ServerInfo,
    Session,
    TokenScope,
)

logger = logging.getLogger(__name__)

_DEFAULTS: Final = ClientOptions()


@asynccontextmanager
async def open_client(
    url: str,
    *,
    outbox: Path | None = None,
    ssl_context: ssl.SSLContext | None = None,
    options: ClientOptions = _DEFAULTS,
) -> AsyncIterator[Client]:
    """Open a client of the server at `url`; it connects when it logs in.

    Leaving the block closes the connection and nothing else: the session's token stays valid (see
    :meth:`Client.log_out`), and the messages in the outbox are kept if it has a path, else dropped.
    Await :meth:`Outgoing.sent` for messages that must be sent first.

    Args:
        url: ``host:port``, which means TLS unless the host is this machine; or with a scheme,
            ``gochats://`` for TLS and ``gochat://`` for plain text, which logs a warning unless the
            host is this machine. The port defaults to 8889.
        outbox: The file that keeps unacknowledged messages over a restart of the program. Created
            with mode 600; it holds the text of messages. It survives the death of the process at
            any point, but not that of the machine. One program at a time can use it.
        ssl_context: The TLS settings, instead of verifying the server's certificate against the
            system's authorities.
        options: Timeouts; see :class:`ClientOptions`.

    Exceptions leave the block as they are, not in an exception group.

    Raises:
        OutboxInUse: another program has the outbox open.
        ConfigError: `url` is invalid, or the outbox can't be used.
    """
    address = parse(url)
    if address.security is Security.PLAIN_TEXT:
        logger.warning("%s", plain_text_warning(address))
    with Outbox.open(outbox, clock=options.clock) as box:
        sync_state = SyncState(box, options.clock)
        supervisor = ConnectionSupervisor(address, sync_state, ssl_context, options)
        async with background() as tasks:
            tasks.start_soon(supervisor.run)
            try:
                yield Client(supervisor, sync_state)
            finally:
                supervisor.close()


class Client:
    """A person's connection to a chat; made by :func:`open_client`.

    Once logged in, it stays so until :meth:`log_out`: it reconnects, fetches what was missed and
    sends waiting messages by itself. Use it in one event loop, from any number of tasks.

    **Requests** are the coroutine methods. Each raises

    - :exc:`~gochat.errors.ChatError` if the server refuses it; the request had no effect. Reads,
      and changes of a read marker or level, are retried when they are ``rate_limited``;
    - :exc:`~gochat.errors.ConnectionLost` if there is no reply within
      `ClientOptions.request_timeout` (30 s), which includes waiting for a reconnect; or at once
      while the client is offline. It is then unknown whether the server carried it out.

    Unless stated otherwise a request is repeated after a reconnect, so a short outage goes
    unnoticed. Requests that write carry a `cid`, so the server carries them out once. They return
    where their entry is in the log; those that may find that it is so already return None then, and
    there is no entry.

    Requests made by several tasks at once are sent in the order in which they were made, those that
    read and those that write each, and the server handles them in that order. One that writes goes
    behind the earlier messages to its conversation, as long as these wait for the rate limit.
    Cancelling a request cancels the waiting for its reply; the server may still carry it out.

    **Conversations** are named as the person sees them: ``#lobby``, ``#room``, or ``@name``.
    """

    def __init__(self, supervisor: ConnectionSupervisor, sync_state: SyncState) -> None:
        self._supervisor = supervisor
        self._sync_state = sync_state

    # -- the session ----------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """The state of the connection; :class:`StateChanged` reports changes."""
        return self._sync_state.state

    @property
    def name(self) -> str | None:
        """The name of the account, as others see it, from the first login on."""
        return self._sync_state.name

    @property
    def token(self) -> str | None:
        """The secret with which :meth:`resume` logs in, or None while logged out.

        It can change with every reconnect and change of password: save it again whenever
        :class:`StateChanged` reports CONNECTED.
        """
        return self._sync_state.token

    @property
    def token_expires(self) -> int | None:
        """When the token expires, in milliseconds since the Unix epoch."""
        return self._sync_state.token_expires

    @property
    def limits(self) -> Limits | None:
        """The server's limits, from the first login on."""
        return self._sync_state.limits

    @property
    def server(self) -> str | None:
        """The server's software and version, from the first login on."""
        return self._sync_state.server

    async def server_info(self) -> ServerInfo:
        """Ask what the server is and offers: its name and message of the day, who may register,
        how long a password may be.

        Uses a connection of its own, in any state of the client. Not repeated after a lost
        connection. The texts are the server's: make them harmless before showing them.
        """
        return await self._supervisor.ask_aside(wire.Hello(), wire.ServerInfo)

    async def register(self, name: str, password: str, invite: str | None = None) -> str:
        """Create an account, and return its name as others will see it. Does not log in.

        Uses a connection of its own, in any state of the client. Not repeated after a lost
        connection.
        """
        return await self._supervisor.register(name, password, invite)

    async def log_in(self, name: str, password: str, *, device: str = "") -> None:
        """Connect, and log in. The password is not kept: reconnecting uses the token.

        `device` is what the person is to recognise this session by, at most 64 characters.

        Tries once, unless the server is too busy to check the password: then again after the delay
        that the server asks for. If it fails, the client is offline as before. Cancelling it ends
        the attempt.

        Raises:
            ChatError: ``bad_credentials``, ``already_logged_in``, ``rate_limited`` …
            ConnectionLost: the server can't be reached; the text says what to check.
        """
        request = wire.Login(name=name, password=password, device=device)
        await self._supervisor.log_in(request)

    async def resume(self, token: str) -> None:
        """Connect, and log in with the token of an earlier session, or of a program.

        Like :meth:`log_in`, but also retried when it is ``rate_limited``.

        Raises:
            ChatError: ``bad_token``: it has expired or was revoked; log in with the password.
        """
        await self._supervisor.log_in(wire.Resume(token=token))

    async def log_out(self) -> None:
        """Log out: revoke the token, and stay offline until the next login.

        The messages in the outbox stay there for the next login of the same account.

        Raises:
            ConnectionLost: the server could not be notified, so the token stays valid until it
                expires. The client is logged out all the same.
        """
        await self._supervisor.log_out()

    def reconnect_now(self) -> None:
        """Try to reconnect at once, instead of when the backoff ends.

        Not before the time at which the server allowed the client to come back. Does nothing unless
        the client is waiting for its next attempt.
        """
        self._supervisor.reconnect_now()

    async def change_password(self, old: str, new: str) -> bool:
        """Set a new password. All other sessions of the account end; this one gets a new token.

        Returns True when they have ended. False: the password is changed and no old token is valid,
        but a node of the server could not be reached, and a session there may last a little longer.

        Not repeated after a lost connection: try to log in with the new password then.
        """
        return await self._supervisor.change_password(old, new)

    async def sessions(self) -> list[Session]:
        """Return the account's sessions, the oldest first."""
        return list((await self._supervisor.call(wire.Sessions(), wire.SessionList)).sessions)

    async def end_session(self, session_id: str) -> None:
        """End a session of the account; returns when its connections have ended.

        Not repeated after a lost connection.

        Raises:
            ChatError: ``bad_request``: there is none with this id.
        """
        await self._supervisor.ask_once(wire.EndSession(id=session_id), wire.Ok)

    async def end_other_sessions(self) -> None:
        """End all other sessions of the account, programs included."""
        await self._supervisor.call(wire.EndSession(), wire.Ok)

    async def create_token(
        self,
        device: str,
        scopes: Iterable[TokenScope],
        lifetime: timedelta,
        rooms: Iterable[str] = (),
    ) -> CreatedToken:
        """Make a token with which a program can :meth:`resume`, and do no more than `scopes` allow.

        `rooms`: the only ones that it may be in; none: wherever the person is. It ends after
        `lifetime`, at most a year. Not repeated after a lost connection.

        Raises:
            ChatError: ``bad_request``: the account has too many of them.
        """
        request = wire.CreateToken(
            device=device,
            scopes=tuple(scopes),
            lifetime=int(lifetime.total_seconds()),
            rooms=tuple(rooms),
        )
        return await self._supervisor.ask_once(request, wire.CreatedToken)

    # -- events ---------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[ClientEvent]:
        """Return the events, to iterate over until the client is closed.

        Every call returns the same stream, which delivers each event once. Only one task at a time
        may wait for it.

        Messages come in the order of their conversation's seq, each once, without gaps, through
        lost connections and restarts of the server: missing entries are fetched before the ones
        that follow are yielded. Every log entry is a message: edits, reactions, joins and so on are
        messages of their kind. What this client writes is among them, and comes before the request
        that wrote it returns; a message comes after the :class:`OutgoingChanged` of the same `cid`.

        If the iterating task is too slow, the client reads less from its socket; in the end the
        server disconnects it, and it resumes. Nothing is lost. Until the first event is asked for,
        only the newest 1024 are kept, so a program that wants no events needs no task for them.
        Cancelling the wait loses nothing.

        Raises:
            RuntimeError: another task is waiting for the next event.
        """
        return self._sync_state.buffer

    # -- the outbox -----------------------------------------------------------------------------

    def send(
        self,
        to: str,
        text: str,
        *,
        reply_to: int | None = None,
        form: Form = "text",
        meta: Mapping[str, str] | None = None,
    ) -> Outgoing:
        """Put a message into the outbox, and return it in state PENDING. Never blocks.

        It is sent as soon as the client is connected, and again after each reconnect until the
        server has acknowledged it; the server stores it once. Messages to one conversation arrive
        in the order of their `send`, even when the server refuses one temporarily
        (``rate_limited``, ``unavailable``, ``busy``). A message that is refused for good becomes
        FAILED, and the following ones are sent. `reply_to` is the seq of the message that it
        answers. A `form` of ``action`` reads "* mei waves"; a ``notice`` is what a program says,
        and must not be answered by one. `meta` is for programs: its keys are of the form
        ``prefix/name``, keys and values have at most 1 KiB, and it proves nothing.

        Raises:
            ChatError: ``busy``: 1000 messages are already waiting.
            ConnectionLost: the client was closed.
        """
        self._supervisor.check_open()
        outgoing = Outgoing(to=to, text=text, reply_to=reply_to, form=form, meta=dict(meta or {}))
        self._sync_state.send(outgoing)
        return outgoing

    @property
    def outbox(self) -> tuple[Outgoing, ...]:
        """The PENDING and FAILED messages, in the order of sending."""
        return self._sync_state.outbox.of(self.name)

    def retry(self, outgoing: Outgoing) -> None:
        """Send a FAILED message again, after those that wait now. Does nothing in any other
        state."""
        self._sync_state.retry(outgoing)

    def discard(self, outgoing: Outgoing) -> None:
        """Forget a FAILED message. Does nothing in any other state: the server may already have
        it."""
        self._sync_state.outbox.discard(outgoing)

    # -- messages -------------------------------------------------------------------------------

    async def edit(self, to: str, seq: int, text: str) -> Sent:
        """Change the text of one of the person's own messages."""
        return await self._say(wire.Edit(to=to, seq=seq, text=text, cid=new_cid()))

    async def delete(self, to: str, seq: int, *, reason: str = "") -> Sent:
        """Delete one of the person's own messages (operators: anyone's in the room).

        The others see the `reason`, of at most 200 characters.
        """
        return await self._say(wire.Delete(to=to, seq=seq, reason=reason, cid=new_cid()))

    async def react(self, to: str, seq: int, emoji: str, on: bool = True) -> Sent | None:
        """React to a message with an emoji, or remove the reaction with ``on=False``."""
        return await self._change(wire.React(to=to, seq=seq, emoji=emoji, on=on, cid=new_cid()))

    async def history(
        self,
        conv: str,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        limit: int = 50,
    ) -> HistoryPage:
        """Return a page of a conversation's log, at most `limit` (≤ 200) entries.

        Give one of `before`, `after` (both exclusive) and `around`, or none for the newest page.
        A page may end early; its `older` and `newer` say whether there is more.
        """
        return await self._supervisor.call(
            wire.History(conv=conv, before=before, after=after, around=around, limit=limit),
            HistoryPage,
        )

    async def search(
        self, query: str, conv: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> Found:
        """Find messages that contain `query`, newest first, in `conv` or in everything readable.

        `cursor` is that of the previous page; `limit` is at most 50. As long as the answer has a
        cursor there may be more, even after a page with few hits or none.
        """
        return await self._supervisor.call(
            wire.Search(query=query, conv=conv, cursor=cursor, limit=limit), Found
        )

    async def mark_read(self, conv: str, seq: int) -> None:
        """Move the person's read marker forward to `seq`, for all their devices."""
        await self._supervisor.call(wire.Mark(conv=conv, read=seq), wire.Ok)

    async def set_level(self, conv: str, level: Level) -> None:
        """Choose what to be notified of in a conversation: ``all``, ``mentions`` or ``none``."""
        await self._supervisor.call(wire.Mark(conv=conv, level=level), wire.Ok)

    async def typing(self, to: str) -> None:
        """Notify the others that the person is typing. Call it as often as they type.

        Does not wait for a reply, and raises nothing: without a connection it is dropped.
        """
        await self._supervisor.send(wire.Typing(to=to))

    # -- people and conversations ---------------------------------------------------------------

    async def who(self) -> list[Person]:
        """Return everyone who is online, by name."""
        return await pages.people(self._supervisor.call)

    async def away(self, text: str | None) -> None:
        """Set the away notice, or clear it with None."""
        await self._supervisor.call(wire.Away(text=text), wire.Ok)

    async def conversations(self) -> list[Conversation]:
        """Return the person's conversations, by address."""
        return await pages.conversations(self._supervisor.call)

    async def rooms(self) -> list[Room]:
        """Return the public rooms and the person's own, by name."""
        return await pages.rooms(self._supervisor.call)

    async def members(self, room: str) -> list[Member]:
        """Return the members of a room, by name."""
        return await pages.members(self._supervisor.call, room)

    # -- rooms ----------------------------------------------------------------------------------

    async def create_room(self, room: str, topic: str = "", private: bool = False) -> Sent:
        """Create a room, and become its first member and operator."""
        return await self._say(
            wire.CreateRoom(room=room, topic=topic, private=private, cid=new_cid())
        )

    async def join(self, room: str) -> Sent | None:
        """Become a member of a public room, or of one that the person was invited to."""
        return await self._change(wire.Join(room=room, cid=new_cid()))

    async def leave(self, room: str, *, reason: str = "") -> Sent:
        """Leave a room. The others see the `reason`, of at most 200 characters."""
        return await self._say(wire.Leave(room=room, reason=reason, cid=new_cid()))

    async def invite(self, room: str, name: str) -> Sent | None:
        """Invite a person to a room."""
        return await self._change(wire.Invite(room=room, name=name, cid=new_cid()))

    async def kick(self, room: str, name: str, *, reason: str = "") -> Sent:
        """Remove a person from a room (operators).

        They and the others see the `reason`, of at most 200 characters.
        """
        return await self._say(wire.Kick(room=room, name=name, reason=reason, cid=new_cid()))

    async def decline(self, room: str) -> None:
        """Turn down an invitation. Does nothing if none is pending."""
        await self._supervisor.write(wire.Decline(room=room, cid=new_cid()), wire.Ok)

    async def set_topic(self, room: str, topic: str) -> Sent | None:
        """Set a room's topic (operators)."""
        return await self._change(wire.SetTopic(room=room, topic=topic, cid=new_cid()))

    async def set_operator(self, room: str, name: str, on: bool = True) -> Sent | None:
        """Make a member an operator, or with ``on=False`` no longer one (operators)."""
        return await self._change(wire.SetOperator(room=room, name=name, on=on, cid=new_cid()))

    async def set_access(
        self, room: str, private: bool, history: HistorySetting | None = None
    ) -> Sent | None:
        """Make a room private (by invitation only) or public (operators).

        `history` is required to make a private room public: whether people who join then can read
        older entries (``shown``) or only new ones (``hidden``). Entries written while the room's
        history was hidden stay hidden.
        """
        return await self._change(
            wire.SetAccess(room=room, private=private, history=history, cid=new_cid())
        )

    async def set_history(self, room: str, history: HistorySetting) -> Sent | None:
        """Choose whether people who join a private room from now on can read older entries
        (operators).

        `history` is ``shown`` or ``hidden``.
        """
        return await self._change(wire.SetHistory(room=room, history=history, cid=new_cid()))

    async def _say(self, request: wire.WriteRequest) -> Sent:
        return await self._supervisor.write(request, Sent)

    async def _change(self, request: wire.WriteRequest) -> Sent | None:
        reply = await self._supervisor.write(request, Sent, wire.Ok)
        return reply if isinstance(reply, Sent) else None
