"""The faults of a run's servers: one after the other, drawn from the seed.

Each fault completes before the next. Faults that lose data are recorded with what may be lost
(`Shaken`), and wait until all nodes are in step: otherwise, if one node alone has seen an entry,
dies, and Redis loses it at the same moment, no client is left to notice.
"""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import count
from random import Random
from typing import Any, Final

import redis
import trio
from redis_process import RedisServer

from gochat.client import Client, ConnectionLost, Message, Reset
from gochat.errors import ChatError
from gochat_faults.history import Acknowledged, Journal, Said, Shaken
from gochat_faults.recorder import logged_in, move_in
from gochat_faults.server_process import ServerProcess
from gochat_faults.site import Site, StoreKind

#: Where a server can be made to kill itself, and about how often a busy one reaches it before.
CRASH_POINTS: Final[dict[StoreKind, dict[str, int]]] = {
    "sqlite": {
        "append": 200,
        "insert": 100,
        "committed here": 100,
        "committed apart": 100,
        "checkpoint": 5,
        "ack": 200,
        "fan-out": 100,
        "frame": 400,
        "index": 1,
        "indexed": 1,
        "index asked": 1,
        "index told": 1,
    },
    "redis": {
        "append": 200,
        "sent": 100,
        "committed": 200,
        "ack": 200,
        "fan-out": 100,
        "frame": 400,
    },
}
CRASH_POINTS["sentinel"] = CRASH_POINTS["cluster"] = CRASH_POINTS["redis"]

#: The faults of each store, and their relative frequency.
FAULTS: Final[dict[StoreKind, dict[str, float]]] = {
    "sqlite": {"kill": 2, "stop": 1, "freeze": 1, "bomb": 2},
    "redis": {
        "kill": 2, "stop": 1, "freeze": 1, "bomb": 2,
        "kill redis": 2, "kill redis in a sync": 1, "freeze redis": 1.5, "cut link": 1.5,
        "freeze link": 1.5, "empty redis": 0.8, "rewind redis": 1.2,
    },
    "sentinel": {
        "kill": 1, "stop": 0.5, "freeze": 0.5, "bomb": 1,
        "promote": 1, "promote behind": 2,
    },
    "cluster": {
        "kill": 2, "stop": 1, "freeze": 1, "bomb": 2, "kill redis": 2, "freeze redis": 1.5,
    },
}  # fmt: skip

#: Seconds: of a sync during which Redis is killed; for which Redis, with `everysec`, may hold back
#: acknowledged data, plus one for its clock; and within which it must start holding back.
_SYNC_TIME: Final = 1.5
_HELD_BACK: Final = 3.0
_HELD_BACK_WITHIN: Final = 15.0
#: Seconds that nodes get to be in step before data is taken away; otherwise that fault is skipped.
_IN_STEP_WITHIN: Final = 8.0


#: How a node ends that was ended on purpose.
_CODES: Final = {"kill": -signal.SIGKILL, "bomb": -signal.SIGKILL, "stop": 0}


