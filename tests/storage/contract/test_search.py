"""The Store's contract: searching."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from storing import Chat, draft, key, person

from gochat.chat.effort import measured
from gochat.errors import ChatError

pytestmark = pytest.mark.trio

#: Waits for the index.
LetIndex: TypeAlias = Callable[[], Awaitable[None]]

#: How many messages may follow before a message is in an index; it must be found until then, too.
later = pytest.mark.parametrize("later", [0, 300], ids=["at once", "later"])


async def _let_pass(chat: Chat, messages: int, let_index: LetIndex) -> None:
    await chat.append(*(draft("Mei", "#lobby", "-") for _ in range(messages)))
    await chat.say("Mei", "@Mei", "-")  # a store that indexes after replying has done so
    if messages:
        await let_index()


#: A text, and words that find it.
FOUND = [
    ("The quick brown fox", "quick"),
    ("The quick brown fox", "QUICK"),
    ("THE QUICK BROWN FOX", "quick"),
    ("The quick brown fox", "uic"),
    ("The quick brown fox", "ox"),
    ("The quick brown fox", "q"),
    ("The quick brown fox", "fox the"),
    ("我们喜欢中文搜索", "中文"),
    ("我们喜欢中文搜索", "中文搜索"),
    ("我们喜欢中文搜索", "文"),
    ("我们喜欢中文搜索", "搜索 喜欢"),
    ("hello世界", "o世"),
    ("日本語のテスト", "テスト"),
    ("한국어 검색", "국어"),
    ("Größe und Straße", "STRASSE"),
    ("ПРИВЕТ мир", "привет"),
    ("naïve café", "CAFÉ"),
    ("naïve café", "NAIVE cafe"),
    ("naive cafe", "Naïve café"),
    ("ΆΛΦΑ и ёлка", "αλφα елка"),
    ("Łódź, Malmø", "lodz malmo"),
    ("good  morning\nall", '"good morning"'),
    ("good morning all", '"morning all" good'),
    ('a lone " quote', 'lone " quote'),
    ("cafe\N{COMBINING ACUTE ACCENT}", "café"),
    ("ＦＵＬＬ width", "full"),
    ("C++ and C#", "c++"),
    ("see https://example.org/a?b=c", "example.org/a?b"),
    ('say "hello" AND (run)', '"hello"'),
    ("a NEAR b", "near"),
    ("it's", "it's"),
    ("50% off * today", "*"),
    ("party 🎉🎉", "🎉"),
    ("สวัสดีชาวโลก", "ชาวโลก"),
    ("tab\tand\nnewline", "newline tab"),
]
#: And words that do not find it.
NOT_FOUND = [
    ("The quick brown fox", "quack"),
    ("The quick brown fox", "quick cat"),
    ("abcd bcde", "abcde"),
    ("我们喜欢中文", "文中"),
    ("quick", "quickly"),
    ("good day, morning", '"good morning"'),
    ("กำ", "กา"),
    ("がか", "かか"),
    ("anything", ""),
    ("anything", "   "),
]


async def test_message_is_found_by_these_words(chat: Chat) -> None:
    for number, (text, _) in enumerate(FOUND):
        await chat.do("Mei", f"#r{number}", "create", "public")
        await chat.append(*(draft("Mei", f"#r{number}", one) for one in ("-", text)))
    for number, (text, query) in enumerate(FOUND):
        assert await chat.find("Mei", query, to=f"#r{number}") == [text], query


async def test_messages_of_one_person_are_found_with_words_and_without(
    chat: Chat, let_index: LetIndex
) -> None:
    for number in range(3):
        await chat.say("Mei", "#lobby", f"needle {number}")
        await chat.say("Bob", "#lobby", f"needle of bob {number}")
    await chat.say("Mei", "@Eve", "not for bob")
    gone = await chat.say("Mei", "#lobby", "gone")
    await chat.do("Mei", "#lobby", "delete", ref=gone.seq)
    for messages in (0, 300):
        if messages:
            await chat.append(*(draft("Eve", "#lobby", "-") for _ in range(messages)))
            await let_index()
        assert await chat.find("Bob", "needle", sender="Mei") == [
            "needle 2",
            "needle 1",
            "needle 0",
        ]
        assert await chat.find("Bob", "", sender="Mei") == ["needle 2", "needle 1", "needle 0"]
        assert await chat.find("Bob", "0", sender="Bob") == ["needle of bob 0"]


@later
async def test_exact_matches_come_before_those_with_other_accents(
    chat: Chat, later: int, let_index: LetIndex
) -> None:
    for number in range(4):
        await chat.say("Mei", "#lobby", f"café {number}")
        await chat.say("Mei", "@Bob", f"cafe {number}")
    await _let_pass(chat, later, let_index)
    exact, others = ([f"{word} {n}" for n in (3, 2, 1, 0)] for word in ("cafe", "café"))
    assert await chat.find("Bob", "cafe") == exact + others
    assert await chat.find("Bob", "CAFÉ") == others + exact
    for limit in range(1, 9):
        texts: list[str] = []
        cursor = None
        while True:
            hits, cursor = await chat.store.search(
                person("Bob"), ("cafe",), cursor=cursor, limit=limit
            )
            texts += [hit.text for hit in hits]
            if cursor is None:
                break
            assert len(hits) == limit
        assert texts == exact + others, limit


async def test_message_is_not_found_by_these_words(chat: Chat) -> None:
    for text, _ in NOT_FOUND:
        await chat.say("Mei", "#lobby", text)
    for _, query in NOT_FOUND:
        assert await chat.find("Bob", query) == [], query


async def test_search_finds_the_same_in_an_index(chat: Chat, let_index: LetIndex) -> None:
    for text in dict.fromkeys(text for text, _ in FOUND + NOT_FOUND):
        await chat.say("Mei", "#lobby", text)
    at_once = {query: await chat.find("Bob", query) for _, query in FOUND + NOT_FOUND}
    await _let_pass(chat, 300, let_index)
    later = {query: await chat.find("Bob", query) for _, query in FOUND + NOT_FOUND}
    assert later == at_once
    assert all(text in later[query] for text, query in FOUND)
    assert not any(text in later[query] for text, query in NOT_FOUND)


@pytest.mark.parametrize("word", ["needle", "中文", "xy"])
async def test_pages_are_newest_first_over_all_conversations(chat: Chat, word: str) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Bob", "#garden", "join")
    # More than are indexed at once, so that both the index and the newest messages are searched.
    for round_ in range(50):
        await chat.append(
            *(draft("Mei", "#lobby", f"hay {round_}") for _ in range(10)),
            draft("Mei", "#lobby", f"{word} {3 * round_}"),
            draft("Mei", "@Bob", f"a{word}b {3 * round_ + 1}"),
            draft("Bob", "#garden", f"{word} {3 * round_ + 2}"),
        )
    numbers: list[int] = []
    cursor = None
    while True:
        hits, cursor = await chat.store.search(person("Bob"), (word,), cursor=cursor, limit=7)
        numbers += [int(hit.text.split()[1]) for hit in hits]
        if cursor is None:
            break
        assert len(hits) == 7
    assert numbers == list(reversed(range(150)))


async def test_messages_sent_between_two_pages_move_nothing(chat: Chat) -> None:
    await chat.append(*(draft("Mei", "#lobby", f"needle {n}") for n in range(6)))
    first, cursor = await chat.store.search(person("Bob"), ("needle",), limit=3)
    await chat.say("Mei", "#lobby", "needle new")
    second, cursor = await chat.store.search(person("Bob"), ("needle",), cursor=cursor, limit=3)
    assert [hit.text for hit in (*first, *second)] == [f"needle {n}" for n in reversed(range(6))]
    if cursor is not None:  # an index may find out only then that there are no more
        assert await chat.store.search(person("Bob"), ("needle",), cursor=cursor, limit=3) == (
            [],
            None,
        )


async def test_invalid_cursor_is_refused(chat: Chat) -> None:
    for _ in range(2):
        await chat.say("Mei", "#lobby", "needle")
    _, right = await chat.store.search(person("Bob"), ("needle",), limit=1)
    assert right is not None
    history, _, position = right.partition(":")
    positions = ("", "x", "-1", "９" * 5000, "9" * 200, "1/x/#lobby", "-1/1/#lobby", "²", "~x")
    of_none = ("", "~", position, f":{position}", f"x{right}", f"{history[1:]}:{position}")
    for cursor in (*of_none, *(f"{history}:{wrong}" for wrong in positions)):
        with pytest.raises(ChatError) as caught:
            await chat.store.search(person("Bob"), ("needle",), cursor=cursor, limit=3)
        assert (caught.value.code, caught.value.field) == ("bad_cursor", "cursor")


async def test_hit_is_the_message_in_its_present_form(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "a needel")
    await chat.do("Mei", "@Bob", "edit", "a needle", ref=1)
    await chat.do("Bob", "@Mei", "react", "👍", ref=1)
    ((hit,), _) = await chat.store.search(person("Bob"), ("needle",), limit=3)
    assert [hit] == (await chat.page("Bob", "@Mei", limit=1, after=0)).entries
    assert (hit.to, hit.edited, hit.reactions[0].me) == ("@Bob", 2, True)


async def test_search_is_limited_to_own_conversations(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "private")
    await chat.do("Mei", "#garden", "invite", "Eve", subject="Eve")
    await chat.say("Mei", "#garden", "needle in the garden")
    await chat.say("Mei", "@Bob", "needle for bob")
    await chat.say("Mei", "#lobby", "needle for all")
    assert await chat.find("Eve", "needle") == ["needle for all"]
    assert await chat.find("Eve", "needle", to="#garden") == []
    hits, _ = await chat.store.search(
        person("Eve"), ("needle",), conversation=key("@Bob", "Mei"), limit=9
    )
    assert hits == []
    await chat.do("Eve", "#garden", "join")
    assert await chat.find("Eve", "needle") == ["needle for all", "needle in the garden"]
    await chat.do("Eve", "#garden", "leave")
    assert await chat.find("Eve", "needle") == ["needle for all"]


async def test_search_can_be_limited_to_one_conversation(chat: Chat) -> None:
    await chat.say("Mei", "@Bob", "needle for bob")
    await chat.say("Mei", "#lobby", "needle for all")
    assert await chat.find("Bob", "needle", to="@Mei") == ["needle for bob"]
    assert await chat.find("Bob", "needle", to="#lobby") == ["needle for all"]
    assert await chat.find("Bob", "needle", to="@Eve") == []
    assert await chat.find("Bob", "needle", to="#nowhere") == []


@later
async def test_edited_and_deleted_texts_are_not_found(
    chat: Chat, later: int, let_index: LetIndex
) -> None:
    await chat.say("Mei", "#lobby", "needle one")
    await chat.say("Mei", "#lobby", "needle two")
    await _let_pass(chat, later, let_index)
    await chat.do("Mei", "#lobby", "edit", "pin one", ref=1)
    await chat.do("Mei", "#lobby", "delete", ref=2)
    assert await chat.find("Bob", "needle") == []
    assert await chat.find("Bob", "pin") == ["pin one"]
    await chat.do("Mei", "#lobby", "edit", "needle again", ref=1)
    assert await chat.find("Bob", "needle") == ["needle again"]
    await chat.do("Mei", "#lobby", "delete", ref=1)
    assert await chat.find("Bob", "needle") == []


async def test_edits_and_topics_are_not_hits(chat: Chat) -> None:
    await chat.do("Mei", "#garden", "create", "public")
    await chat.do("Mei", "#garden", "topic", "needle")
    await chat.say("Mei", "#garden", "x")
    await chat.do("Mei", "#garden", "edit", "needle", ref=3)
    assert await chat.find("Mei", "needle") == ["needle"]


@pytest.mark.parametrize("often", [1, 30], ids=["rare word", "frequent word"])
async def test_person_with_many_conversations_finds_messages_in_them(
    chat: Chat, often: int
) -> None:
    people = [f"p{number:02}" for number in range(40)]
    await chat.register(*people)
    for who in people:
        texts = (draft(who, "@Mei", f"needle {who} {n}") for n in range(often))
        await chat.append(*texts, draft(who, "@Mei", "hay"), draft(who, "@Bob", "needle for bob"))
    expected = [f"needle {who} {n}" for who in reversed(people) for n in reversed(range(often))]
    found: list[str] = []
    cursor = None
    while not found or cursor is not None:
        hits, cursor = await chat.store.search(person("Mei"), ("needle",), cursor=cursor, limit=50)
        found += [hit.text for hit in hits]
    assert found == expected


async def test_searched_entries_are_counted(chat: Chat) -> None:
    """By their sender, whom no index knows."""

    async def effort() -> float:
        with measured() as it:
            assert await chat.store.search(person("Bob"), (), sender=person("Eve"), limit=10) == (
                [],
                None,
            )
        return it.seconds

    await chat.say("Mei", "#lobby", "-")
    little = min([await effort() for _ in range(5)])
    await chat.append(*(draft("Mei", "#lobby", "the quick brown fox") for _ in range(2000)))
    much = min([await effort() for _ in range(5)])
    assert little > 0
    assert much > 3 * little
