"""The node bus: what nodes of a deployment publish besides the log, such as presence and typing.

The log has the messages, and loses nothing. Events on the bus may arrive late, and in an outage
short-lived ones (typing) may be lost. Presence repairs itself: each node holds a lease, and after
an interruption publishes its people again; a node whose lease ends counts as gone, and its people
with it.

Revocations must not be late or lost: a node that publishes one can wait until all nodes have acted
on it. A node that may have missed one receives :class:`Missed`, and checks the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NoReturn, Protocol, TypeAlias

import trio
from msgspec import Struct

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.protocol.messages import (
    IsTyping,
    Marked,
    NewLogin,
    ReportClosed,
    Reported,
    SavedChanged,
    Status,
)

#: A node's name, for as long as its process lives.
Node: TypeAlias = str

#: This node's name in events that it receives: it receives some of its own, too, in order.
HERE: Final = ""


class _NodeEvent(Struct, frozen=True, array_like=True, tag=True):
    pass


class PersonHere(Struct, frozen=True, array_like=True):
    """A person who is online at a node."""

    key: NameKey
    name: str
    away: str | None = None
    status: Status | None = None


class Here(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Exactly these people are online at the node. If empty, it has stopped or counts as dead."""

    people: tuple[PersonHere, ...] = ()


class Arrived(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person's first session at the node has begun."""

    person: PersonHere


class Left(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person's last session at the node has ended."""

    key: NameKey


class AwaySet(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person's away notice has changed. Of concurrent changes, the last one on the bus counts."""

    key: NameKey
    away: str | None


class StatusSet(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person's status has changed; otherwise as :class:`AwaySet`."""

    key: NameKey
    status: Status | None


class Typed(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person is typing."""

    conversation: ConversationKey
    person: NameKey
    event: IsTyping


class MarkerMoved(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person's read marker or level has changed: for their devices at other nodes."""

    person: NameKey
    event: Marked


class ActivitySeen(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person has seen their activity: for their devices at other nodes."""

    person: NameKey


class SavedSet(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person has saved a message, or no longer: for their devices at other nodes."""

    person: NameKey
    event: SavedChanged


class RoleSet(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person's role at the server was changed: each node reads what it is now."""

    person: NameKey


class BlockSet(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person blocks somebody, whose name is shown as `name`, or no longer does: for their
    sessions at other nodes."""

    person: NameKey
    name: str
    on: bool


class LoginSeen(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A person has logged in from a new address: for their sessions at other nodes."""

    person: NameKey
    event: NewLogin


class ReportMade(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Somebody has reported messages: for the sessions, at other nodes, of those who handle it."""

    people: tuple[NameKey, ...]
    event: Reported


class ReportGone(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A report is no longer open: as :class:`ReportMade`."""

    people: tuple[NameKey, ...]
    event: ReportClosed


class Revoked(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Some of a person's sessions are revoked.

    They are those that use one of these `tokens`, by their ids; or, if there are none, those whose
    password or token is of a generation before `generation`.

    If it has a `receipt`, a node acknowledges it once these sessions have ended there. `text` says
    why they end, to whom it may concern.
    """

    person: NameKey
    generation: int = 0
    tokens: tuple[bytes, ...] = ()
    receipt: str = ""
    text: str = ""


class NetworkBansChanged(_NodeEvent, frozen=True, array_like=True, tag=True):
    """A ban of a network was set or lifted: each node reads them again, at once."""


class InUse(_NodeEvent, frozen=True, array_like=True, tag=True):
    """The question which tokens of a person connections use. A node acknowledges it with those."""

    person: NameKey
    receipt: str


class Acknowledged(_NodeEvent, frozen=True, array_like=True, tag=True):
    """The node has acted on the event with this `receipt`. `tokens` answers :class:`InUse`."""

    receipt: str
    tokens: tuple[bytes, ...] = ()


class Missed(_NodeEvent, frozen=True, array_like=True, tag=True):
    """This node may have missed a :class:`Revoked`.

    Never published; only received, from :data:`HERE`.
    """


NodeEvent: TypeAlias = (
    Here | Arrived | Left | AwaySet | StatusSet
    | Typed | MarkerMoved | LoginSeen | BlockSet | ActivitySeen | SavedSet | RoleSet
    | ReportMade | ReportGone
    | Revoked | NetworkBansChanged | InUse | Acknowledged | Missed
)  # fmt: skip

#: Receives the events that a node publishes, in order.
Receive: TypeAlias = Callable[[Node, Sequence[NodeEvent]], None]


class NodeBus(Protocol):
    """Connects a node to the others."""

    @property
    def has_lease(self) -> bool:
        """Whether the others still wait for this node to acknowledge, according to its own clock.

        After a time without a lease it receives :class:`Missed` before it has one again.
        """
        ...

    @property
    def nodes(self) -> int:
        """How many nodes there are, as far as this one knows; it counts, too."""
        ...

    def publish(self, event: NodeEvent) -> None:
        """Send an event to the other nodes, soon. Never blocks, never raises."""
        ...

    async def confirm(self, revoked: Revoked) -> bool:
        """Send a revocation to the other nodes, and wait until they acknowledge it.

        It is sent even if this is cancelled. Return True once each of them has acknowledged it or
        has lost its lease, False if that is not known within little more than a lease.

        `revoked` has a receipt of its own. A node that starts meanwhile need not know: it checks
        later logins in the store.
        """
        ...

    async def tokens_in_use(self, person: NameKey) -> frozenset[bytes]:
        """Return the ids of a person's tokens that connections at the other nodes use.

        A node that does not answer within a second or so is left out.
        """
        ...

    async def run(
        self, receive: Receive, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Exchange events with the other nodes until cancelled; then announce that this node stops.

        `receive` is called in the Trio thread, and must not block. It is called with a node's
        :class:`Here` before any other event of it, except :class:`Revoked`; and with events of this
        node itself, as :data:`HERE`, only if they are :class:`AwaySet`, :class:`StatusSet` or
        :class:`Missed`. Calls
        `task_status.started` once the present nodes are known.
        """
        ...
