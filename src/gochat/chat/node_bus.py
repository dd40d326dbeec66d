"""What the nodes of one deployment publish besides the log: who is where, who is typing.

The log says what was said, and loses nothing. This is what passes: it may come late, and in an
outage what is only of the moment (typing) may be lost. Who is online mends itself: each node keeps
a lease and publishes again what it has when it was away; a node whose lease ends is taken to be
gone, and its people with it.

What was revoked must not be late or lost: who publishes it can wait until all nodes have acted on
it. A node that may have missed something is notified (:class:`Missed`), and looks at the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NoReturn, Protocol, TypeAlias

import trio
from msgspec import Struct

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.protocol.messages import IsTyping, Marked, NewLogin

#: A node's name for as long as its process lives.
Node: TypeAlias = str

#: What this node is called in what it receives: its own events come back to it in their turn.
HERE: Final = ""


class _NodeEvent(Struct, frozen=True, array_like=True, tag=True):
    pass


class PersonHere(Struct, frozen=True, array_like=True):
    """Somebody who is online at a node."""

    key: NameKey
    name: str
    away: str | None = None


class Here(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Just these people are online at the node. None: it has stopped, or is taken to be dead."""

    people: tuple[PersonHere, ...] = ()


class Arrived(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Somebody's first session at the node has begun."""

    person: PersonHere


class Left(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Somebody's last session at the node has ended."""

    key: NameKey


class AwaySet(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Somebody has another away notice. Of two at once, the last one in the exchange counts."""

    key: NameKey
    away: str | None


class Typed(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Somebody is typing."""

    conversation: ConversationKey
    person: NameKey
    event: IsTyping


class MarkerMoved(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Somebody has read something, or set a level: for their devices at other nodes."""

    person: NameKey
    event: Marked


class LoginSeen(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Somebody has logged in from a new address: for their sessions at other nodes."""

    person: NameKey
    event: NewLogin


class Revoked(_NodeEvent, frozen=True, array_like=True, tag=True):
    """Sessions of somebody end: those that hold the token with this `digest`; or, if that is None,
    those whose password or token is of a generation before `generation`.

    With a `receipt`, a node acknowledges it when these sessions have ended there.
    """

    person: NameKey
    generation: int = 0
    digest: bytes | None = None
    receipt: str = ""


class Acknowledged(_NodeEvent, frozen=True, array_like=True, tag=True):
    """The node has done what an event with this `receipt` says."""

    receipt: str


class Missed(_NodeEvent, frozen=True, array_like=True, tag=True):
    """This node may have missed a :class:`Revoked`. Never published, only received, as
    :data:`HERE`."""


NodeEvent: TypeAlias = (
    Here | Arrived | Left | AwaySet | Typed | MarkerMoved | LoginSeen
    | Revoked | Acknowledged | Missed
)  # fmt: skip

#: Takes what a node publishes, in its order.
Receive: TypeAlias = Callable[[Node, Sequence[NodeEvent]], None]


class NodeBus(Protocol):
    """How a node talks to the others."""

    @property
    def has_lease(self) -> bool:
        """Whether the others still wait for this node to acknowledge, as far as its clock says.
        After having had none it is sent :class:`Missed` before it has one again."""
        ...

    def publish(self, event: NodeEvent) -> None:
        """Tell the other nodes, soon. Never blocks, never raises."""
        ...

    async def confirm(self, revoked: Revoked) -> bool:
        """Tell the other nodes, also if cancelled; return True when each of them has acknowledged
        it or has no lease any more, False if that is not known within little more than a lease.

        `revoked` has a receipt of its own. A node that starts meanwhile needs to know nothing: who
        logs in there is looked up in the store after that.
        """
        ...

    async def run(
        self, receive: Receive, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Take part in the exchange until cancelled; then say that this node has stopped.

        `receive` is called in the Trio thread, and must not block. It is given :class:`Here` of a
        node before anything else of it, but :class:`Revoked`; and of this node itself, as
        :data:`HERE`, only its :class:`AwaySet` and :class:`Missed`. Starts when the nodes that are
        there are known.
        """
        ...
