"""Retention: what is removed, and what readers find of a conversation whose beginning is gone."""

from __future__ import annotations

from random import Random

import pytest
from storing import Chat, Clock, draft, key, person

from gochat.chat.log import Appended
from gochat.chat.log_times import first_since
from gochat.chat.retention import DEFAULT, KEEP_ALL, PRIVATE, Rule, rule_for
from gochat.chat.store import Store
from gochat.protocol.messages import Message

pytestmark = pytest.mark.trio

DAY = 24 * 3600 * 1000


async def apply(store: Store) -> list[str]:
    """Apply the rules to everything, as a sweep does; return the conversations that it changed."""
    rules, cursor, found = await store.retention.rules(), "", []
    while True:
        overdue, cursor = await store.retention.overdue(rules, cursor)
        for one in overdue:
            found.append(str(one))
            while await store.retention.remove(one, rule_for(rules, one)):
                pass
        if not cursor:
            return sorted(found)


async def keep(chat: Chat, scope: str, *, days: int = 0, entries: int = 0) -> list[str]:
    await chat.store.retention.set_rule(scope, Rule(days=days, entries=entries))
    return await apply(chat.store)


async def seqs(chat: Chat, who: str, to: str) -> list[int]:
    return [entry.seq for entry in await chat.entries(who, to)]


async def test_the_most_specific_rule_holds_as_a_whole(store: Store) -> None:
    assert await store.retention.rules() == {}
    for scope, rule in {
        DEFAULT: Rule(days=30),
        PRIVATE: Rule(entries=5),
        "#den": Rule(days=7, entries=3),
        "#gone": Rule(days=1),
    }.items():
        await store.retention.set_rule(scope, rule)
    await store.retention.set_rule("#den", KEEP_ALL)
    await store.retention.set_rule("#gone", None)
    rules = await store.retention.rules()
    assert rules == {DEFAULT: Rule(days=30), PRIVATE: Rule(entries=5), "#den": KEEP_ALL}
    assert [rule_for(rules, key(to, "mei")) for to in ("#lobby", "@bob", "#den", "#gone")] == [
        Rule(days=30), Rule(entries=5), KEEP_ALL, Rule(days=30),
    ]  # fmt: skip


async def test_what_is_too_old_or_too_many_goes_and_numbers_stay(chat: Chat, clock: Clock) -> None:
    for number in range(6):
        await chat.say("Mei", "#lobby", f"day {number}")
        await chat.say("Mei", "@Bob", f"day {number}")
        clock.now += DAY
    assert await keep(chat, DEFAULT, days=4) == ["#lobby", "@bob,mei"]
    assert await seqs(chat, "Bob", "#lobby") == [3, 4, 5, 6]
    assert await seqs(chat, "Bob", "@Mei") == [3, 4, 5, 6]
    assert await keep(chat, PRIVATE, entries=2) == ["@bob,mei"]
    assert await seqs(chat, "Bob", "@Mei") == [5, 6]
    assert await seqs(chat, "Bob", "#lobby") == [3, 4, 5, 6]
    assert await apply(chat.store) == []
    assert (await chat.say("Mei", "@Bob", "again")).seq == 7
    assert (await chat.page("Bob", "@Mei")).base == 4


async def test_reader_of_a_removed_beginning_gets_to_its_end(chat: Chat) -> None:
    for number in range(1, 9):
        await chat.say("Mei", "#lobby", f"number {number}")
    await keep(chat, "#lobby", entries=3)
    page = await chat.page("Bob", "#lobby", before=7, limit=10)
    assert ([entry.seq for entry in page.entries], page.base, page.head) == ([6], 5, 8)
    assert [one.seq for one in (await chat.page("Bob", "#lobby", before=6)).entries] == []
    assert [one.seq for one in (await chat.page("Bob", "#lobby", after=1)).entries] == [6, 7, 8]
    waiting = await chat.store.waiting(key("#lobby", "Bob"), viewer=person("Bob"), after=0, limit=2)
    assert [one.seq for one in waiting.messages] == [6, 7]
    lobby = key("#lobby", "Bob")
    assert await chat.store.message(lobby, 5, viewer=person("Bob")) is None
    assert await first_since(chat.store, lobby, person("Bob"), 0) <= 6
    assert await chat.find("Bob", "number") == ["number 8", "number 7", "number 6"]
    for kind in ("edit", "delete", "react"):
        assert await chat.refused("Mei", "#lobby", kind, "👍", ref=5) == "unknown_message"


async def test_unread_messages_and_mentions_are_those_that_are_kept(chat: Chat) -> None:
    for number in range(6):
        await chat.say("Mei", "#lobby", f"@Bob {number}", mentions=["Bob"])
    await chat.do("Mei", "#lobby", "react", "👍", ref=1)
    await chat.mark_read("Eve", "#lobby", 2)
    await keep(chat, DEFAULT, entries=3)
    seen = await chat.seen("Bob", "#lobby")
    assert (seen.unread, seen.mentions, seen.head) == (2, 2, 7)
    assert (await chat.seen("Eve", "#lobby")).unread == 2
    await chat.mark_read("Eve", "#lobby", 6)
    assert (await chat.seen("Eve", "#lobby")).unread == 0


async def test_a_removed_message_that_is_sent_again_is_known(chat: Chat) -> None:
    again = draft("Mei", "#lobby", "one", cid="c1")
    first = await chat.say("Mei", "#lobby", "one", cid="c1")
    for _ in range(3):
        await chat.say("Mei", "#lobby", "more")
    await keep(chat, DEFAULT, entries=1)

    def is_first(found: object) -> bool:
        return isinstance(found, Appended) and found.dup and found.entry.seq == first.seq

    (result,) = await chat.append(again)
    assert is_first(result)
    assert is_first(await chat.store.find_by_cid(again))
    if chat.store.node_bus is None:
        other = draft("Mei", "@Bob", "one", cid="c1")
        (result,) = await chat.append(other)
        assert getattr(result, "code", None) == "cid_conflict"


