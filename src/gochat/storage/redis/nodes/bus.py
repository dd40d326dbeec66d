"""The bus between nodes, in Redis: a stream of events, and a lease for each node.

What it has in Redis is in :mod:`gochat.storage.redis.nodes.operations`.

A node renews its lease several times before it expires. When other nodes no longer find the lease,
they consider its people gone. So people are gone within `lease` seconds, and each node notifies its
own sessions, once. A node that was only slow finds its own lease gone, and publishes its people
again.

A node that publishes a revocation waits until each node that had a lease afterwards has
acknowledged it in the stream, or no longer has a lease.

When Redis itself was down, all leases may have expired although all nodes live. So a node that
could not renew its own in time, or finds it gone, waits as long as a lease before it considers any
other node gone.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Final, NoReturn, TypeVar

import msgspec
import structlog
import trio

from gochat.chat.names import NameKey
from gochat.chat.node_bus import (
    HERE,
    Acknowledged,
    Arrived,
    AwaySet,
    Here,
    InUse,
    Left,
    Missed,
    Node,
    NodeEvent,
    PersonHere,
    Receive,
    Revoked,
    StatusSet,
)
from gochat.errors import StoreCorrupt, StoreUnavailable
from gochat.storage.common.integrity import Integrity
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import PipelineWorker
from gochat.storage.redis.link.topology import Topology
from gochat.storage.redis.nodes.event_reader import NodeEventReader
from gochat.storage.redis.nodes.operations import NodeOperations

log = structlog.stdlib.get_logger()

T = TypeVar("T")

#: Renewals per lease. Two may fail.
BEATS: Final = 5
#: Events that may wait to be published. Beyond that, transient ones are dropped, and the people at
#: this node are published anew.
MAX_WAITING: Final = 10_000
#: How many leases to wait for other nodes to acknowledge: a dead node's lease expires within one,
#: and then the others have to notice.
CONFIRM_WITHIN: Final = 1.5
#: Seconds to wait for the answers of other nodes to a question.
ANSWER_WITHIN: Final = 1.0
#: Seconds between two checks which nodes still have a lease.
LOOK_AGAIN: Final = 0.5
#: Seconds in which a stopping node may announce that.
FAREWELL: Final = 1.0
#: Attempts at each step of the start, and seconds in between: Redis was up just now, but may time
#: out once on a busy machine.
START_TRIES: Final = 10
TRY_AGAIN: Final = 0.5


class RedisNodeBus:
    """An :class:`~gochat.chat.node_bus.NodeBus` in Redis."""

    def __init__(
        self,
        keys: Keys,
        topology: Topology,
        worker: PipelineWorker,
        integrity: Integrity,
        *,
        lease: float,
        timeout: float,
    ) -> None:
        self.node: Final = secrets.token_hex(6)
        self._keys = keys
        self._topology = topology
        self._worker = worker
        self._integrity = integrity
        self._timeout = timeout
        self._beat_every = lease / BEATS
        # What a node finds is as old as its last beat.
        self._lease = int((lease - self._beat_every) * 1000)
        self._operations = NodeOperations(keys, self.node, self._lease)
        self._confirm_within = lease * CONFIRM_WITHIN
        self._receipts: dict[str, _Receipt] = {}
        self._leased_until = 0.0  # in the time of the Trio clock
        self._people: dict[NameKey, PersonHere] = {}
        self._waiting: list[NodeEvent] = []
        self._must_republish = False
        self._has_news = trio.Event()
        self._has_doubts = trio.Event()
        self._known: set[Node] = set()
        self._trusts_from = 0.0
        self._receive: Receive = _nobody

    @property
    def has_lease(self) -> bool:
        """See :class:`gochat.chat.node_bus.NodeBus`."""
        return trio.current_time() < self._leased_until

    @property
    def nodes(self) -> int:
        """See :class:`gochat.chat.node_bus.NodeBus`."""
        return len(self._known | {self.node})

    def publish(self, event: NodeEvent) -> None:
        """Publish an event to the other nodes, soon."""
        self._note(event)
        self._waiting.append(event)
        if len(self._waiting) > MAX_WAITING:
            self._drop()
        self._has_news.set()

    async def confirm(self, revoked: Revoked) -> bool:
        """See :meth:`gochat.chat.node_bus.NodeBus.confirm`."""
        return (await self._ask(revoked, self._confirm_within)).is_complete

    async def tokens_in_use(self, person: NameKey) -> frozenset[bytes]:
        """See :meth:`gochat.chat.node_bus.NodeBus.tokens_in_use`."""
        receipt = await self._ask(InUse(person, secrets.token_hex(8)), ANSWER_WITHIN)
        return frozenset(receipt.tokens)

    async def _ask(self, event: Revoked | InUse, within: float) -> _Receipt:
        """Publish an event, and wait until all nodes that had a lease afterwards acknowledge it."""
        receipt = self._receipts[event.receipt] = _Receipt()
        try:
            self.publish(event)
            with trio.move_on_after(within):
                await receipt.published.wait()
                waiting: set[Node] | None = None
                while True:
                    with suppress(StoreUnavailable):
                        # The nodes with a lease; from the second time on, those still with one.
                        alive = await self._prolong()
                        waiting = alive - {self.node} if waiting is None else waiting & alive
                    if waiting is not None and waiting <= receipt.nodes:
                        receipt.is_complete = True
                        return receipt
                    receipt.changed = trio.Event()
                    with trio.move_on_after(LOOK_AGAIN):
                        await receipt.changed.wait()
            return receipt
        finally:
            del self._receipts[event.receipt]

    async def run(
        self, receive: Receive, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """See :meth:`gochat.chat.node_bus.NodeBus.run`."""
        self._receive = receive
        tail = NodeEventReader(
            self._topology,
            self._integrity,
            self._keys.node_events,
            self._timeout,
            take=self.take,
            doubt=self.doubt,
        )
        tail.position = await _patiently(lambda: self._worker.carry_out(self._operations.newest()))
        tail.start()
        try:
            await _patiently(self._beat)
            await _patiently(self._resynchronise)
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_lease)
                nursery.start_soon(self._resynchronise_for_ever)
                await self._publish_for_ever()
        finally:
            tail.stop()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(tail.join)
                with trio.move_on_after(FAREWELL), suppress(StoreUnavailable):
                    await self._worker.carry_out(self._operations.say_goodbye())

    # -- publishing -----------------------------------------------------------------------------

    def _note(self, event: NodeEvent) -> None:
        match event:
            case Arrived(person):
                self._people[person.key] = person
            case Left(key):
                self._people.pop(key, None)
            case AwaySet(key, away) if key in self._people:
                self._people[key] = msgspec.structs.replace(self._people[key], away=away)
            case StatusSet(key, status) if key in self._people:
                self._people[key] = msgspec.structs.replace(self._people[key], status=status)

    def _drop(self) -> None:
        """Drop the events that are transient or can be published again."""
        self._waiting = [n for n in self._waiting if isinstance(n, Revoked | Acknowledged)]
        self._must_republish = True

    async def _publish_for_ever(self) -> NoReturn:
        while True:
            await self._has_news.wait()
            self._has_news = trio.Event()
            events, self._waiting = self._waiting, []
            try:
                if self._must_republish:
                    self._must_republish = False
                    here = tuple(self._people.values())  # the operation runs in a thread
                    await self._worker.carry_out(self._operations.republish(here))
                    # That includes everybody who arrived or left.
                    events = [n for n in events if not isinstance(n, Arrived | Left)]
                if events:
                    await self._worker.carry_out(self._operations.append(events, self._people))
                    for event in events:
                        if isinstance(event, Revoked | InUse) and event.receipt in self._receipts:
                            self._receipts[event.receipt].published.set()
            except StoreUnavailable as error:
                log.debug("node events not published", reason=str(error))
                self._waiting = [*events, *self._waiting]
                self._drop()
                await trio.sleep(error.retry_after)
                self._has_news.set()

    # -- leases ---------------------------------------------------------------------------------

    async def _keep_lease(self) -> NoReturn:
        beaten = trio.current_time()
        while True:
            await trio.sleep(self._beat_every)
            now = trio.current_time()
            if now - beaten > 2 * self._beat_every:
                self._was_away()
            try:
                await self._beat()
            except StoreUnavailable as error:
                log.debug("lease renewal failed", reason=str(error))
            else:
                beaten = trio.current_time()

    async def _beat(self) -> None:
        alive = await self._prolong()
        if trio.current_time() >= self._trusts_from:
            for node in self._known - alive:
                log.info("node lost", node=node)
                self._forget(node)

    def _was_away(self) -> None:
        """Record that other nodes may have missed this one, and that others may be missed, too."""
        self._trusts_from = trio.current_time() + self._lease / 1000
        self._must_republish = True
        self._has_news.set()
        self._receive(HERE, [Missed()])

    async def _prolong(self) -> set[Node]:
        """Renew the lease; return the nodes that have one, including this one."""
        asked = trio.current_time()
        had, alive = await self._worker.carry_out(self._operations.renew_lease())
        if not had:
            self._was_away()
        self._leased_until = max(self._leased_until, asked + self._lease / 1000)
        return alive

    # -- receiving ------------------------------------------------------------------------------

    def take(self, entries: Sequence[tuple[Node, list[NodeEvent]]]) -> None:
        """Take what was read from the stream. Call in the Trio thread."""
        for node, events in entries:
            if node == self.node:
                if own := [event for event in events if isinstance(event, AwaySet | StatusSet)]:
                    self._receive(HERE, own)
                continue
            for event in events:
                match event:
                    case Here():
                        self._known.add(node)
                    case AwaySet(key) | StatusSet(key) if key in self._people:
                        self._note(event)  # for nodes that will read the people at this one
                    case Acknowledged(receipt, tokens) if receipt in self._receipts:
                        self._receipts[receipt].add(node, tokens)
            if node not in self._known:
                events = [event for event in events if isinstance(event, Revoked)]
            if events:
                self._receive(node, events)

    def doubt(self) -> None:
        """Record that events may have been missed. Call in the Trio thread."""
        self._must_republish = True
        self._has_news.set()
        self._has_doubts.set()
        self._receive(HERE, [Missed()])

    async def _resynchronise_for_ever(self) -> NoReturn:
        while True:
            await self._has_doubts.wait()
            self._has_doubts = trio.Event()
            try:
                await self._resynchronise()
            except StoreUnavailable as error:
                await trio.sleep(error.retry_after)
                self._has_doubts.set()

    async def _resynchronise(self) -> None:
        people = await self._worker.carry_out(self._operations.everybody())
        for node, here in people.items():
            self._known.add(node)
            self._receive(node, [Here(here)])

    def _forget(self, node: Node) -> None:
        self._known.discard(node)
        self._receive(node, [Here()])


class _Receipt:
    """The state of an event that must be acknowledged."""

    def __init__(self) -> None:
        self.published = trio.Event()
        self.nodes: set[Node] = set()
        self.tokens: set[bytes] = set()
        self.changed = trio.Event()
        self.is_complete = False

    def add(self, node: Node, tokens: Collection[bytes]) -> None:
        self.nodes.add(node)
        self.tokens.update(tokens)
        self.changed.set()


def _nobody(node: Node, events: Sequence[NodeEvent]) -> None:
    raise AssertionError("the node bus is not running")


async def _patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Retry a step of the start while Redis does not answer. Raises StoreUnavailable."""
    for _ in range(START_TRIES - 1):
        try:
            return await step()
        except StoreCorrupt:
            raise
        except StoreUnavailable as error:
            log.debug("node bus unavailable", reason=str(error))
            await trio.sleep(TRY_AGAIN)
    return await step()
