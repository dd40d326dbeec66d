"""The Store's contract: bans of networks."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
from msgspec.structs import replace
from storing import NOON, Chat, person

from gochat.chat.restriction import Restriction
from gochat.errors import ChatError
from gochat.storage.redis import network_bans as in_redis
from gochat.storage.sqlite import network_bans as in_sqlite

pytestmark = pytest.mark.trio

NET, ADDRESS = "203.0.113.0/24", "2001:db8::1/128"
BAN = Restriction(by="uid 0", role="owner", since=NOON, reason="späm")


async def test_ban_is_kept_replaced_and_lifted(chat: Chat) -> None:
    bans = chat.store.network_bans
    assert await bans.all() == {}
    versions = [await bans.version()]
    longer = replace(BAN, until=NOON + 1)
    for network, before, after, expected in (
        (NET, None, BAN, {NET: BAN}),
        (ADDRESS, None, BAN, {ADDRESS: BAN, NET: BAN}),
        (NET, BAN, longer, {ADDRESS: BAN, NET: longer}),
        (ADDRESS, BAN, None, {NET: longer}),
    ):
        assert await bans.change(network, before, after)
        assert await bans.all() == expected
        versions.append(await bans.version())
    assert versions == sorted(set(versions))


async def test_change_of_a_ban_that_is_another_by_now_does_nothing(chat: Chat) -> None:
    bans = chat.store.network_bans
    assert await bans.change(NET, None, BAN)
    for before in (None, replace(BAN, until=1)):
        assert not await bans.change(NET, before, replace(BAN, reason="other"))
    assert not await bans.change(ADDRESS, BAN, None)
    assert await bans.all() == {NET: BAN}


async def test_of_concurrent_bans_one_succeeds(chat: Chat) -> None:
    done: Counter[bool] = Counter()

    async def ban(reason: str) -> None:
        done[await chat.store.network_bans.change(NET, None, replace(BAN, reason=reason))] += 1

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(ban, str(number))
    assert done == {True: 1, False: 4}


async def test_who_is_no_longer_an_admin_changes_nothing(chat: Chat) -> None:
    before = await chat.store.account(person("Mei"))
    assert before is not None
    bans = chat.store.network_bans
    await chat.store.administration.change_account(before, replace(before, role="admin"))
    assert await bans.change(NET, None, BAN, (person("Mei"), "admin"))
    await chat.store.administration.change_account(replace(before, role="admin"), before)
    assert not await bans.change(NET, BAN, None, (person("Mei"), "admin"))
    assert await bans.all() == {NET: BAN}


async def test_only_so_many_bans_are_kept(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (in_redis, in_sqlite):
        monkeypatch.setattr(module, "MAX_BANS", 2)
    bans = chat.store.network_bans
    for number in range(2):
        assert await bans.change(f"203.0.113.{number}/32", None, BAN)
    with pytest.raises(ChatError, match="at most"):
        await bans.change(NET, None, BAN)
    assert await bans.change("203.0.113.0/32", BAN, replace(BAN, until=NOON))
    assert await bans.change("203.0.113.1/32", BAN, None)
    assert await bans.change(NET, None, BAN)
