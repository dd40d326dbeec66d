"""The Store's contract: messages that people have saved for themselves."""

from __future__ import annotations

import pytest
from storing import NOON, Chat, key, person

from gochat.chat.retention import Rule, rule_for
from gochat.chat.saved import SavedRef
from gochat.errors import ChatError
from gochat.storage.redis import saved as in_redis
from gochat.storage.sqlite import saved as in_sqlite

pytestmark = pytest.mark.trio

DEN = "#den"


def ref(who: str, to: str, seq: int, ts: int = NOON) -> SavedRef:
    return SavedRef(ts, key(to, who), seq, NOON)


async def save(chat: Chat, who: str, to: str, seq: int, ts: int = NOON, *, on: bool = True) -> bool:
    return await chat.store.set_saved(person(who), ref(who, to, seq, ts), on=on)


async def test_each_person_has_a_list_of_their_own(chat: Chat) -> None:
    for text in ("one", "two"):
        await chat.say("Mei", "#lobby", text)
    await chat.say("Mei", "@Bob", "hi")
    saves = [("#lobby", 1, NOON + 1), ("@Mei", 1, NOON + 3), ("#lobby", 2, NOON + 2)]
    assert [await save(chat, "Bob", *one) for one in saves] == [True] * 3
    assert not await save(chat, "Bob", "#lobby", 1, NOON + 9)
    expected = [ref("Bob", *saves[1]), ref("Bob", *saves[2]), ref("Bob", *saves[0])]
    for all_of_them in (True, False):
        assert await chat.store.saved(person("Bob"), all_of_them=all_of_them) == expected
    assert await chat.store.saved(person("Mei")) == []
    assert [await save(chat, "Bob", "#lobby", 2, on=False) for _ in range(2)] == [True, False]
    assert await chat.store.saved(person("Bob")) == [expected[0], expected[2]]
    assert not await save(chat, "Nobody", "#lobby", 1)


async def test_only_what_is_in_own_conversations_after_the_floor_is_listed(chat: Chat) -> None:
    await chat.do("Mei", DEN, "create", "private")
    await chat.do("Mei", DEN, "invite", "Bob", subject="Bob")
    assert await save(chat, "Bob", DEN, 1)
    assert await chat.store.saved(person("Bob")) == []
    await chat.do("Bob", DEN, "join")
    assert await chat.store.saved(person("Bob")) == [ref("Bob", DEN, 1)]
    await chat.do("Mei", DEN, "kick", "Bob", subject="Bob")
    assert await chat.store.saved(person("Bob")) == []
    assert await chat.store.saved(person("Bob"), all_of_them=True) == [ref("Bob", DEN, 1)]
    await chat.do("Mei", DEN, "history", "hidden")
    await chat.do("Mei", DEN, "invite", "Bob", subject="Bob")
    await chat.do("Bob", DEN, "join")
    assert await chat.store.saved(person("Bob")) == []


async def test_full_list_forgets_what_is_gone_and_takes_nothing_more(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (in_redis, in_sqlite):
        monkeypatch.setattr(module, "MAX_SAVED", 4)
    await chat.do("Mei", DEN, "create", "public")
    await chat.do("Bob", DEN, "join")
    for number in range(6):
        await chat.say("Mei", "#lobby", f"{number}")
    await chat.say("Mei", DEN, "look")
    for to, seq in ((DEN, 3), ("#lobby", 1), ("#lobby", 3), ("#lobby", 4)):
        assert await save(chat, "Bob", to, seq)
    with pytest.raises(ChatError, match="remove one first") as refused:
        await save(chat, "Bob", "#lobby", 5)
    assert refused.value.code == "too_many"
    assert not await save(chat, "Bob", "#lobby", 4)
    await chat.do("Bob", DEN, "leave")
    await chat.do("Mei", "#lobby", "delete", ref=4)
    store, lobby = chat.store, key("#lobby", "Mei")
    await store.retention.set_rule("#lobby", Rule(entries=5))
    rules = await store.retention.rules()
    while await store.retention.remove(lobby, rule_for(rules, lobby)):
        pass
    assert await save(chat, "Bob", "#lobby", 5)
    kept = await store.saved(person("Bob"), all_of_them=True)
    assert sorted(one.seq for one in kept) == [3, 5]


async def test_forgotten_person_has_saved_nothing(chat: Chat) -> None:
    await chat.say("Bob", "#lobby", "hi")
    await save(chat, "Mei", "#lobby", 1)
    await chat.store.administration.forget(person("Mei"))
    assert await chat.store.saved(person("Mei"), all_of_them=True) == []
