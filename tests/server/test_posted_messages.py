"""Private messages reach a client without the capability `log` once, however far its node is."""

from __future__ import annotations

import pytest
import trio
from peers import PASSWORD, Peer, running_server

from gochat.chat.conversations import ConversationKey
from gochat.chat.log import Batch
from gochat.protocol.messages import LoggedIn, Login, Message, Ping, Pong, Resume, Send, Sent
from gochat.server.hub import Hub
from gochat.server.posted_messages import PostedMessages
from gochat.storage.sqlite import SqliteStore

pytestmark = pytest.mark.trio

ONE, TWO = ConversationKey("@a,me"), ConversationKey("@b,me")


def texts(peer: Peer) -> list[str]:
    return [message.text for message in peer.received if isinstance(message, Message)]


async def test_messages_are_read_until_all_that_waits_is_sent() -> None:
    posted = PostedMessages()
    assert not posted.admits(ONE, 5)
    assert not posted.admits(ONE, 6)
    assert posted.unread == {ONE: 4}
    posted.posted[ONE] = 6
    posted.unread.clear()
    assert not posted.admits(ONE, 6)  # it was read ahead of its event
    assert posted.unread == {}
    assert not posted.admits(ONE, 7)
    assert posted.unread == {ONE: 6}


async def test_messages_that_were_read_ahead_of_their_events_are_left_out() -> None:
    posted = PostedMessages()
    posted.posted[ONE] = 6
    posted.unread = None
    assert [posted.admits(ONE, seq) for seq in (5, 6, 7, 8)] == [False, False, True, True]
    assert posted.posted == {}  # nothing is kept for what is posted as it comes
    assert posted.admits(TWO, 1)


async def test_message_that_the_node_delivers_later_comes_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As at a node that is behind the one at which it was said."""
    late: list[tuple[Hub, Batch]] = []
    deliver = Hub.deliver
    async with running_server() as server, server.peer("bob") as bob, server.connect() as mei:
        await mei.register("mei")
        await bob.ask(Send(to="@mei", text="1"), Sent)
        with monkeypatch.context() as patch:
            patch.setattr(Hub, "deliver", lambda hub, batch: late.append((hub, batch)))
            for text in ("2", "3"):
                await bob.ask(Send(to="@mei", text=text), Sent)
            await mei.send(Login(name="mei", password=PASSWORD), Ping())
            await mei.expect(Pong)
            assert texts(mei) == ["1", "2", "3"]
        for one in late:
            deliver(*one)
        await bob.ask(Send(to="@mei", text="4"), Sent)
        await mei.text(lambda message: message.text == "4")
        assert texts(mei) == ["1", "2", "3", "4"]


async def test_message_said_while_others_are_sent_comes_in_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_server() as server, server.peer("bob") as bob, server.peer("eve") as eve:
        async with server.peer("mei") as mei:
            token = mei.token
        await bob.ask(Send(to="@mei", text="1"), Sent)
        await eve.ask(Send(to="@mei", text="of eve"), Sent)
        read, is_reading, may_go_on = SqliteStore.waiting, trio.Event(), trio.Event()

        async def waiting(self: SqliteStore, *what: object, **options: object) -> object:
            found = await read(self, *what, **options)  # type: ignore[arg-type]  # passes on what it got
            is_reading.set()
            await may_go_on.wait()
            return found

        async with server.connect() as mei:
            with monkeypatch.context() as patch:
                patch.setattr(SqliteStore, "waiting", waiting)
                await mei.send(Resume(token=token), Ping())
                await is_reading.wait()
                for peer, text in ((bob, "2"), (eve, "more of eve"), (bob, "3")):
                    await peer.ask(Send(to="@mei", text=text), Sent)
                    await peer.ask(Send(to="#lobby", text=f"lobby {text}"), Sent)
                may_go_on.set()
                await mei.expect(Pong)
            assert isinstance(mei.received[0], LoggedIn)
            private = [text for text in texts(mei) if not text.startswith("lobby")]
            assert [text for text in private if "eve" not in text] == ["1", "2", "3"]
            assert [text for text in private if "eve" in text] == ["of eve", "more of eve"]
