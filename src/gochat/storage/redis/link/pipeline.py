"""Pipeline workers: threads that send all waiting requests to Redis together.

A request is an *operation*: a generator that yields lists of commands, receives their replies, and
returns the result. A worker takes all waiting operations and sends the commands of all as one
pipeline; with the replies it resumes all of them, until each has its result. So a round trip costs
the same for one caller as for a hundred, and operations of two round trips take two, however many
there are.

A worker has a thread and connections of its own (:mod:`gochat.storage.common.worker`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec
import structlog
from msgspec import Struct

from gochat.chat.health import StoreHealth
from gochat.chat.log import Together
from gochat.errors import ConfigError, StoreCorrupt, StoreUnavailable
from gochat.storage.common.integrity import Integrity
from gochat.storage.common.worker import Job, Worker, running
from gochat.storage.redis.link.epoch_tracker import EpochTracker
from gochat.storage.redis.link.topology import RedisProcess, Topology
from gochat.storage.redis.link.wire import Arguments, Broken, Refused, Reply, Wire, damaged
from gochat.storage.redis.scripts import Script

log = structlog.stdlib.get_logger()

T = TypeVar("T")

#: Errors which mean that another server is the right one now.
_MOVED: Final = frozenset({"MOVED", "ASK", "READONLY", "CLUSTERDOWN", "MASTERDOWN"})
#: The message where keys were evicted or deleted.
GONE: Final = (
    "keys of a conversation have vanished from Redis, evicted or deleted: restore a backup"
)
#: Errors that pass, or that an administrator can resolve.
_TEXTS: Final = {
    "ASK": "a slot of the cluster is being moved",
    "BUSY": "Redis is busy with a script",
    "CLUSTERDOWN": "the Redis cluster is down",
    "GONE": GONE,
    "LOADING": "Redis is loading its data",
    "MASTERDOWN": "the Redis master is down",
    "MISCONF": "Redis can't write to its disk",
    "MOVED": "a slot of the cluster was moved",
    "NOAUTH": "Redis authentication failed: the user or the password has changed",
    "NOPERM": "the Redis user lacks a permission that gochat needs",
    "NOREPLICAS": "Redis has not enough replicas to write",
    "NOSCRIPT": "Redis has forgotten gochat's scripts",
    "OOM": "Redis is out of memory",
    "READONLY": "this Redis is a replica",
    "TRYAGAIN": "a slot of the cluster is being moved",
    "UNBLOCKED": "Redis has become a replica",
}

#: The messages that every client may see; for others, only that the store can't be reached.
_PUBLIC: Final = {
    "LOADING": "the server's store is starting",
    "MISCONF": "the server's store can't write to its disk",
    "OOM": "the server's store is out of memory",
}


class RedisCommand(Struct, frozen=True):
    """A command for the server of a partition; or a script, whose first argument is the epoch.

    That is `epoch` or, without it, the one that this node assumes when it sends the command. With
    `may_be_refused`, the reply is None if Redis does not know or not permit the command, or finds
    it wrong; any other error means that it can't be executed now.
    """

    partition: int
    words: Arguments
    script: Script | None = None
    keys: int = 0
    epoch: str | None = None
    may_be_refused: bool = False


#: An operation: yields commands, receives their replies, returns the result.
Operation: TypeAlias = Generator[Sequence[RedisCommand], list[Reply], T]


def call(partition: int, script: Script, keys: Sequence[str], *arguments: Any) -> RedisCommand:
    """Return the command that runs a script. All keys must be in the partition."""
    return RedisCommand(partition, (*keys, *arguments), script, len(keys))


class WorkerConnections:
    """The connections of one thread."""

    def __init__(self, topology: Topology, epoch_tracker: EpochTracker, timeout: float) -> None:
        self._topology = topology
        self._epoch_tracker = epoch_tracker
        self._timeout = timeout
        self._wires: dict[RedisProcess, Wire] = {}

    def execute(self, commands: Sequence[RedisCommand]) -> list[Reply | Exception]:
        """Send commands, each to its server, and return their replies or their errors.

        Commands for the same partition are executed in order.
        """
        results: list[Reply | Exception] = [None] * len(commands)
        by_wire: dict[Wire, list[int]] = {}
        wires: dict[int, Wire] = {}  # whether one is stale is a system call: once a partition
        for index, command in enumerate(commands):
            try:
                wire = wires.get(command.partition)
                if wire is None:
                    wire = wires[command.partition] = self.wire(command.partition)
                by_wire.setdefault(wire, []).append(index)
            except Broken as broken:
                results[index] = StoreUnavailable(str(broken))
            except ConfigError as error:
                results[index] = StoreUnavailable(str(error))
            except StoreCorrupt as damage:
                results[index] = damage
        sent = []
        for wire, indexes in by_wire.items():
            try:
                wire.send(self._words(commands[index]) for index in indexes)
                sent.append((wire, indexes))
            except Broken as broken:
                self._failed(wire, indexes, broken, results)
        for wire, indexes in sent:
            try:
                replies = wire.receive(len(indexes))
            except Broken as broken:
                self._failed(wire, indexes, broken, results)
            else:
                for index, reply in zip(indexes, replies, strict=True):
                    results[index] = self._result(wire, commands[index], reply)
        return results

    def wire(self, partition: int) -> Wire:
        """Return a connection to the server of a partition whose epoch was checked.

        Raises Broken, ConfigError, StoreCorrupt.
        """
        server = self._topology.server(partition)
        if server.refusal:  # the reader of its feed checks whether it has recovered
            raise Broken(server.refusal)
        wire = self._wires.get(server)
        if wire is not None and wire.is_stale():
            self._drop(wire)
            wire = None
        if wire is None:
            wire = self._connect(server)
        if not self._epoch_tracker.is_attached(partition, wire):
            self._attach(server, wire)
        return wire

    def close(self) -> None:
        """Close all connections."""
        for wire in tuple(self._wires.values()):
            wire.close()
        self._wires.clear()

    def _connect(self, server: RedisProcess) -> Wire:
        try:
            wire = server.connect(self._timeout)
        except Broken:
            self._topology.doubt()
            raise
        if wire.role != "master":
            wire.close()
            self._topology.doubt()
            raise Broken(f"Redis at {wire.host} is a replica")
        self._wires[server] = wire
        return wire

    def _attach(self, server: RedisProcess, wire: Wire) -> None:
        # All partitions of this server together: usually none of them is checked yet.
        topology = self._topology
        here = [p for p in range(topology.partitions) if topology.server(p) is server]
        try:
            self._epoch_tracker.ensure(here, wire)
        except Refused as refused:
            self._drop(wire)
            if refused.code in _MOVED:
                topology.doubt()
            raise Broken(f"Redis at {wire.host}: {refused}") from refused
        except Broken:
            self._drop(wire)
            server.failed()
            raise

    def _words(self, command: RedisCommand) -> Arguments:
        if command.script is None:
            return command.words
        keys, arguments = command.words[: command.keys], command.words[command.keys :]
        epoch = command.epoch
        if epoch is None:
            epoch = self._epoch_tracker.epoch(command.partition)
        return ("EVALSHA", command.script.sha, command.keys, *keys, epoch, *arguments)

    def _result(
        self, wire: Wire, command: RedisCommand, reply: Reply | Refused
    ) -> Reply | Exception:
        if not isinstance(reply, Refused):
            return reply
        if command.may_be_refused and reply.code in ("", "NOPERM"):
            return None
        if reply.code in _MOVED or reply.code in ("NOSCRIPT", "UNBLOCKED"):
            self._topology.doubt()
            self._drop(wire)
        if reply.is_damage:
            return damaged(wire.host, reply)
        text = _TEXTS.get(reply.code, str(reply) if command.may_be_refused else None)
        if text is None:
            return RuntimeError(f"Redis refused a command of gochat: {reply}")
        return StoreUnavailable(f"{text} ({wire.host})", public=_PUBLIC.get(reply.code))

    def _failed(
        self, wire: Wire, indexes: list[int], broken: Broken, results: list[Reply | Exception]
    ) -> None:
        for server, known in tuple(self._wires.items()):
            if known is wire:
                server.failed()
        self._drop(wire)
        self._topology.doubt()
        for index in indexes:
            results[index] = StoreUnavailable(str(broken))

    def _drop(self, wire: Wire) -> None:
        wire.close()
        self._wires = {server: known for server, known in self._wires.items() if known is not wire}


class _Job(Job[T]):
    __slots__ = ("operation", "together", "wanted")

    def __init__(
        self,
        operation: Operation[T],
        done: Callable[[T | None, Exception | None], None] | None = None,
        requests: int = 1,
        together: Together | None = None,
    ) -> None:
        super().__init__(done, requests)
        self.operation = operation
        self.together: Final = together
        self.wanted: Sequence[RedisCommand] = ()

    def go_on(self, replies: list[Reply] | None) -> bool:
        """Pass the replies on and take the next commands; return False if the operation is done."""
        try:
            failure = next((r for r in replies or () if isinstance(r, Exception)), None)
            if failure is not None:
                self.wanted = self.operation.throw(failure)
            elif replies is None:
                self.wanted = next(self.operation)
            else:
                self.wanted = self.operation.send(replies)
        except StopIteration as stop:
            self.result = stop.value
            return False
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.error = StoreCorrupt(f"the data in Redis is damaged: {error}")
            return False
        except Exception as error:
            self.error = error
            return False
        return True


class PipelineWorker(Worker[_Job[object]]):
    """Carry out operations.

    Create it with :func:`open_pipeline_worker`; use it in the Trio thread.
    """

    def __init__(
        self,
        name: str,
        connections: WorkerConnections,
        integrity: Integrity,
        health: StoreHealth,
        settled: Callable[[], None] | None,
    ) -> None:
        super().__init__(name, integrity, health)
        self._connections = connections
        self._settled = settled

    async def carry_out(self, operation: Operation[T]) -> T:
        """Carry out an operation, together with those of other callers; return its result.

        If the caller is cancelled, the operation is still carried out.

        Raises:
            StoreUnavailable: Redis can't be reached, or refuses; sent commands may have been
                executed.
            StoreCorrupt: the data is damaged. Nothing is sent from then on.
        """
        return await self.wait_for(_Job(operation))

    def submit(
        self,
        operation: Operation[T],
        done: Callable[[T | None, Exception | None], None],
        requests: int,
        together: Together,
    ) -> None:
        """Carry out an operation for so many requests as :meth:`carry_out` does; never wait.

        `done` is called in the Trio thread, before this returns or later, inside `together`.
        """
        job = cast("_Job[object]", _Job(operation, done, requests, together))
        try:
            self.require_open()
        except StoreUnavailable as error:
            job.error = error
            job.finished()
        else:
            self._submit(job)

    def _settle(self, jobs: list[_Job[object]]) -> None:
        with ExitStack() as stack:
            for together in {job.together for job in jobs}:
                if together is not None:
                    stack.enter_context(together())
            if self._settled is not None:
                self._settled()
            self._finish(jobs)

    # -- in the worker's thread -------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while (group := self._take()) is not None:
                self._carry_out(group)
        finally:
            self._connections.close()

    def _carry_out(self, group: list[_Job[object]]) -> None:
        began = time.perf_counter()
        active = group
        replies: list[list[Reply] | None] = [None] * len(active)
        while active:
            done: list[_Job[object]] = []
            going: list[_Job[object]] = []
            for job, answer in zip(active, replies, strict=True):
                (going if job.go_on(answer) else done).append(job)
                if isinstance(job.error, StoreCorrupt):
                    self._integrity.lose(job.error)
            if done:
                self._trio.run_sync_soon(self._settle, done)
            active = going
            replies = self._execute(active)
        if self._settled is not None and not any(job.error for job in group):  # it writes
            requests = sum(job.requests for job in group)
            self._health.committed(time.perf_counter() - began, requests)

    def _execute(self, jobs: list[_Job[object]]) -> list[list[Reply] | None]:
        if not jobs:
            return []
        try:
            self._integrity.require()
        except StoreCorrupt as damage:  # an exception each, since each is raised in another task
            return [[StoreCorrupt(str(damage))] for _ in jobs]
        commands = [command for job in jobs for command in job.wanted]
        try:
            results = iter(self._connections.execute(commands))
        except Exception as error:  # a bug: callers must learn of it, and the worker continues
            log.exception("pipeline worker failed")
            return [[error] for _ in jobs]
        return [[next(results) for _ in job.wanted] for job in jobs]


@asynccontextmanager
async def open_pipeline_worker(
    name: str,
    connections: WorkerConnections,
    integrity: Integrity,
    health: StoreHealth,
    settled: Callable[[], None] | None = None,
) -> AsyncIterator[PipelineWorker]:
    """Run a worker inside the block; `health` records failures under its name.

    Leaving the block waits for all submitted operations. `settled` is called in the Trio thread
    whenever some operations are done, before their callers are woken.
    """
    worker = PipelineWorker(name, connections, integrity, health, settled)
    async with running(worker, f"gochat redis {name}"):
        yield worker
