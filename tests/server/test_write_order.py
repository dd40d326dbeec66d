"""Numbered writes: the server takes only the number that is due, so nothing overtakes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from peers import PASSWORD, Peer, config
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.commits import Outcome
from gochat.chat.log_requests import LogRequest
from gochat.errors import FactsChanged, StoreUnavailable
from gochat.protocol.codec import encode
from gochat.protocol.framing import frame
from gochat.protocol.messages import (
    CreateRoom,
    Edit,
    Error,
    History,
    HistoryPage,
    Join,
    Kick,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Payload,
    React,
    Send,
    Sent,
    SetTopic,
)
from gochat.server.app import open_server
from gochat.server.server import Server

pytestmark = pytest.mark.trio

SENT = "sent"


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that can be opened again."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'chat.db'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    return Nodes(server).url()


@asynccontextmanager
async def logged_in(server: Server, name: str = "mei") -> AsyncIterator[Peer]:
    """A person with all replies, without a network: what is sent at once arrives at once."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_stream, theirs, "memory")
        async with ours:
            peer = Peer(ours)
            await peer.log_in(name, "log")
            yield peer


def say(number: int | None, text: str = "", to: str = "#lobby") -> Send:
    text = text or f"{number}"
    return Send(to=to, text=text, n=number, cid=text, request_id=text)


async def outcomes(peer: Peer, *requests: LogRequest) -> list[str]:
    """Send requests in one segment, and return what each was answered, in order."""
    await peer.send(*requests)
    replies = []
    for request in requests:
        reply = await peer.expect(
            Payload, lambda p: hasattr(p, "request_id") and bool(p.request_id)
        )
        assert reply.request_id == request.request_id  # type: ignore[attr-defined]  # both have one
        if isinstance(reply, Error) and reply.code == "out_of_order":
            assert reply.field == "n"
            replies.append(f"not {request.n}, {reply.args['due']} is due")
        else:
            replies.append(reply.code if isinstance(reply, Error) else SENT)
    return replies


async def texts(peer: Peer, conv: str = "#lobby") -> list[str]:
    page = await peer.ask(History(conv=conv, limit=200), HistoryPage)
    return [entry.text for entry in page.entries if entry.kind == "text"]


async def test_numbered_messages_are_taken_in_order(store: str) -> None:
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        numbers = range(1, 101)
        assert await outcomes(mei, *map(say, numbers)) == [SENT] * 100
        assert await texts(mei) == [str(number) for number in numbers]


@pytest.mark.parametrize("number", [1, 3, 2**53 - 1])
async def test_another_number_than_the_one_due_is_refused(store: str, number: int) -> None:
    """A repeated one, one behind a gap, and the highest; and whatever its `cid` is."""
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        assert await outcomes(mei, say(1)) == [SENT]
        other = say(number, text="1")
        assert await outcomes(mei, other) == [f"not {number}, 2 is due"]
        assert await outcomes(mei, say(2)) == [SENT]
        assert await texts(mei) == ["1", "2"]


async def test_missing_number_refuses_all_behind_it(store: str) -> None:
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        assert await outcomes(mei, say(1), say(3), say(4), say(2), say(3), say(3, "again")) == [
            SENT, "not 3, 2 is due", "not 4, 2 is due", SENT, SENT, "not 3, 4 is due",
        ]  # fmt: skip
        assert await texts(mei) == ["1", "2", "3"]


async def test_final_refusal_uses_its_number_up(store: str) -> None:
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        assert await outcomes(mei, Send(to="#lobby", text="x" * 5000, n=1, request_id="1")) == [
            "text_too_long"
        ]
        assert await outcomes(mei, say(2), say(3, to="@nobody", text="x"), say(4)) == [
            SENT, "unknown_person", SENT,
        ]  # fmt: skip
        assert await outcomes(mei, Join(room="#none", n=5, request_id="5"), say(6)) == [
            "unknown_conversation", SENT,
        ]  # fmt: skip
        assert await texts(mei) == ["2", "4", "6"]


