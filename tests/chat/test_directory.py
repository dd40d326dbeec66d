"""Display names are looked up once, and the cache is bounded."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from talking import World

from gochat.chat import directory as directories
from gochat.chat.conversations import LOBBY_KEY, ConversationKey
from gochat.chat.directory import Directory
from gochat.chat.names import NameKey
from gochat.chat.room_state import RoomState
from gochat.errors import ChatError
from gochat.protocol.messages import CreateRoom

pytestmark = pytest.mark.trio

MEI, BOB, EVE, NOBODY = (NameKey(name) for name in ("mei", "bob", "eve", "nobody"))
GARDEN = ConversationKey("#garden")


class Questions:
    """Records what a directory asks its store."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.people: list[set[NameKey]] = []
        self.rooms: list[ConversationKey] = []
        display_names, room = world.store.display_names, world.store.room

        async def counted_names(keys: Collection[NameKey]) -> dict[NameKey, str]:
            self.people.append(set(keys))
            return await display_names(keys)

        async def counted_room(key: ConversationKey, person: NameKey) -> RoomState | None:
            self.rooms.append(key)
            return await room(key, person)

        monkeypatch.setattr(world.store, "display_names", counted_names)
        monkeypatch.setattr(world.store, "room", counted_room)


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> Questions:
    return Questions(world, monkeypatch)


async def test_people_are_found_in_order_whatever_is_cached(world: World, asked: Questions) -> None:
    assert await world.directory.people([BOB]) == {BOB: "Bob"}
    found = await world.directory.people([EVE, NOBODY, BOB, MEI])
    assert list(found.items()) == [(EVE, "Eve"), (BOB, "Bob"), (MEI, "Mei")]
    assert asked.people == [{BOB}, {EVE, NOBODY, MEI}]


async def test_found_people_are_cached_and_missing_ones_are_not(
    world: World, asked: Questions
) -> None:
    await world.directory.people([MEI, NOBODY])
    assert await world.directory.people([MEI]) == {MEI: "Mei"}
    await world.register("Nobody")
    assert await world.directory.people([MEI, NOBODY]) == {MEI: "Mei", NOBODY: "Nobody"}
    assert asked.people == [{MEI, NOBODY}, {NOBODY}]


async def test_rooms_are_found_with_their_original_spelling(world: World, asked: Questions) -> None:
    assert await world.directory.room(GARDEN, MEI) is None
    await world.ask("Mei", CreateRoom(room="#Garden"))
    assert await world.directory.room(GARDEN, MEI) == "#Garden"
    before = len(asked.rooms)
    assert await world.directory.room(GARDEN, BOB) == "#Garden"
    assert await world.directory.room(LOBBY_KEY, BOB) == "#lobby"
    assert len(asked.rooms) == before


async def test_cache_is_bounded_and_all_names_are_still_found(
    world: World, asked: Questions
) -> None:
    directory = Directory(world.store, max_remembered=2)
    everybody = {MEI: "Mei", BOB: "Bob", EVE: "Eve"}
    assert await directory.people(list(everybody)) == everybody
    assert await directory.people(list(everybody)) == everybody
    assert list(map(len, asked.people)) == [3, 1]
    for room in ("#a", "#b", "#c"):
        await world.ask("Mei", CreateRoom(room=room))
    for room in ("#a", "#b", "#c", "#a", "#lobby"):
        assert await directory.room(ConversationKey(room), MEI) == room


async def test_cache_is_cleared_when_the_data_is_replaced(world: World, asked: Questions) -> None:
    await world.ask("Mei", CreateRoom(room="#Garden"))
    for _ in range(2):
        assert await world.directory.people([MEI]) == {MEI: "Mei"}
        assert await world.directory.room(GARDEN, MEI) == "#Garden"
        assert await world.directory.room(LOBBY_KEY, MEI) == "#lobby"
        world.directory.forget()
    assert asked.people == [{MEI}, {MEI}]
    assert asked.rooms.count(GARDEN) >= 2
    assert LOBBY_KEY not in asked.rooms


async def test_an_address_means_another_conversation_to_each_person(
    world: World, asked: Questions
) -> None:
    for _ in range(2):
        for own, spelling, key in ((MEI, "@BOB", "@bob,mei"), (EVE, "@bob", "@bob,eve")):
            found = await world.directory.destination(own, spelling)
            assert (found.key, found.shown, found.peer) == (key, "@Bob", BOB)
            assert not found.is_joined
        alone = await world.directory.destination(BOB, "@bob")
        assert (alone.key, alone.peer) == ("@bob,bob", BOB)
    assert asked.people == [{BOB}]
    lobby = await world.directory.destination(MEI, "#Lobby")
    assert (lobby.key, lobby.shown, lobby.peer) == (LOBBY_KEY, "#lobby", None)
    assert not lobby.is_joined


async def test_an_address_that_means_nothing_yet_is_looked_up_again(world: World) -> None:
    for address, code in (("@nobody", "unknown_person"), ("#garden", "unknown_conversation")):
        with pytest.raises(ChatError) as refused:
            await world.directory.destination(MEI, address)
        assert refused.value.code == code
    await world.register("Nobody")
    await world.ask("Mei", CreateRoom(room="#Garden"))
    assert (await world.directory.destination(MEI, "@nobody")).shown == "@Nobody"
    room = await world.directory.destination(BOB, "#garden")
    assert (room.shown, room.peer, room.is_joined) == ("#Garden", None, True)


async def test_addresses_are_looked_up_again_when_there_are_many_or_the_data_is_replaced(
    world: World, asked: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "MAX_ADDRESSES", 2)
    for address in ("@mei", "@bob", "@eve", "@bob", "@mei"):
        await world.directory.destination(MEI, address)
        assert len(world.directory._addresses) <= 2
    assert asked.people == [{MEI}, {BOB}, {EVE}]  # names are remembered by themselves
    world.directory.forget()
    assert (await world.directory.destination(MEI, "@bob")).shown == "@Bob"
    assert asked.people[3:] == [{BOB}]
