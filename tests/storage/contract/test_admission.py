"""The Store's contract: who may register."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from msgspec.structs import replace
from storing import NOON, Chat, account, key, person

from gochat.chat.admission_store import KEPT_AFTER, ServerInvitation
from gochat.chat.store import Store
from gochat.errors import ChatError
from gochat.storage.redis import admission as in_redis
from gochat.storage.sqlite import admission as in_sqlite

pytestmark = pytest.mark.trio

LIFE = 24 * 3600 * 1000


def invitation(number: int = 1, uses: int = 3) -> ServerInvitation:
    return ServerInvitation(
        digest=bytes([number]) * 32,
        maker=None,
        room=None,
        note="",
        uses=uses,
        created=NOON + number,
        expires=NOON + LIFE,
    )


ONE = invitation()


async def refusal(store: Store, name: str, digest: bytes = ONE.digest, at: int = NOON) -> str:
    """Return the code with which an account is refused; then there must be none."""
    with pytest.raises(ChatError) as caught:
        await store.create_account(replace(account(name), created=at), digest)
    assert await store.account(person(name)) is None
    return str(caught.value.code)


async def test_mode_is_unset_until_it_is_set(store: Store) -> None:
    assert await store.admission.mode() is None
    for mode in ("closed", "invite", "open"):
        await store.admission.set_mode(mode)
        assert await store.admission.mode() == mode
    await store.admission.set_mode(None)
    assert await store.admission.mode() is None


async def test_invitation_is_stored_unchanged(chat: Chat) -> None:
    await chat.do("Mei", "#Garden", "create", "public")
    given = replace(ONE, maker=person("mei"), room=key("#Garden", "Mei"), note="the class 中文")
    assert await chat.store.admission.add(given)
    assert await chat.store.admission.invitation(given.digest) == given
    assert await chat.store.admission.invitations() == [given]
    assert await chat.store.admission.invitation(b"x" * 32) is None


async def test_invitations_are_in_the_order_in_which_they_were_made(store: Store) -> None:
    assert await store.admission.invitations() == []
    for number in (2, 3, 1):
        await store.admission.add(invitation(number))
    assert await store.admission.invitations() == [invitation(n) for n in (1, 2, 3)]


async def test_each_account_takes_a_use_until_there_is_none(store: Store) -> None:
    await store.admission.add(invitation(uses=2))
    await store.admission.add(invitation(2, uses=2))
    for name in ("Mei", "Bob"):
        assert await store.create_account(account(name), ONE.digest)
    found = await store.admission.invitation(ONE.digest)
    assert found is not None
    assert (found.used, found.left) == ((person("bob"), person("mei")), 0)
    assert await refusal(store, "Eve") == "bad_invite"
    assert await store.create_account(account("Eve"), invitation(2).digest)
    assert [one.used for one in await store.admission.invitations()] == [
        (person("bob"), person("mei")),
        (person("eve"),),
    ]


async def test_refused_account_claims_no_name_and_takes_no_use(store: Store) -> None:
    await store.admission.add(invitation(uses=1))
    assert await refusal(store, "Paul", b"x" * 32) == "bad_invite"
    await store.create_account(account("Mei"))
    assert await store.create_account(account("MEI"), ONE.digest) is False
    assert await refusal(store, "rnei") == "name_taken"
    assert await store.admission.invitation(ONE.digest) == invitation(uses=1)
    assert await store.create_account(account("pɑul"), ONE.digest), "its name is free"


async def test_expired_and_revoked_invitations_cant_be_used(store: Store) -> None:
    await store.admission.add(ONE)
    assert await refusal(store, "Mei", at=ONE.expires) == "bad_invite"
    assert await store.create_account(account("Mei"), ONE.digest)
    assert await store.admission.revoke(ONE.digest, NOON + 5)
    assert await refusal(store, "Bob") == "bad_invite"
    assert await store.admission.invitation(ONE.digest) == replace(
        ONE, revoked=NOON + 5, used=(person("mei"),)
    )


async def test_invitation_is_revoked_once(store: Store) -> None:
    await store.admission.add(ONE)
    assert await store.admission.revoke(ONE.digest, NOON + 5)
    assert not await store.admission.revoke(ONE.digest, NOON + 6)
    assert not await store.admission.revoke(b"x" * 32, NOON)
    (found,) = await store.admission.invitations()
    assert found.revoked == NOON + 5


@pytest.mark.parametrize("uses", [1, 7])
async def test_never_more_accounts_than_uses_however_many_at_once(store: Store, uses: int) -> None:
    await store.admission.add(invitation(uses=uses))
    made: list[str] = []

    async def register(name: str) -> None:
        with suppress(ChatError):
            if await store.create_account(account(name), ONE.digest):
                made.append(name)

    names = [f"person{number}" for number in range(20)]
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(register, name)
    assert len(made) == uses
    there = [name for name in names if await store.account(person(name)) is not None]
    assert there == sorted(made, key=names.index)
    found = await store.admission.invitation(ONE.digest)
    assert found is not None
    assert set(found.used) == {person(name) for name in made}


async def test_one_name_at_once_takes_one_use(store: Store) -> None:
    await store.admission.add(ONE)
    outcomes: list[bool] = []

    async def register() -> None:
        outcomes.append(await store.create_account(account("Mei"), ONE.digest))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(register)
    assert outcomes.count(True) == 1
    found = await store.admission.invitation(ONE.digest)
    assert found is not None
    assert found.used == (person("mei"),)


async def test_invitations_are_forgotten_long_after_they_expired(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (in_sqlite, in_redis):
        monkeypatch.setattr(module, "MAX_KEPT", 2)
    await store.admission.add(ONE)
    await store.create_account(account("Mei"), ONE.digest)
    assert await store.admission.add(invitation(2))
    assert not await store.admission.add(invitation(3)), "there are two"
    later = replace(invitation(3), created=ONE.expires + KEPT_AFTER)
    assert not await store.admission.add(later)
    later = replace(later, created=later.created + 1, expires=later.created + LIFE)
    assert await store.admission.add(later)
    assert await store.admission.invitations() == [later]
    assert await store.account(person("mei")) is not None
