"""The log as clients see it: acknowledged after the commit, numbered without gaps, delivered
once."""

from __future__ import annotations

from typing import Any

import pytest
from peers import Peer, running_server

from gochat.protocol.messages import (
    Delete,
    Edit,
    Error,
    Found,
    History,
    HistoryPage,
    IsTyping,
    Message,
    Ok,
    People,
    React,
    Request,
    Search,
    Send,
    Sent,
    Typing,
    Who,
)

pytestmark = pytest.mark.trio


async def say(peer: Peer, text: str, to: str = "#lobby") -> Sent:
    return await peer.ask(Send(to=to, text=text), Sent)


async def page(peer: Peer, conv: str = "#lobby", **where: Any) -> HistoryPage:
    return await peer.ask(History(conv=conv, **where), HistoryPage)


async def test_acknowledgements_number_a_conversation_without_gaps() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob"):
        assert [(await say(mei, "x")).seq for _ in range(3)] == [1, 2, 3]
        assert (await say(mei, "x", "@bob")).seq == 1, "each conversation has its own"


async def test_only_requested_acknowledgements_are_sent() -> None:
    async with running_server() as server, server.peer("mei") as plain:
        async with server.peer("bob", "log") as bob:
            await plain.send(Send(to="#lobby", text="x"))
            await plain.ask(Who(), People)
            assert not [m for m in plain.received if isinstance(m, Sent)]
            await plain.ask(Send(to="#lobby", text="x"), Sent)
            await bob.send(Send(to="#lobby", text="x", cid="7"))
            assert (await bob.expect(Sent)).cid == "7"


async def test_retry_gets_the_first_seq_and_is_delivered_once() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        message = Send(to="#lobby", text="once", cid="c1")
        first = await mei.ask(message, Sent)
        again = await mei.ask(message, Sent)
        assert (again.seq, again.dup) == (first.seq, True)
        assert not first.dup
        await say(mei, "next")
        assert [(await bob.text()).text for _ in range(2)] == ["once", "next"]


async def test_retry_from_another_session_is_recognised() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("mei") as again:
        message = Send(to="#lobby", text="once", cid="c1")
        assert not (await mei.ask(message, Sent)).dup
        assert (await again.ask(message, Sent)).dup


async def test_cid_reused_for_another_request_is_refused() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        await mei.ask(Send(to="#lobby", text="one", cid="c1"), Sent)
        error = await mei.ask(Send(to="#lobby", text="two", cid="c1"), Error)
        assert error.code == "cid_conflict"


async def test_replies_come_in_the_order_of_requests() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        requests: list[Request] = [
            Send(to="#lobby", text="a", request_id="1"),
            Who(request_id="2"),
            Send(to="#lobby", text="", request_id="3"),
            Send(to="#lobby", text="b", request_id="4"),
            History(conv="#lobby", request_id="5"),
            Send(to="#lobby", text="c", request_id="6"),
        ]
        await mei.send(*requests)
        ids: list[str] = []
        while len(ids) < len(requests):
            reply = await mei.receive()
            if (request_id := getattr(reply, "request_id", None)) is not None:
                ids.append(request_id)
                if isinstance(reply, HistoryPage):
                    assert [m.text for m in reply.entries] == ["a", "b"], "it saw what came before"
        assert ids == ["1", "2", "3", "4", "5", "6"]


async def test_history_is_paged_both_ways_and_around() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        for number in range(1, 11):
            await say(mei, str(number))
        newest = await page(mei, limit=3)
        assert [m.seq for m in newest.entries] == [8, 9, 10]
        assert (newest.head, newest.older, newest.newer) == (10, True, False)
        older = await page(mei, limit=3, before=8)
        assert [m.seq for m in older.entries] == [5, 6, 7]
        assert (older.older, older.newer) == (True, True)
        after = await page(mei, limit=3, after=0)
        assert [m.seq for m in after.entries] == [1, 2, 3]
        assert (after.older, after.newer) == (False, True)
        around = await page(mei, limit=5, around=6)
        assert [m.seq for m in around.entries] == [4, 5, 6, 7, 8]
        assert [m.seq for m in (await page(mei, limit=5, around=1)).entries] == [1, 2, 3, 4, 5]
        error = await mei.ask(History(conv="#lobby", before=3, after=1), Error)
        assert error.code == "bad_request"


async def test_page_fits_its_frame_and_paging_reaches_everything() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        for _ in range(30):
            await say(mei, '"' * 4000)
        seen: list[int] = []
        before = 31
        while before > 1:
            got = await page(mei, before=before, limit=200)
            assert got.entries, "a page is never empty where there is more"
            seen = [m.seq for m in got.entries] + seen
            before = seen[0]
        assert seen == list(range(1, 31))
        after = await page(mei, after=0, limit=200)
        assert after.entries[0].seq == 1
        assert after.newer
        around = await page(mei, around=15, limit=200)
        assert 15 in [m.seq for m in around.entries]


