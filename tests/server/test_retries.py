"""A request repeated with its `cid` gets the first reply, whatever the rules would decide by
now."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs
from peers import Peer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.protocol.messages import (
    CreateRoom,
    Decline,
    Delete,
    Edit,
    Error,
    History,
    HistoryPage,
    Invite,
    Join,
    Kick,
    Leave,
    Ok,
    React,
    Send,
    Sent,
    SetAccess,
    SetHistory,
    SetOperator,
    SetTopic,
    Sync,
    Synced,
)

pytestmark = pytest.mark.trio


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that can be opened again."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'chat.db'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    return Nodes(server).url()


async def done(peer: Peer, *requests: Any) -> Sent:
    return [await peer.ask(request, Sent) for request in requests][-1]


async def refused(peer: Peer, request: Any) -> str:
    return (await peer.ask(request, Error)).code


async def log_of(peer: Peer, conv: str) -> list[tuple[str, str]]:
    page = await peer.ask(History(conv=conv, limit=200), HistoryPage)
    return [(entry.kind, entry.text) for entry in page.entries]


#: Requests that bob is granted, each in a room with rules of its own; and what mei does then.
OF_BOB: Final[dict[str, Any]] = {
    "send": Send(to="#club", text="hello", reply_to=2),
    "edit": Edit(to="#club", seq=4, text="edited"),
    "react": React(to="#club", seq=5, emoji="👍"),
    "delete": Delete(to="#club", seq=6),
    "invite": Invite(room="#club", name="@Eve"),
    "create": CreateRoom(room="#bobs", topic="Roses", private=True),
    "join": Join(room="#hall"),
    "leave": Leave(room="#leaving"),
    "topic": SetTopic(room="#mine", topic="News"),
    "operator": SetOperator(room="#mine", name="Mei"),
    "kick": Kick(room="#mine", name="eve"),
    "access": SetAccess(room="#mine", private=True),
    "history": SetHistory(room="#mine", history="hidden"),
    "demoted": SetOperator(room="#mine", name="bob", on=False),
}


async def test_granted_request_is_never_refused_on_retry(store: str) -> None:
    """Not on another session, after a restart, with other limits, nor when any other request would
    be refused; it takes no token of the rate limit, and nothing is written twice."""
    requests = {cid: structs.replace(request, cid=cid) for cid, request in OF_BOB.items()}
    async with (
        running_server(config(store=store)) as server,
        server.peer("mei") as mei,
        server.peer("eve") as eve,
        server.peer("bob") as bob,
    ):
        await done(mei, CreateRoom(room="#club"), Send(to="#club", text="to reply to"))
        await done(mei, CreateRoom(room="#hall"))
        await done(bob, Join(room="#club"))
        await done(bob, *(Send(to="#club", text=f"{n}") for n in (4, 5, 6)))
        await done(bob, CreateRoom(room="#leaving"))
        await done(mei, Join(room="#leaving"))
        await done(bob, CreateRoom(room="#mine"))
        for one in (mei, eve):
            await done(one, Join(room="#mine"))
        first = {cid: await done(bob, request) for cid, request in requests.items()}
        assert not any(sent.dup for sent in first.values())

        await done(eve, Join(room="#club"))
        await done(mei, *(Delete(to="#club", seq=seq) for seq in (2, 4, 5)))
        await done(mei, Kick(room="#club", name="bob"), SetAccess(room="#club", private=True))
        await done(mei, Kick(room="#hall", name="bob"), SetAccess(room="#hall", private=True))
        await done(mei, Kick(room="#mine", name="bob"))
        logs = {room: await log_of(mei, room) for room in ("#club", "#hall", "#leaving", "#mine")}
        assert await log_of(bob, "#bobs") == [("create", "private"), ("topic", "Roses")]
        again = {cid: await done(bob, request) for cid, request in requests.items()}
        assert again == {
            cid: structs.replace(sent, dup=True, request_id=again[cid].request_id)
            for cid, sent in first.items()
        }

    limits = {"burst": 1, "per_second": 1e-6, "text_chars": 3}
    async with (
        running_server(config(store=store, **limits)) as server,
        server.peer("mei") as mei,
        server.peer("bob") as bob,
    ):
        await done(bob, Send(to="#lobby", text="one"))
        assert await refused(bob, Send(to="#lobby", text="two")) == "rate_limited"
        for cid, request in requests.items():
            sent = await done(bob, request)
            assert (sent.to, sent.seq, sent.dup) == (first[cid].to, first[cid].seq, True), cid
        for cid in ("send", "topic", "kick", "access"):
            other = structs.replace(requests["react"], cid=cid)
            assert await refused(bob, other) == "cid_conflict", cid
        assert await refused(bob, structs.replace(requests["send"], cid="new")) == "rate_limited"
        assert {room: await log_of(mei, room) for room in logs} == logs
        assert await log_of(bob, "#bobs") == [("create", "private"), ("topic", "Roses")]
        # A token of the rate limit that was left is still there.
        await done(mei, Send(to="#lobby", text="mei"))


async def test_declining_again_does_not_decline_a_later_invitation(store: str) -> None:
    """A known cid is answered ok, and so is one that was used for something else refused."""
    async with (
        running_server(config(store=store)) as server,
        server.peer("mei") as mei,
        server.peer("bob", "log") as bob,
    ):
        invite, decline = Invite(room="#den", name="bob"), Decline(room="#den", cid="c1")
        await done(mei, CreateRoom(room="#den", private=True), invite)
        await bob.ask(decline, Ok)
        await done(mei, invite)
        await bob.ask(decline, Ok)
        assert [kind for kind, _ in await log_of(mei, "#den")].count("decline") == 1
        assert (await bob.ask(Sync(), Synced)).invitations
        assert await refused(bob, Send(to="#lobby", text="x", cid="c1")) == "cid_conflict"
        assert await refused(bob, Decline(room="#other", cid="c1")) == "cid_conflict"


async def test_repeated_cid_takes_no_token_of_the_rate_limit(store: str) -> None:
    limits = {"burst": 2, "per_second": 1e-6}
    async with running_server(config(store=store, **limits)) as server, server.peer("mei") as mei:
        for _ in range(5):
            await done(mei, Send(to="#lobby", text="one", cid="c1"))
        await done(mei, Send(to="#lobby", text="two", cid="c2"))
        assert await refused(mei, Send(to="#lobby", text="three", cid="c3")) == "rate_limited"


async def test_same_cid_twice_in_one_segment_is_one_entry(store: str) -> None:
    """Even if the second one would be rate limited: it is looked up after the first is written."""
    limits = {"burst": 2, "per_second": 1e-6}
    async with running_server(config(store=store, **limits)) as server, server.peer("mei") as mei:
        one = Send(to="#lobby", text="one", cid="c1")
        await mei.send(
            *(structs.replace(one, request_id=f"{n}") for n in range(4)),
            structs.replace(one, text="else", request_id="else"),
        )
        sent = [await mei.expect(Sent) for _ in range(4)]
        assert [(reply.request_id, reply.seq, reply.dup) for reply in sent] == [
            (f"{n}", 1, n > 0) for n in range(4)
        ]
        assert (await mei.expect(Error)).code == "cid_conflict"


async def test_last_operator_who_leaves_twice_at_once_hands_over_once(store: str) -> None:
    async with running_server(config(store=store)) as server, server.peer("mei") as mei:
        async with server.peer("bob") as bob, server.peer("mei") as other:
            await done(mei, CreateRoom(room="#club"))
            await done(bob, Join(room="#club"))
            leave = Leave(room="#club", cid="leave", request_id="leave")
            for _ in range(20):
                await mei.send(leave)
                await other.send(leave)
            for peer in (mei, other):
                replies = [await peer.expect(Sent) for _ in range(20)]
                assert {reply.seq for reply in replies} == {4}
            kinds = [kind for kind, _ in await log_of(bob, "#club")]
            assert kinds == ["create", "join", "operator", "leave"]


async def test_retry_writes_none_of_the_entries_that_would_come_before_it(store: str) -> None:
    """Though it would be granted by now, for what it did has been undone since."""
    async with running_server(config(store=store)) as server, server.peer("mei") as mei:
        async with server.peer("bob") as bob:
            await done(mei, CreateRoom(room="#club", private=True))
            await done(mei, Invite(room="#club", name="bob"))
            await done(bob, Join(room="#club"))
            public = SetAccess(room="#club", private=False, history="hidden", cid="public")
            leave = Leave(room="#club", cid="leave")
            first = [await done(mei, public), await done(mei, leave)]
            await done(bob, SetAccess(room="#club", private=True))
            await done(bob, Invite(room="#club", name="mei"))
            await done(mei, Join(room="#club"))
            await done(bob, SetOperator(room="#club", name="mei"))
            await done(bob, SetOperator(room="#club", name="bob", on=False))
            log = await log_of(bob, "#club")
            for request, before in zip((public, leave), first, strict=True):
                again = await done(mei, request)
                assert (again.seq, again.dup) == (before.seq, True)
            assert await log_of(bob, "#club") == log


async def test_retry_of_a_reaction_may_spell_its_emoji_otherwise(store: str) -> None:
    """The log has another spelling than the request, by which it is not compared."""
    async with running_server(config(store=store)) as server, server.peer("mei") as mei:
        async with server.peer("bob") as bob:
            await done(mei, CreateRoom(room="#club"), Send(to="#club", text="hello"))
            await done(bob, Join(room="#club"))
            react = React(to="#club", seq=2, emoji="\N{HEAVY BLACK HEART}", cid="heart")
            first = await done(bob, react)
            assert (await log_of(mei, "#club"))[-1] == ("react", "\N{HEAVY BLACK HEART}\ufe0f")
            await done(mei, Kick(room="#club", name="bob"))
            again = await done(bob, react)
            assert (again.seq, again.dup) == (first.seq, True)
            assert await refused(bob, structs.replace(react, emoji="🎉")) == "cid_conflict"
