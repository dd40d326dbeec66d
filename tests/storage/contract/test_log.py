"""The Store's contract: appending, following, pages."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import pytest
import structlog.testing
import trio
from msgspec import structs
from patience import PATIENCE
from storing import NOON, Chat, Clock, Following, draft, follow, key, person

from gochat.chat import extras
from gochat.chat.log import MAX_AHEAD, OF_MESSAGES, Appended, Batch, Draft, Unchanged
from gochat.chat.store import Store
from gochat.errors import ChatError
from gochat.protocol.messages import EntryKind, Message

pytestmark = pytest.mark.trio

TEN_YEARS = 10 * 365 * 24 * 3600 * 1000


# -- entries --------------------------------------------------------------------------------------


async def test_entry_has_everything_from_the_draft(chat: Chat, clock: Clock) -> None:
    first = await chat.say("Mei", "#lobby", "hello @Bob", cid="c1", mentions=["Bob"])
    reply = await chat.say("Bob", "#lobby", "你好", ref=1, cid="c2")
    assert first == Message(
        to="#lobby",
        epoch=first.epoch,
        seq=1,
        ts=NOON,
        from_="Mei",
        kind="text",
        text="hello @Bob",
        cid="c1",
        mentions=("Bob",),
    )
    assert (reply.seq, reply.ref, reply.text, reply.from_) == (2, 1, "你好", "Bob")
    assert list(await chat.entries("Eve", "#lobby")) == [first, reply]


async def test_seq_counts_from_one_in_each_conversation(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    said = [
        await chat.say(who, to, "x")
        for who, to in [
            ("Mei", "#lobby"),
            ("Mei", "@Bob"),
            ("Mei", "#garden"),
            ("Bob", "@Mei"),
            ("Bob", "#lobby"),
            ("Mei", "@Mei"),
        ]
    ]
    assert [(entry.to, entry.seq) for entry in said] == [
        ("#lobby", 1),
        ("@Bob", 1),
        ("#garden", 2),
        ("@Mei", 2),
        ("#lobby", 2),
        ("@Mei", 1),
    ]


async def test_any_text_is_stored_unchanged(chat: Chat) -> None:
    texts = [
        "中文 and עברית",
        "👩‍👩‍👧‍👦 e\N{COMBINING ACUTE ACCENT}",
        "line\nline\ttab",
        "\x00\x01\x7f\u200b\u202e",
        "'; DROP TABLE entry; --",
        "\U0010ffff",
        "x" * 4000,
    ]
    for text in texts:
        await chat.say("Mei", "#lobby", text)
    assert [entry.text for entry in await chat.entries("Bob", "#lobby")] == texts


async def test_time_waits_for_a_clock_that_is_set_back_a_little(chat: Chat, clock: Clock) -> None:
    await chat.say("Mei", "#lobby", "at noon")
    clock.now = NOON - MAX_AHEAD
    early = await chat.say("Mei", "#lobby", "the clock was set back")
    elsewhere = await chat.say("Mei", "@Bob", "another conversation has its own time")
    clock.now = NOON + 1
    late = await chat.say("Mei", "#lobby", "and goes on")
    assert (early.ts, elsewhere.ts, late.ts) == (NOON, NOON - MAX_AHEAD, NOON + 1)


async def test_time_returns_with_the_clock_after_a_jump(chat: Chat, clock: Clock) -> None:
    """The server logs it once, not for each conversation."""
    for room in ("#garden", "#cellar"):
        await chat.do("Mei", room, "create", "public")
    clock.now = NOON + TEN_YEARS
    jumped = [
        await chat.say("Mei", "#lobby", "ten years later"),
        await chat.do("Bob", "#garden", "join"),
        await chat.do("Bob", "#cellar", "join"),
    ]
    clock.now = NOON + 1000
    with structlog.testing.capture_logs() as logs:
        back = [
            await chat.say("Mei", "#lobby", "a second later"),
            await chat.do("Mei", "#garden", "topic", "Roses"),
            await chat.do("Mei", "#cellar", "topic", "Wine"),
        ]
    assert [entry.ts for entry in jumped] == [NOON + TEN_YEARS] * 3
    assert [entry.ts for entry in back] == [NOON + 1000] * 3
    entries = await chat.entries("Mei", "#lobby")
    assert [entry.seq for entry in entries] == [1, 2], "the order is that of the log"
    warnings = [log for log in logs if log["event"] == "conversation time set back to the clock"]
    assert [log["ahead"] for log in warnings] == ["315359999 s"]


async def test_clocks_of_nodes_that_differ_a_little_keep_the_time(chat: Chat, clock: Clock) -> None:
    times = []
    for number in range(6):
        clock.now = NOON + number + (MAX_AHEAD // 2 if number % 2 else 0)
        times.append((await chat.say("Mei", "#lobby", "who is late?")).ts)
    assert times == sorted(times)


async def test_drafts_of_one_call_keep_their_order(chat: Chat) -> None:
    results = await chat.append(*(draft("Mei", "#lobby", str(n)) for n in range(100)))
    entries = [result.entry for result in results if isinstance(result, Appended)]
    assert [(entry.seq, entry.text) for entry in entries] == [(n + 1, str(n)) for n in range(100)]


async def test_appending_nothing_is_not_an_error(store: Store) -> None:
    assert await store.append([]) == []


async def test_hundred_appenders_leave_no_gap_and_keep_their_order(chat: Chat) -> None:
    rounds = 20
    people = [f"p{number}" for number in range(100)]
    await chat.register(*people)
    seqs: dict[str, list[int]] = defaultdict(list)
    following = Following()

    async def append(who: str) -> None:
        for number in range(rounds):
            to = "#lobby" if number % 4 else "@Mei"
            entry = await chat.say(who, to, f"{who} {number}", cid=f"{number}")
            if to == "#lobby":
                seqs[who].append(entry.seq)

    async with trio.open_nursery() as background:
        await follow(background, chat.store, following)
        async with trio.open_nursery() as nursery:
            for who in people:
                nursery.start_soon(append, who)
        background.cancel_scope.cancel()
    total = sum(map(len, seqs.values()))
    assert sorted(seq for own in seqs.values() for seq in own) == list(range(1, total + 1))
    assert all(own == sorted(own) for own in seqs.values())
    assert following.seqs("#lobby") == list(range(1, total + 1))
    assert following.seqs(key("@Mei", "p7")) == list(range(1, rounds // 4 + 1))


# -- the client's id ------------------------------------------------------------------------------


async def test_retry_gets_the_first_entry_and_nothing_is_added(chat: Chat) -> None:
    following = Following()
    first = await chat.say("Mei", "#lobby", "hello", cid="c1", ref=None)
    async with trio.open_nursery() as nursery:
        await follow(nursery, chat.store, following)
        assert await chat.append(draft("Mei", "#lobby", "hello", cid="c1")) == [
            Appended(first, dup=True)
        ]
        nursery.cancel_scope.cancel()
    assert len(await chat.entries("Mei", "#lobby")) == 1
    assert following.logged == []


async def test_retry_in_the_same_call_is_a_dup(chat: Chat) -> None:
    one = draft("Mei", "#lobby", "hello", cid="c1")
    first, again = await chat.append(one, one)
    assert isinstance(first, Appended)
    assert (first.dup, again) == (False, Appended(first.entry, dup=True))


async def test_entry_is_found_by_cid_sender_and_conversation(
    chat: Chat,
) -> None:
    entry = await chat.say("Mei", "#lobby", "hello", cid="c1")

    async def found(who: str, to: str, text: str, cid: str) -> Appended | str | None:
        result = await chat.store.find_by_cid(draft(who, to, text, cid=cid))
        return str(result.code) if isinstance(result, ChatError) else result

    assert await found("Mei", "#lobby", "hello", "c1") == Appended(entry, dup=True)
    assert await found("Mei", "#lobby", "hello", "c2") is None
    assert await found("Bob", "#lobby", "hello", "c1") is None
    assert await found("Mei", "#lobby", "else", "c1") == "cid_conflict"
    assert await found("Mei", "@Bob", "hello", "c1") == "cid_conflict"
    assert await found("Mei", "#nowhere", "hello", "c1") == "cid_conflict"
    assert await found("Mei", "#nowhere", "hello", "c2") is None
    program = extras.of_message("notice", {"ci.example/build": "7", "ci.example/a": "1"})
    retried = extras.of_message("notice", {"ci.example/a": "1", "ci.example/build": "7"})
    await chat.say("Mei", "#lobby", "built", cid="c3", extra=program)
    assert isinstance(
        await chat.store.find_by_cid(draft("Mei", "#lobby", "built", cid="c3", extra=retried)),
        Appended,
    )
    assert await found("Mei", "#lobby", "built", "c3") == "cid_conflict"
    await chat.do("Mei", "#lobby", "delete", ref=entry.seq)
    again = await chat.store.find_by_cid(draft("Mei", "#lobby", "hello", cid="c1"))
    assert isinstance(again, Appended)
    assert (again.entry.seq, again.entry.text, again.dup) == (entry.seq, "", True)


async def test_same_cid_from_two_devices_at_once_is_one_entry(chat: Chat) -> None:
    results: list[Appended | Unchanged | ChatError] = []

    async def send() -> None:
        results.extend(await chat.append(draft("Mei", "#lobby", "hello", cid="c1")))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(send)
    appended = [result for result in results if isinstance(result, Appended)]
    assert sorted(result.dup for result in appended) == [False] + [True] * 9
    assert {result.entry.seq for result in appended} == {1}


@pytest.mark.parametrize(
    "other",
    [
        draft("Mei", "#lobby", "something else", cid="c1", ref=1),
        draft("Mei", "@Bob", "hello", cid="c1", ref=1),
        draft("Mei", "#lobby", "hello", cid="c1", ref=None),
        draft("Mei", "#lobby", "hello", kind="edit", cid="c1", ref=1),
        draft("Mei", "#nowhere", "hello", cid="c1", ref=1),
        draft("Mei", "#lobby", "hello", cid="c1", ref=1, extra=extras.of_message("action", {})),
        draft(
            "Mei", "#lobby", "hello", cid="c1", ref=1, extra=extras.of_message("text", {"a/b": "c"})
        ),
    ],
    ids=["text", "conversation", "ref", "kind", "unknown conversation", "form", "meta"],
)
async def test_same_cid_for_another_entry_is_a_conflict(chat: Chat, other: Draft) -> None:
    await chat.say("Eve", "#lobby", "to be replied to")
    await chat.say("Mei", "#lobby", "hello", cid="c1", ref=1)
    (result,) = await chat.append(other)
    assert isinstance(result, ChatError)
    assert result.code == "cid_conflict"
    assert len(await chat.entries("Mei", "#lobby")) == 2


async def test_cids_of_different_people_are_different(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "hello", cid="c1")
    entry = await chat.say("Bob", "#lobby", "something else", cid="c1")
    assert entry.seq == 2


async def test_entries_without_a_cid_can_be_repeated(chat: Chat) -> None:
    assert (await chat.say("Mei", "#lobby", "hello")).seq == 1
    assert (await chat.say("Mei", "#lobby", "hello")).seq == 2


async def test_retry_after_an_edit_or_delete_is_still_a_dup(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "edited later", cid="c1")
    await chat.say("Mei", "#lobby", "deleted later", cid="c2")
    await chat.do("Mei", "#lobby", "edit", "new text", ref=1, cid="c3")
    await chat.do("Mei", "#lobby", "delete", ref=2, cid="c4")
    retries = await chat.append(
        draft("Mei", "#lobby", "edited later", cid="c1"),
        draft("Mei", "#lobby", "deleted later", cid="c2"),
        draft("Mei", "#lobby", "new text", kind="edit", ref=1, cid="c3"),
        draft("Mei", "#lobby", kind="delete", ref=2, cid="c4"),
    )
    seen = [(r.dup, r.entry.seq, r.entry.text) for r in retries if isinstance(r, Appended)]
    assert seen == [(True, 1, "new text"), (True, 2, ""), (True, 3, "new text"), (True, 4, "")]


async def test_retry_of_creating_a_room_is_a_dup(chat: Chat) -> None:
    first = await chat.do("Mei", "#garden", "create", "public", cid="c1")
    again = await chat.append(draft("Mei", "#garden", "public", kind="create", cid="c1"))
    assert again == [Appended(first, dup=True)]


# -- refusals -------------------------------------------------------------------------------------


async def test_refused_draft_does_not_affect_its_neighbours(chat: Chat) -> None:
    good, bad, better = await chat.append(
        draft("Mei", "#lobby", "one"),
        draft("Mei", "#nowhere", "lost"),
        draft("Mei", "#lobby", "two"),
    )
    assert isinstance(bad, ChatError)
    assert bad.code == "unknown_conversation"
    assert isinstance(good, Appended)
    assert isinstance(better, Appended)
    assert (good.entry.seq, better.entry.seq) == (1, 2)


async def test_people_without_accounts_are_refused(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    assert await chat.refused("Nobody", "#lobby", "text", "x") == "unknown_person"
    assert await chat.refused("Mei", "@Nobody", "text", "x") == "unknown_person"
    assert await chat.refused("Mei", "#lobby", "text", "x", mentions=["Nobody"]) == "unknown_person"
    assert await chat.refused("Mei", "#garden", "invite", "x", subject="No") == "unknown_person"
    assert (await chat.page("Mei", "#lobby")).head == 0
    assert (await chat.page("Mei", "@Nobody")).head == 0
    assert (await chat.page("Mei", "#garden")).head == 1


@pytest.mark.parametrize("kind", sorted(OF_MESSAGES))
async def test_only_messages_can_be_changed(chat: Chat, kind: EntryKind) -> None:
    await chat.say("Mei", "#lobby", "hello")
    await chat.say("Mei", "#lobby", "gone")
    await chat.do("Mei", "#lobby", "delete", ref=2)
    for ref in (None, 0, 2, 3, 4, 2**40):
        assert await chat.refused("Mei", "#lobby", kind, "x", ref=ref) == "unknown_message"
    assert await chat.refused("Mei", "@Bob", kind, "x", ref=1) == "unknown_message"
    assert (await chat.page("Mei", "#lobby")).head == 3
    assert (await chat.page("Mei", "@Bob")).head == 0


# -- following ------------------------------------------------------------------------------------


async def test_follower_gets_every_commit_with_its_conversation_and_subject(chat: Chat) -> None:
    following = Following()
    await chat.say("Mei", "#lobby", "before")
    async with trio.open_nursery() as nursery:
        await follow(nursery, chat.store, following)
        private = await chat.say("Mei", "@Bob", "psst")
        created = await chat.do("Mei", "#garden", "create", "private")
        invited = await chat.do("Mei", "#garden", "invite", "Eve", subject="Eve")
        nursery.cancel_scope.cancel()
    assert [(one.conversation, one.entry, one.subject) for one in following.logged] == [
        ("@bob,mei", private, None),
        ("#garden", created, None),
        ("#garden", invited, "eve"),
    ]


async def test_entry_is_delivered_before_append_returns_it(chat: Chat) -> None:
    following = Following()
    async with trio.open_nursery() as nursery:
        await follow(nursery, chat.store, following)

        async def talk(who: str, to: str) -> None:
            for number in range(20):
                one = draft(who, to, str(number), cid=f"{to} {number}")
                for _ in range(2):
                    (result,) = await chat.append(one)
                    assert isinstance(result, Appended)
                    assert result.entry in [one.entry for one in following.logged]

        async with trio.open_nursery() as talking:
            for who, to in (("Mei", "#lobby"), ("Bob", "#lobby"), ("Eve", "@Mei")):
                talking.start_soon(talk, who, to)
        nursery.cancel_scope.cancel()


async def test_found_entry_was_delivered_before(chat: Chat) -> None:
    """However soon after its commit it is found."""
    following = Following()
    drafts = [draft("Mei", "#lobby", str(number), cid=f"c{number}") for number in range(50)]

    async def look(one: Draft) -> None:
        while (found := await chat.store.find_by_cid(one)) is None:
            await trio.lowlevel.checkpoint()
        assert isinstance(found, Appended)
        assert found.entry in [one.entry for one in following.logged]

    async with trio.open_nursery() as nursery:
        await follow(nursery, chat.store, following)
        for one in drafts:
            async with trio.open_nursery() as both:
                both.start_soon(look, one)
                both.start_soon(chat.append, one)
        nursery.cancel_scope.cancel()


async def test_append_waits_for_no_follower_that_has_ended(chat: Chat) -> None:
    async with trio.open_nursery() as nursery:
        await follow(nursery, chat.store, Following())
        nursery.cancel_scope.cancel()
    with trio.fail_after(PATIENCE):
        assert (await chat.say("Mei", "#lobby", "hello")).seq == 1


async def test_all_followers_get_the_same_until_they_are_cancelled(chat: Chat) -> None:
    one, other = Following(), Following()
    async with trio.open_nursery() as nursery:
        await follow(nursery, chat.store, one)
        async with trio.open_nursery() as short:
            await follow(short, chat.store, other)
            await chat.say("Mei", "#lobby", "both")
            short.cancel_scope.cancel()
        await chat.say("Mei", "#lobby", "one")
        nursery.cancel_scope.cancel()
    assert (one.seqs("#lobby"), other.seqs("#lobby")) == ([1, 2], [1])


async def test_delivery_runs_in_the_trio_thread_after_the_commit(chat: Chat) -> None:
    async with trio.open_nursery() as nursery:
        delivered = trio.Event()

        def deliver(batch: Batch) -> None:
            assert trio.lowlevel.in_trio_run()
            nursery.start_soon(look)

        async def look() -> None:
            assert [entry.text for entry in await chat.entries("Bob", "#lobby")] == ["hello"]
            delivered.set()

        await follow(nursery, chat.store, deliver)
        await chat.say("Mei", "#lobby", "hello")
        await delivered.wait()
        nursery.cancel_scope.cancel()


# -- pages ----------------------------------------------------------------------------------------


PAGES: Final[list[tuple[dict[str, int], list[int]]]] = [
    ({}, [8, 9, 10]),
    ({"before": 8}, [5, 6, 7]),
    ({"before": 3}, [1, 2]),
    ({"before": 2}, [1]),
    ({"before": 1}, []),
    ({"before": 0}, []),
    ({"before": 11}, [8, 9, 10]),
    ({"before": 2**53 - 1}, [8, 9, 10]),
    ({"after": 0}, [1, 2, 3]),
    ({"after": 4}, [5, 6, 7]),
    ({"after": 8}, [9, 10]),
    ({"after": 9}, [10]),
    ({"after": 10}, []),
    ({"after": 2**53 - 1}, []),
]


async def test_page_has_the_requested_entries(chat: Chat) -> None:
    await chat.append(*(draft("Mei", "#lobby", str(n)) for n in range(1, 11)))
    await chat.append(*(draft("Mei", "@Bob", "elsewhere") for n in range(3)))
    for where, seqs in PAGES:
        page = await chat.page(
            "Bob", "#lobby", limit=3, before=where.get("before"), after=where.get("after")
        )
        assert [entry.seq for entry in page.entries] == seqs, where
        assert [entry.text for entry in page.entries] == [str(seq) for seq in seqs]
        assert page.head == 10


async def test_page_of_a_conversation_without_entries_is_empty(chat: Chat) -> None:
    written = await chat.say("Mei", "#lobby", "hello")
    page = await chat.page("Mei", "@Bob")
    assert (page.head, list(page.entries), page.epoch) == (0, [], written.epoch)


async def test_pages_backward_and_forward_meet_without_gap_or_duplicate(chat: Chat) -> None:
    await chat.append(*(draft("Mei", "#lobby", str(n)) for n in range(1, 101)))
    backward: list[int] = []
    while (not backward) or backward[0] > 1:
        page = await chat.page("Bob", "#lobby", before=backward[0] if backward else None, limit=7)
        backward = [entry.seq for entry in page.entries] + backward
    forward = [0]
    while forward[-1] < 100:
        page = await chat.page("Bob", "#lobby", after=forward[-1], limit=9)
        forward += [entry.seq for entry in page.entries]
    assert backward == forward[1:] == list(range(1, 101))


async def test_page_and_what_is_followed_have_everything(chat: Chat) -> None:
    """A page may be ahead of what was delivered when it was asked for, never behind."""
    people = [f"p{number}" for number in range(10)]
    await chat.register(*people)
    seen: list[list[int]] = []

    async def talk(who: str) -> None:
        for number in range(30):
            await chat.say(who, "#lobby", str(number))

    async def arrive(wait: int) -> None:
        following = Following()
        for _ in range(wait):
            await chat.say("Eve", "@Eve", "time passes")
        async with trio.open_nursery() as mine:
            await follow(mine, chat.store, following)
            page = await chat.page("Bob", "#lobby", after=0, limit=1000)
            await all_said.wait()
            mine.cancel_scope.cancel()
        later = following.seqs("#lobby")
        assert page.head == len(page.entries)
        assert not later or later[0] <= page.head + 1
        seen.append(
            [entry.seq for entry in page.entries] + [seq for seq in later if seq > page.head]
        )

    all_said = trio.Event()
    async with trio.open_nursery() as nursery:
        for wait in range(10):
            nursery.start_soon(arrive, wait)
        async with trio.open_nursery() as talking:
            for who in people:
                talking.start_soon(talk, who)
        all_said.set()
    assert seen == [list(range(1, 301))] * 10


# -- edits, deletions, reactions ------------------------------------------------------------------


async def test_edit_changes_the_text_and_keeps_the_position(chat: Chat) -> None:
    said = await chat.say("Mei", "#lobby", "helo @Bob", cid="c1", mentions=["Bob"])
    edit = await chat.do("Mei", "#lobby", "edit", "hello @Eve", ref=1, mentions=["Eve"])
    assert (edit.kind, edit.seq, edit.ref, edit.text) == ("edit", 2, 1, "hello @Eve")
    now, entry = await chat.entries("Bob", "#lobby")
    assert (now.seq, now.ts, now.cid) == (said.seq, said.ts, said.cid)
    assert (now.text, now.edited, now.mentions) == ("hello @Eve", 2, ("Eve",))
    assert entry == edit
    again = await chat.do("Mei", "#lobby", "edit", "hello all", ref=1)
    now, first_edit, second_edit = await chat.entries("Bob", "#lobby")
    assert (now.text, now.edited, now.mentions) == ("hello all", again.seq, ())
    assert second_edit == again
    assert (first_edit.seq, first_edit.ref, first_edit.edited) == (edit.seq, 1, None)


async def test_edit_erases_the_previous_edit_which_can_still_be_retried(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "one")
    await chat.do("Mei", "#lobby", "edit", "two @Eve", ref=1, cid="c2", mentions=["Eve"])
    await chat.say("Mei", "#lobby", "innocent")
    await chat.do("Mei", "#lobby", "edit", "three", ref=1, cid="c3")
    for ref in (1, 3):
        await chat.do("Mei", "#lobby", "edit", "four", ref=ref)
    entries = await chat.entries("Bob", "#lobby")
    assert [(entry.kind, entry.text, entry.deleted) for entry in entries] == [
        ("text", "four", False),
        ("edit", "", True),
        ("text", "four", False),
        ("edit", "", True),
        ("edit", "four", False),
        ("edit", "four", False),
    ]
    assert entries[1].mentions == ()
    retries = await chat.append(
        draft("Mei", "#lobby", "two @Eve", kind="edit", ref=1, cid="c2", mentions=["Eve"]),
        draft("Mei", "#lobby", "three", kind="edit", ref=1, cid="c3"),
        draft("Mei", "#lobby", "three", kind="edit", ref=3, cid="c3"),
    )
    assert [(r.dup, r.entry.seq) for r in retries if isinstance(r, Appended)] == [
        (True, 2),
        (True, 4),
    ]
    assert [r.code for r in retries if isinstance(r, ChatError)] == ["cid_conflict"]
    assert list(await chat.entries("Bob", "#lobby")) == list(entries)


async def test_delete_takes_text_edits_and_reactions_out_of_the_log(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "secret one", mentions=["Bob"])
    await chat.do("Mei", "#lobby", "edit", "secret two", ref=1)
    await chat.say("Mei", "#lobby", "innocent")
    await chat.do("Mei", "#lobby", "edit", "secret three", ref=1)
    await chat.do("Bob", "#lobby", "react", "👍", ref=1)
    await chat.do("Mei", "#lobby", "delete", ref=1)
    entries = await chat.entries("Bob", "#lobby")
    assert [(entry.kind, entry.text, entry.deleted) for entry in entries] == [
        ("text", "", True),
        ("edit", "", True),
        ("text", "innocent", False),
        ("edit", "", True),
        ("react", "👍", False),
        ("delete", "", False),
    ]
    assert entries[0].reactions == ()
    assert entries[0].mentions == ()
    assert await chat.refused("Mei", "#lobby", "delete", ref=1) == "unknown_message"


async def test_reactions_are_counted_once_per_person_and_emoji(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "hello")
    await chat.say("Mei", "#lobby", "nobody reacts to this")
    for who, emoji in [("Bob", "👍"), ("Eve", "🎉"), ("Eve", "👍"), ("Mei", "👍")]:
        await chat.do(who, "#lobby", "react", emoji, ref=1)
    first, second, *_ = await chat.entries("Bob", "#lobby")
    assert {(r.emoji, r.count, r.names, r.me) for r in first.reactions} == {
        ("👍", 3, ("Bob", "Eve", "Mei"), True),
        ("🎉", 1, ("Eve",), False),
    }
    assert second.reactions == ()
    await chat.do("Bob", "#lobby", "unreact", "👍", ref=1)
    first = (await chat.entries("Bob", "#lobby"))[0]
    assert {(r.emoji, r.count, r.me) for r in first.reactions} == {
        ("👍", 2, False),
        ("🎉", 1, False),
    }


async def test_reaction_that_changes_nothing_is_not_appended(chat: Chat) -> None:
    """Clients count appended entries, and know only the first ten names."""
    await chat.say("Mei", "#lobby", "hello")
    await chat.do("Bob", "#lobby", "react", "👍", ref=1)
    again = draft("Bob", "#lobby", "👍", kind="react", ref=1, cid="again")
    back = draft("Bob", "#lobby", "👍", kind="unreact", ref=1, cid="back")
    never = draft("Eve", "#lobby", "👍", kind="unreact", ref=1, cid="never")
    assert await chat.append(again, again, never) == [Unchanged()] * 3
    (taken,) = await chat.append(back)
    assert isinstance(taken, Appended)
    assert await chat.append(structs.replace(back, cid="more")) == [Unchanged()]
    assert len(await chat.entries("Mei", "#lobby")) == 3
    (retry,) = await chat.append(draft("Bob", "#lobby", "👍", kind="unreact", ref=1, cid="back"))
    assert isinstance(retry, Appended)
    assert (retry.dup, retry.entry.seq) == (True, 3)
    # The cid of what changed nothing is free.
    await chat.do("Bob", "#lobby", "react", "👍", ref=1, cid="again")


async def test_reaction_names_the_first_ten_and_counts_all(chat: Chat) -> None:
    people = [f"p{number:02}" for number in range(12)]
    await chat.register(*people)
    await chat.say("Mei", "#lobby", "hello")
    for who in people:
        await chat.do(who, "#lobby", "react", "👍", ref=1)
    (reaction,) = (await chat.entries("p11", "#lobby"))[0].reactions
    assert (reaction.count, reaction.names, reaction.me) == (12, tuple(people[:10]), True)


async def test_changes_may_share_a_call_with_their_message(chat: Chat) -> None:
    await chat.append(
        draft("Mei", "#lobby", "helo"),
        draft("Mei", "#lobby", "hello", kind="edit", ref=1),
        draft("Mei", "#lobby", "👍", kind="react", ref=1),
        draft("Mei", "@Bob", "oops"),
        draft("Mei", "@Bob", kind="delete", ref=1),
    )
    assert (await chat.entries("Bob", "#lobby"))[0].text == "hello"
    assert (await chat.entries("Bob", "@Mei"))[0].deleted


async def test_message_is_found_in_its_present_form(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "helo")
    await chat.do("Mei", "@Bob", "edit", "hello", ref=1)
    await chat.do("Bob", "@Mei", "react", "👍", ref=1)
    message = await chat.store.message(key("@Bob", "Mei"), 1, viewer=person("Mei"))
    assert message is not None
    assert (message.text, message.edited, message.to, message.from_) == ("hello", 2, "@Bob", "Mei")
    assert [reaction.emoji for reaction in message.reactions] == ["👍"]
    await chat.do("Mei", "@Bob", "delete", ref=1)
    deleted = await chat.store.message(key("@Bob", "Mei"), 1, viewer=person("Mei"))
    assert deleted is not None
    assert (deleted.deleted, deleted.text) == (True, "")


async def test_only_text_is_a_message(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "helo")
    await chat.do("Mei", "#lobby", "edit", "hello", ref=1)
    for seq in (0, 2, 3, 2**40):
        assert await chat.store.message(key("#lobby", "Mei"), seq, viewer=person("Mei")) is None
    assert await chat.store.message(key("#nowhere", "Mei"), 1, viewer=person("Mei")) is None


async def test_private_entries_are_addressed_to_the_other_side(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "hi")
    await chat.say("Bob", "@Mei", "hello")
    await chat.say("Mei", "@Mei", "note")
    assert [(e.from_, e.to) for e in await chat.entries("Bob", "@Mei")] == [
        ("Mei", "@Bob"),
        ("Bob", "@Mei"),
    ]
    assert [(e.from_, e.to) for e in await chat.entries("Mei", "@Mei")] == [("Mei", "@Mei")]


# -- cancellation ---------------------------------------------------------------------------------


async def test_cancelled_append_is_atomic_and_can_be_repeated(
    chat: Chat,
) -> None:
    drafts = [draft("Mei", "#lobby", str(n), cid=f"c{n}") for n in range(3)]
    with trio.CancelScope() as scope:
        scope.cancel()
        await chat.append(*drafts)
    assert scope.cancelled_caught

    async def cancel_soon(scope: trio.CancelScope) -> None:
        scope.cancel()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_soon, scope)
            await chat.append(*drafts)
    assert len(await chat.append(*drafts)) == 3
    entries = await chat.entries("Mei", "#lobby")
    assert [(entry.seq, entry.text) for entry in entries] == [(1, "0"), (2, "1"), (3, "2")]
