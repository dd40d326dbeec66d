"""One connection's segment does not hold up other connections."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import inf
from typing import Any

import pytest
import trio
import trio.testing
from patience import PATIENCE
from peers import PASSWORD, Peer, config

from gochat.chat import conversations
from gochat.chat.drafts import Drafts
from gochat.protocol.codec import encode
from gochat.protocol.framing import frame
from gochat.protocol.messages import (
    Bye,
    Login,
    Ping,
    Pong,
    Position,
    Rooms,
    Send,
    Sent,
    SetTopic,
    Sync,
    Who,
)
from gochat.server import session as session_module
from gochat.server.app import open_server
from gochat.server.server import Server
from gochat.server.session import Session
from gochat.server.session_loop import MAX_TOGETHER

pytestmark = pytest.mark.trio

UNKNOWN_TYPE = frame(b'{"msg_type":"xyzzy","msg_data":"{}"}')


class Witness:
    """Runs in every pass of the loop, and records in which pass each step of a session happened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._turn = 0
        self.steps: list[int] = []
        #: The limit is a time, which every operation here exceeds.
        monkeypatch.setattr(session_module, "SLICE", 0.0)
        self.watch(monkeypatch, Session, "reply")
        self.watch(monkeypatch, Drafts, "send")
        self.watch(monkeypatch, conversations, "key")

    def watch(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            self.steps.append(self._turn)
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, noted)

    async def run(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self._turn += 1

    @property
    def most_in_a_turn(self) -> int:
        return max(len(list(steps)) for _, steps in groupby(self.steps))


async def connect(nursery: trio.Nursery, server: Server) -> Peer:
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(server.serve_stream, theirs, "memory")
    return Peer(ours)


@pytest.mark.parametrize(
    "segment",
    [
        [encode(Ping())] * 300,
        [UNKNOWN_TYPE] * 300,
        [encode(Who())] * 100,
        [encode(Rooms(after="#Ａ"))] * 100,
        [encode(Send(to="#lobby", text="hi"))] * 300,  # more than the rate allows
        [encode(Send(to="#nowhere", text="hi", cid=str(n))) for n in range(100)],
        [encode(SetTopic(room="#nowhere", topic="hi"))] * 100,
        [encode(Login(name="mei", password=PASSWORD))] * 100,
        [encode(Ping()), encode(Send(to="#lobby", text="hi")), UNKNOWN_TYPE] * 100,
    ],
    ids=["ping", "unknown", "who", "rooms", "send", "nowhere", "topic", "login", "mixed"],
)
async def test_others_run_between_the_requests_of_a_segment(
    segment: Sequence[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_server(config(burst=20)) as server, trio.open_nursery() as nursery:
        peer = await connect(nursery, server)
        await peer.log_in("mei", "log")
        witness = Witness(monkeypatch)
        nursery.start_soon(witness.run)
        await peer.stream.send_all(b"".join([*segment, encode(Ping(request_id="last"))]))
        await peer.expect_last("last")
        assert len(witness.steps) >= len(segment)
        assert witness.most_in_a_turn <= 5  # a request takes up to three
        nursery.cancel_scope.cancel()


async def test_others_run_between_the_positions_of_a_sync(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_server(config()) as server, trio.open_nursery() as nursery:
        peer = await connect(nursery, server)
        await peer.log_in("mei")
        witness = Witness(monkeypatch)
        nursery.start_soon(witness.run)
        positions = tuple(Position(conv=f"#room{n}", epoch="", seq=0, ts=0) for n in range(300))
        await peer.send(Sync(have=positions), Ping(request_id="last"))
        await peer.expect_last("last")
        assert len(witness.steps) >= len(positions)
        assert witness.most_in_a_turn <= 5
        nursery.cancel_scope.cancel()


async def test_batch_shorter_than_a_slice_does_not_yield(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = config(malformed_frames=1000)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        peer = await connect(nursery, server)
        witness = Witness(monkeypatch)
        monkeypatch.setattr(session_module, "SLICE", inf)
        nursery.start_soon(witness.run)
        await peer.send(*[Ping()] * 300, Ping(request_id="last"))
        await peer.expect_last("last")
        assert witness.most_in_a_turn == 301
        nursery.cancel_scope.cancel()


# -- before the login -----------------------------------------------------------------------------


@pytest.mark.parametrize("together", [1, 100, 1000])
async def test_exactly_the_allowance_is_answered_before_the_login(together: int) -> None:
    """However it is split into segments."""
    size = len(encode(Ping()))
    async with (
        open_server(config(anonymous_bytes=100 * size, malformed_frames=1000)) as server,
        trio.open_nursery() as nursery,
    ):
        peer = await connect(nursery, server)

        async def send() -> None:
            for _ in range(1000 // together):
                await peer.send(*[Ping()] * together)

        nursery.start_soon(send)
        *pongs, bye = await peer.at_end()
        assert isinstance(bye, Bye)
        assert bye.text == "too many bytes before the login"
        assert [type(pong) for pong in pongs] == [Pong] * 100
        nursery.cancel_scope.cancel()


async def test_requests_after_a_login_in_its_segment_do_not_count() -> None:
    async with (
        open_server(config(anonymous_bytes=1024)) as server,
        trio.open_nursery() as nursery,
    ):
        peer = await connect(nursery, server)
        await peer.register("mei")
        sends = [Send(to="#lobby", text="x" * 50) for _ in range(2 * MAX_TOGETHER)]
        assert sum(len(encode(send)) for send in sends) > 10 * 1024
        login = Login(name="mei", password=PASSWORD, caps=("log",))
        await peer.send(login, *sends, Ping(request_id="last"))
        await peer.expect_last("last")
        assert len([m for m in peer.received if isinstance(m, Sent)]) == len(sends)
        nursery.cancel_scope.cancel()


async def test_incomplete_frame_counts_before_the_login() -> None:
    async with (
        open_server(config(anonymous_bytes=1024)) as server,
        trio.open_nursery() as nursery,
    ):
        peer = await connect(nursery, server)
        await peer.stream.send_all((60_000).to_bytes(4, "big") + b"x" * 2000)
        with trio.fail_after(PATIENCE):
            [bye] = await peer.at_end()
        assert isinstance(bye, Bye)
        nursery.cancel_scope.cancel()
