"""Refused requests are not free, and neither are those without a budget of their own: who sends
many is slowed down, over all connections together, and receives each refusal."""

from __future__ import annotations

import json

import pytest
import trio
from attacker import connection
from patience import PATIENCE
from peers import Peer, config
from trio.testing import MockClock

from gochat.errors import ErrorCode
from gochat.protocol.codec import encode
from gochat.protocol.connection import Connection
from gochat.protocol.framing import frame
from gochat.protocol.messages import (
    Delete,
    Error,
    History,
    HistoryPage,
    LoggedIn,
    Ping,
    Pong,
    React,
    Request,
    Resume,
    Send,
    Sent,
    ServerMessage,
    SetTopic,
)
from gochat.server import session as session_module
from gochat.server.app import open_server
from gochat.server.budget import FRAME, REFUSAL, REFUSED_WRITE
from gochat.server.server import Server

pytestmark = pytest.mark.trio

CONNECTIONS = 6
#: Points available at once, and per second.
BURST, RATE = 150, 50
#: Seconds for which a client floods the server.
FOR = 2.0

UNKNOWN = frame(b'{"msg_type":"xyzzy","msg_data":"{}"}')
BRACKETS = "[" + ",".join(["[]"] * 15_000) + "]"


def large(kind: str, **fields: object) -> bytes:
    """Return a frame of 60 KB with an unknown field, full of data that is expensive to skip."""
    data = json.dumps({**fields, "a": "?"}).replace('"?"', BRACKETS)
    return frame(json.dumps({"msg_type": kind, "msg_data": data}).encode())


class Counts:
    """Counts the frames that a server decodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames = 0
        receive = Connection.receive_message

        def counted(connection: Connection[Request, ServerMessage], body: bytes) -> Request:
            self.frames += 1
            return receive(connection, body)

        monkeypatch.setattr(Connection, "receive_message", counted)


async def devices(server: Server, nursery: trio.Nursery, name: str, number: int) -> list[Peer]:
    """Log a person in on several connections."""
    peers = [connection(server, nursery) for _ in range(number)]
    token = (await peers[0].log_in(name)).token
    for peer in peers[1:]:
        await peer.ask(Resume(token=token), LoggedIn)
    return peers


@pytest.mark.parametrize(
    ("flood", "points"),
    [
        (encode(History(conv="#lobby", limit=100)), FRAME + REFUSAL),
        (encode(Send(to="#lobby", text="x")), FRAME + REFUSAL),
        (encode(Delete(to="#lobby", seq=1)), FRAME + REFUSAL),
        (encode(Send(to=f"@x{'٠' * 20}", text="x")), FRAME + REFUSAL + REFUSED_WRITE),
        (encode(SetTopic(room=f"#x{'٠' * 20}", topic="x")), FRAME + REFUSAL + REFUSED_WRITE),
        (encode(Send(to="#lobby", text="x", n=2**53 - 1)), FRAME + REFUSAL),
        (encode(Ping()), FRAME + 0.1),
        (UNKNOWN, FRAME + REFUSAL),
        (encode(Pong()), FRAME),
        (large("pong"), 1.5),
        (large("xyzzy"), 1.5),
        (large("send", to="#lobby", text="x"), 1.5),
    ],
    ids=[
        "history", "send", "delete", "refused send", "refused topic", "out of order", "ping",
        "unknown", "pong", "large pong", "large unknown", "large send",
    ],
)  # fmt: skip
async def test_flood_gets_no_more_than_its_budget_pays_for(
    flood: bytes, points: float, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mock_clock.rate = 1.0
    limits = config(
        request_budget=BURST, request_budget_per_second=RATE, burst=1, per_second=0.01,
        registrations=10,
    )  # fmt: skip
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        peers = await devices(server, nursery, "mallory", CONNECTIONS)
        counts = Counts(monkeypatch)
        # From here on nothing needs a thread, and time passes as fast as the server works.
        mock_clock.rate = 0.0
        mock_clock.autojump_threshold = 0.0
        allowed = (BURST + FOR * RATE) / points
        # Before it pauses, each may decode the frames that arrive together, once, or one large
        # frame.
        allowed += CONNECTIONS * (256 if len(flood) < 1000 else 1 + FOR)
        for peer in peers:
            await peer.stream.send_all(flood * (1 + int(1.5 * allowed / CONNECTIONS)))
        await trio.sleep(FOR)  # of the mock clock
        assert counts.frames <= allowed
        nursery.cancel_scope.cancel()


async def over_budget(server: Server, nursery: trio.Nursery) -> Peer:
    """Log a person in, and use up their budget."""
    peer = connection(server, nursery)
    await peer.log_in("mei", "log")
    with trio.fail_after(PATIENCE):
        while True:
            await peer.send(History(conv="#lobby", limit=100))
            if isinstance(await peer.receive(), Error):
                return peer


async def test_client_over_budget_gets_each_refusal_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "MAX_PAUSE", 0.01)
    limits = config(request_budget=100, request_budget_per_second=1)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        peer = await over_budget(server, nursery)
        requests: list[Request] = []
        for number in range(40):
            requests.append(History(conv="#lobby", request_id=f"h{number}"))
            requests.append(Send(to="#lobby", text="hi", request_id=f"s{number}"))
        peer.received.clear()
        await peer.send(*requests)
        while getattr(await peer.receive(), "request_id", None) != "s39":
            pass
        replies = [m for m in peer.received if getattr(m, "request_id", None)]
        assert [r.request_id for r in replies] == [r.request_id for r in requests]  # type: ignore[union-attr]  # chosen by having one
        read, sent = replies[::2], replies[1::2]
        assert [type(reply) for reply in sent] == [Sent] * 40
        refused = [reply for reply in read if isinstance(reply, Error)]
        assert refused
        assert all(r.code == ErrorCode.RATE_LIMITED and r.retry_after for r in refused)
        assert all(isinstance(reply, Error | HistoryPage) for reply in read)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("frame", "times"),
    [
        (UNKNOWN, 900),
        (encode(Send(to="#nowhere", text="hi")), 900),
        (encode(Send(to="#lobby", text="hi", cid="1")), 120),  # granted before
        (encode(React(to="#lobby", seq=1, emoji="👍", cid="2")), 120),
    ],
    ids=["unknown", "refused", "send again", "react again"],
)
async def test_refusals_of_every_kind_and_retries_use_up_the_budget(
    frame: bytes, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MAX_PAUSE", 0.001)
    limits = config(request_budget=100, request_budget_per_second=1)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        peer = connection(server, nursery)
        await peer.log_in("mei", "log")
        await peer.ask(Send(to="#lobby", text="hi", cid="1"), Sent)
        await peer.stream.send_all(frame * times)
        await peer.send(History(conv="#lobby", request_id="last"))
        while getattr(last := await peer.receive(), "request_id", None) != "last":
            pass
        assert isinstance(last, Error)
        assert last.code == ErrorCode.RATE_LIMITED
        nursery.cancel_scope.cancel()


async def test_delayed_session_ends_with_its_connection(mock_clock: MockClock) -> None:
    """Not once everything that it has sent is refused."""
    mock_clock.rate = 1.0
    limits = config(request_budget=100, request_budget_per_second=1)
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        peer = await over_budget(server, nursery)
        await peer.send(*[History(conv="#lobby")] * 200)
        await peer.receive()
        mock_clock.rate = 0.0
        mock_clock.autojump_threshold = 0.0
        await peer.stream.aclose()
        await trio.sleep(3)  # of the mock clock
        assert not server.sessions
        nursery.cancel_scope.cancel()
