"""Registering by invitation on a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
import trio.testing
from msgspec import structs
from peers import PASSWORD, Peer, config

from gochat.chat.admission import MODES
from gochat.config import Registration
from gochat.protocol.messages import (
    CreateRoom,
    Error,
    Hello,
    LoggedIn,
    Login,
    MemberList,
    Members,
    Message,
    Payload,
    Register,
    Registered,
    Sent,
    ServerInfo,
    SetAccess,
)
from gochat.server.app import open_server
from gochat.server.registrations import WRONG_INVITES
from gochat.server.server import Server

pytestmark = pytest.mark.trio

DAY = 24 * 3600 * 1000
Connect = Callable[[], Peer]


@asynccontextmanager
async def serving(mode: str = "invite") -> AsyncIterator[tuple[Server, Connect]]:
    registration = Registration(mode=mode)  # type: ignore[arg-type]  # one of the modes
    async with (
        open_server(structs.replace(config(), registration=registration)) as server,
        trio.open_nursery() as nursery,
    ):

        def connect() -> Peer:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_stream, theirs, "memory")
            return Peer(ours)

        yield server, connect
        nursery.cancel_scope.cancel()


async def code_of(
    server: Server, *, uses: int = 1, room: str | None = None, maker: str = ""
) -> str:
    admission = server.services.admission
    made = await admission.draft(uses=uses, life=DAY, room=room, maker=maker or None)
    await admission.add(made.invitation)
    return made.code


def register(name: str, invite: str | None = None) -> Register:
    return Register(name=name, password=PASSWORD, invite=invite)


async def test_invitation_is_good_for_its_uses_and_leaves_no_secret_in_the_log() -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving() as (server, connect):
            code, peer = await code_of(server, uses=2), connect()
            assert (await peer.ask(register("mei"), Error)).code == "bad_invite"
            for name in ("mei", "bob"):
                await peer.ask(register(name, code.upper()), Registered)
            error = await peer.ask(register("eve", code), Error)
            assert (error.code, error.field) == ("bad_invite", "invite")
            (kept,) = await server.services.admission.all()
    made = [entry for entry in logs if entry["event"] == "account registered"]
    assert [entry["invitation"] for entry in made] == [kept.id] * 2
    assert code not in repr(logs)
    assert code[4:] not in repr(logs)


async def test_failed_registration_uses_nothing() -> None:
    async with serving() as (server, connect):
        code, peer = await code_of(server), connect()
        short = Register(name="mei", password="short", invite=code)
        assert (await peer.ask(short, Error)).code == "bad_password"
        assert (await peer.ask(register("admin", code), Error)).code == "name_taken"
        await peer.ask(register("mei", code), Registered)


async def test_one_of_twenty_at_once_gets_the_last_use() -> None:
    async with serving() as (server, connect):
        code = await code_of(server)
        replies: list[Registered | Error] = []

        async def try_it(number: int) -> None:
            peer = connect()
            await peer.send(register(f"person{number}", code))
            reply = await peer.receive()
            assert isinstance(reply, Registered | Error)
            replies.append(reply)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(try_it, number)
        assert sum(isinstance(reply, Registered) for reply in replies) == 1
        assert {reply.code for reply in replies if isinstance(reply, Error)} == {"bad_invite"}


async def test_guesses_are_limited_also_of_codes_that_were_good() -> None:
    async with serving() as (server, connect):
        code, peer = await code_of(server), connect()
        await peer.ask(register("mei", code), Registered)
        good = await code_of(server)
        codes = [
            (await peer.ask(register("bob", code if n % 2 else f"guess {n}"), Error)).code
            for n in range(WRONG_INVITES)
        ]
        assert codes == ["bad_invite"] * WRONG_INVITES
        assert (await peer.ask(register("bob", good), Error)).code == "rate_limited"


@pytest.mark.parametrize("is_private", [False, True])
async def test_who_comes_by_an_invitation_is_in_its_room(*, is_private: bool) -> None:
    async with serving() as (server, connect):
        first = connect()
        await first.ask(register("mei", await code_of(server)), Registered)
        await first.ask(Login(name="mei", password=PASSWORD, caps=("log",)), LoggedIn)
        await first.ask(CreateRoom(room="#den", private=is_private), Sent)
        code = await code_of(server, room="#den", maker="mei")
        other = connect()
        await other.ask(register("bob", code), Registered)
        joined = await first.text(lambda entry: entry.kind == "join")
        assert isinstance(joined, Message)
        assert (joined.to, joined.from_) == ("#den", "bob")
        await other.ask(Login(name="bob", password=PASSWORD), LoggedIn)
        page = await other.ask(Members(room="#den"), MemberList)
        assert {member.name for member in page.members} == {"mei", "bob"}


async def test_account_is_made_also_if_the_room_cant_be_joined() -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving() as (server, connect):
            first = connect()
            await first.ask(register("mei", await code_of(server)), Registered)
            await first.ask(Login(name="mei", password=PASSWORD), LoggedIn)
            await first.ask(CreateRoom(room="#den"), Sent)
            code = await code_of(server, room="#den")
            await first.ask(SetAccess(room="#den", private=True), Sent)
            await connect().ask(register("bob", code), Registered)
            page = await first.ask(Members(room="#den"), MemberList)
            assert [member.name for member in page.members] == ["mei"]
    assert "room of the invitation not joined" in [entry["event"] for entry in logs]


async def test_mode_changes_while_the_server_runs() -> None:
    async with serving("closed") as (server, connect):
        peer, admission = connect(), server.services.admission
        code = await code_of(server)
        assert (await peer.ask(register("mei", code), Error)).code == "registration_closed"
        expected = {"open": "", "invite": "bad_invite", "closed": "registration_closed"}
        for mode in MODES:
            await admission.set_mode(mode)
            assert (await peer.ask(Hello(), ServerInfo)).registration == mode
            reply = await peer.ask(register(f"at-{mode}"), Payload)
            assert (reply.code if isinstance(reply, Error) else "") == expected[mode]
        await admission.set_mode(None)
        assert (await peer.ask(Hello(), ServerInfo)).registration == "closed"


async def test_code_counts_also_where_none_is_needed() -> None:
    """Else who follows an invitation would not come into its room."""
    async with serving("open") as (server, connect):
        code, peer = await code_of(server), connect()
        await peer.ask(register("mei", code), Registered)
        assert (await peer.ask(register("bob", code), Error)).code == "bad_invite"
        await peer.ask(register("bob"), Registered)
        (kept,) = await server.services.admission.all()
        assert kept.used == ("mei",)
