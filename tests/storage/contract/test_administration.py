"""The Store's contract: what those use who administer the server."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec.structs import replace
from storing import NOON, Chat, OpenStore, account, key, make_token, person

from gochat.chat.account import Account
from gochat.chat.administration import AuditEntry
from gochat.chat.store import Store
from gochat.storage.redis import administration as redis_administration
from gochat.storage.sqlite import audit as sqlite_audit

pytestmark = pytest.mark.trio


def act(name: str, **fields: Any) -> AuditEntry:
    return AuditEntry(at=NOON, actor="uid 0", act=name, **fields)


async def test_new_account_keeps_its_role(store: Store) -> None:
    given = replace(account("Mei"), role="moderator", bot=True, state="disabled")
    assert await store.create_account(given)
    assert await store.account(person("mei")) == given


async def test_accounts_come_in_pages_by_key(store: Store) -> None:
    people = [f"p{number:02}" for number in range(23)] + ["Ёлка", "Zoë", "张伟"]
    for name in people:
        assert await store.create_account(account(name))
    found: list[Account] = []
    after, has_more = person("a"), True
    while has_more:
        some, has_more = await store.administration.accounts(after=after, limit=5)
        assert len(some) == 5 or not has_more
        found += some
        after = some[-1].key
    assert found == sorted((account(name) for name in people), key=lambda one: one.key)
    assert await store.administration.accounts(after=after, limit=5) == ([], False)


async def test_names_that_look_like_taken_ones_are_found(store: Store) -> None:
    for name in ("Bob", "сара"):  # the second one in Cyrillic
        assert await store.create_account(account(name))
    similar = await store.administration.similar(["bob", "b0b", "capa", "сара", "eve"])
    assert similar == {"b0b": "bob", "capa": "сара"}
    assert await store.administration.similar([]) == {}


async def test_account_is_changed_only_from_what_it_was(chat: Chat) -> None:
    store, before = chat.store, account("Mei")
    after = replace(before, role="admin", bot=True)
    assert await store.administration.change_account(before, after)
    assert await store.account(person("mei")) == after
    for stale in (
        before,
        replace(after, role="member"),
        replace(after, bot=False),
        replace(after, state="disabled"),
        replace(after, generation=1),
    ):
        wanted = replace(stale, role="moderator")
        assert not await store.administration.change_account(stale, wanted)
    assert await store.account(person("mei")) == after
    assert not await store.administration.change_account(account("Nobody"), account("Nobody"))
    assert await store.account(person("nobody")) is None
    assert await store.account(person("bob")) == account("Bob")


async def test_one_of_several_concurrent_changes_is_made(chat: Chat) -> None:
    made: list[str] = []
    before = account("Mei")

    async def change(role: str) -> None:
        after = replace(before, role=role)
        if await chat.store.administration.change_account(before, after):
            made.append(role)

    async with trio.open_nursery() as nursery:
        for role in ("admin", "moderator") * 3:
            nursery.start_soon(change, role)
    (only,) = made
    assert await chat.store.account(person("mei")) == replace(before, role=only)


async def test_new_generation_voids_tokens_whenever_they_are_added(chat: Chat) -> None:
    store, before = chat.store, account("Mei")
    await store.add_token(make_token("Mei", 1), "192.0.2.7")
    await store.add_token(make_token("Bob", 2))
    await store.administration.change_account(before, replace(before, bot=True))
    assert await store.token(make_token("Mei", 1).id, NOON) is not None
    off = replace(before, bot=True, state="disabled", generation=1)
    assert await store.administration.change_account(replace(before, bot=True), off)
    await store.add_token(make_token("Mei", 3))
    for number in (1, 3):
        assert await store.token(make_token("Mei", number).id, NOON) is None
    assert await store.tokens(person("mei"), NOON) == []
    assert await store.last_login(person("mei"), "192.0.2.7") is None
    assert await store.token(make_token("Bob", 2).id, NOON) is not None
    assert not await store.change_password(before, "hash of a login from before")


async def test_audit_log_is_paged_from_the_newest(store: Store) -> None:
    log = store.administration
    assert await log.audit(before=None, limit=2) == ([], False)
    given = [act(f"act {number}", subject="Mei", detail="x", reason="why ✓") for number in range(5)]
    assert [await log.record(entry) for entry in given] == [1, 2, 3, 4, 5]
    kept = [replace(entry, id=id_) for id_, entry in enumerate(given, start=1)]
    assert await log.audit(before=None, limit=2) == (kept[:2:-1], True)
    assert await log.audit(before=4, limit=2) == (kept[2:0:-1], True)
    assert await log.audit(before=2, limit=2) == (kept[:1], False)
    assert await log.audit(before=1, limit=2) == ([], False)
    assert await log.audit(before=99, limit=9) == (kept[::-1], False)


async def test_audit_log_keeps_the_newest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (redis_administration, sqlite_audit):
        monkeypatch.setattr(module, "AUDIT_KEPT", 3)
    for number in range(5):
        await store.administration.record(act(f"act {number}"))
    entries, has_more = await store.administration.audit(before=None, limit=9)
    assert ([entry.id for entry in entries], has_more) == ([5, 4, 3], False)
    assert await store.administration.audit(before=3, limit=9) == ([], False)
    (four,), has_more = await store.administration.audit(before=5, limit=1)
    assert (four.act, has_more) == ("act 3", True)


async def test_audit_log_survives_a_restart(open_it: OpenStore, url: str) -> None:
    async with open_it() as store:
        await store.administration.record(act("one"))
    kept = [] if ":memory:" in url else ["one"]
    async with open_it() as store:
        assert await store.administration.record(act("two")) == len(kept) + 1
        entries, _ = await store.administration.audit(before=None, limit=9)
        assert [entry.act for entry in entries] == ["two", *kept]


async def test_what_is_forgotten_of_a_person_is_gone_and_others_keep_theirs(
    chat: Chat,
) -> None:
    store = chat.store
    await chat.say("Mei", "@Bob", "hi")
    await chat.say("Bob", "#lobby", "hello")
    await chat.mark_read("Mei", "#lobby", 1)
    await store.set_level(person("Mei"), key("#lobby", "Mei"), "none")
    for number, who in enumerate(("Mei", "Bob")):
        await store.add_token(make_token(who, number), address="192.0.2.1")
    assert await store.administration.addresses(person("Mei")) == [("192.0.2.1", NOON)]
    before = await store.account(person("Mei"))
    assert before is not None
    after = replace(before, state="deleted", generation=1)
    assert await store.administration.change_account(before, after)
    await store.administration.forget(person("Mei"))
    assert await store.administration.deleted() == {person("Mei")}
    assert await store.account(person("Mei")) == replace(after, password_hash="")
    assert await store.administration.addresses(person("Mei")) == []
    assert await chat.addresses("Mei") == ["#lobby"]
    lobby = await chat.seen("Mei", "#lobby")
    assert (lobby.read, lobby.level) == (0, "all")
    assert await chat.addresses("Bob") == ["#lobby", "@Mei"]
    assert [entry.text for entry in await chat.entries("Bob", "@Mei")] == ["hi"]
    assert await store.administration.addresses(person("Bob")) == [("192.0.2.1", NOON)]
    await store.administration.forget(person("Mei"))


async def test_all_conversations_are_listed_once(chat: Chat) -> None:
    await chat.say("Mei", "#lobby", "hello")
    await chat.say("Mei", "@Bob", "hello")
    for number in range(30):
        await chat.do("Mei", f"#room{number}", "create", "private")
    found: list[str] = []
    cursor = ""
    while some := await chat.store.administration.conversations(after=cursor):
        found += [one for one, _ in some]
        cursor = some[-1][1]
    assert sorted(found) == sorted(
        ["#lobby", "@bob,mei", *(f"#room{number}" for number in range(30))]
    )
