"""The sessions of an account: listed, ended, and made for programs, on all nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import structlog
import trio
from patience import eventually
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer
from two_servers import two_servers

from gochat.chat.token import MAX_DEVICES, MAX_PROGRAMS
from gochat.chat.tokens import Tokens
from gochat.protocol.codec import encode
from gochat.protocol.framing import HEADER_SIZE
from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    CreatedToken,
    CreateToken,
    EndSession,
    Error,
    LoggedIn,
    LoggedOut,
    Login,
    Logout,
    Ok,
    PasswordChanged,
    Ping,
    Pong,
    Resume,
    Session,
    SessionList,
    Sessions,
)
from gochat.server import deadlines
from gochat.server.revocation import Revocations
from gochat.storage.redis.nodes import bus

pytestmark = pytest.mark.trio

PROGRAM = CreateToken(device="bot", scopes=("read",), lifetime=60)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def servers(request: pytest.FixtureRequest) -> AsyncIterator[Sequence[RunningServer]]:
    """A server on SQLite twice, or two nodes on one Redis."""
    async with two_servers(request) as servers:
        yield servers


async def sessions(peer: Peer) -> list[Session]:
    return list((await peer.ask(Sessions(), SessionList)).sessions)


async def log_in(peer: Peer, device: str, name: str = "mei") -> None:
    request = Login(name=name, password=PASSWORD, device=device)
    peer.token = (await peer.ask(request, LoggedIn)).token


async def ended(peer: Peer) -> None:
    """Wait for the `bye` of a revocation, and see that the token is refused."""
    bye = (await peer.at_end())[-1]
    assert isinstance(bye, Bye)
    assert (bye.reason, bye.retry_after) == ("session_revoked", None)


async def is_refused(server: RunningServer, token: str) -> bool:
    async with server.connect() as peer:
        await peer.send(Resume(token=token, request_id="it"), Ping(request_id="after"))
        await peer.expect_last("after")
        return any(isinstance(m, Error) and m.code == "bad_token" for m in peer.received)


async def test_sessions_are_listed_with_what_their_owner_knows_them_by(
    servers: Sequence[RunningServer],
) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as laptop, two.peer("bob"):
        await log_in(laptop, "laptop 💻")
        async with two.connect() as phone:
            await log_in(phone, "phone")
        rooms = ("#Garden", "#lobby", "#garden")
        made = CreateToken(device="bot", scopes=("send", "read", "send"), lifetime=60, rooms=rooms)
        token = await mei.ask(made, CreatedToken)

        async def without_the_phone() -> list[Any]:
            listed = await sessions(laptop)
            return [] if listed[2].online else listed

        listed = await eventually(without_the_phone)
        assert [one.device for one in listed] == ["", "laptop 💻", "phone", "bot"]
        assert [one.this for one in listed] == [False, True, False, False]
        assert [one.online for one in listed] == [True, True, False, False]
        assert {one.address for one in listed} == {"127.0.0.1"}
        assert {one.created - one.seen for one in listed} == {0}
        assert (listed[3].id, listed[3].scopes) == (token.id, ("read", "send"))
        assert listed[3].rooms == ("#garden", "#lobby")
        assert all((s.scopes, s.rooms) == ((), ()) for s in listed[:3])
        assert [s.this for s in await sessions(mei)] == [True, False, False, False]


async def test_connections_of_one_token_are_one_session(servers: Sequence[RunningServer]) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as pane:
        await pane.ask(Resume(token=mei.token), LoggedIn)
        for peer in (mei, pane):
            ((listed),) = await sessions(peer)
            assert (listed.this, listed.online) == (True, True)
        await mei.ask(Logout(), LoggedOut)
        await ended(pane)


async def test_ended_session_ends_everywhere_before_the_reply(
    servers: Sequence[RunningServer],
) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as thief, one.connect() as pane:
        await log_in(thief, "a thief's")
        await pane.ask(Resume(token=thief.token), LoggedIn)
        (stolen,) = [s for s in await sessions(mei) if s.device == "a thief's"]
        await mei.ask(EndSession(id=stolen.id), Ok)
        for peer in (thief, pane):
            with pytest.raises((AssertionError, trio.BrokenResourceError, trio.EndOfChannel)):
                await peer.ask(Sessions(), SessionList)
            assert isinstance(peer.received[-1], Bye)
        assert await is_refused(two, thief.token)
        assert [s.this for s in await sessions(mei)] == [True]
        assert (await mei.ask(EndSession(id=stolen.id), Error)).field == "id"


async def test_all_other_sessions_are_ended_programs_included(
    servers: Sequence[RunningServer],
) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as laptop, two.connect() as bot:
        async with one.connect() as pane, two.peer("bob") as bob:
            await log_in(laptop, "laptop")
            await pane.ask(Resume(token=mei.token), LoggedIn)
            token = (await mei.ask(PROGRAM, CreatedToken)).token
            await bot.ask(Resume(token=token), LoggedIn)
            await mei.ask(EndSession(), Ok)
            for peer in (laptop, bot):
                await ended(peer)
                assert await is_refused(one, laptop.token)
            for peer in (mei, pane):
                assert [s.this for s in await sessions(peer)] == [True]
            await mei.ask(EndSession(), Ok)  # there are no others
            await bob.ask(Ping(), Pong)


async def test_session_can_end_itself(servers: Sequence[RunningServer]) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.connect() as pane:
        await pane.ask(Resume(token=mei.token), LoggedIn)
        (own,) = await sessions(mei)
        await mei.ask(EndSession(id=own.id), Ok)
        for peer in (mei, pane):
            await ended(peer)
        assert await is_refused(two, mei.token)


@pytest.mark.parametrize("session_id", ["", "x", "0" * 32, "0" * 31, "é", "0x10", "\x00" * 16])
async def test_unknown_session_can_not_be_ended(session_id: str) -> None:
    async with running_server() as server, server.peer("mei") as mei:
        error = await mei.ask(EndSession(id=session_id), Error)
        assert (error.code, error.field) == ("bad_request", "id")
        assert [s.this for s in await sessions(mei)] == [True]


async def test_sessions_of_others_are_as_unknown_as_those_that_never_were(
    servers: Sequence[RunningServer],
) -> None:
    one, two = servers
    async with one.peer("mei") as mei, two.peer("bob") as bob:
        (of_mei,) = await sessions(mei)
        of_nobody = "0" * len(of_mei.id)
        errors = [await bob.ask(EndSession(id=i), Error) for i in (of_mei.id, of_nobody)]
        assert errors[0].text == errors[1].text
        assert [s.device for s in await sessions(bob)] == [""]
        await bob.ask(EndSession(), Ok)
        await mei.ask(Ping(), Pong)
        assert not await is_refused(two, mei.token)


async def test_login_on_the_way_while_all_others_are_ended_is_refused_or_seen(
    servers: Sequence[RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token is there, but its connection is not yet."""
    one, two = servers
    issue: Callable[..., Awaitable[Any]] = Tokens.issue
    is_watched = False

    async def overtaken(*arguments: Any, **options: Any) -> Any:
        nonlocal is_watched
        token = await issue(*arguments, **options)
        if is_watched:
            is_watched = False
            await mei.ask(EndSession(), Ok)
        return token

    monkeypatch.setattr(Tokens, "issue", overtaken)
    async with one.peer("mei") as mei, two.connect() as thief:
        is_watched = True
        error = await thief.ask(Login(name="mei", password=PASSWORD), Error)
        assert error.code == "bad_credentials"
        assert [s.this for s in await sessions(mei)] == [True]


