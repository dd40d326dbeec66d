"""A person whose client is ``examples/node/client.mjs``: another language, written from the page.

It is a process that takes messages as lines of JSON, and writes what it shows in the same way. It
keeps its order by numbers, fetches what it missed, and reconnects by itself; only when the store
has lost its account, or a room, it is started anew.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from typing import Any, Final

import msgspec
import trio
from children import child

from gochat.protocol.messages import Message
from gochat_faults.history import (
    Acknowledged,
    Ended,
    Journal,
    Restarted,
    Said,
    Started,
    common_name,
)
from gochat_faults.recorder import PASSWORD, Refused, Talk, move_in
from node import EXAMPLE, node

#: Messages that may wait for their acknowledgement.
MAX_OUTSTANDING: Final = 30
_OPTIONS: Final = ("--backoff", "0.1", "--silence", "3")


class NodeClient:
    """One person, from the first login to the end of the run; used like a
    :class:`~gochat_faults.recorder.Recorder`."""

    def __init__(self, journal: Journal, name: str, talk: Talk) -> None:
        self.name: Final = name
        self.client: Final = name
        self.stop_talking: Final = trio.Event()
        self.acknowledged = 0
        self.clients = 0
        #: Epoch and seq to which the present process has shown each conversation, by common name.
        self.positions: dict[str, tuple[str, int]] = {}
        self._journal = journal
        self._talk = talk
        self._reader = ""
        self._begun: set[str] = set()
        self._is_synced = False
        self._outbox: dict[str, dict[str, str]] = {}
        self._changed = trio.Event()
        self._cids = count(1)

    @property
    def unsettled(self) -> str:
        """Return what is still wrong at the end, when nobody sends anything more; or nothing."""
        if not self._is_synced:
            return f"{self.client} is not logged in"
        return f"{self.client} has not sent {[*self._outbox]}" if self._outbox else ""

    async def run(self, port: int) -> None:
        """Take part through `port`, until cancelled."""
        while True:
            self.clients += 1
            self._reader = f"{self.client}.{self.clients}"
            self._begun.clear()
            self.positions.clear()
            self._is_synced = False
            command = [node(), str(EXAMPLE), "127.0.0.1", str(port), self.name, PASSWORD, *_OPTIONS]
            process = child(
                await trio.lowlevel.open_process(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            try:
                await self._live(process)
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
            self._journal.add(Ended(self._journal.now(), self._reader))
            await move_in(f"gochat://127.0.0.1:{port}", self.name, self._talk.rooms)

    async def _live(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        async with trio.open_nursery() as nursery, process.stdin, process.stdout:
            nursery.start_soon(self._say_things, process.stdin)
            async with aclosing(_lines(process.stdout)) as lines:
                async for line in lines:
                    if not self._note(json.loads(line)):
                        break
                else:
                    raise AssertionError(f"the client of {self.name} ended")
            nursery.cancel_scope.cancel()

    async def _say_things(self, stdin: trio.abc.SendStream) -> None:
        for message in [*self._outbox.values()]:
            await stdin.send_all(json.dumps(message).encode() + b"\n")
        while not self.stop_talking.is_set():
            while len(self._outbox) >= MAX_OUTSTANDING or not self._is_synced:
                await self._changed.wait()
            await self._talk.pause()
            if self.stop_talking.is_set():
                return  # nobody waits for it now
            to, text = self._talk.next()
            cid = f"{self.name}-{next(self._cids)}"
            self._outbox[cid] = {"to": to, "text": text, "cid": cid}
            conversation = common_name(to, self.name)
            self._journal.add(
                Said(self._journal.now(), self.client, self.name, conversation, cid, text)
            )
            await stdin.send_all(json.dumps(self._outbox[cid]).encode() + b"\n")

    def _note(self, event: dict[str, Any]) -> bool:
        """Record what the client tells; return False if it can't go on."""
        match event:
            case {"what": "begun", "conv": conv, "epoch": epoch, "seq": seq}:
                common = common_name(conv, self.name)
                kind = Restarted if common in self._begun else Started
                self._begun.add(common)
                self.positions[common] = (epoch, seq)
                self._journal.add(kind(self._journal.now(), self._reader, common, epoch, seq))
            case {"what": "shown", "entry": entry}:
                message = msgspec.convert(entry, Message)
                common = self._journal.seen(self._reader, self.name, message)
                self.positions[common] = (message.epoch, message.seq)
            case {"what": "forgotten", "conv": conv}:
                self.positions.pop(common_name(conv, self.name), None)
            case {"what": "synced"}:
                self._is_synced = True
            case {"what": "settled", "cid": cid, "epoch": epoch, "seq": seq, "dup": dup}:
                self._outbox.pop(cid, None)
                self.acknowledged += 1
                self._journal.add(
                    Acknowledged(
                        self._journal.now(), self.client, self.name, cid, epoch, seq, dup,
                        is_replicated=False,
                    )
                )  # fmt: skip
            case {"what": "failed" | "refused"}:
                if not self._journal.has_lost_data:
                    raise Refused(f"{self.name}: {event}")
                self._outbox.pop(event.get("cid", ""), None)  # it is abandoned
                return False
            case _:
                raise AssertionError(f"{self.name}: {event}")
        self._changed.set()
        self._changed = trio.Event()
        return True


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncGenerator[bytes, None]:
    buffer = b""
    async for data in stream:
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            yield line
