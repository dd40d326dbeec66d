"""Several servers on one Redis are one chat for their people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from gochat_faults.proxy import Proxy, open_proxy
from patience import eventually, until
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import MISSED_WITHIN, Nodes, counted_beats
from redis_process import RedisServer

from gochat.protocol.messages import (
    Away,
    Bye,
    ChangePassword,
    CreateRoom,
    Error,
    Invite,
    Invited,
    IsTyping,
    Join,
    Kick,
    Leave,
    LoggedIn,
    Login,
    Mark,
    Marked,
    MemberList,
    Members,
    Message,
    Ok,
    PasswordChanged,
    Payload,
    People,
    Ping,
    Pong,
    Position,
    Presence,
    Resume,
    Send,
    Sent,
    Sync,
    Synced,
    Typing,
    Who,
)

pytestmark = pytest.mark.trio

StartRedis = Callable[..., RedisServer]


@pytest.fixture
def nodes(redis_server: RedisServer) -> Nodes:
    """Nodes with their own data."""
    return Nodes(redis_server)


@asynccontextmanager
async def two_servers(
    nodes: Nodes, options: str = ""
) -> AsyncIterator[tuple[RunningServer, RunningServer]]:
    configuration = config(store=nodes.url(options))
    async with running_server(configuration) as one, running_server(configuration) as two:
        yield one, two


# -- talking -------------------------------------------------------------------------------------


async def test_message_sent_at_one_node_arrives_at_the_other(nodes: Nodes) -> None:
    async with two_servers(nodes) as (one, two), one.peer("mei") as mei, two.peer("bob") as bob:
        await mei.ask(Send(to="#lobby", text="hello"), Sent)
        assert (await bob.text()).text == "hello"
        await bob.ask(Send(to="@mei", text="psst"), Sent)
        said = await mei.text()
        assert (said.from_, said.to, said.text) == ("bob", "@mei", "psst")


async def test_order_is_the_same_at_all_nodes(nodes: Nodes) -> None:
    readings: dict[str, list[tuple[int, str]]] = {}
    people, rounds = 8, 25
    total = people * rounds

    async def talk(server: RunningServer, name: str) -> None:
        async with server.peer(name, "log") as peer:
            ready.append(name)
            await until(lambda: len(ready) == people)
            await peer.send(*(Send(to="#lobby", text=f"{name} {n}") for n in range(rounds)))
            seen: dict[int, str] = {}
            mine = 0
            while len(seen) < total:
                match await peer.receive():
                    case Message() as message:
                        seen[message.seq] = message.text
                    case Sent() as sent:
                        seen[sent.seq] = f"{name} {mine}"
                        mine += 1
                    case Error() as error:
                        raise AssertionError(error)
            readings[name] = sorted(seen.items())

    ready: list[str] = []
    async with two_servers(nodes) as servers, trio.open_nursery() as nursery:
        for number in range(people):
            nursery.start_soon(talk, servers[number % 2], f"p{number}")
    first, *others = readings.values()
    assert [seq for seq, _ in first] == list(range(1, total + 1))
    assert all(reading == first for reading in others)


async def test_rooms_are_joined_and_left_across_nodes(nodes: Nodes) -> None:
    async with two_servers(nodes) as (one, two):
        async with one.peer("mei", "log") as mei, two.peer("bob", "log") as bob:
            await mei.ask(CreateRoom(room="#garden", private=True), Sent)
            await bob.ask(Join(room="#garden"), Error)
            await mei.ask(Invite(room="#garden", name="bob"), Sent)
            await bob.expect(Invited)
            await bob.ask(Join(room="#garden"), Sent)
            await mei.expect(Message, lambda m: m.kind == "join")
            await mei.ask(Send(to="#garden", text="welcome"), Sent)
            assert (await bob.text(lambda m: m.kind == "text")).text == "welcome"
            await mei.ask(Kick(room="#garden", name="bob"), Sent)
            await bob.expect(Message, lambda m: m.kind == "kick")
            error = await bob.ask(Send(to="#garden", text="still here"), Error)
            assert error.code == "unknown_conversation"


async def test_resume_at_another_node_misses_nothing(nodes: Nodes) -> None:
    async with two_servers(nodes) as (one, two), one.peer("mei") as mei:
        async with one.peer("bob", "log") as bob:
            first = await bob.ask(Send(to="#lobby", text="1"), Sent)
            token = bob.token
        for text in ("2", "3", "4"):
            await mei.ask(Send(to="#lobby", text=text), Sent)
        position = Position(conv="#lobby", epoch=first.epoch, seq=first.seq, ts=first.ts)
        async with two.connect() as bob:
            await bob.ask(Resume(token=token, caps=("log",)), LoggedIn)
            (lobby,) = (await bob.ask(Sync(have=(position,)), Synced)).conversations
            assert not lobby.reset
            assert [entry.text for entry in lobby.entries] == ["2", "3", "4"]
            bob.received.clear()
            await mei.ask(Send(to="#lobby", text="5"), Sent)
            # The node may be behind the page, and bring some of it again.
            assert (await bob.text(lambda entry: entry.seq > lobby.head)).text == "5"


# -- presence ------------------------------------------------------------------------------------


async def test_people_are_listed_once_at_every_node(nodes: Nodes) -> None:
    async with two_servers(nodes) as (one, two), one.peer("mei") as mei:
        await mei.until_online("mei")
        async with two.peer("bob") as bob:
            await mei.sees(online="bob")
            await bob.until_online("mei", "bob")
            async with one.peer("bob"):
                await mei.until_online("mei", "bob")
            await mei.ask(Send(to="#lobby", text="a mark in the order of things"), Sent)
            await mei.until_online("mei", "bob")
            assert not any(isinstance(m, Presence) and m.offline for m in mei.received)
        await mei.sees(offline="bob")
        await mei.until_online("mei")


async def test_away_notice_is_shown_at_all_nodes_and_kept_by_new_sessions(nodes: Nodes) -> None:
    def is_away(name: str, notice: str | None) -> Callable[[Presence], bool]:
        return lambda p: any((one.name, one.away) == (name, notice) for one in p.online)

    async with two_servers(nodes) as (one, two), one.peer("mei") as mei, two.peer("bob") as bob:
        await mei.until_online("mei", "bob")
        await bob.ask(Away(text="lunch"), Ok)
        await mei.expect(Presence, is_away("bob", "lunch"))
        async with one.peer("bob") as phone:
            (found,) = [p for p in (await phone.ask(Who(), People)).people if p.name == "bob"]
            assert found.away == "lunch"
            await phone.ask(Away(text=None), Ok)
            await bob.expect(Presence, is_away("bob", None))


async def test_members_online_at_another_node_are_shown_as_online(nodes: Nodes) -> None:
    async with two_servers(nodes) as (one, two), one.peer("mei") as mei:
        await mei.ask(CreateRoom(room="#garden"), Sent)
        async with two.peer("bob") as bob:
            await bob.ask(Join(room="#garden"), Sent)
            await mei.until_online("mei", "bob")
            listed = (await mei.ask(Members(room="#garden"), MemberList)).members
            assert {(m.name, m.online) for m in listed} == {("mei", True), ("bob", True)}
        await mei.until_online("mei")
        listed = (await mei.ask(Members(room="#garden"), MemberList)).members
        assert {(m.name, m.online) for m in listed} == {("mei", True), ("bob", False)}
        await mei.ask(Leave(room="#garden"), Sent)


# -- devices -------------------------------------------------------------------------------------


async def test_devices_at_different_nodes_stay_in_step(nodes: Nodes) -> None:
    async with two_servers(nodes) as (one, two), two.peer("mei") as mei:
        async with (
            one.peer("bob", "log") as laptop,
            two.peer("bob", "log") as phone,
        ):
            await mei.ask(Send(to="#lobby", text="x"), Sent)
            await laptop.text()
            await laptop.ask(Mark(conv="#lobby", read=1), Ok)
            marked = await phone.expect(Marked)
            assert (marked.conv, marked.read, marked.unread) == ("#lobby", 1, 0)
            await phone.ask(Send(to="@mei", text="from the phone"), Sent)
            assert (await laptop.text()).text == "from the phone"


async def test_typing_is_shown_at_all_nodes_but_not_to_its_author(nodes: Nodes) -> None:
    async with two_servers(nodes) as (one, two), one.peer("mei", "typing") as mei:
        async with two.peer("mei", "typing") as phone, two.peer("bob", "typing") as bob:
            await mei.until_online("mei", "bob")
            await mei.ask(Typing(to="@bob"), Ok)
            shown = await bob.expect(IsTyping)
            assert (shown.from_, shown.to) == ("mei", "@bob")
            await bob.ask(Typing(to="@mei"), Ok)
            assert (await phone.expect(IsTyping)).from_ == "bob"
            assert [m.from_ for m in phone.received if isinstance(m, IsTyping)] == ["bob"]


async def test_changed_password_ends_the_sessions_at_all_nodes(nodes: Nodes) -> None:
    async with two_servers(nodes) as (one, two), one.peer("mei") as mei, two.peer("mei") as phone:
        other = two.peer("bob")
        async with other as bob:
            await mei.ask(ChangePassword(old=PASSWORD, new="another horse"), PasswordChanged)
            *_, bye = await phone.at_end()
            assert isinstance(bye, Bye)
            assert bye.reason == "session_revoked"
            await bob.ask(Send(to="@mei", text="you are still here"), Sent)
            await mei.text()
            async with two.connect() as again:
                error = await again.ask(Resume(token=phone.token), Error)
                assert error.code == "bad_token"
                await again.ask(Login(name="mei", password="another horse"), LoggedIn)


# -- when something fails ------------------------------------------------------------------------


@asynccontextmanager
async def server_behind(nodes: Nodes, options: str) -> AsyncIterator[tuple[Proxy, RunningServer]]:
    async with (
        open_proxy(("127.0.0.1", nodes.server.port)) as proxy,
        running_server(config(store=nodes.url(options, proxy.port))) as server,
    ):
        yield proxy, server


async def test_disconnected_node_is_missed_within_the_lease_and_returns(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = counted_beats(monkeypatch)
    async with (
        running_server(config(store=nodes.url("lease=2"))) as one,
        server_behind(nodes, "lease=2&timeout=1") as (proxy, two),
        one.peer("mei") as mei,
        two.peer("bob", "log") as bob,
    ):
        await mei.until_online("mei", "bob")
        await bob.ask(Ping(), Pong)  # he has received all that comes with his login
        proxy.freeze()
        cut_off = beats()
        await mei.sees(offline="bob")
        assert beats() - cut_off <= MISSED_WITHIN
        await mei.ask(Send(to="#lobby", text="while bob is away"), Sent)
        await bob.send(Send(to="#lobby", text="lost?", cid="c"))
        error = await bob.expect(Error)
        assert (error.code, error.cid) == ("unavailable", "c")
        proxy.heal()
        await mei.sees(online="bob")
        assert (await bob.text()).text == "while bob is away"
        offline = [name for m in mei.received if isinstance(m, Presence) for name in m.offline]
        assert offline == ["bob"], "said once"


async def test_sessions_survive_an_outage_of_redis(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis("--appendonly", "yes"))
    async with two_servers(nodes) as (one, two):
        async with one.peer("mei", "log") as mei, two.peer("bob", "log") as bob:
            await mei.ask(Send(to="#lobby", text="before", cid="b"), Sent)
            await bob.text()
            for peer in (mei, bob):
                await peer.until_online("mei", "bob")
            nodes.server.kill()
            for peer in (mei, bob):
                error = await peer.ask(Send(to="#lobby", text="lost?"), Error)
                assert error.code == "unavailable"
                assert error.retry_after is not None
                assert (await peer.ask(Who(), People)).total == 2
            nodes.server.start()
            await eventually(partial(_is_sent, mei, "after"))
            assert (await bob.text(lambda m: m.text == "after")).seq == 2


async def _is_sent(peer: Peer, text: str) -> bool:
    return isinstance(await peer.ask(Send(to="#lobby", text=text, cid="again"), Payload), Sent)


async def test_sessions_resume_in_the_new_history_after_data_loss(
    start_redis: StartRedis,
) -> None:
    nodes = Nodes(start_redis("--dbfilename", "dump.rdb"))
    async with two_servers(nodes) as (one, two):
        async with one.peer("mei", "log") as mei, two.peer("bob", "log") as bob:
            kept = await mei.ask(Send(to="#lobby", text="kept"), Sent)
            await bob.text()
            with nodes.client() as client:
                client.save()
            lost = await mei.ask(Send(to="#lobby", text="lost", cid="lost"), Sent)
            await bob.text()
            nodes.server.kill()
            nodes.server.start()
            for peer in (mei, bob):
                *_, bye = await peer.at_end()
                assert isinstance(bye, Bye)
                assert (bye.reason, bye.retry_after is not None) == ("internal", True)
        position = Position(conv="#lobby", epoch=lost.epoch, seq=lost.seq, ts=lost.ts)
        async with two.connect() as again:
            await again.ask(Resume(token=mei.token, caps=("log",)), LoggedIn)
            (lobby,) = (await again.ask(Sync(have=(position,)), Synced)).conversations
            assert (lobby.reset, lobby.head) == (True, kept.seq)
            assert lobby.epoch != kept.epoch
            assert [entry.text for entry in lobby.entries] == ["kept"]
            sent = await again.ask(Send(to="#lobby", text="lost", cid="lost"), Sent)
            assert (sent.dup, sent.seq, sent.epoch) == (False, 2, lobby.epoch)
