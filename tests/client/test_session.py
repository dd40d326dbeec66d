"""Logging in and out, and the errors that a program gets."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import partial

import anyio
import pytest
import trustme
from msgspec import structs
from patience import PATIENCE
from scripted_server import (
    LIMITS,
    QUICK,
    FakeClock,
    Outcome,
    Watcher,
    lobby,
    logged_in,
    meanwhile,
    opened,
    scripted_server,
)

from gochat.client import (
    AlreadyLoggedIn,
    ChatError,
    ClientOptions,
    ConnectionLost,
    ConnectionState,
    Person,
    StateChanged,
    Synchronised,
    open_client,
)
from gochat.client.convert import to_conversation, to_invitation, to_person
from gochat.client.moments import moment
from gochat.client.options import InternalOptions
from gochat.protocol import messages as wire
from gochat.protocol.framing import frame

pytestmark = pytest.mark.anyio


async def test_login_requests_all_capabilities_and_yields_a_snapshot() -> None:
    people, conversations = [wire.Person(name=name) for name in ("bob", "mei")], (lobby(7),)
    async with opened() as (server, client):
        events = Watcher(client)
        async with meanwhile(client.log_in, "Mei", "correct horse"):
            peer = await server.accept()
            request = await peer.welcome(people=people, conversations=conversations)
        assert isinstance(request, wire.Login)
        assert (request.name, request.password) == ("Mei", "correct horse")
        assert set(request.caps) == set(wire.Capability)
        assert await events.next() == StateChanged(ConnectionState.CONNECTING)
        assert await events.next() == StateChanged(ConnectionState.CONNECTED)
        assert await events.next() == Synchronised(
            tuple(map(to_person, people)), tuple(map(to_conversation, conversations))
        )
        assert client.state is ConnectionState.CONNECTED
        assert (client.name, client.token, client.server) == ("mei", "token", "scripted 1")
        assert client.token_expires == datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)
        assert client.limits == LIMITS


async def test_client_before_the_login_is_offline() -> None:
    async with opened() as (_, client):
        assert client.state is ConnectionState.OFFLINE
        assert (client.name, client.token, client.limits, client.server) == (None,) * 4
        with pytest.raises(ConnectionLost, match="log in first"):
            await client.who()


async def test_long_lists_are_fetched_page_by_page() -> None:
    async with opened() as (server, client):
        events = Watcher(client)
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.accept_login()
            first = await peer.expect(wire.Sync)
            assert (first.after, first.have, first.limit) == ("", (), 0)
            invitation = wire.Invitation(room="#garden", from_="bob", ts=5, topic="trees")
            page = wire.Synced(conversations=(lobby(1),), invitations=(invitation,), next="#lobby")
            await peer.reply(first, page)
            second = await peer.expect(wire.Sync)
            assert (second.after, second.have) == ("#lobby", ())
            await peer.reply(second, wire.Synced(conversations=(lobby(3, conv="@bob"),)))
            who = await peer.expect(wire.Who)
            await peer.reply(
                who, wire.People(people=(wire.Person(name="bob"),), total=2, more=True)
            )
            who = await peer.expect(wire.Who)
            assert who.after == "bob"
            await peer.reply(who, wire.People(people=(wire.Person(name="mei"),), total=2))
        picture = await events.next_of(Synchronised)
        assert [person.name for person in picture.people] == ["bob", "mei"]
        assert [conversation.name for conversation in picture.conversations] == ["#lobby", "@bob"]
        assert picture.invitations == (to_invitation(invitation),)


async def test_refused_login_raises_and_leaves_the_client_offline() -> None:
    async with opened() as (server, client):
        events = Watcher(client)
        async with meanwhile(client.log_in, "mei", "wrong") as outcome:
            peer = await server.accept()
            error = wire.Error(
                code="bad_credentials", text="no such name and password", field="password"
            )
            await peer.reply(await peer.expect(wire.Login), error)
        with pytest.raises(ChatError, match="no such name and password") as caught:
            outcome.result()
        assert caught.value.code == "bad_credentials"
        assert caught.value.field == "password"
        assert client.state is ConnectionState.OFFLINE
        assert await events.next() == StateChanged(ConnectionState.CONNECTING)
        assert await events.next() == StateChanged(
            ConnectionState.OFFLINE, reason="no such name and password"
        )


async def test_login_can_follow_a_refused_one() -> None:
    async with opened() as (server, client):
        async with meanwhile(client.log_in, "mei", "wrong") as outcome:
            peer = await server.accept()
            error = wire.Error(code="rate_limited", text="too many", retry_after=2.5)
            await peer.reply(await peer.expect(wire.Login), error)
        with pytest.raises(ChatError) as caught:
            outcome.result()
        assert caught.value.retry_after == 2.5
        async with meanwhile(client.log_in, "mei", "right") as outcome:
            await (await server.accept()).welcome()
        outcome.result()
        assert client.state is ConnectionState.CONNECTED


async def test_resume_logs_in_with_a_token() -> None:
    async with opened() as (server, client):
        async with meanwhile(client.resume, "an old token") as outcome:
            request = await (await server.accept()).welcome(token="a new token")
        outcome.result()
        assert isinstance(request, wire.Resume)
        assert request.token == "an old token"
        assert client.token == "a new token"


async def test_register_uses_a_connection_of_its_own() -> None:
    async with logged_in() as (server, client, peer):
        async with meanwhile(
            partial(client.register, invite="invite"), "Bob", "correct horse"
        ) as outcome:
            other = await server.accept()
            request = await other.expect(wire.Register)
            assert (request.name, request.invite) == ("Bob", "invite")
            await other.reply(request, wire.Registered(name="bob"))
        assert outcome.result() == "bob"
        with pytest.raises(anyio.EndOfStream):
            await other.receive()
        await peer.settle()
        assert client.state is ConnectionState.CONNECTED


async def test_server_info_is_asked_for_in_any_state_over_a_connection_of_its_own() -> None:
    info = wire.ServerInfo(
        name="garden", version="gochat 0.1.0", protocol=1, caps=("log",), registration="open",
        login=("password",), password_min=8, password_max=128, limits=LIMITS, motd="hi",
    )  # fmt: skip
    async with opened() as (server, client):
        async with meanwhile(client.server_info) as outcome:
            other = await server.accept()
            request = await other.expect(wire.Hello)
            await other.reply(request, info)
        assert outcome.result() == structs.replace(info, request_id=request.request_id)
        assert client.state is ConnectionState.OFFLINE


async def test_refused_registration_raises_the_error_of_the_server() -> None:
    async with opened() as (server, client):
        async with meanwhile(client.register, "bob", "correct horse") as outcome:
            peer = await server.accept()
            error = wire.Error(code="name_taken", text="bob is taken", field="name")
            await peer.reply(await peer.expect(wire.Register), error)
        with pytest.raises(ChatError, match="bob is taken"):
            outcome.result()
        assert client.state is ConnectionState.OFFLINE


async def test_logout_revokes_the_token_and_goes_offline() -> None:
    async with logged_in() as (server, client, peer):
        events = Watcher(client)
        async with meanwhile(client.log_out) as outcome:
            await peer.reply(await peer.expect(wire.Logout), wire.LoggedOut())
        outcome.result()
        assert (client.state, client.token) == (ConnectionState.OFFLINE, None)
        await events.next_of(Synchronised)
        assert await events.next() == StateChanged(ConnectionState.OFFLINE, reason="logged out")
        with pytest.raises(ConnectionLost, match="logged out"):
            await client.who()
        async with meanwhile(client.log_in, "bob", "correct horse") as again:
            await (await server.accept()).welcome("bob")
        again.result()
        assert client.name == "bob"


async def test_message_sent_during_the_logout_stays_for_the_next_login() -> None:
    async with logged_in() as (server, client, peer):
        async with meanwhile(client.log_out) as outcome:
            request = await peer.expect(wire.Logout)
            outgoing = client.send("#lobby", "wait for me")
            late = await peer.expect(wire.Send)
            await peer.reply(late, wire.Error(code="not_logged_in", text="log in first"))
            await peer.reply(request, wire.LoggedOut())
        outcome.result()
        async with meanwhile(client.log_in, "mei", "correct horse"):
            peer = await server.accept()
            await peer.welcome()
        await peer.take("wait for me", 1)
        await outgoing.sent()


async def test_leaving_the_block_keeps_the_session() -> None:
    """No logout: the token stays valid for a later resume."""
    async with scripted_server() as server:
        async with open_client(server.url, options=QUICK) as client:
            async with meanwhile(client.log_in, "mei", "correct horse"):
                peer = await server.accept()
                await peer.welcome()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await peer.receive()


async def test_client_after_the_block_ends_events_and_refuses_requests() -> None:
    async with logged_in() as (_, client, _):
        pass
    events = [event async for event in client]
    assert isinstance(events[-1], Synchronised)
    with pytest.raises(ConnectionLost, match="closed"):
        await client.who()
    with pytest.raises(ConnectionLost, match="closed"):
        await client.log_in("mei", "correct horse")


async def test_logged_in_client_cannot_log_in_again() -> None:
    async with logged_in() as (_, client, _):
        with pytest.raises(AlreadyLoggedIn):
            await client.log_in("bob", "correct horse")


async def test_cancelled_login_ends_the_attempt() -> None:
    async with opened() as (server, client):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.log_in, "mei", "correct horse")
            peer = await server.accept()
            await peer.expect(wire.Login)
            tasks.cancel_scope.cancel()
        assert client.state is ConnectionState.OFFLINE
        with anyio.fail_after(PATIENCE), pytest.raises((anyio.EndOfStream, OSError)):
            await peer.receive()
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            await (await server.accept()).welcome()
        outcome.result()


async def test_logout_ends_a_login_in_progress() -> None:
    async with opened() as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            await (await server.accept()).expect(wire.Login)
            await client.log_out()
        with pytest.raises(ConnectionLost, match="logged out"):
            outcome.result()
        assert client.state is ConnectionState.OFFLINE


async def test_closing_ends_a_login_and_a_request_in_progress() -> None:
    async with anyio.create_task_group() as tasks:
        login: Outcome[None] = Outcome()
        async with scripted_server() as server, open_client(server.url) as client:
            tasks.start_soon(login.run, client.log_in, "mei", "correct horse")
            await (await server.accept()).expect(wire.Login)
        request: Outcome[list[Person]] = Outcome()
        async with logged_in() as (_, client, peer):
            tasks.start_soon(request.run, client.who)
            await peer.expect(wire.Who)
    with pytest.raises(ConnectionLost, match="closed"):
        login.result()
    with pytest.raises(ConnectionLost, match="closed"):
        request.result()


async def test_password_change_brings_a_new_token() -> None:
    async with logged_in() as (_, client, peer):
        async with meanwhile(client.change_password, "correct horse", "battery staple") as outcome:
            request = await peer.expect(wire.ChangePassword)
            assert (request.old, request.new) == ("correct horse", "battery staple")
            await peer.reply(request, wire.PasswordChanged(token="fresh", expires=5))
        outcome.result()
        assert (client.token, client.token_expires) == ("fresh", moment(5))


# -- errors of the connection --------------------------------------------------------------------


async def test_refused_connection_is_reported(free_tcp_port: int) -> None:
    url = f"gochat://127.0.0.1:{free_tcp_port}"
    async with open_client(url) as client:
        text = rf"no server answers at 127\.0\.0\.1:{free_tcp_port}: is the server running\?"
        with pytest.raises(ConnectionLost, match=text):
            await client.log_in("mei", "correct horse")
        with pytest.raises(ConnectionLost, match=text):
            await client.register("mei", "correct horse")


async def test_unknown_host_is_reported() -> None:
    async with open_client("gochat://nowhere.invalid") as client:
        with pytest.raises(ConnectionLost, match=r"unknown host 'nowhere\.invalid'"):
            await client.log_in("mei", "correct horse")


async def test_server_that_closes_before_the_login_is_reported() -> None:
    async with opened() as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            await (await server.accept()).cut()
        with pytest.raises(ConnectionLost, match="closed the connection"):
            outcome.result()
        assert client.state is ConnectionState.OFFLINE


async def test_full_server_gives_the_reason_itself() -> None:
    async with opened() as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            peer = await server.accept()
            await peer.send(wire.Bye(reason="server_full", text="the server is full"))
        with pytest.raises(ConnectionLost, match="the server is full"):
            outcome.result()


async def test_server_that_is_silent_during_the_login_is_given_up() -> None:
    options = ClientOptions(heartbeat_interval=0.05, heartbeat_grace=0.05)
    async with opened(options) as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            await (await server.accept()).expect(wire.Login)
        with pytest.raises(ConnectionLost, match="no answer from the server"):
            outcome.result()


async def test_queued_login_has_no_request_timeout() -> None:
    options = InternalOptions(clock=FakeClock(), request_timeout=0.0)
    async with opened(options) as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            await (await server.accept()).accept_login()
        outcome.result()


async def test_login_to_a_busy_server_is_retried_with_a_spread() -> None:
    clock = FakeClock()
    busy = wire.Error(code="busy", text="too many people are logging in", retry_after=8.0)
    options = InternalOptions(clock=clock, random=lambda: 0.5)
    async with opened(options) as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse"):
            for _ in range(3):
                peer = await server.accept()
                await peer.reply(await peer.expect(wire.Login), busy)
                await clock.pass_sleep(10)
            await (await server.accept()).welcome()
        assert client.state is ConnectionState.CONNECTED


@pytest.mark.parametrize("reason", ["login_timeout", "frame_timeout"])
async def test_login_that_arrived_too_late_is_repeated(reason: str) -> None:
    """The program may have been stopped between connecting and sending, or have had no processor
    time."""
    clock = FakeClock()
    options = InternalOptions(clock=clock, random=lambda: 0.5)
    async with opened(options) as (server, client):
        async with meanwhile(client.resume, "token") as outcome:
            await (await server.accept()).send(wire.Bye(reason=reason, text="no login in time"))
            await clock.pass_sleep(options.backoff_base / 2)
            await (await server.accept()).welcome()
        outcome.result()
        assert client.state is ConnectionState.CONNECTED


async def test_register_and_password_change_are_retried_if_busy() -> None:
    clock = FakeClock()
    busy = wire.Error(code="busy", text="too many people are logging in", retry_after=8.0)
    async with logged_in(InternalOptions(clock=clock, random=lambda: 0.5)) as (
        server,
        client,
        mine,
    ):
        async with meanwhile(client.register, "bob", "correct horse") as outcome:
            peer = await server.accept()
            await peer.reply(await peer.expect(wire.Register), busy)
            await clock.pass_sleep(10)
            peer = await server.accept()
            await peer.reply(await peer.expect(wire.Register), wire.Registered(name="bob"))
        assert outcome.result() == "bob"
        async with meanwhile(client.change_password, "correct horse", "battery staple"):
            await mine.reply(await mine.expect(wire.ChangePassword), busy)
            await clock.pass_sleep(10)
            changed = wire.PasswordChanged(token="new", expires=1)
            await mine.reply(await mine.expect(wire.ChangePassword), changed)
        assert client.token == "new"


async def test_server_of_another_protocol_is_reported() -> None:
    async with opened() as (server, client):
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            peer = await server.accept()
            await peer.stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ConnectionLost, match="does not speak gochat"):
            outcome.result()


async def test_frames_without_a_valid_message_are_ignored() -> None:
    async with logged_in() as (_, client, peer):
        unknown = b'{"msg_type": "hologram", "msg_data": "{}"}'
        await peer.stream.send(frame(unknown) + frame(b"\xff\xfe") + frame(b"{}"))
        await peer.settle()
        assert client.state is ConnectionState.CONNECTED


# -- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_tls_with_a_trusted_certificate(
    authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    async with (
        scripted_server(server_context) as server,
        open_client(server.url, ssl_context=context) as client,
    ):
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            await (await server.accept()).welcome()
        outcome.result()
        assert client.state is ConnectionState.CONNECTED


async def test_untrusted_certificate_is_refused(
    server_context: ssl.SSLContext,
) -> None:
    async with scripted_server(server_context) as server, open_client(server.url) as client:
        with pytest.raises(ConnectionLost, match=r"certificate of .* can't be trusted"):
            await client.log_in("mei", "correct horse")


async def test_tls_to_a_plain_port_is_reported() -> None:
    async with scripted_server() as server:
        url = server.url.replace("gochat://", "gochats://")
        async with open_client(url) as client:
            async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
                peer = await server.accept()
                await peer.stream.send(b"\x00\x00\x00\x02{}")
            with pytest.raises(ConnectionLost, match="does not speak TLS"):
                outcome.result()


async def test_stalled_tls_handshake_is_given_up() -> None:
    async with scripted_server() as server:
        url = server.url.replace("gochat://", "gochats://")
        async with open_client(url, options=ClientOptions(tls_timeout=0.05)) as client:
            with pytest.raises(ConnectionLost, match=r"TLS handshake within 0\.05 s"):
                await client.log_in("mei", "correct horse")


# -- errors of the block --------------------------------------------------------------------------


async def test_exception_leaves_the_block_unwrapped() -> None:
    class Mine(Exception):
        pass

    async def work() -> None:
        async with open_client(server.url) as client:
            async with meanwhile(client.log_in, "mei", "correct horse"):
                await (await server.accept()).welcome()
            raise Mine("as it is")

    async with scripted_server() as server:
        with pytest.raises(Mine, match="as it is"):
            await work()


async def test_cancelled_block_ends_without_an_error() -> None:
    async with scripted_server() as server:
        with anyio.move_on_after(0.01) as scope:
            async with open_client(server.url) as client:
                await client.log_in("mei", "correct horse")
        assert scope.cancelled_caught


async def test_closing_at_any_point_of_the_login_is_clean() -> None:
    async with scripted_server() as server, open_client(server.url, options=QUICK) as client:
        async with meanwhile(client.log_in, "mei", "correct horse") as outcome:
            peer = await server.accept()
            await peer.accept_login()
            await outcome.done.wait()
        # The snapshot is being requested.


async def test_rate_limited_resume_is_repeated() -> None:
    async with opened() as (server, client):
        async with meanwhile(client.resume, "an old token") as outcome:
            peer = await server.accept()
            error = wire.Error(code="rate_limited", text="slowly", retry_after=0.01)
            await peer.reply(await peer.expect(wire.Resume), error)
            request = await (await server.accept()).welcome()
        outcome.result()
        assert isinstance(request, wire.Resume)
        assert client.state is ConnectionState.CONNECTED