async def test_too_many_devices_end_the_one_not_used_for_longest(
    servers: Sequence[RunningServer],
) -> None:
    one, two = servers
    async with one.peer("mei") as first:
        for number in range(1, MAX_DEVICES):
            async with two.connect() as peer:
                await log_in(peer, f"device {number}")
        await first.ask(Ping(), Pong)
        async with two.connect() as another:
            await log_in(another, "another")
            await ended(first)
            listed = await sessions(another)
            assert len(listed) == MAX_DEVICES
            assert (listed[0].device, listed[-1].device) == ("device 1", "another")


async def test_too_many_programs_are_refused_and_none_ends(
    servers: Sequence[RunningServer],
) -> None:
    one, _ = servers
    async with one.peer("mei") as mei:
        tokens = [await mei.ask(PROGRAM, CreatedToken) for _ in range(MAX_PROGRAMS)]
        error = await mei.ask(PROGRAM, Error)
        assert error.code == "bad_request"
        assert "end one" in error.text
        async with one.connect() as bot:
            await bot.ask(Resume(token=tokens[0].token), LoggedIn)
        await mei.ask(EndSession(id=tokens[0].id), Ok)
        await mei.ask(PROGRAM, CreatedToken)


async def test_password_change_ends_programs_and_keeps_the_devices_name(
    servers: Sequence[RunningServer],
) -> None:
    one, two = servers
    async with one.connect() as mei, two.connect() as bot:
        await mei.register("mei")
        await log_in(mei, "laptop")
        token = (await mei.ask(PROGRAM, CreatedToken)).token
        await bot.ask(Resume(token=token), LoggedIn)
        changed = await mei.ask(ChangePassword(old=PASSWORD, new="another horse"), PasswordChanged)
        assert changed.others_ended
        await ended(bot)
        for old in (token, mei.token):
            assert await is_refused(two, old)
        ((own),) = await sessions(mei)
        assert (own.device, own.this, own.online) == ("laptop", True, True)


