"""Programs' tokens: what each can do, by every request, and what it is sent.

A request that is new has to be entered in :data:`NEEDS`, or these tests fail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, get_args

import pytest
from msgspec import structs
from patience import eventually
from peers import Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer
from two_servers import two_servers
from worst_inputs import VALID

from gochat.protocol.messages import (
    Away,
    CreatedToken,
    CreateRoom,
    CreateToken,
    EndSession,
    Error,
    Invite,
    Invited,
    IsTyping,
    Join,
    LoggedIn,
    Mark,
    Marked,
    Message,
    NewLogin,
    Ok,
    Ping,
    Pong,
    Position,
    Presence,
    Request,
    Resume,
    Send,
    Sent,
    SessionList,
    Sessions,
    Sync,
    Synced,
    TokenScope,
    Typing,
    Uninvited,
)

pytestmark = pytest.mark.trio

REQUESTS: Final[tuple[type[Request], ...]] = get_args(Request)
DEN: Final = "#den"
ELSEWHERE: Final = "#elsewhere"
ALL: Final[tuple[TokenScope, ...]] = ("read", "send", "rooms")
#: What each request needs: a scope; the person ("account"); nothing ("any"); or to be anonymous.
NEEDS: Final[Mapping[str, str]] = {
    "hello": "any",
    "register": "anonymous",
    "login": "anonymous",
    "resume": "anonymous",
    "logout": "any",
    "change_password": "account",
    "sessions": "account",
    "end_session": "account",
    "create_token": "account",
    "who": "read",
    "away": "send",
    "set_status": "send",
    "statuses": "read",
    "send": "send",
    "edit": "send",
    "delete": "send",
    "react": "send",
    "pin": "send",
    "typing": "send",
    "history": "read",
    "search": "read",
    "sync": "read",
    "mark": "read",
    "activity": "read",
    "mark_activity": "read",
    "pins": "read",
    "save": "read",
    "saved": "read",
    "create_room": "rooms",
    "join": "rooms",
    "leave": "rooms",
    "invite": "rooms",
    "kick": "rooms",
    "decline": "rooms",
    "set_topic": "rooms",
    "set_operator": "rooms",
    "set_access": "rooms",
    "set_history": "rooms",
    "ban": "rooms",
    "unban": "rooms",
    "bans": "rooms",
    "set_slow_mode": "rooms",
    "set_announcements": "rooms",
    "set_archived": "rooms",
    "block": "account",
    "unblock": "account",
    "blocks": "account",
    "restrict": "account",
    "unrestrict": "account",
    "restrictions": "account",
    "ban_address": "account",
    "unban_address": "account",
    "address_bans": "account",
    "hand_over": "account",
    "report": "account",
    "reports": "account",
    "resolve_report": "account",
    "rooms": "read",
    "members": "read",
    "ping": "any",
    "pong": "any",
}
#: Requests about no conversation, or about all, that a token limited to rooms can send: their
#: replies leave out what it may not see.
FILTERED: Final = ("activity", "saved", "sync")


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def servers(request: pytest.FixtureRequest) -> AsyncIterator[Sequence[RunningServer]]:
    """A server on SQLite twice, or two nodes on one Redis."""
    async with two_servers(request) as servers:
        yield servers


def create(scopes: Iterable[TokenScope], *rooms: str) -> CreateToken:
    return CreateToken(device="bot", scopes=tuple(scopes), lifetime=60, rooms=rooms)


@asynccontextmanager
async def program(
    mei: Peer,
    server: RunningServer,
    scopes: Iterable[TokenScope],
    *rooms: str,
    caps: Sequence[str] = (),
) -> AsyncIterator[Peer]:
    """Log a program of mei's in."""
    token = await mei.ask(create(scopes, *rooms), CreatedToken)
    async with server.connect() as peer:
        await peer.ask(Resume(token=token.token, caps=tuple(caps)), LoggedIn)
        peer.token = token.token
        yield peer
    await mei.send(EndSession(id=token.id))