async def test_private_history_is_only_for_its_two_people() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        async with server.peer("eve") as eve:
            await say(mei, "secret", "@bob")
            assert [m.text for m in (await page(bob, "@mei")).entries] == ["secret"]
            assert (await page(eve, "@mei")).entries == ()
            assert (await eve.ask(Search(query="secret"), Found)).hits == ()


async def test_edits_and_deletions_are_entries_and_change_the_message() -> None:
    async with running_server() as server, server.peer("mei") as mei:
        async with server.peer("bob", "log") as bob, server.peer("eve") as plain:
            await say(mei, "helo")
            await mei.ask(Edit(to="#lobby", seq=1, text="hello"), Sent)
            await say(mei, "oops")
            await mei.ask(Delete(to="#lobby", seq=3), Sent)
            got = [await bob.text() for _ in range(4)]
            assert [(m.kind, m.ref, m.text) for m in got] == [
                ("text", None, "helo"),
                ("edit", 1, "hello"),
                ("text", None, "oops"),
                ("delete", 3, ""),
            ]
            first, _, third, _ = (await page(bob)).entries
            assert (first.text, first.edited) == ("hello", 2)
            assert (third.text, third.deleted) == ("", True)
            assert [(await plain.text()).text for _ in range(2)] == ["helo", "oops"]


async def test_only_the_author_edits_and_deletes() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await say(mei, "mine")
        for request in (Edit(to="#lobby", seq=1, text="yours"), Delete(to="#lobby", seq=1)):
            assert (await bob.ask(request, Error)).code == "not_permitted"
        for request in (Edit(to="#lobby", seq=9, text="x"), Delete(to="#lobby", seq=0)):
            assert (await mei.ask(request, Error)).code == "unknown_message"


async def test_reactions_are_counted_and_removed() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await say(mei, "hello")
        for peer in (mei, bob):
            await peer.ask(React(to="#lobby", seq=1, emoji="👍"), Sent)
        [reaction] = (await page(bob)).entries[0].reactions
        assert (reaction.emoji, reaction.count, reaction.me) == ("👍", 2, True)
        assert set(reaction.names) == {"mei", "bob"}
        await bob.ask(React(to="#lobby", seq=1, emoji="👍", on=False), Sent)
        [reaction] = (await page(bob)).entries[0].reactions
        assert (reaction.count, reaction.me) == (1, False)


async def test_different_emoji_on_a_message_are_bounded() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        async with server.peer("eve") as eve, server.peer("ada") as ada, server.peer("joe") as joe:
            await say(mei, "hello")
            for number in range(20):
                react = React(to="#lobby", seq=1, emoji=chr(0x1F600 + number))
                await (mei, bob, eve, ada)[number % 4].ask(react, Sent)
            # One person's own bound, and then the message's.
            for person in (mei, joe):
                error = await person.ask(React(to="#lobby", seq=1, emoji="👍"), Error)
                assert error.code == "too_many"
            await mei.ask(React(to="#lobby", seq=1, emoji=chr(0x1F600), on=False), Sent)
            await joe.ask(React(to="#lobby", seq=1, emoji="👍"), Sent)


async def test_reply_names_the_message_it_answers() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await say(mei, "question")
        await bob.ask(Send(to="#lobby", text="answer", reply_to=1), Sent)
        assert (await mei.text()).ref == 1


async def test_mentions_are_of_existing_names() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("Bob") as bob:
        await say(mei, "hi @bob, and @nobody. mail me@bob.example")
        assert (await bob.text()).mentions == ("Bob",)


async def test_typing_is_sent_to_others_with_the_capability_and_limited() -> None:
    async with running_server() as server, server.peer("mei", "typing") as mei:
        async with server.peer("bob", "typing") as bob, server.peer("eve") as eve:
            for _ in range(3):
                await mei.ask(Typing(to="#lobby"), Ok)
            await say(mei, "done")
            await bob.text()
            await eve.text()
            assert len([m for m in bob.received if isinstance(m, IsTyping)]) == 1
            for peer in (eve, mei):
                assert not [m for m in peer.received if isinstance(m, IsTyping)]


async def test_search_finds_only_readable_messages() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        await say(mei, "the quick brown fox")
        await say(mei, "今天天气很好", "@bob")
        [hit] = (await bob.ask(Search(query="天气"), Found)).hits
        assert isinstance(hit, Message)
        assert hit.text == "今天天气很好"
        [hit] = (await bob.ask(Search(query="FOX quick"), Found)).hits
        assert hit.seq == 1
        assert (await bob.ask(Search(query="  "), Error)).code == "text_empty"