async def test_the_last_entry_stays_without_its_text(chat: Chat, clock: Clock) -> None:
    """The log goes on from its seq and time."""
    await chat.say("Mei", "@Bob", "first")
    await chat.say("Mei", "@Bob", "the secret", mentions=["Bob"])
    await chat.do("Bob", "#lobby", "text", "older")
    clock.now += 3 * DAY
    await keep(chat, DEFAULT, days=1)
    (last,) = await chat.entries("Bob", "@Mei")
    assert (last.seq, last.text, last.deleted, last.mentions) == (2, "", True, ())
    assert await chat.find("Bob", "secret") == []
    seen = await chat.seen("Bob", "@Mei")
    assert (seen.unread, seen.mentions) == (0, 0)
    assert await apply(chat.store) == []
    assert (await chat.say("Mei", "@Bob", "third")).seq == 3
    clock.now += 3 * DAY
    await apply(chat.store)
    assert await seqs(chat, "Bob", "@Mei") == [3]


async def test_an_edit_does_not_outlive_the_message(chat: Chat, clock: Clock) -> None:
    """Its text is that of the message. The entry stays, as do all that are not too old."""
    await chat.say("Mei", "#lobby", "hello")
    clock.now += 2 * DAY
    await chat.do("Mei", "#lobby", "edit", "the secret", ref=1)
    await chat.say("Mei", "#lobby", "new")
    await keep(chat, DEFAULT, days=1)
    edit, new = await chat.entries("Bob", "#lobby")
    assert (edit.kind, edit.text, edit.deleted, new.text) == ("edit", "", True, "new")


async def test_rooms_stay_as_they_are(chat: Chat, clock: Clock) -> None:
    await chat.do("Mei", "#den", "create", "private")
    await chat.do("Mei", "#den", "topic", "plants")
    await chat.do("Mei", "#den", "invite", subject="Bob")
    await chat.do("Bob", "#den", "join")
    await chat.do("Mei", "#den", "invite", subject="Eve")
    clock.now += 9 * DAY
    await keep(chat, "#den", days=1)
    assert await chat.members("#den") == ["Bob", "Mei*"]
    assert (await chat.room("Mei", "#den")).topic == "plants"
    assert [one.room for one in await chat.store.invitations(person("Eve"))] == ["#den"]
    assert await seqs(chat, "Mei", "#den") == [5]


class Model:
    """What is kept of a conversation in which Mei writes: of each entry its time, and if its text
    is there.
    """

    def __init__(self, chat: Chat, to: str) -> None:
        self.to = to
        self._chat = chat
        self._log: list[tuple[int, bool]] = []
        self._base = 0

    async def grow(self, random: Random, now: int) -> None:
        """Write something, or delete something."""
        seq = random.randint(self._base + 1, len(self._log)) if self._log else 0
        is_deleted = seq > 0 and self._log[seq - 1][1] and random.random() < 0.2
        if is_deleted:
            await self._chat.do("Mei", self.to, "delete", ref=seq)
            self._log[seq - 1] = self._log[seq - 1][0], False
        else:
            await self._chat.say("Mei", self.to, f"word{len(self._log)}")
        self._log.append((now, not is_deleted))

    def remove(self, rule: Rule, now: int) -> None:
        log, cutoff = self._log, rule.cutoff(now)
        while self._base < len(log) - 1 and (
            log[self._base][0] < cutoff or 0 < rule.entries < len(log) - self._base
        ):
            self._base += 1
        if log and log[-1][0] < cutoff:
            log[-1] = log[-1][0], False

    async def compare(self) -> None:
        found: list[Message] = []
        before = None
        while page := (await self._chat.page("Mei", self.to, before=before, limit=50)).entries:
            found[:0] = page
            before = page[0].seq
        assert [one.seq for one in found] == list(range(self._base + 1, len(self._log) + 1))
        has_text = [one.kind == "text" and not one.deleted for one in found]
        assert has_text == [is_there for _, is_there in self._log[self._base :]]
        if self._log:
            seen = await self._chat.seen("Bob", self.to if self.to == "#lobby" else "@Mei")
            assert (seen.head, seen.unread) == (len(self._log), sum(has_text))
        hits, _ = await self._chat.store.search(
            person("Mei"), ("word",), conversation=key(self.to, "Mei"), limit=500
        )
        assert len(hits) == sum(has_text)


@pytest.mark.parametrize("seed", range(3))
async def test_stores_agree_on_what_is_kept(chat: Chat, clock: Clock, seed: int) -> None:
    """Whatever was written, and whatever the rules are: each store keeps what the model keeps."""
    random = Random(seed)
    models = [Model(chat, "#lobby"), Model(chat, "@Bob")]
    for _ in range(4):
        for model in models:
            for _ in range(random.randrange(70)):
                await model.grow(random, clock.now)
                clock.now += random.choice((0, 1, DAY // 9))
        scopes = random.sample((DEFAULT, PRIVATE, "#lobby"), 2)
        rules = {
            scope: Rule(days=random.choice((0, 1, 3)), entries=random.choice((0, 1, 40)))
            for scope in scopes
        }
        for scope in (DEFAULT, PRIVATE, "#lobby"):
            await chat.store.retention.set_rule(scope, rules.get(scope))
        await apply(chat.store)
        for model in models:
            model.remove(rule_for(rules, key(model.to, "Mei")), clock.now)
            await model.compare()