async def test_program_ends_at_its_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "LOOK_EVERY", 0.01)
    async with running_server() as server, server.peer("mei") as mei, server.connect() as bot:
        token = await mei.ask(CreateToken(device="", scopes=("read",), lifetime=1), CreatedToken)
        await bot.ask(Resume(token=token.token), LoggedIn)
        await ended(bot)
        assert await is_refused(server, token.token)
        assert len(await sessions(mei)) == 1


@pytest.mark.parametrize(
    ("rooms", "code"),
    [
        (("@mei",), "bad_request"),
        (("garden",), "unknown_conversation"),
        (("#lobby", "#a b"), "unknown_conversation"),
        (("",), "unknown_conversation"),
    ],
)
async def test_token_can_be_limited_to_rooms_only(rooms: tuple[str, ...], code: str) -> None:
    async with running_server() as server, server.peer("mei") as mei:
        request = CreateToken(device="", scopes=("read",), lifetime=1, rooms=rooms)
        error = await mei.ask(request, Error)
        assert (error.code, error.field) == (code, "rooms")


@pytest.mark.parametrize(
    "data",
    [
        '{"device":"","scopes":[],"lifetime":1}',
        '{"device":"","scopes":["account"],"lifetime":1}',
        '{"device":"","scopes":["read"],"lifetime":0}',
        '{"device":"","scopes":["read"],"lifetime":31536001}',
        '{"device":"","scopes":["read"]}',
        '{"scopes":["read"],"lifetime":1}',
        '{"device":"","scopes":["read","read","read","read"],"lifetime":1}',
        '{"device":"' + "x" * 65 + '","scopes":["read"],"lifetime":1}',
        '{"device":"","scopes":["read"],"lifetime":1,"rooms":["#a"' + ',"#a"' * 16 + "]}",
    ],
)
async def test_request_for_a_token_out_of_bounds_is_malformed(data: str) -> None:
    """As bare frames: our own types could not be sent."""
    escaped = data.replace('"', '\\"')
    body = b'{"msg_type":"create_token","msg_data":"%s"}' % escaped.encode()
    async with running_server() as server, server.peer("mei") as mei:
        await mei.stream.send_all(len(body).to_bytes(4, "big") + body)
        assert (await mei.expect(Error)).code == "malformed"
        assert len(await sessions(mei)) == 1


async def test_bare_frames_of_a_program() -> None:
    """What a program in another language sends."""

    def frame(kind: str, data: str) -> bytes:
        escaped = data.replace('"', '\\"')
        body = f'{{"msg_type":"{kind}","msg_data":"{escaped}"}}'.encode()
        return len(body).to_bytes(4, "big") + body

    async with (
        running_server() as server,
        server.peer("mei", "log") as mei,
        server.connect() as bot,
    ):
        await mei.stream.send_all(
            frame("create_token", '{"device":"bot","scopes":["send"],"lifetime":60}')
        )
        token = await mei.expect(CreatedToken)
        await bot.stream.send_all(
            frame("resume", f'{{"token":"{token.token}"}}')
            + frame("send", '{"to":"#lobby","text":"hi","request_id":"1"}')
            + frame("who", '{"request_id":"2"}')
        )
        await bot.expect(LoggedIn)
        error = await bot.expect(Error)
        assert (error.code, error.request_id) == ("not_permitted", "2")
        assert (await mei.text()).text == "hi"