async def refusal(peer: Peer, request: Any) -> Error | None:
    """Send a request, and return the error with which it is refused."""
    await peer.send(structs.replace(request, request_id="it"), Ping(request_id="after"))
    await peer.expect_last("after")
    errors = [m for m in peer.received if isinstance(m, Error) and m.request_id == "it"]
    return errors[-1] if errors else None


def is_by_token(error: Error | None) -> bool:
    """Return whether a request was refused for the token that it was sent with."""
    return error is not None and error.code == "not_permitted" and "token" in error.text


async def test_every_request_has_its_need() -> None:
    assert {kind.msg_type for kind in REQUESTS} == set(NEEDS)


@pytest.mark.parametrize("scope", ALL)
async def test_program_can_do_only_what_its_scope_allows(
    servers: Sequence[RunningServer], scope: TokenScope
) -> None:
    async with servers[0].peer("mei") as mei, servers[0].peer("mallory"):
        for kind in REQUESTS:
            need = NEEDS[kind.msg_type]
            async with program(mei, servers[1], [scope], caps=("log",)) as bot:
                error = await refusal(bot, VALID[kind])
            if need == "anonymous":
                assert error is not None
                assert error.code == "already_logged_in"
            elif need in (scope, "any"):
                assert not is_by_token(error), (kind, error)
            else:
                assert is_by_token(error), (kind, error)
                assert error is not None
                assert error.args == {"rule": "scope", "scope": need}
                assert need == "account" or repr(need) in error.text


async def test_program_limited_to_rooms_can_do_nothing_elsewhere(
    servers: Sequence[RunningServer],
) -> None:
    async with servers[0].peer("mei") as mei, servers[0].peer("mallory"):
        for room in (DEN, ELSEWHERE):
            await mei.ask(CreateRoom(room=room), Sent)
            await mei.ask(Send(to=room, text="hi"), Sent)
        await mei.ask(Send(to="@mallory", text="hi"), Sent)
        for kind in REQUESTS:
            need = NEEDS[kind.msg_type]
            places = [place for place in ("to", "conv", "room") if hasattr(VALID[kind], place)]
            variants: dict[str | None, Any] = {None: VALID[kind]}
            if places:
                variants = {
                    to: structs.replace(VALID[kind], **{places[0]: to})
                    for to in (DEN, "#Den", ELSEWHERE, "#lobby", "#nowhere", "@mallory", "@nobody")
                }
                if kind.msg_type == "search":
                    variants[None] = VALID[kind]
            for to, request in variants.items():
                async with program(mei, servers[1], ALL, DEN) as bot:
                    error = await refusal(bot, request)
                is_free = need in ("any", "anonymous") or kind.msg_type in FILTERED
                if is_free or (need != "account" and to in (DEN, "#Den")):
                    assert not is_by_token(error), (request, error)
                else:
                    assert is_by_token(error), (request, error)


async def test_refusal_does_not_tell_what_exists(servers: Sequence[RunningServer]) -> None:
    async with servers[0].peer("mei") as mei:
        await mei.ask(CreateRoom(room=ELSEWHERE), Sent)
        sent = await mei.ask(Send(to=ELSEWHERE, text="hi", cid="known"), Sent)
        async with program(mei, servers[1], ALL, DEN) as bot:
            errors = [
                await refusal(bot, Send(to=to, text="hi", cid="known", request_id="it"))
                for to in (ELSEWHERE, "#nowhere")
            ]
            assert all(map(is_by_token, errors))
            assert not any(isinstance(m, Sent) for m in bot.received)
    assert sent.seq == 2


async def test_sends_between_refused_ones_are_committed_and_answered_in_order() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        await mei.ask(CreateRoom(room=DEN), Sent)
        async with program(mei, server, ["send"], DEN) as bot:
            tos = [DEN, "#lobby", DEN, DEN, "@mei"]
            await bot.send(
                *(Send(to=to, text="hi", request_id=str(n)) for n, to in enumerate(tos)),
                Ping(request_id="after"),
            )
            await bot.expect_last("after")
            replies = [m for m in bot.received if isinstance(m, Sent | Error)]
            assert [m.request_id for m in replies] == list("01234")
            assert [type(m) for m in replies] == [Sent, Error, Sent, Sent, Error]


