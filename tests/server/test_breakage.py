"""Five ways in which servers like this one break, as seen in siblings of the original."""

from __future__ import annotations

import pytest
import trio
from peers import PASSWORD, Peer, config, running_server

from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Bye,
    LoggedIn,
    Login,
    Message,
    Ping,
    Pong,
    Register,
    Send,
    Sent,
)

pytestmark = pytest.mark.trio


async def test_frame_split_over_two_sends_is_one_frame() -> None:
    async with running_server() as server:
        frame = encode(Register(name="mei", password=PASSWORD))
        for cut in (1, 3, 4, 5, len(frame) // 2, len(frame) - 1):
            async with server.connect() as peer:
                await peer.stream.send_all(frame[:cut])
                async with server.connect() as other:  # a round trip: the first part has been read
                    await other.ask(Ping(), Pong)
                await peer.stream.send_all(frame[cut:])
                await peer.receive()
        async with server.connect() as peer:
            await peer.ask(Login(name="mei", password=PASSWORD), LoggedIn)


async def test_flood_is_handled_in_order_while_others_go_on() -> None:
    total = 5000
    async with running_server() as server, server.peer("mei", "log") as mei:
        async with server.peer("bob") as bob, trio.open_nursery() as nursery:

            async def flood() -> None:
                for start in range(0, total, 500):
                    numbers = range(start, start + 500)
                    await mei.send(*[Send(to="#lobby", text=str(n), cid=str(n)) for n in numbers])

            async def collect_acks() -> None:
                for number in range(total):
                    assert (await mei.expect(Sent)).cid == str(number)

            nursery.start_soon(flood)
            nursery.start_soon(collect_acks)
            for number in range(total):
                message = await bob.text()
                assert (message.text, message.seq) == (str(number), number + 1)
                if number == 100:
                    async with server.peer("eve") as eve:
                        await eve.ask(Ping(), Pong)


async def test_64_logins_at_once_all_succeed_and_the_chat_goes_on() -> None:
    # With the real password hash, which would starve the others.
    limits = config(argon2_memory=19456, argon2_time=2)
    async with running_server(limits) as server, server.peer("mei") as mei:
        async with server.peer("bob") as bob, trio.open_nursery() as nursery:
            arrived: list[str] = []

            async def arrive() -> None:
                async with server.connect() as peer:
                    reply = await peer.ask(Login(name="mei", password=PASSWORD), LoggedIn)
                    arrived.append(reply.name)

            for _ in range(64):
                nursery.start_soon(arrive)
            await mei.send(Send(to="#lobby", text="still here"))
            assert (await bob.text()).text == "still here"
            assert len(arrived) < 64, "the message did not wait for all the logins"
    assert arrived == ["mei"] * 64


async def test_concurrent_senders_never_interleave_bytes_at_a_receiver() -> None:
    senders, each = 8, 100
    text = "x" * 3000  # far more than a socket accepts at once
    async with running_server() as server, server.peer("reader") as reader:
        async with trio.open_nursery() as nursery:

            async def talk(name: str) -> None:
                async with server.peer(name, "log") as peer:
                    for number in range(each):
                        await peer.send(Send(to="#lobby", text=f"{name} {number} {text}"))
                        await peer.expect(Sent)

            for index in range(senders):
                nursery.start_soon(talk, f"s{index}")
            # Every frame decodes, and each sender's are in order: none was torn.
            seen = dict.fromkeys((f"s{index}" for index in range(senders)), 0)
            for position in range(senders * each):
                message = await reader.text()
                assert message.seq == position + 1
                name, number, body = message.text.split()
                assert int(number) == seen[name]
                assert body == text
                seen[name] += 1


async def test_stalled_reader_is_evicted_and_nobody_waits_for_it() -> None:
    limits = config(mailbox_bytes=256 * 1024, write_timeout=60)
    async with running_server(limits) as server, server.peer("mei", "log") as mei:
        async with server.peer("bob") as bob, server.peer("sloth") as sloth:
            await bob.sees(online="sloth")
            number = 0
            # The sloth reads nothing. Until it is evicted everyone else gets every message.
            gone = trio.Event()

            async def watch(peer: Peer) -> None:
                await peer.sees(offline="sloth")
                gone.set()

            async with server.peer("watcher") as watcher, trio.open_nursery() as nursery:
                nursery.start_soon(watch, watcher)
                while not gone.is_set():
                    await mei.send(Send(to="#lobby", text=f"{number} " + "x" * 3900))
                    await mei.expect(Sent)
                    assert (await bob.text()).text.startswith(f"{number} ")
                    number += 1
                    assert number < 5000, "the stalled reader was never cut"
            rest = await sloth.at_end()
            # What it was sent is complete and in order; the bye is there if it fitted.
            assert [m.seq for m in rest if isinstance(m, Message)] == [
                n + 1 for n in range(sum(isinstance(m, Message) for m in rest))
            ]
            if rest and isinstance(rest[-1], Bye):
                assert rest[-1].reason == "slow_consumer"
