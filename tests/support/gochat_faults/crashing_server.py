"""``gochat serve`` that kills itself at a point of its work: a script, for the fault runs only.

::

    python crashing_server.py committed:137,frame:20 serve --port 0 …

dies by SIGKILL when it reaches ``committed`` for the 137th time, or ``frame`` for the 20th. The
points are where a kill from outside hardly ever hits, such as between the commit and the
acknowledgement. They are patched into the server's classes from here, so the server has none.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

from gochat.chat.log import Appended, Draft, Submission, Unchanged
from gochat.cli import main
from gochat.errors import ChatError
from gochat.server import delivery, outlets
from gochat.storage.indexing import turns
from gochat.storage.indexing.turns import TurnsHere
from gochat.storage.redis import RedisStore
from gochat.storage.redis.link import wire
from gochat.storage.redis.parts import Parts
from gochat.storage.sqlite import SqliteStore, checkpoints, indexer, pace
from gochat.storage.sqlite.checkpoints import Checkpoints
from gochat.storage.sqlite.indexing_process import IndexingProcess
from gochat.storage.sqlite.log import Log


class Bomb:
    """Counts how often each point is reached, and ends the process at the chosen one."""

    def __init__(self, setting: str) -> None:
        self._left: dict[str, int] = {}
        for part in filter(None, setting.split(",")):
            point, _, count = part.partition(":")
            self._left[point] = int(count or 1)

    def has(self, point: str) -> bool:
        """Return whether the process may end at `point`."""
        return point in self._left

    def is_due(self, point: str) -> bool:
        """Count a visit to `point`; return whether it is the chosen one."""
        if point not in self._left:
            return False
        self._left[point] -= 1
        return self._left[point] == 0

    def at(self, point: str) -> None:
        """Die here, if this is the chosen visit."""
        if self.is_due(point):
            self.explode(point)

    def explode(self, point: str) -> None:
        """Die, and log where."""
        os.write(2, json.dumps({"event": "crash", "point": point}).encode() + b"\n")
        os.kill(os.getpid(), signal.SIGKILL)
        while True:  # no other thread may continue from here either
            signal.pause()


def _around(store: type[SqliteStore | RedisStore], bomb: Bomb) -> None:
    append: Any = store.append

    @functools.wraps(append)
    async def append_and_die(
        self: Any, drafts: Sequence[Draft]
    ) -> list[Appended | Unchanged | ChatError]:
        bomb.at("append")  # the request was read; nothing was written
        appended: list[Appended | Unchanged | ChatError] = await append(self, drafts)
        bomb.at("ack")  # committed and delivered, but not acknowledged
        return appended

    store.append = append_and_die  # type: ignore[method-assign] # that is what this is for
    submit: Any = store.submit

    @functools.wraps(submit)
    def submit_and_die(self: Any, submissions: Sequence[Submission], together: Any) -> None:
        def dying(done: Any) -> Any:
            def acknowledge_and_die(outcomes: Any) -> None:
                bomb.at("ack")
                done(outcomes)

            return acknowledge_and_die

        bomb.at("append")
        deadly = [Submission(drafts, dying(done)) for drafts, done in submissions]
        submit(self, deadly, together)

    store.submit = submit_and_die  # type: ignore[method-assign] # likewise


def _around_redis(bomb: Bomb) -> None:
    send, settled = wire.Wire.send, Parts.settled

    def send_and_die(self: wire.Wire, commands: Iterable[wire.Arguments]) -> None:
        send(self, commands)
        if threading.current_thread().name == "gochat redis writer":
            bomb.at("sent")  # sent to Redis; nobody will read the reply

    def settle_and_die(self: Any) -> None:
        if self.log.appended:
            bomb.at("committed")  # Redis has it; nobody here knows
        settled(self)

    wire.Wire.send = send_and_die  # type: ignore[method-assign] # that is what this is for
    Parts.settled = settle_and_die  # type: ignore[method-assign] # likewise


def _around_sqlite(bomb: Bomb) -> None:
    commit, merge, extend = Log.commit, turns.merge, TurnsHere.extend
    send, receive = IndexingProcess._send, IndexingProcess._receive

    def commit_and_die(self: Log) -> Any:
        if self._appended:
            bomb.at("insert")  # written, in a transaction that is still open
        batch = commit(self)
        if batch is not None:  # on disk; nobody knows
            is_here = threading.current_thread() is threading.main_thread()
            bomb.at("committed here" if is_here else "committed apart")
        return batch

    run = Checkpoints._run

    def checkpoint_and_die(self: Checkpoints, counted: float) -> None:
        run(self, counted)
        bomb.at("checkpoint")  # the next commit is the first of a new log

    def merge_and_die(index: sqlite3.Connection, pages: int) -> None:
        merge(index, pages)
        bomb.at("index")  # the full-text index is written, in a transaction that is still open

    def extend_and_die(self: TurnsHere, *args: Any) -> Any:
        extended = extend(self, *args)
        bomb.at("indexed")  # on disk
        return extended

    def send_and_die(self: IndexingProcess, request: bytes) -> None:
        send(self, request)
        bomb.at("index asked")  # the process is left behind with a turn to run

    def receive_and_die(self: IndexingProcess) -> bytes:
        reply = receive(self)
        bomb.at("index told")
        return reply

    Log.commit = commit_and_die  # type: ignore[method-assign] # that is what this is for
    Checkpoints._run = checkpoint_and_die  # type: ignore[method-assign] # likewise
    checkpoints.PAGES = 100  # type: ignore[misc] # so that there are many
    pace.LIMIT = pace.LIMIT_APART = inf  # type: ignore[misc] # so that both commit, however busy
    turns.merge = merge_and_die
    TurnsHere.extend = extend_and_die  # type: ignore[assignment, method-assign] # likewise
    IndexingProcess._send = send_and_die  # type: ignore[method-assign] # likewise
    IndexingProcess._receive = receive_and_die  # type: ignore[method-assign] # likewise
    # So that there is one, or none, whatever is said.
    is_apart = bomb.has("index asked") or bomb.has("index told")
    indexer.SOON = inf if is_apart else 0.0  # type: ignore[misc]
    indexer.MANY = 1  # type: ignore[misc]


class _DyingOs:
    """The module `os`, except for one write that is the process's last."""

    def __init__(self, bomb: Bomb) -> None:
        self._bomb = bomb

    def write(self, descriptor: int, data: bytes) -> int:
        """Write everything, or half of it and die."""
        if self._bomb.is_due("frame"):
            os.write(descriptor, data[: len(data) // 2 + 1])
            self._bomb.explode("frame")  # the peer has half a frame
        return os.write(descriptor, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _around_the_sockets(bomb: Bomb) -> None:
    flush = delivery.Delivery.flush

    def flush_and_die(self: delivery.Delivery) -> None:
        dirty = list(self._dirty)
        if len(dirty) > 1 and bomb.is_due("fan-out"):
            for outlet in dirty[: len(dirty) // 2]:
                outlet.flush()
            bomb.explode("fan-out")  # sent to some, and never to the others
        flush(self)

    delivery.Delivery.flush = flush_and_die  # type: ignore[method-assign] # that is what this is for
    assert vars(outlets)["os"] is os
    vars(outlets)["os"] = _DyingOs(bomb)


if __name__ == "__main__":
    the_bomb = Bomb(sys.argv[1])
    _around(SqliteStore, the_bomb)
    _around(RedisStore, the_bomb)
    _around_sqlite(the_bomb)
    _around_redis(the_bomb)
    _around_the_sockets(the_bomb)
    sys.exit(main(sys.argv[2:]))
