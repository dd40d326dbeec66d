"""Who may register: who may invite where, and where those who come then are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from storing import NOON, Chat, Clock, key, person

from gochat.chat.accounts import Identity
from gochat.chat.admission import Admission, NewInvitation
from gochat.chat.bounds import MAX_LIFE, MAX_USES
from gochat.errors import ChatError
from gochat.storage import open_store

pytestmark = pytest.mark.trio

DAY = 24 * 3600 * 1000


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    """Mei runs #Garden and the private #Den; Bob is in both, Eve in neither."""
    async with open_store("sqlite:///:memory:", clock=Clock()) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob", "Eve")
        await chat.do("Mei", "#Garden", "create", "public")
        await chat.do("Bob", "#Garden", "join")
        await chat.do("Mei", "#Den", "create", "private")
        await chat.do("Mei", "#Den", "invite", subject="Bob")
        await chat.do("Bob", "#Den", "join")
        yield chat


async def create(admission: Admission, **terms: Any) -> NewInvitation:
    """Make an invitation and keep it, as `gochat admin` does."""
    made = await admission.draft(**terms)
    await admission.add(made.invitation)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(chat: Chat, clock: Clock) -> Admission:
    return Admission(chat.store, clock)


async def test_banned_person_does_not_join_by_an_invitation(
    chat: Chat, admission: Admission
) -> None:
    for room, maker in (("#garden", None), ("#den", "Mei")):
        made = await create(admission, uses=1, life=DAY, room=room, maker=maker)
        eve = Identity(person("Eve"), "Eve")
        assert len(await admission.joining(eve, made.invitation)) == 1
        await chat.do("Mei", room, "ban", "Eve", subject="Eve")
        assert not await admission.joining(eve, made.invitation)


# -- making them ----------------------------------------------------------------------------------


async def test_invitation_keeps_what_it_was_made_with(admission: Admission) -> None:
    made = await create(admission, uses=2, life=DAY, room="#garden", maker="Bob", note="class")
    assert made.invitation == (await admission.all())[0] == await admission.find(made.code)
    one = made.invitation
    assert (one.maker, one.room, one.note) == (person("bob"), key("#garden", "Bob"), "class")
    assert (one.uses, one.created, one.expires) == (2, NOON, NOON + DAY)
    assert made.code not in repr(one)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"uses": 0}, "bad_request", "uses"),
        ({"uses": MAX_USES + 1}, "bad_request", "uses"),
        ({"life": 0}, "bad_request", "life"),
        ({"life": MAX_LIFE + 1}, "bad_request", "life"),
        ({"note": "x" * 201}, "text_too_long", "note"),
        ({"maker": "nobody"}, "unknown_person", "maker"),
        ({"maker": "no name"}, "unknown_person", "maker"),
        ({"room": "garden"}, "unknown_conversation", "room"),
        ({"room": "#nowhere"}, "unknown_conversation", "room"),
        ({"room": "#lobby"}, "bad_request", "room"),
        ({"room": "#den"}, "not_permitted", "room"),
        ({"room": "#den", "maker": "Bob"}, "not_permitted", "room"),
        ({"room": "#den", "maker": "Eve"}, "unknown_conversation", "room"),
        ({"room": "#garden", "maker": "Eve"}, "not_a_member", "room"),
    ],
)
async def test_who_may_not_invite_is_refused(
    admission: Admission, fields: dict[str, object], code: str, field: str
) -> None:
    arguments: dict[str, object] = {"uses": 1, "life": DAY}
    with pytest.raises(ChatError) as caught:
        await create(admission, **(arguments | fields))
    assert (caught.value.code, caught.value.field) == (code, field)
    assert await admission.all() == []


async def test_used_up_expired_and_revoked_ones_are_not_found(
    admission: Admission, clock: Clock
) -> None:
    made = await create(admission, uses=1, life=DAY)
    clock.now += DAY - 1
    assert await admission.find(made.code) is not None
    clock.now += 1
    assert await admission.find(made.code) is None
    other = await create(admission, uses=1, life=DAY)
    for known in (other.invitation.id, other.code):
        assert await admission.require(known) == other.invitation
    assert (await admission.revoke(other.invitation)).revoked == clock.now
    assert await admission.find(other.code) is None
    with pytest.raises(ChatError, match="revoked before"):
        await admission.revoke(other.invitation)
    with pytest.raises(ChatError, match="no such invitation"):
        await admission.require("nothing")


