"""Single faults of the table in ``docs/explanation/reliability.md``, each with its number there."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import gochat_faults
import pytest
import trio
from gochat_faults.checker import check
from gochat_faults.history import Acknowledged, Journal, Logged, Said
from gochat_faults.proxy import Lane, Plan, open_proxy
from gochat_faults.recorder import OPTIONS, UNHURRIED, logged_in
from gochat_faults.server_process import ServerProcess, open_server
from patience import PATIENCE, until
from peers import Peer

from gochat.client import Client, ClientOptions, Entry, Reset, open_client
from gochat.config import Limits
from gochat.protocol.codec import encode
from gochat.protocol.messages import Bye, Login, Presence, Send, Sent, ServerMessage
from gochat.server.deadlines import LOOK_EVERY
from gochat.tui.model.entries import described

pytestmark = pytest.mark.trio

_PASSWORD = "correct horse"


@asynccontextmanager
async def peer(server: ServerProcess, name: str, *caps: str) -> AsyncIterator[Peer]:
    """Open a bare connection and log it in."""
    async with await trio.open_tcp_stream(*server.address) as stream:
        one = Peer(stream)
        await one.log_in(name, *caps)
        yield one


async def round_trips(one: Peer, other: Peer, times: int = 1) -> None:
    """Make `one` send messages, each of which `other` receives before the next is sent."""
    for number in range(times):
        await one.send(Send(to="#lobby", text=f"{number}"))
        assert (await other.text()).text == f"{number}"


# -- 2: SIGTERM under load ------------------------------------------------------------------------


async def test_server_stopped_under_load_sends_bye_and_loses_no_acked_message(
    tmp_path: Path,
) -> None:
    journal = Journal()
    goodbyes: list[Bye] = []

    async def talk(one: Peer) -> None:
        """Send messages, always with some in flight, until the `bye`."""
        numbers = count()

        async def say(how_many: int) -> None:
            cids = [f"{one.name}-{next(numbers)}" for _ in range(how_many)]
            for cid in cids:
                journal.add(Said(0, one.name, one.name, "#lobby", cid, "x"))
            with suppress(trio.BrokenResourceError):
                await one.send(*(Send(to="#lobby", text="x", cid=cid) for cid in cids))

        await say(20)
        with suppress(trio.EndOfChannel, trio.BrokenResourceError):
            while True:
                message = await one.receive()
                if isinstance(message, Sent):
                    journal.add(
                        Acknowledged(
                            0, one.name, one.name, message.cid or "", message.epoch, message.seq
                        )
                    )
                    await say(1)
        goodbye = one.received[-1]
        assert isinstance(goodbye, Bye), "the goodbye is the last word"
        goodbyes.append(goodbye)
        await one.stream.aclose()

    assert Limits().drain_timeout <= 10
    async with open_server(tmp_path, {"limits.drain_timeout": 2}) as server:
        async with trio.open_nursery() as nursery:
            for number in range(6):
                one = Peer(await trio.open_tcp_stream(*server.address))
                await one.log_in(f"p{number}", "log")
                nursery.start_soon(talk, one)
            async with await trio.open_tcp_stream(*server.address) as stream:
                sloth = Peer(stream)  # does not read, which must not hold up the others
                await sloth.log_in("sloth")
                await until(lambda: len(journal.events) > 3000)
                server.terminate()
                assert await server.wait() == 0
        assert [bye.reason for bye in goodbyes] == ["server_closing"] * 6
        assert all(bye.retry_after for bye in goodbyes)
        await server.start()
        await _read_lobby(server, journal)
    assert sum(isinstance(event, Acknowledged) for event in journal.events) > 500
    assert check(journal.events) == []


async def _read_lobby(server: ServerProcess, journal: Journal) -> None:
    async with logged_in(server, "auditor") as client:
        seq, newer = 0, True
        while newer:
            page = await client.history("#lobby", after=seq, limit=200)
            for e in page.entries:
                kind, text = described(e)
                journal.add(Logged("#lobby", e.epoch, e.seq, kind, e.sender, e.cid, text))
            seq, newer = page.entries[-1].seq if page.entries else seq, page.newer


# -- 12: a frozen client --------------------------------------------------------------------------


async def test_frozen_client_is_evicted_and_misses_nothing_once_thawed(
    tmp_path: Path,
) -> None:
    settings = {"limits.heartbeat_interval": 1, "limits.heartbeat_timeout": 1}
    async with open_server(tmp_path, settings) as server:
        async with (
            peer(server, "bob") as bob,
            peer(server, "eve") as eve,
            reading_client(server, "mei") as (process, lines),
        ):
            await until(lambda: lines == [None])
            await eve.sees(online="mei")
            await round_trips(bob, eve, 20)
            await until(lambda: len(lines) == 21)
            os.kill(process.pid, signal.SIGSTOP)
            try:
                meanwhile, before = 0, len(eve.received)
                while not _is_told_offline(eve.received[before:], "mei"):
                    await round_trips(bob, eve)
                    meanwhile += 1
            finally:
                os.kill(process.pid, signal.SIGCONT)
            assert meanwhile > 5, "somebody waited for the frozen one"
            await eve.sees(online="mei")
            # Some of it was in its own buffers; the resume brought the remainder.
            said = 20 + meanwhile
            await until(lambda: sum(line is not None for line in lines) >= said)
            assert [line[1] for line in lines if line is not None] == list(range(1, said + 1))


def _is_told_offline(events: list[ServerMessage], name: str) -> bool:
    return any(name in event.offline for event in events if isinstance(event, Presence))


async def test_frozen_client_is_evicted_within_35_seconds_by_default() -> None:
    limits = Limits()
    assert limits.heartbeat_interval + limits.heartbeat_timeout + 2 * LOOK_EVERY <= 35


@asynccontextmanager
async def reading_client(
    server: ServerProcess, name: str
) -> AsyncIterator[tuple[trio.Process, list[tuple[str, int] | None]]]:
    """Run a client in its own process, and collect its output."""
    async with peer(server, name):
        pass  # registers
    script = Path(gochat_faults.__path__[0]) / "reading_client.py"
    process = await trio.lowlevel.open_process(
        [sys.executable, str(script), server.url, name, _PASSWORD], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    lines: list[tuple[str, int] | None] = []

    async def collect(output: trio.abc.ReceiveStream) -> None:
        rest = b""
        async for data in output:
            *whole, rest = (rest + data).split(b"\n")
            lines.extend(json.loads(line) for line in whole)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect, process.stdout)
            yield process, lines
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


# -- 13: slow readers -----------------------------------------------------------------------------


async def test_slow_readers_use_bounded_memory_and_miss_nothing(
    tmp_path: Path,
) -> None:
    readers, total = 10, 2500
    # Slow once it is logged in and knows the lobby's head: a client that never knew it has
    # missed nothing.
    slow = Plan(down=Lane(bytes_per_second=1, throttle_after=4000), receive_buffer=2048)
    seen: list[list[int]] = [[] for _ in range(readers)]

    async def read(client: Client, into: list[int]) -> None:
        async for event in client:
            if isinstance(event, Reset):
                into += [entry.seq for entry in event.entries]
            elif isinstance(event, Entry):
                into.append(event.seq)

    async with (
        open_server(tmp_path) as server,
        open_proxy(server.address, lambda _: slow) as proxy,
        peer(server, "bob") as bob,
        peer(server, "eve") as eve,
        trio.open_nursery() as nursery,
    ):
        for number in range(readers):
            async with logged_in(server, f"slow{number}") as client:
                token = client.token
            assert token is not None
            nursery.start_soon(_resume_and_read, proxy.port, token, read, seen[number])
        await until(lambda: len(_logins(server)) >= 2 + 2 * readers)
        before = _resident(server.pid)
        await round_trips(bob, eve, 20)
        text = "x" * 3900
        for _ in range(total // 50):
            await bob.send(*[Send(to="#lobby", text=text)] * 50)
            for _ in range(50):
                await eve.text()
        await round_trips(bob, eve, 50)
        cut = [line for line in server.log() if line.get("reason") == "slow_consumer"]
        assert len(cut) >= readers
        # All messages, for all of them, would be a hundred million bytes.
        assert _resident(server.pid) - before < 40_000_000
        proxy.heal()
        head = 20 + total + 50
        await until(lambda: all(seqs and seqs[-1] == head for seqs in seen))
        for seqs in seen:
            assert seqs == sorted(set(seqs))
            # The newest page has as many as fit a frame: the short ones, and some of the long ones.
            assert seqs[-60:] == list(range(head - 59, head + 1))
        nursery.cancel_scope.cancel()


async def _resume_and_read(
    port: int,
    token: str,
    read: Callable[[Client, list[int]], Awaitable[None]],
    into: list[int],
) -> None:
    async with open_client(f"gochat://127.0.0.1:{port}", options=UNHURRIED) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, client, into)
            await client.resume(token)
            await trio.sleep_forever()


def _logins(server: ServerProcess) -> list[object]:
    return [line for line in server.log() if line["event"] == "logged in"]


def _resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# -- 15: resets in the middle of a frame -----------------------------------------------------------


async def test_connections_reset_in_mid_frame_leave_nothing_behind(
    tmp_path: Path,
) -> None:
    async with open_server(tmp_path) as server, peer(server, "bob") as bob:
        async with peer(server, "mei"):
            await bob.sees(online="mei")
        await bob.sees(offline="mei")
        descriptors = _descriptors(server.pid)
        half = encode(Send(to="#lobby", text="never said"))[:-7]
        for _ in range(30):
            async with peer(server, "mei") as mei:
                await mei.send(Send(to="#lobby", text="said"))
                await mei.stream.send_all(half)
                await bob.text(lambda message: message.text == "said")
                _reset(mei.stream)
        await bob.sees(offline="mei")
        await until(lambda: _descriptors(server.pid) == descriptors)
        async with logged_in(server, "auditor") as client:
            page = await client.history("#lobby")
        assert {described(entry)[1] for entry in page.entries} == {"said"}


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _reset(stream: trio.abc.Stream) -> None:
    assert isinstance(stream, trio.SocketStream)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


# -- 16: lost acknowledgements ---------------------------------------------------------------------


@pytest.mark.parametrize("is_cut", [True, False])
async def test_message_with_a_lost_ack_is_stored_once(tmp_path: Path, is_cut: bool) -> None:
    # Two are never reached, so the connection survives, and only the ack is missing.
    plan = Plan(swallow_acks=1 if is_cut else 2)
    options = OPTIONS if is_cut else ClientOptions(request_timeout=0.5, backoff_base=0.05)
    async with (
        open_server(tmp_path) as server,
        open_proxy(server.address, lambda number: plan if number == 0 else Plan()) as proxy,
    ):
        async with logged_in(server, "mei"):
            pass  # registers
        async with open_client(f"gochat://127.0.0.1:{proxy.port}", options=options) as client:
            await client.log_in("mei", _PASSWORD)
            outgoing = client.send("#lobby", "once")
            with trio.fail_after(PATIENCE):
                sent = await outgoing.sent()
            page = await client.history("#lobby")
            assert [(e.seq, described(e)[1], e.cid) for e in page.entries] == [
                (sent.seq, "once", outgoing.cid)
            ]


# -- 19: one byte after the other ------------------------------------------------------------------


async def test_client_at_a_few_bytes_a_second_is_cut_off_at_the_frame_deadline(
    tmp_path: Path,
) -> None:
    crawl = Plan(up=Lane(bytes_per_second=20))
    async with (
        open_server(tmp_path, {"limits.frame_timeout": 0.5}) as server,
        open_proxy(server.address, lambda _: crawl) as proxy,
        await trio.open_tcp_stream("127.0.0.1", proxy.port) as stream,
    ):
        one = Peer(stream)
        await one.send(Login(name="mei", password=_PASSWORD))
        [bye] = await one.at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "frame_timeout"
        async with peer(server, "bob"):
            pass  # it goes on