# -- what programs are sent ------------------------------------------------------------------------


class Scene:
    """What happens around mei, and what her programs are sent of it."""

    def __init__(self, mei: Peer, bob: Peer) -> None:
        self.mei = mei
        self.bob = bob

    async def prepare(self) -> None:
        for room in (DEN, ELSEWHERE):
            await self.mei.ask(CreateRoom(room=room), Sent)
            await self.bob.ask(Join(room=room), Sent)

    async def play(self) -> None:
        for to in (DEN, ELSEWHERE, "#lobby", "@mei"):
            await self.bob.send(Typing(to=to))
            await self.bob.ask(Send(to=to, text=f"to {to}"), Sent)
        for conv in (DEN, ELSEWHERE, "#lobby", "@bob"):
            await self.mei.ask(Mark(conv=conv, read=9), Ok)
        await self.bob.ask(CreateRoom(room="#party", private=True), Sent)
        await self.bob.ask(Invite(room="#party", name="mei"), Sent)
        await self.bob.ask(Away(text="lunch"), Ok)
        await self.mei.expect(Presence, lambda p: any(x.away for x in p.online))
        await self.mei.ask(CreateRoom(room="#den2"), Sent)

    async def seen(self, bot: Peer) -> set[tuple[str, str]]:
        """Return what a program was sent: types of events, and their conversations."""
        await bot.ask(Ping(), Pong)
        events = set()
        for m in bot.received:
            if isinstance(m, Message | IsTyping):
                events.add((m.msg_type, m.to))
            elif isinstance(m, Marked):
                events.add((m.msg_type, m.conv))
            elif isinstance(m, Invited | Uninvited):
                events.add((m.msg_type, m.room))
            elif isinstance(m, Presence | NewLogin):
                events.add((m.msg_type, ""))
        return events


CAPS: Final = ("log", "typing")
OF_DEN: Final = {("message", DEN), ("is_typing", DEN), ("marked", DEN)}


@pytest.mark.parametrize(
    ("scopes", "rooms", "expected"),
    [
        (["send"], [], set()),
        (["rooms"], [], set()),
        (["send", "rooms"], [DEN], set()),
        (["read"], [DEN], OF_DEN),
        (ALL, [DEN], OF_DEN),
        (["read"], ["#lobby"], {(kind, "#lobby") for kind in ("message", "is_typing", "marked")}),
        (["read"], ["#party"], {("invited", "#party")}),
    ],
)
async def test_program_is_sent_only_events_of_its_rooms(
    servers: Sequence[RunningServer],
    scopes: Sequence[TokenScope],
    rooms: Sequence[str],
    expected: set[tuple[str, str]],
) -> None:
    one, two = servers
    async with one.peer("mei", *CAPS) as mei, two.peer("bob") as bob:
        scene = Scene(mei, bob)
        await scene.prepare()
        async with program(mei, two, scopes, *rooms, caps=CAPS) as bot:
            await scene.play()
            assert await scene.seen(bot) == expected


async def test_program_that_reads_everything_is_no_person(
    servers: Sequence[RunningServer],
) -> None:
    one, two = servers
    async with one.peer("mei", *CAPS) as mei, two.peer("bob") as bob:
        scene = Scene(mei, bob)
        await scene.prepare()
        async with program(mei, two, ["read"], caps=CAPS) as bot:
            await scene.play()
            expected = {"message", "is_typing", "marked", "invited", "presence"}

            async def has_seen_all() -> bool:
                return expected <= {kind for kind, _ in await scene.seen(bot)}

            await eventually(has_seen_all)  # the events of the other node come in their own time
            assert {kind for kind, _ in await scene.seen(bot)} == expected
            assert {to for _, to in await scene.seen(bot)} >= {DEN, ELSEWHERE, "#lobby", "@mei"}


