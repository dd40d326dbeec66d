"""The Store's contract: what people say of themselves."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from storing import NOON, Chat, account, person

from gochat.chat.account import Account
from gochat.chat.restriction import Restriction
from gochat.protocol.messages import Status

pytestmark = pytest.mark.trio

TEA = Status(emoji="🍵", text='tea "now" 中', until=NOON)
ENDED = Restriction(by="uid 0", role="owner", since=NOON, until=NOON + 1)


async def kept(chat: Chat, name: str) -> Account:
    found = await chat.store.account(person(name))
    assert found is not None
    return found


async def test_status_is_kept_with_the_account_until_it_is_taken_back(chat: Chat) -> None:
    bob = await kept(chat, "Bob")
    everybody = [person(name) for name in ("Mei", "Bob", "Eve", "Nobody")]
    assert bob.status is None
    assert await chat.store.statuses(everybody) == {}
    assert await chat.store.set_status(bob, TEA)
    assert await chat.store.set_status(await kept(chat, "Mei"), Status(text="x"))
    assert (await kept(chat, "Bob")).status == TEA
    assert await chat.store.statuses(everybody) == {
        person("Bob"): TEA,
        person("Mei"): Status(text="x"),
    }
    await chat.store.change_password(bob, "another hash")
    assert not await chat.store.set_status(bob, Status(text="of the generation before"))
    assert (await kept(chat, "Bob")).status == TEA
    await chat.store.set_status(bob, None)
    assert (await kept(chat, "Bob")).status is None
    assert not await chat.store.set_status(account("Nobody"), TEA)
    assert await chat.store.account(person("Nobody")) is None


@pytest.mark.parametrize(
    "change", [{"mute": ENDED}, {"ban": ENDED}, {"state": "disabled"}, {"state": "removing"}]
)
async def test_status_goes_with_what_is_allowed_in_public(
    chat: Chat, change: dict[str, object]
) -> None:
    before = await kept(chat, "Bob")
    await chat.store.set_status(before, TEA)
    promoted = replace(before, role="moderator")
    assert await chat.store.administration.change_account(before, promoted)
    assert (await kept(chat, "Bob")).status == TEA, "that is nothing to it"
    after = replace(promoted, **change)
    assert await chat.store.administration.change_account(promoted, after)
    assert (await kept(chat, "Bob")).status is None
    assert not await chat.store.set_status(promoted, TEA) or "ban" in change
    if change.get("ban"):
        await chat.store.set_status(after, TEA)
        lifted = replace(after, ban=None)
        assert await chat.store.administration.change_account(after, lifted)
        assert (await kept(chat, "Bob")).status == TEA, "lifting takes nothing away"