class Breaker:
    """Breaks a site until the time is over; counts the `faults`."""

    def __init__(
        self, site: Site, store: StoreKind, seed: int, journal: Journal, faults: Counter[str]
    ) -> None:
        self._site = site
        self._journal = journal
        self._faults = faults
        self._random = Random(f"{seed}/server")
        self._points = dict(CRASH_POINTS[store])
        self._order = list(self._points)
        self._random.shuffle(self._order)
        self._weights = FAULTS[store]
        self._numbers = count(1)
        #: If nodes wait for replicas, a promotion loses nothing that was acknowledged.
        self.only_unacknowledged = False

    async def run(self, duration: float, every: float) -> None:
        """Cause a fault about every `every` seconds, for `duration`. Raises ServerFailed."""
        deadline = trio.current_time() + duration
        while True:
            await self._pause(every, deadline)
            if trio.current_time() >= deadline:
                return
            await self._do(self._random.choices(list(self._weights), [*self._weights.values()])[0])

    async def run_through(self, faults: Iterable[str], every: float) -> None:
        """Cause these faults, one after the other, about one every `every` seconds."""
        for what in faults:
            await self._pause(every, float("inf"))
            await self._do(what)
        await self._pause(every, float("inf"))

    async def blow_up(self, bombs: Iterable[str]) -> None:
        """Make the first node die by each of `bombs`."""
        node = self._site.nodes[0]
        for bomb in bombs:
            node.kill()
            await node.wait()
            await node.start(bomb)
            await node.wait_ended()
            await self._note_end(node, "by its bomb")

    async def _pause(self, every: float, deadline: float) -> None:
        """Wait for about `every` seconds, or until a node has ended, which is restarted."""
        pause = self._random.expovariate(1 / every)
        with trio.move_on_at(min(deadline, trio.current_time() + pause)):
            await self._site.wait_for_an_end()
        for node in self._site.nodes:
            if not node.is_running:
                await self._start_again(node, "by its bomb")

    async def _do(self, what: str) -> None:
        number = self._random.randrange(len(self._site.nodes))
        node = self._site.nodes[number]
        match what:
            case "kill" | "bomb":
                node.kill()
                await self._start_again(node, what)
            case "stop":
                node.terminate()
                await self._start_again(node, what)
            case "freeze":
                node.freeze()
                await trio.sleep(self._random.uniform(0.1, 3))
                node.thaw()
                self._note("server frozen")
            case "cut link":
                self._site.links[number].cut()
                self._note("link cut")
            case "freeze link":
                link = self._site.links[number]
                link.freeze()
                await trio.sleep(self._random.uniform(0.5, 6))  # the lease is 4
                link.cut()
                link.thaw()
                self._note("link frozen")
            case _:
                await self._shake(what)

    async def _start_again(self, node: ServerProcess, how: str) -> None:
        await self._note_end(node, how)
        if how == "bomb":
            self._order.append(self._order.pop(0))
            often = self._random.randint(1, self._points[self._order[0]])
            await node.start(f"{self._order[0]}:{often}")
        else:
            await node.start()

    async def _note_end(self, node: ServerProcess, how: str) -> None:
        point = await node.wait_for_end(_CODES.get(how))
        self._note(f"server: {how}" if point is None else f"server died at {point}")

    def _note(self, what: str) -> None:
        self._faults[what] += 1
        self._journal.fault(what)

    # -- Redis ----------------------------------------------------------------------------------

    async def _shake(self, what: str) -> None:
        match what:
            case "freeze redis":
                server = self._any_redis()
                server.freeze()
                await trio.sleep(self._random.uniform(0.5, 4))
                server.thaw()
                self._note("Redis frozen")
            case "kill redis":
                await self._kill_redis()
            case "kill redis in a sync":
                await self._kill_redis_in_a_sync()
            case "empty redis":
                await self._empty_redis()
            case "rewind redis":
                await self._rewind_redis()
            case "promote" | "promote behind":
                await self._promote(is_behind=what == "promote behind")
            case _:
                raise AssertionError(what)

    def _any_redis(self) -> RedisServer:
        return self._site.server(self._random.randrange(3))

    async def _kill_redis(self) -> None:
        server = self._any_redis()
        began = self._journal.now()
        server.kill()
        await trio.sleep(self._random.uniform(0, 2))
        await _in_thread(server.start)
        if self._site.cluster is not None:
            await _in_thread(self._site.cluster.wait_until_whole)
        # All data is there. But a node that was just started and arrives first can't know.
        self._shaken(began, "Redis killed")

    async def _kill_redis_in_a_sync(self) -> None:
        """Kill Redis while it holds back acknowledged data, as it does with `everysec`."""
        server, disk = self._site.redis, self._site.disk
        assert server is not None
        assert disk is not None
        if not await self._is_in_step():
            return
        client: Any = redis.Redis(port=server.port)  # whose methods have no useful types
        disk.slow_down(_SYNC_TIME)
        try:
            await _in_thread(lambda: client.config_set("appendfsync", "everysec"))
            with trio.fail_after(_HELD_BACK_WITHIN):
                while not await trio.to_thread.run_sync(_holds_back, client):  # noqa: ASYNC110 -- asks it
                    await trio.sleep(0.01)
            began = self._journal.now()
            self._journal.has_lost_data = True
            server.kill()
        finally:
            disk.slow_down(0)
            client.close()
        await _in_thread(server.start)
        self._shaken(began, "Redis killed in a sync", since=began - _HELD_BACK)

    async def _empty_redis(self) -> None:
        server = self._site.redis
        assert server is not None
        if not await self._is_in_step():
            return
        began = self._journal.now()

        def flush() -> None:
            client: Any = redis.Redis(port=server.port)  # whose methods have no useful types
            client.flushall()
            client.close()

        for node in self._site.nodes:
            node.registered.clear()
        self._journal.has_lost_data = True
        await _in_thread(flush)
        self._shaken(began, "Redis emptied", since=0)

    async def _rewind_redis(self) -> None:
        """Restore Redis to an earlier state, as a backup would."""
        server = self._site.redis
        assert server is not None
        kept = server.directory.with_name("kept")
        since = self._journal.now()
        await _in_thread(lambda: shutil.copytree(server.directory, kept))
        try:
            await trio.sleep(self._random.uniform(0.2, 3))
            if not await self._is_in_step():
                return
            began = self._journal.now()
            self._journal.has_lost_data = True
            server.kill()
            shutil.rmtree(server.directory)
            kept.rename(server.directory)
            await _in_thread(server.start)
            self._shaken(began, "Redis put back", since=since)
        finally:
            shutil.rmtree(kept, ignore_errors=True)

    async def _promote(self, *, is_behind: bool) -> None:
        """Promote the replica; it lacks the data from after it was cut off."""
        watched = self._site.watched
        assert watched is not None
        if not await self._is_in_step():
            return
        since = self._journal.now()
        await _in_thread(watched.wait_until_replicated)
        if is_behind:
            watched.cut_off_replica()
            await trio.sleep(self._random.uniform(0.2, 2))
        began = self._journal.now()
        self._journal.has_lost_data = True
        watched.master.kill()
        await _in_thread(watched.wait_until_promoted)
        await _in_thread(watched.start_the_old_master)
        what = "replica promoted, behind" if is_behind else "replica promoted"
        self._shaken(began, what, since=since, only_unacknowledged=self.only_unacknowledged)

    def _shaken(
        self, began: float, what: str, *, since: float | None = None,
        only_unacknowledged: bool = False,
    ) -> None:  # fmt: skip
        self._note(what)
        now = self._journal.now()
        self._journal.add(Shaken(began, now, what, since, only_unacknowledged))

    async def _is_in_step(self) -> bool:
        """Return whether messages sent at each node appear live at each other one."""
        nodes = self._site.nodes
        with trio.move_on_after(_IN_STEP_WITHIN), suppress(ChatError, ConnectionLost):
            await move_in(nodes[0].url, "auditor", ())
            for speaker in nodes:
                for listener in nodes:
                    if speaker is not listener:
                        await self._is_heard(speaker, listener)
            return True
        self._note("not in step, so nothing was taken away")
        return False

    async def _is_heard(self, speaker: ServerProcess, listener: ServerProcess) -> None:
        name = f"auditor-{next(self._numbers)}"
        journal = self._journal
        async with logged_in(listener, "auditor") as ear, logged_in(speaker, "auditor") as mouth:
            outgoing = mouth.send("#lobby", "do you hear me?")
            journal.add(Said(journal.now(), name, "auditor", "#lobby", outgoing.cid, outgoing.text))
            sent = await outgoing.sent()
            journal.add(
                Acknowledged(journal.now(), name, "auditor", outgoing.cid, sent.epoch, sent.seq)
            )
            await _heard(ear, outgoing.cid)


async def _heard(client: Client, cid: str) -> None:
    async for event in client:
        match event:
            case Message(cid=seen) if seen == cid:
                return
            case Reset(entries=entries) if any(entry.cid == cid for entry in entries):
                return
            case _:
                pass


def _holds_back(client: Any) -> bool:
    return bool(client.info("persistence")["aof_buffer_length"])


async def _in_thread(function: Callable[[], object]) -> None:
    run: Callable[..., Awaitable[object]] = trio.to_thread.run_sync
    await run(function)
