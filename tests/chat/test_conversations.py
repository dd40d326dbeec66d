"""Which conversation an address names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.chat import conversations, names
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.names import NameKey
from gochat.errors import ChatError

MEI = NameKey("mei")

keys = st.sampled_from(
    [names.fold(name) for name in ("a", "mei", "bob", "z", "梅", "É", "7", "a-b")]
)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("#lobby", "#lobby"),
        ("#LOBBY", "#lobby"),
        ("#Garden", "#garden"),
        ("#梅", "#梅"),
        ("@Bob", "@bob,mei"),
        ("@zoë", "@mei,zoë"),
        ("@ＭＥＩ", "@mei,mei"),
    ],
)
def test_address_names_a_conversation_in_any_spelling(address: str, key: str) -> None:
    assert conversations.key(address, MEI) == key


@pytest.mark.parametrize(
    "address", ["", "#", "@", "lobby", "bob", "##a", "#a b", "#a,b", "# lobby", "＃lobby", "\ud800"]
)
def test_invalid_room_name_is_not_a_conversation(address: str) -> None:
    with pytest.raises(ChatError) as caught:
        conversations.key(address, MEI)
    assert (caught.value.code, caught.value.field) == ("unknown_conversation", "to")


@pytest.mark.parametrize("address", ["@@bob", "@bob ", "@a,b", "@,", "@mei,bob", "@" + "x" * 200])
def test_invalid_person_name_is_not_a_person(address: str) -> None:
    # Least of all two names: a key with three people is not a private conversation's.
    with pytest.raises(ChatError) as caught:
        conversations.key(address, NameKey("c"))
    assert (caught.value.code, caught.value.field) == ("unknown_person", "to")
    assert len(caught.value.text) < 200


def test_invalid_address_is_shown_without_control_characters() -> None:
    for address in ("#\x1b[31m", "@\x1b[31m", "\u202e#lobby"):
        with pytest.raises(ChatError) as caught:
            conversations.key(address, MEI)
        assert caught.value.text.isprintable()


@given(keys, keys)
def test_both_sides_name_the_same_private_conversation(one: NameKey, other: NameKey) -> None:
    key = conversations.private(one, other)
    assert key == conversations.private(other, one) == conversations.key("@" + other, one)
    assert conversations.is_private(key)
    assert set(conversations.participants(key)) == {one, other}
    assert len(conversations.participants(key)) == (1 if one == other else 2)
    assert conversations.peer(key, one) == other
    assert conversations.peer(key, other) == one


def test_lobby_and_rooms_are_not_private() -> None:
    assert not conversations.is_private(LOBBY_KEY)
    assert not conversations.is_private(conversations.key("#garden", MEI))


@given(st.text(max_size=12), keys)
def test_any_text_is_one_conversation_or_a_chat_error(address: str, own: NameKey) -> None:
    try:
        key = conversations.key(address, own)
    except ChatError:
        return
    if conversations.is_private(key):
        assert own in conversations.participants(key)
        assert len(conversations.participants(key)) <= 2
    else:
        assert conversations.key(key, own) == key