# -- the room -------------------------------------------------------------------------------------


async def joined(chat: Chat, admission: Admission, room: str, maker: str | None) -> bool:
    """Register Ann with an invitation to a room; return whether she is in it."""
    made = await create(admission, uses=1, life=DAY, room=room, maker=maker)
    return await joins(chat, admission, made.code)


async def joins(chat: Chat, admission: Admission, code: str) -> bool:
    invitation = await admission.find(code)
    assert invitation is not None
    await chat.register("Ann")
    drafts = await admission.joining(Identity(person("ann"), "Ann"), invitation)
    await chat.append(*drafts)
    assert invitation.room is not None
    room = await chat.store.room(invitation.room, person("ann"))
    assert room is not None
    return room.is_inside


@pytest.mark.parametrize(
    ("room", "maker"), [("#garden", None), ("#garden", "Bob"), ("#den", "Mei")]
)
async def test_who_registers_joins_the_room(
    chat: Chat, admission: Admission, room: str, maker: str | None
) -> None:
    assert await joined(chat, admission, room, maker)


@pytest.mark.parametrize("is_late", [False, True])
async def test_nobody_joins_a_private_room_whose_operator_the_maker_is_no_more(
    chat: Chat, admission: Admission, *, is_late: bool
) -> None:
    """Also not if that happens after the decision."""
    made = await create(admission, uses=1, life=DAY, room="#den", maker="Mei")
    invitation = await admission.find(made.code)
    assert invitation is not None
    await chat.register("Ann")
    ann = Identity(person("ann"), "Ann")
    drafts = await admission.joining(ann, invitation) if is_late else ()
    await chat.do("Mei", "#Den", "operator", subject="Bob")
    await chat.do("Bob", "#Den", "member", subject="Mei")
    outcome = await chat.append(*(drafts if is_late else await admission.joining(ann, invitation)))
    assert [type(one).__name__ for one in outcome] == ["FactsChanged"] * is_late
    room = await chat.store.room(key("#den", "Ann"), person("ann"))
    assert room is not None
    assert not room.is_inside


@pytest.mark.parametrize(("room", "maker"), [("#garden", "Bob"), ("#den", "Mei")])
async def test_nobody_joins_a_room_by_the_invitation_of_a_disabled_account(
    chat: Chat, admission: Admission, room: str, maker: str
) -> None:
    made = await create(admission, uses=1, life=DAY, room=room, maker=maker)
    account = await chat.store.account(person(maker.lower()))
    assert account is not None
    off = replace(account, state="disabled", generation=account.generation + 1)
    assert await chat.store.administration.change_account(account, off)
    assert not await joins(chat, admission, made.code)


async def test_nobody_joins_a_room_that_became_private(chat: Chat, admission: Admission) -> None:
    made = await create(admission, uses=1, life=DAY, room="#garden")
    await chat.do("Mei", "#Garden", "access", "private")
    assert not await joins(chat, admission, made.code)


# -- the mode -------------------------------------------------------------------------------------


class Directory:
    is_on = True

    def __init__(self, *, allows_local: bool) -> None:
        self.allows_local = allows_local

    check = None


async def test_stored_mode_comes_before_the_configured_one(chat: Chat, clock: Clock) -> None:
    admission = Admission(chat.store, clock, "closed")
    assert await admission.mode() == "closed"
    await admission.set_mode("open")
    assert await admission.mode() == await Admission(chat.store, clock, "invite").mode() == "open"
    admission.configure("invite")
    assert admission.known_mode == "open"
    await admission.set_mode(None)
    assert await admission.mode() == "invite"


@pytest.mark.parametrize(
    ("allows_local", "stored", "expected"),
    [
        (False, "open", "closed"),
        (False, "invite", "closed"),
        (True, "open", "closed"),
        (True, "invite", "invite"),
        (True, "closed", "closed"),
    ],
)
async def test_directory_leaves_registration_no_more_than_invitations(
    chat: Chat, clock: Clock, *, allows_local: bool, stored: str, expected: str
) -> None:
    await chat.store.admission.set_mode(stored)
    directory = Directory(allows_local=allows_local)
    admission = Admission(chat.store, clock, "open", directory)  # type: ignore[arg-type]  # nobody logs in
    assert await admission.mode() == expected
    with pytest.raises(ChatError):
        await admission.set_mode("open")