async def test_known_cid_uses_its_number_up(store: str) -> None:
    """On a new connection everything that is not settled is sent again, in order."""
    async with open_server(config(store=store)) as server:
        async with logged_in(server) as mei:
            assert await outcomes(mei, say(1), say(2)) == [SENT, SENT]
        async with logged_in(server) as mei:
            again = [say(1), say(2), say(3)]
            assert await outcomes(mei, *again) == [SENT] * 3
            assert [reply.dup for reply in mei.received if isinstance(reply, Sent)] == [
                True, True, False,
            ]  # fmt: skip
            assert await texts(mei) == ["1", "2", "3"]


async def test_rate_limit_in_a_pipeline_leaves_its_number_due(store: str) -> None:
    limits = config(store=store, burst=2, per_second=1e-6)
    async with open_server(limits) as server, logged_in(server) as mei:
        assert await outcomes(mei, say(1), say(2), say(3), say(4), say(5)) == [
            SENT, SENT, "rate_limited", "not 4, 3 is due", "not 5, 3 is due",
        ]  # fmt: skip
        assert await outcomes(mei, say(3), say(None, "free")) == ["rate_limited"] * 2
        # What comes next need not be what was refused.
        assert await outcomes(mei, say(3, "1")) == [SENT]
        assert await texts(mei) == ["1", "2"]


async def test_refused_writes_take_no_turn_of_the_rate_limit(store: str) -> None:
    limits = config(store=store, burst=2, per_second=1e-6)
    async with open_server(limits) as server, logged_in(server) as mei:
        for number in range(1, 6):
            assert await outcomes(mei, say(number, to="@nobody")) == ["unknown_person"]
            gone = React(to="#lobby", seq=9, emoji="👍", request_id="gone")
            assert await outcomes(mei, gone) == ["unknown_message"]
        assert await outcomes(mei, say(9)) == ["not 9, 6 is due"]
        assert await outcomes(mei, say(6), say(7)) == [SENT, SENT]