@pytest.mark.parametrize("caps", [(), ("log",)])
async def test_program_limited_to_rooms_catches_up_with_nothing_else(
    servers: Sequence[RunningServer], caps: Sequence[str]
) -> None:
    one, two = servers
    async with one.peer("mei", "log") as mei, two.peer("bob") as bob:
        scene = Scene(mei, bob)
        await scene.prepare()
        epoch = (await bob.ask(Send(to=DEN, text="in the den"), Sent)).epoch
        for to in (ELSEWHERE, "#lobby", "@mei"):
            await bob.ask(Send(to=to, text="not for programs"), Sent)
        token = await mei.ask(create(ALL, DEN), CreatedToken)
        positions = tuple(
            Position(conv=conv, epoch=epoch, seq=0, ts=0)
            for conv in (DEN, ELSEWHERE, "#lobby", "@bob")
        )
        async with two.connect() as bot:
            resume = Resume(token=token.token, caps=tuple(caps))
            await bot.ask(resume, LoggedIn)
            await bot.ask(Ping(), Pong)
            assert not any(isinstance(m, Message) for m in bot.received)
            synced = await bot.ask(Sync(have=positions, limit=0), Synced)
            assert [c.conv for c in synced.conversations] == [DEN]
            assert synced.gone == ()
            synced = await bot.ask(Sync(after=DEN), Synced)
            assert (synced.conversations, synced.next) == ((), None)
        private = await mei.ask(Sync(), Synced)
        assert [c.unread for c in private.conversations if c.conv == "@bob"] == [1]


# -- programs that want more -----------------------------------------------------------------------


@pytest.mark.parametrize("scopes", [[scope] for scope in ALL] + [list(ALL)])
async def test_program_can_make_itself_no_better_token(
    servers: Sequence[RunningServer], scopes: list[TokenScope]
) -> None:
    async with servers[0].peer("mei") as mei:
        async with program(mei, servers[1], scopes) as bot:
            for request in (create(ALL), create(scopes), Sessions(), EndSession()):
                assert is_by_token(await refusal(bot, request))
            listed = await mei.ask(Sessions(), SessionList)
            assert [one.device for one in listed.sessions] == ["", "bot"]


async def test_caps_give_a_program_nothing(servers: Sequence[RunningServer]) -> None:
    caps = ("log", "heartbeat", "typing", "account", "read", "rooms")
    async with servers[0].peer("mei") as mei:
        async with program(mei, servers[1], ["send"], caps=caps) as bot:
            await mei.ask(Send(to="#lobby", text="hi"), Sent)
            assert is_by_token(await refusal(bot, Sync()))
            assert not any(isinstance(m, Message) for m in bot.received)


async def test_program_reads_a_room_only_as_long_as_its_person(
    servers: Sequence[RunningServer],
) -> None:
    async with servers[0].peer("mei") as mei, servers[1].peer("bob") as bob:
        await bob.ask(CreateRoom(room=DEN, private=True), Sent)
        async with program(mei, servers[1], ALL, DEN, caps=CAPS) as bot:
            error = await refusal(bot, Send(to=DEN, text="let me in"))
            assert error is not None
            assert error.code == "unknown_conversation"
            await bob.ask(Send(to=DEN, text="alone"), Sent)
            await bot.ask(Ping(), Pong)
            assert not any(isinstance(m, Message) for m in bot.received)


async def test_two_tokens_on_one_account_keep_their_own_limits(redis_server: RedisServer) -> None:
    """Limits are the session's, not the person's."""
    configuration = config(store=Nodes(redis_server).url())
    async with running_server(configuration) as server, server.peer("mei") as mei:
        await mei.ask(CreateRoom(room=DEN), Sent)
        async with (
            program(mei, server, ["read"], DEN, caps=CAPS) as one,
            program(mei, server, ["read"], "#lobby", caps=CAPS) as other,
        ):
            await mei.ask(Send(to=DEN, text="x"), Sent)
            await mei.ask(Send(to="#lobby", text="x"), Sent)
            for bot, room in ((one, DEN), (other, "#lobby")):
                await bot.ask(Ping(), Pong)
                assert {m.to for m in bot.received if isinstance(m, Message)} == {room}
