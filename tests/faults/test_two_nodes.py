"""Two nodes on one Redis: clients of one notice the other's death only by the missing people."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from gochat_faults.server_process import ServerProcess
from gochat_faults.site import open_site
from peers import Peer, RunningServer

from gochat.protocol.messages import Bye, Error, Message, Presence, Send, Sent

pytestmark = pytest.mark.trio


def at(node: ServerProcess) -> RunningServer:
    return RunningServer("127.0.0.1", node.port, trio.Event())


def gone(peer: Peer) -> list[str]:
    return sorted(name for m in peer.received if isinstance(m, Presence) for name in m.offline)


async def test_death_of_a_node_does_not_affect_clients_of_the_other(tmp_path: Path) -> None:
    """Their connections survive, their messages arrive; the dead node's people leave, once."""
    async with open_site("redis", tmp_path, {}) as site:
        one, two = site.nodes
        async with (
            at(one).peer("mei", "log") as mei,
            at(one).peer("bob", "log") as bob,
            at(two).peer("eve"),
            at(two).peer("zoe"),
            at(two).peer("mei"),  # who has a device there, too
            trio.open_nursery() as nursery,
        ):
            await mei.until_online("mei", "bob", "eve", "zoe")
            is_talking = True
            said = 0

            async def talk() -> None:
                nonlocal said
                while is_talking:
                    await mei.ask(Send(to="#lobby", text=f"{said}", cid=f"c{said}"), Sent)
                    said += 1
                    await trio.sleep(0.01)  # as fast as a busy room, not as a flood

            nursery.start_soon(talk)
            await bob.text(lambda m: m.text == "10")
            two.kill()
            said_before = said
            while gone(bob) != ["eve", "zoe"]:
                await bob.receive()
            assert said > said_before + 10, "nobody waits for the lease to end"
            await two.wait()
            await two.start()
            async with at(two).peer("eve", "log") as eve:
                await bob.sees(online="eve")
                await eve.ask(Send(to="#lobby", text="I am back"), Sent)
                await bob.text(lambda m: m.text == "I am back")
                assert gone(bob) == ["eve", "zoe"], "told once, and of nobody else"
                await eve.until_online("mei", "bob", "eve")
            is_talking = False
    heard = [m.text for m in bob.received if isinstance(m, Message) and m.from_ == "mei"]
    assert heard == [f"{n}" for n in range(len(heard))]
    assert len(heard) > 50
    assert not any(isinstance(m, Bye | Error) for m in (*mei.received, *bob.received))