async def test_session_on_a_node_that_does_not_answer_counts_as_offline(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "ANSWER_WITHIN", 0.2)
    configuration = config(store=Nodes(redis_server).url("lease=600"))
    async with running_server(configuration) as one, running_server(configuration) as two:
        async with one.peer("mei") as mei, two.connect() as laptop:
            await log_in(laptop, "laptop")
            assert [s.online for s in await sessions(mei)] == [True, True]
            monkeypatch.setattr(bus.RedisNodeBus, "publish", lambda self, event: None)
            assert [s.online for s in await sessions(mei)] == [True, False]


async def test_session_ended_while_a_node_confirms_nothing_is_answered_all_the_same(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Revocations, "receive", lambda self, revoked: None)
    monkeypatch.setattr(bus, "CONFIRM_WITHIN", 0.001)
    configuration = config(store=Nodes(redis_server).url("lease=600"))
    with structlog.testing.capture_logs() as logs:
        async with running_server(configuration) as one, running_server(configuration) as two:
            async with one.peer("mei") as mei, two.connect() as laptop:
                await log_in(laptop, "laptop")
                (other,) = [s for s in await sessions(mei) if not s.this]
                await mei.ask(EndSession(id=other.id), Ok)
                assert await is_refused(two, laptop.token)
    assert "revocation not confirmed" in {line["event"] for line in logs}


async def test_longest_list_of_sessions_fits_a_frame() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        rooms = tuple(f"#{number:02}" + "𠀀" * 30 for number in range(16))
        for _ in range(MAX_PROGRAMS):
            request = CreateToken(
                device="\x01" * 64, scopes=("read", "send", "rooms"), lifetime=60, rooms=rooms
            )
            await mei.ask(request, CreatedToken)
        for _ in range(MAX_DEVICES - 1):
            async with server.connect() as peer:
                await log_in(peer, "\x01" * 64)
        reply = await mei.ask(Sessions(), SessionList)
        assert len(reply.sessions) == MAX_DEVICES + MAX_PROGRAMS
        address = "2001:db8:1111:2222::"
        longest = [{"address": address, "online": True, "created": 10**14, "seen": 10**14}] * len(
            reply.sessions
        )
        listed = tuple(
            Session(id=s.id, device=s.device, scopes=s.scopes, rooms=s.rooms, **more)  # type: ignore[arg-type]  # each value has its field's type
            for s, more in zip(reply.sessions, longest, strict=True)
        )
        whole = encode(SessionList(sessions=listed, request_id="x" * 64))
        assert len(whole) <= HEADER_SIZE + 64 * 1024


async def test_tokens_are_never_logged(servers: Sequence[RunningServer]) -> None:
    one, two = servers
    texts: list[str] = []
    with structlog.testing.capture_logs() as logs:
        async with one.peer("mei") as mei, two.connect() as bot:
            token = (await mei.ask(PROGRAM, CreatedToken)).token
            texts += [mei.token, token]
            await bot.ask(Resume(token=token), LoggedIn)
            await bot.ask(Sessions(), Error)
            for listed in await sessions(mei):
                if not listed.this:
                    await mei.ask(EndSession(id=listed.id), Ok)
            for refused in (token, token[:-1], token + "x", "gct_" + "A" * 64):
                texts.append(refused)
                assert await is_refused(two, refused)
            changed = await mei.ask(ChangePassword(old=PASSWORD, new="another"), Error)
            assert changed.code == "bad_password"
            await mei.ask(Logout(), LoggedOut)
    events = {line["event"] for line in logs}
    assert {"token created", "sessions ended", "resume refused", "logged out"} <= events
    assert "gct_" not in repr(logs)
    assert not any(text[4:] in repr(logs) for text in texts)
