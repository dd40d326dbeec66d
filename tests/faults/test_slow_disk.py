"""A disk with slow syncs: only writers wait for it, and the event loop never does."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from gochat_faults.server_process import open_server
from peers import Peer
from slow_disk import SlowDisk

from gochat.protocol.messages import History, HistoryPage, Ping, Pong, Send, Sent

pytestmark = pytest.mark.trio

#: Seconds that a sync takes: enough for the others to do something on a busy machine.
SYNC_TIME = 1.0


async def test_slow_sync_holds_up_neither_pings_nor_reading(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path)
    store = f"sqlite:///{tmp_path / 'slow.db'}?synchronous=full"
    async with (
        open_server(tmp_path, store=store, environment=disk.environment) as server,
        await trio.open_tcp_stream(*server.address) as near,
        await trio.open_tcp_stream(*server.address) as far,
    ):
        speaker, reader = Peer(near), Peer(far)
        await speaker.log_in("Mei", "log")
        await reader.log_in("Bob")
        disk.slow_down(SYNC_TIME)
        done_meanwhile = []
        for number in range(3):
            acknowledged, done = trio.Event(), 0

            async def say(acknowledged: trio.Event = acknowledged, number: int = number) -> None:
                sent = await speaker.ask(Send(to="#lobby", text=f"{number}", cid=f"{number}"), Sent)
                assert sent.seq == number + 1
                acknowledged.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(say)
                while not acknowledged.is_set():
                    await reader.ask(Ping(), Pong)
                    page = await reader.ask(History(conv="#lobby", limit=10), HistoryPage)
                    assert page.head in (number, number + 1)
                    done += 1
            done_meanwhile.append(done)
        # The committing thread may first have to learn that the disk is slow; then nobody else
        # notices.
        assert all(done > 1 for done in done_meanwhile[1:])
        disk.slow_down(0)


async def test_event_loop_waits_for_no_sync_over_several_logs(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path)
    store = f"sqlite:///{tmp_path / 'chat.db'}"
    async with (
        open_server(tmp_path, store=store, environment=disk.environment) as server,
        await trio.open_tcp_stream(*server.address) as stream,
    ):
        speaker = Peer(stream)
        await speaker.log_in("Mei", "log")
        at_start = len(disk.syncs())
        checkpoints = 0
        while checkpoints < 2:
            for number in range(50):
                await speaker.ask(Send(to="#lobby", text=f"{number} " * 1000), Sent)
            checkpoints = len(disk.syncs()[at_start:]) // 3  # the log, the file, the new log
        assert set(disk.syncs()[at_start:]) == {"other"}
