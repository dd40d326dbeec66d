"""Resuming: with a token, and without the password."""

from __future__ import annotations

import pytest
import trio
from peers import PASSWORD, Peer, config, running_server

from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    CreateRoom,
    Error,
    Join,
    LoggedIn,
    Message,
    PasswordChanged,
    Ping,
    Pong,
    Position,
    Resume,
    Send,
    Sent,
    Sync,
    Synced,
)

pytestmark = pytest.mark.trio


async def say(peer: Peer, *texts: str, to: str = "#lobby") -> Sent:
    """Send messages and return the last acknowledgement."""
    return [await peer.ask(Send(to=to, text=text), Sent) for text in texts][-1]


async def test_resume_needs_a_token_and_no_password() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.connect() as again:
        reply = await again.ask(Resume(token=mei.token), LoggedIn)
        assert reply.name == "mei"
        assert reply.token == mei.token


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 43])
async def test_wrong_token_is_refused(token: str) -> None:
    async with running_server() as server, server.connect() as peer:
        assert (await peer.ask(Resume(token=token), Error)).code == "bad_token"
        await peer.log_in("mei")


async def test_token_expires() -> None:
    async with running_server(config(token_lifetime=60)) as server, server.peer("mei") as mei:
        reply = await mei.ask(ChangePassword(old=PASSWORD, new=PASSWORD), PasswordChanged)
        now = (await say(mei, "now")).ts
        assert now < reply.expires <= now + 60_000


async def test_password_change_ends_other_sessions_and_their_tokens() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        old_token = mei.token
        async with server.peer("mei") as elsewhere:
            reply = await mei.ask(
                ChangePassword(old=PASSWORD, new="another horse"), PasswordChanged
            )
            bye = (await elsewhere.at_end())[-1]
            assert isinstance(bye, Bye)
            assert bye.reason == "session_revoked"
        async with server.connect() as again:
            assert (await again.ask(Resume(token=old_token), Error)).code == "bad_token"
            await again.ask(Resume(token=reply.token), LoggedIn)
        await mei.ask(Ping(), Pong)


async def test_password_change_needs_the_old_password() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        error = await mei.ask(ChangePassword(old="wrong horse", new="another horse"), Error)
        assert error.code == "bad_credentials"


async def test_guessing_the_old_password_is_slowed() -> None:
    limits = config(login_failures_account=3)
    async with running_server(limits) as server, server.peer("mei") as mei:
        guess = ChangePassword(old="wrong horse", new="another horse")
        codes = [(await mei.ask(guess, Error)).code for _ in range(4)]
        assert codes == ["bad_credentials"] * 3 + ["rate_limited"]


async def test_restarted_server_has_all_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'gochat.db'}"
    async with running_server(config(store=store)) as server, server.peer("mei", "log") as mei:
        token = mei.token
        sent = await say(mei, "before")
    async with running_server(config(store=store)) as server, server.connect() as mei:
        position = Position(conv="#lobby", epoch=sent.epoch, seq=sent.seq, ts=sent.ts)
        await mei.send(Resume(token=token, caps=("log",)), Sync(have=(position,), limit=0))
        reply = await mei.expect(Synced)
        assert [one.reset for one in reply.conversations] == [False]  # it does not know the marker
        assert (await say(mei, "after")).seq == 2


async def test_resume_brings_nothing_but_what_comes_after_it() -> None:
    """What was missed is asked for."""
    async with running_server() as server, server.peer("bob") as bob:
        async with server.peer("mei", "log") as mei:
            token = mei.token
        await say(bob, "missed")
        await say(bob, "this, too", to="@mei")
        async with server.connect() as mei:
            await mei.ask(Resume(token=token, caps=("log",)), LoggedIn)
            await mei.ask(Ping(), Pong)
            await say(bob, "live")
            assert (await mei.text()).text == "live"
            assert sum(isinstance(message, Message) for message in mei.received) == 1


async def test_nothing_is_sent_before_logged_in_and_nothing_is_lost_after_it() -> None:
    async with running_server() as server, server.peer("bob") as bob:
        async with server.peer("mei", "log") as mei:
            token = mei.token
            await mei.ask(CreateRoom(room="#room"), Sent)
        await bob.ask(Join(room="#room"), Sent)
        async with trio.open_nursery() as nursery:
            stop = trio.Event()

            async def talk() -> None:
                while not stop.is_set():
                    await say(bob, "x", to="#room")

            nursery.start_soon(talk)
            for _ in range(20):
                async with server.connect() as mei:
                    await mei.send(Resume(token=token, caps=("log",)), Sync())
                    assert isinstance(await mei.receive(), LoggedIn)
                    page = await mei.expect(Synced)
                    (room,) = [one for one in page.conversations if one.conv == "#room"]
                    last = room.head
                    live = [m for m in mei.received if isinstance(m, Message)]
                    for entry in [*live, *[await mei.text() for _ in range(5)]]:
                        assert entry.seq <= last + 1
                        last = max(last, entry.seq)
            stop.set()