async def test_unavailable_store_leaves_the_number_due(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        assert await outcomes(mei, say(1)) == [SENT]

        async def down(*_: object) -> None:
            raise StoreUnavailable("no disk")

        with monkeypatch.context() as patch:
            patch.setattr(server.services.store, "append", down)
            assert await outcomes(mei, say(2), say(3), say(None, "free"), say(4)) == [
                "unavailable", "not 3, 2 is due", "unavailable", "not 4, 2 is due",
            ]  # fmt: skip
            room = CreateRoom(room="#club", n=2, request_id="2")
            assert await outcomes(mei, room) == ["unavailable"]
        assert await outcomes(mei, say(2), say(3), say(4)) == [SENT] * 3
        assert await texts(mei) == ["1", "2", "3", "4"]


async def test_message_refused_in_the_commit_delays_those_behind_it(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the facts that it was based on have changed, every time that it is decided."""
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        append = server.services.store.append
        changes = 4

        async def append_with_changes(drafts: Any) -> Sequence[Outcome]:
            nonlocal changes
            taken = [draft.text for draft in drafts]
            if "2" not in taken or not changes:
                return await append(drafts)
            changes -= 1
            before = drafts[: taken.index("2")]
            return [*(await append(before)), FactsChanged()]

        monkeypatch.setattr(server.services.store, "append", append_with_changes)
        assert await outcomes(mei, say(1), say(2), say(3), say(None, "free"), say(4)) == [
            SENT, "busy", "not 3, 2 is due", SENT, "not 4, 2 is due",
        ]  # fmt: skip
        # Decided once more, it is taken, and those behind it after it.
        assert await outcomes(mei, say(2), say(3), say(None, "too"), say(4)) == [SENT] * 4
        assert await texts(mei) == ["1", "free", "2", "3", "too", "4"]


async def test_removed_sender_is_refused_and_later_messages_go_on(store: str) -> None:
    """The rule that refuses the message in the middle is that of the commit."""
    async with (
        open_server(config(store=store)) as server,
        logged_in(server) as mei,
        logged_in(server, "bob") as bob,
    ):
        await mei.ask(CreateRoom(room="#club"), Sent)
        await bob.ask(Join(room="#club"), Sent)
        await mei.ask(Kick(room="#club", name="bob"), Sent)
        assert await outcomes(bob, say(1), say(2, to="#club"), say(3)) == [
            SENT, "not_a_member", SENT,
        ]  # fmt: skip
        assert await texts(bob) == ["1", "3"]


async def test_malformed_write_leaves_its_number_due(store: str) -> None:
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        good, bad = encode(say(2)), b'{"msg_type":"send","msg_data":"{\\"to\\":1,\\"n\\":1}"}'
        await mei.stream.send_all(encode(say(1)) + frame(bad) + good)
        await mei.expect(Sent)
        assert (await mei.expect(Error)).code == "malformed"
        await mei.expect(Sent)
        assert await texts(mei) == ["1", "2"]


@pytest.mark.parametrize("number", ["0", "-1", "1.5", str(2**53), "true", '"1"'])
async def test_number_out_of_bounds_is_malformed(number: str) -> None:
    data = '{"to":"#lobby","text":"x","n":NUMBER}'.replace("NUMBER", number)
    body = json.dumps({"msg_type": "send", "msg_data": data})
    async with open_server(config()) as server, logged_in(server) as mei:
        await mei.stream.send_all(frame(body.encode()))
        assert (await mei.expect(Error)).code == "malformed"
        assert await outcomes(mei, say(1)) == [SENT]


async def test_all_writes_of_a_connection_have_one_sequence(store: str) -> None:
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        requests: list[LogRequest] = [
            CreateRoom(room="#club", n=1, request_id="1"),
            say(2, to="#club"),
            Edit(to="#club", seq=2, text="edited", n=4, request_id="4"),
            SetTopic(room="#club", topic="news", n=3, request_id="3"),
            Edit(to="#club", seq=2, text="edited", n=4, request_id="4"),
        ]
        assert await outcomes(mei, *requests) == [SENT, SENT, "not 4, 3 is due", SENT, SENT]


async def test_each_connection_counts_its_own(store: str) -> None:
    async with (
        open_server(config(store=store)) as server,
        logged_in(server) as one,
        logged_in(server) as other,
    ):
        assert await outcomes(one, say(1, "a"), say(2, "b")) == [SENT, SENT]
        assert await outcomes(other, say(1, "c"), say(3, "d")) == [SENT, "not 3, 2 is due"]
        assert await outcomes(one, say(3, "e")) == [SENT]


async def test_numbers_begin_again_with_a_login_on_the_same_connection(store: str) -> None:
    async with open_server(config(store=store)) as server, logged_in(server) as mei:
        assert await outcomes(mei, say(1), say(2)) == [SENT, SENT]
        await mei.ask(Logout(), LoggedOut)
        assert await outcomes(mei, say(3)) == ["not_logged_in"]
        await mei.ask(Login(name="mei", password=PASSWORD, caps=("log",)), LoggedIn)
        assert await outcomes(mei, say(3), say(1, "x")) == ["not 3, 1 is due", SENT]


async def test_writes_without_a_number_are_free(store: str) -> None:
    limits = config(store=store, burst=1, per_second=1e-6)
    async with open_server(limits) as server, logged_in(server) as mei:

        def free(text: str) -> Send:
            return say(None, text)

        assert await outcomes(mei, free("a"), say(7), free("b"), free("a"), say(1, "a")) == [
            SENT, "not 7, 1 is due", "rate_limited", SENT, SENT,
        ]  # fmt: skip
