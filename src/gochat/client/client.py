"""The client: typed requests, one stream of events, and an outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime, timedelta

from gochat.client import convert, pages
from gochat.client.entries import MessageId, MessageRef
from gochat.client.errors import chat_error
from gochat.client.events import ClientEvent, ConnectionState
from gochat.client.message_requests import MessageRequests
from gochat.client.models import (
    ActivityPage,
    Conversation,
    CreatedToken,
    Found,
    HistoryPage,
    Person,
    Sent,
    Session,
    Status,
)
from gochat.client.moments import milliseconds, moment
from gochat.client.outgoing import Outgoing, new_cid
from gochat.client.requester import Requester
from gochat.client.room_requests import RoomRequests
from gochat.client.supervisor import ConnectionSupervisor
from gochat.client.sync_state import SyncState
from gochat.errors import ErrorCode
from gochat.protocol import messages as wire
from gochat.protocol.messages import (
    Form,
    Level,
    Limits,
    ServerInfo,
    ServerRole,
    TokenScope,
)


class Client(RoomRequests, MessageRequests):
    """A person's connection to a chat; made by :func:`~gochat.client.open_client`.

    Once logged in, it stays so until :meth:`log_out`: it reconnects, fetches what was missed and
    sends waiting messages by itself. Use it in one event loop, from any number of tasks.

    **Events**: ``async for event in client`` yields what happens, until the client is closed.
    There is one stream, however often it is iterated over: each event is delivered once, and only
    one task at a time may wait for the next (RuntimeError).

    - *Order.* The entries of a conversation come in the order of their seq, each once, without
      gaps, through lost connections and restarts of the server: missing ones are fetched before
      those that follow are yielded. What this client writes is among them, and waits to be taken
      when the request that wrote it returns, unless there was no room for it; a message comes
      after the :class:`~gochat.client.OutgoingChanged` of the same `cid`.
    - *Cancellation.* Cancelling the wait for an event, or leaving the loop, loses none: the next
      iteration goes on there.
    - *Closing.* When the block of ``open_client`` ends, events that wait are still delivered, then
      the iteration stops.
    - *Buffering.* Until the first event is asked for, the newest 1,024 are kept. From then on none
      is lost: while 1,024 wait the client does not read. The server may then disconnect it, and it
      resumes. While a request waits for its reply, which comes after them, it does read, so that
      the task that takes events can wait for replies. Once 16,384 wait, what comes is not kept but
      asked for again when fewer than 1,024 wait, as after a lost connection but without a limit on
      how many entries: the entries, and another :class:`~gochat.client.Synchronised` in place of
      changes that are in no log.

    **Requests** are the coroutine methods. Each raises

    - :exc:`~gochat.client.ChatError` if the server refuses it, of a class that says how; it had no
      effect. Reads, and changes of a read marker or level, are retried when they are rate limited;
    - :exc:`~gochat.client.ConnectionLost` if there is no reply within
      `ClientOptions.request_timeout` (30 s), which includes waiting for a reconnect: it is unknown
      whether the server carried it out. While the client is offline it is raised at once, as
      :exc:`~gochat.client.NotConnected`.

    Unless stated otherwise a request is repeated after a reconnect, so a short outage goes
    unnoticed. Those that write are carried out once, however often they are sent. They return
    where their entry is in the log; those that may find that it is so already return None then, and
    there is no entry.

    Requests made by several tasks at once are sent in the order in which they were made, those that
    read and those that write each, and the server handles them in that order. One that writes is
    sent after the earlier messages to its conversation, even if these wait for the rate limit.
    Cancelling a request only stops waiting for its reply; the server may still carry it out.

    **Conversations** are named as the person sees them: ``#lobby``, ``#room``, or ``@name``. A
    **message** is named by itself, by what its sending returned, or by a
    :class:`~gochat.client.MessageId`.
    """

    def __init__(
        self, supervisor: ConnectionSupervisor, requester: Requester, sync_state: SyncState
    ) -> None:
        self._supervisor = supervisor
        self._requester = requester
        self._sync_state = sync_state

    def __aiter__(self) -> AsyncIterator[ClientEvent]:
        return self._sync_state.buffer

    # -- the session ----------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """The state of the connection; :class:`StateChanged` reports changes."""
        return self._sync_state.state

    @property
    def name(self) -> str | None:
        """The name of the account, as others see it: from the first login on, or as it was given to
        :meth:`resume`."""
        return self._sync_state.name

    @property
    def token(self) -> str | None:
        """The secret with which :meth:`resume` logs in, or None while logged out.

        It can change with every reconnect and change of password: save it again whenever
        :class:`StateChanged` reports CONNECTED.
        """
        return self._sync_state.token

    @property
    def token_expires(self) -> datetime | None:
        """When the token expires."""
        expires = self._sync_state.token_expires
        return None if expires is None else moment(expires)

    @property
    def limits(self) -> Limits | None:
        """The server's limits, from the first login on."""
        return self._sync_state.limits

    @property
    def server(self) -> str | None:
        """The server's software and version, from the first login on."""
        return self._sync_state.server

    @property
    def role(self) -> ServerRole:
        """The person's role at the server, now: :class:`~gochat.client.RoleChanged` is an event.

        In the lobby and public rooms that they are in, moderators and admins may do what operators
        may.
        """
        return self._sync_state.role

    async def server_info(self) -> ServerInfo:
        """Ask what the server is and offers: its name and message of the day, who may register,
        how long a password may be.

        Uses a connection of its own, in any state of the client. Not repeated after a lost
        connection. The texts are the server's: make them harmless before showing them.
        """
        return await self._supervisor.ask_aside(wire.Hello(), wire.ServerInfo)

    async def register(self, name: str, password: str, *, invite: str | None = None) -> str:
        """Create an account, and return its name as others will see it. Does not log in.

        Uses a connection of its own, in any state of the client. Not repeated after a lost
        connection.

        Raises:
            AlreadyExists: the name is taken.
            NotPermitted: the server takes no new accounts, or none without an `invite` code.
        """
        return await self._requester.register(name, password, invite)

    async def log_in(self, name: str, password: str, *, device: str = "") -> None:
        """Connect, and log in. The password is not kept: reconnecting uses the token.

        `device` is what the person is to recognise this session by, at most 64 characters.

        Tries once, unless the server is too busy to check the password: then again after the delay
        that the server asks for. If it fails, the client is offline as before. Cancelling it ends
        the attempt.

        Raises:
            AuthenticationError: the name or the password is wrong.
            AlreadyLoggedIn: the client is not offline.
            ConnectionLost: the server can't be reached; the text says what to check.
        """
        request = wire.Login(name=name, password=password, device=device)
        await self._supervisor.log_in(request)

    async def resume(self, token: str, *, name: str | None = None) -> None:
        """Connect, and log in with the token of an earlier session, or of a program.

        Like :meth:`log_in`, but also retried when it is rate limited. `name` is whose token it is,
        if that is known: what is sent before there was a connection is then theirs.

        Raises:
            AuthenticationError: it has expired or was revoked; log in with the password.
        """
        self._sync_state.name = self._sync_state.name or name
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
        return await self._requester.change_password(old, new)

    async def sessions(self) -> list[Session]:
        """Return the account's sessions, the oldest first."""
        listed = await self._requester.call(wire.Sessions(), wire.SessionList)
        return [convert.to_session(session) for session in listed.sessions]

    async def end_session(self, session_id: str) -> None:
        """End a session of the account; returns when its connections have ended.

        Not repeated after a lost connection.

        Raises:
            InvalidRequest: there is none with this id.
        """
        await self._requester.ask_once(wire.EndSession(id=session_id), wire.Ok)

    async def end_other_sessions(self) -> None:
        """End all other sessions of the account, programs included."""
        await self._requester.call(wire.EndSession(), wire.Ok)

    async def create_token(
        self,
        device: str,
        scopes: Iterable[TokenScope],
        lifetime: timedelta,
        *,
        rooms: Iterable[str] = (),
    ) -> CreatedToken:
        """Make a token with which a program can :meth:`resume`, and do no more than `scopes` allow.

        `rooms`: the only ones that it may be in; none: wherever the person is. It ends after
        `lifetime`, at most a year. Not repeated after a lost connection.

        Raises:
            InvalidRequest: the account has too many of them.
        """
        request = wire.CreateToken(
            device=device,
            scopes=tuple(scopes),
            lifetime=int(lifetime.total_seconds()),
            rooms=tuple(rooms),
        )
        return convert.to_token(await self._requester.ask_once(request, wire.CreatedToken))

    # -- sending --------------------------------------------------------------------------------

    def send(
        self,
        conversation: str,
        text: str,
        *,
        form: Form = "text",
        meta: Mapping[str, str] | None = None,
    ) -> Outgoing:
        """Put a message into the outbox, and return it in state PENDING. Never blocks.

        ``await client.send(…)`` waits until it is committed, and returns where:
        :meth:`Outgoing.sent`. In the task that iterates over the events that holds them up.

        It is sent as soon as the client is connected, and again after each reconnect until the
        server has acknowledged it; the server stores it once. Messages to one conversation arrive
        in the order of their `send`, even when the server refuses one temporarily. A message that
        is refused for good becomes FAILED, and the following ones are sent. A `form` of ``action``
        reads "* mei waves"; a ``notice`` is what a program says, and must not be answered by one.
        `meta` is for programs: its keys are of the form ``prefix/name``, keys and values have at
        most 1 KiB, and it proves nothing.

        Raises:
            OutboxFull: 1,000 messages are already waiting.
            ClientClosed: the client was closed.
        """
        return self._send(
            Outgoing(conversation=conversation, text=text, form=form, meta=meta or {})
        )

    def reply(
        self,
        message: MessageRef,
        text: str,
        *,
        form: Form = "text",
        meta: Mapping[str, str] | None = None,
    ) -> Outgoing:
        """Answer a message, in its conversation; as :meth:`send`."""
        where = MessageId(message.conversation, message.seq)
        return self._send(
            Outgoing(
                conversation=where.conversation, text=text, reply_to=where, form=form,
                meta=meta or {},
            )
        )  # fmt: skip

    def _send(self, outgoing: Outgoing) -> Outgoing:
        self._supervisor.check_open()
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

    async def typing(self, conversation: str) -> None:
        """Notify the others that the person is typing. Call it as often as they type.

        Does not wait for a reply, and raises nothing: without a connection it is dropped.
        """
        await self._requester.send(wire.Typing(to=conversation))

    # -- messages -------------------------------------------------------------------------------

    async def edit(self, message: MessageRef, text: str) -> Sent:
        """Change the text of one of the person's own messages."""
        to, seq = message.conversation, message.seq
        return await self._say(wire.Edit(to=to, seq=seq, text=text, cid=new_cid()))

    async def delete(self, message: MessageRef, *, reason: str = "") -> Sent:
        """Delete one of the person's own messages (operators: anyone's in the room).

        The others see the `reason`, of at most 200 characters.
        """
        to, seq = message.conversation, message.seq
        return await self._say(wire.Delete(to=to, seq=seq, reason=reason, cid=new_cid()))

    async def react(self, message: MessageRef, emoji: str, *, on: bool = True) -> Sent | None:
        """React to a message with an emoji, or remove the reaction with ``on=False``."""
        to, seq = message.conversation, message.seq
        return await self._change(wire.React(to=to, seq=seq, emoji=emoji, on=on, cid=new_cid()))

    async def mark_read(self, message: MessageRef) -> None:
        """Move the person's read marker forward to an entry, for all their devices."""
        conv, seq = message.conversation, message.seq
        await self._requester.call(wire.Mark(conv=conv, read=seq), wire.Ok)

    async def history(
        self,
        conversation: str,
        *,
        before: MessageRef | int | None = None,
        after: MessageRef | int | None = None,
        around: MessageRef | int | None = None,
        at: datetime | None = None,
        limit: int = 50,
    ) -> HistoryPage:
        """Return a page of a conversation's log, at most `limit` (≤ 200) entries.

        Give one of `before`, `after` (both exclusive) and `around`, an entry or its seq; or `at`, a
        time, for around the first entry since; or none. `older` and `newer`: there is more.

        Raises:
            ChatError: ``bad_cursor``: the log has another history than that of the entry given, so
                its seq means nothing any more. A seq alone can't be checked: compare `epoch`.
        """
        request = wire.History(
            conv=conversation,
            before=_seq(before),
            after=_seq(after),
            around=_seq(around),
            at=None if at is None else max(0, milliseconds(at)),
            limit=limit,
        )
        page = await self._requester.call(request, wire.HistoryPage)
        for bound in (before, after, around):
            if getattr(bound, "epoch", page.epoch) != page.epoch:
                raise chat_error(
                    ErrorCode.BAD_CURSOR,
                    "the log has another history now: begin with its newest page",
                )
        return convert.to_page(page, self.name)

    async def search(
        self,
        query: str,
        *,
        conversation: str | None = None,
        cursor: str | None = None,
        limit: int = 20,
    ) -> Found:
        """Find messages that contain `query`, newest first, in `conversation` or in everything
        readable.

        `cursor` is that of the previous page; `limit` is at most 50. As long as the answer has a
        cursor there may be more, even after a page with few hits or none.

        Raises:
            ChatError: ``bad_cursor``: the server's store has another history since that page.
        """
        request = wire.Search(query=query, conv=conversation, cursor=cursor, limit=limit)
        return convert.to_found(await self._requester.call(request, wire.Found), self.name)

    async def activity(self, *, cursor: str | None = None, limit: int = 20) -> ActivityPage:
        """Return what concerns the person: mentions, and replies and reactions to their messages.

        The newest come first. `cursor` is that of the previous page; `limit` is at most 50. What
        else waits for them is in :class:`Synchronised`: invitations, and unread private messages.

        Raises:
            ChatError: ``bad_cursor``: the cursor is not one of these.
        """
        request = wire.Activity(cursor=cursor or "", limit=limit)
        page = await self._requester.call(request, wire.ActivityList)
        return convert.to_activity(page, self.name)

    async def mark_activity(self, seen: datetime) -> None:
        """Move forward up to when the person has seen their activity, for all their devices."""
        await self._requester.call(wire.MarkActivity(seen=milliseconds(seen)), wire.Ok)

    # -- people and conversations ---------------------------------------------------------------

    async def who(self) -> list[Person]:
        """Return everyone who is online, by name."""
        return [convert.to_person(one) for one in await pages.people(self._requester.call)]

    async def away(self, text: str | None) -> None:
        """Set the away notice, or clear it with None."""
        await self._requester.call(wire.Away(text=text), wire.Ok)

    async def set_status(
        self, text: str, *, emoji: str = "", duration: timedelta | None = None
    ) -> None:
        """Set the person's status, for everybody to see; or take it back: an empty text, no emoji.

        `text` is one line of at most 80 characters, `emoji` one emoji. It is kept with the account,
        for `duration`, of whole seconds and at most a year, or until it is taken back. Others see
        it in :class:`Presence`, :meth:`who` and :meth:`statuses`.
        """
        seconds = 0 if duration is None else int(duration.total_seconds())
        request = wire.SetStatus(emoji=emoji, text=text, seconds=seconds)
        await self._requester.call(request, wire.Ok)

    async def statuses(self, names: Iterable[str]) -> dict[str, Status]:
        """Return the statuses of those of these people who have one, online or not, by name."""
        found = await pages.statuses(self._requester.call, names)
        return {one.name: convert.to_status(one.status) for one in found if one.status is not None}

    async def conversations(self) -> list[Conversation]:
        """Return the person's conversations, by name."""
        listed = await pages.conversations(self._requester.call)
        return [convert.to_conversation(conversation) for conversation in listed]

    async def set_level(self, conversation: str, level: Level) -> None:
        """Choose what to be notified of in a conversation: ``all``, ``mentions`` or ``none``."""
        await self._requester.call(wire.Mark(conv=conversation, level=level), wire.Ok)


def _seq(entry: MessageRef | int | None) -> int | None:
    return entry if entry is None or isinstance(entry, int) else entry.seq
