"""What a client reports to its program: the events of ``async for event in client``.

An entry of a log is an event of its own class; see :mod:`gochat.client.entries`. All are immutable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from gochat.client.entries import LogEntry, MessageId
from gochat.client.models import Conversation, Invitation, Person
from gochat.client.outgoing import Outgoing
from gochat.protocol.messages import Level, NewLogin, ServerRole


class Presence(Struct, frozen=True, kw_only=True):
    """Who came online, or changed the away notice or status, and who left.

    A person in both has left and come back, or the reverse; `online` then holds.
    """

    online: tuple[Person, ...] = ()
    offline: tuple[str, ...] = ()


class Marked(Struct, frozen=True, kw_only=True):
    """The person's read marker or level in a conversation changed, here or on another device."""

    conversation: str
    read: int
    unread: int
    mentions: int
    level: Level


class SavedChanged(Struct, frozen=True, kw_only=True):
    """The person has saved a message, or with ``on=False`` no longer, on one of their devices."""

    message: MessageId
    on: bool = True


class ActivityChanged(Struct, frozen=True):
    """What concerns the person has changed, or up to when they have seen it, here or on another
    device: ask by :meth:`~gochat.client.Client.activity`.

    A message that mentions everybody, and what is deleted or edited, is noticed by itself.
    """


class RoleChanged(Struct, frozen=True, kw_only=True):
    """The person's role at the server is `role` now, and was `before`: it was changed while they
    were logged in, or while the client was not connected."""

    role: ServerRole
    before: ServerRole


class Invited(Struct, frozen=True):
    """The person is invited to a room. The invitation is pending until :class:`Uninvited`."""

    invitation: Invitation


class Uninvited(Struct, frozen=True):
    """An invitation to `room` is no longer pending: it was used, declined or withdrawn, or nobody
    can join the room any more."""

    room: str


class PersonBlocked(Struct, frozen=True):
    """The person blocks `name` now, by this device or another one of theirs."""

    name: str


class PersonUnblocked(Struct, frozen=True):
    """The person no longer blocks `name`."""

    name: str


class IsTyping(Struct, frozen=True):
    """`name` is typing in a conversation. It lapses after 6 s."""

    conversation: str
    name: str


class MessagesReported(Struct, frozen=True, kw_only=True):
    """`sender` has reported messages by `names`, and the person may handle that.

    The messages are in the report with this `id`, of :meth:`~gochat.client.Client.reports`, as long
    as nobody has resolved it. After a :class:`Synchronised`, some may have been missed.
    """

    id: int
    time: datetime
    sender: str
    conversation: str
    names: tuple[str, ...]
    reason: str = ""


class ReportClosed(Struct, frozen=True):
    """The report with this `id` is no longer open: somebody has resolved it, here or elsewhere, or
    it is not kept any longer. Of those that the person could handle; otherwise as
    :class:`MessagesReported`."""

    id: int


class ConnectionState(StrEnum):
    """The state of a client's connection to its server."""

    #: Not logged in, and not trying: before the first login, after a logout, or when the server
    #: refused the token. Nothing happens until the program logs in.
    OFFLINE = "offline"
    #: The first login, requested by the program, is in progress.
    CONNECTING = "connecting"
    #: Logged in.
    CONNECTED = "connected"
    #: The connection was lost; the client is restoring it by itself.
    RECONNECTING = "reconnecting"


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The connection's state has changed, or there is more to report about it.

    While RECONNECTING, or CONNECTING to a server that is too busy, `retry_in` is the time until the
    next attempt in seconds, None during an attempt. `reason` is a display text: why the connection
    was lost, or empty.
    """

    state: ConnectionState
    retry_in: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Synchronised:
    """A complete snapshot, after each login and each reconnect, and after events for which there
    was no room: who is online, and the person's conversations with their counts, and their pending
    invitations. It replaces earlier state; later events update it.

    Events from while the snapshot was taken follow it and may already be in it: a message whose seq
    is not above its conversation's `head` here is already counted in `unread` and `mentions`.
    """

    people: tuple[Person, ...]
    conversations: tuple[Conversation, ...]
    invitations: tuple[Invitation, ...] = ()


@dataclass(frozen=True, slots=True)
class Reset:
    """Discard what is shown of a conversation, and show its newest page instead, in the order of
    seq.

    Either the server's log has a new history (another `epoch`, which changes the meaning of every
    seq), or more was missed than is worth fetching. Fetch older entries with
    :meth:`~gochat.client.Client.history`. The entries that follow continue after `entries`.
    """

    conversation: str
    epoch: str
    entries: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True)
class OutgoingChanged:
    """The state of `outgoing` has changed: it was sent, has failed, or is waiting (again)."""

    outgoing: Outgoing


#: All that a client yields.
ClientEvent: TypeAlias = (
    LogEntry | Presence | Marked | ActivityChanged | SavedChanged | RoleChanged
    | Invited | Uninvited | IsTyping | NewLogin
    | PersonBlocked | PersonUnblocked | MessagesReported | ReportClosed
    | StateChanged | Synchronised | Reset | OutgoingChanged
)  # fmt: skip
