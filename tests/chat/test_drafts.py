"""What may be sent, where, and by whom."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from msgspec import structs
from storing import draft
from talking import World

from gochat.chat import names
from gochat.chat.drafts import MAX_MENTIONS, MAX_OWN_REACTIONS, MAX_REACTIONS, MAX_TEXT, new_cid
from gochat.chat.emoji import MAX_EMOJI
from gochat.chat.facts import Facts
from gochat.chat.names import NameKey
from gochat.protocol.codec import encode
from gochat.protocol.framing import HEADER_SIZE, MAX_FRAME_SIZE
from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    Join,
    Message,
    React,
    Reaction,
    Send,
    SetOperator,
)
from gochat.protocol.text import EVERYBODY

pytestmark = pytest.mark.trio


# -- where to -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "key", "shown"),
    [
        ("#lobby", "#lobby", "#lobby"),
        ("#LOBBY", "#lobby", "#lobby"),
        ("#garden", "#garden", "#Garden"),
        ("@bob", "@bob,mei", "@Bob"),
        ("@MEI", "@mei,mei", "@Mei"),
    ],
)
async def test_address_is_shown_in_its_original_spelling(
    world: World, to: str, key: str, shown: str
) -> None:
    await world.ask("Mei", CreateRoom(room="#Garden"))
    [draft] = await world.draft("Mei", Send(to=to, text="hi"))
    assert (draft.conversation, draft.to) == (key, shown)
    assert (draft.sender_key, draft.sender, draft.kind) == ("mei", "Mei", "text")


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("@nobody", "unknown_person"),
        ("@not a name", "unknown_person"),
        ("@bob,eve", "unknown_person"),
        ("#nowhere", "unknown_conversation"),
        ("#", "unknown_conversation"),
        ("@", "unknown_conversation"),
        ("", "unknown_conversation"),
        ("bob", "unknown_conversation"),
        ("#garden", "not_a_member"),
    ],
)
async def test_message_to_nobody_or_from_outside_is_refused(
    world: World, to: str, code: str
) -> None:
    await world.ask("Mei", CreateRoom(room="#garden"))
    for request in (
        Send(to=to, text="hi"),
        Edit(to=to, seq=1, text="hi"),
        Delete(to=to, seq=1),
        React(to=to, seq=1, emoji="👍"),
    ):
        assert await world.is_refused("Bob", request) == (code, "to")


# -- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000\u00a0"])
async def test_empty_text_is_refused(world: World, text: str) -> None:
    assert await world.is_refused("Mei", Send(to="#lobby", text=text)) == ("text_empty", "text")
    await world.talk("Mei", "#lobby", "hi")
    edit = Edit(to="#lobby", seq=1, text=text)
    assert await world.is_refused("Mei", edit) == ("text_empty", "text")


async def test_text_is_bounded_in_characters_and_unchanged(world: World) -> None:
    longest = "😀" * (MAX_TEXT - 2) + "\x1b "
    [message] = await world.talk("Mei", "#lobby", longest)
    assert message.text == longest
    too_long = longest + "."
    assert await world.is_refused("Mei", Send(to="#lobby", text=too_long)) == (
        "text_too_long",
        "text",
    )
    edit = Edit(to="#lobby", seq=1, text=too_long)
    assert await world.is_refused("Mei", edit) == ("text_too_long", "text")


async def test_longest_message_fits_a_frame() -> None:
    name = "𐐨" * 32
    reaction = Reaction(emoji="😀" * MAX_EMOJI, count=2**53 - 1, names=(name,) * 10, me=True)
    message = Message(
        to="@" + name,
        epoch="x" * 64,
        seq=2**53 - 1,
        ts=2**53 - 1,
        from_=name,
        text="\x01" * MAX_TEXT,
        ref=2**53 - 1,
        cid="\x01" * 64,
        mentions=(name,) * MAX_MENTIONS,
        edited=2**53 - 1,
        reactions=(reaction,) * MAX_REACTIONS,
    )
    assert len(encode(message)) - HEADER_SIZE <= MAX_FRAME_SIZE


# -- replies, edits, deletions --------------------------------------------------------------------


async def test_reply_names_a_message_of_its_conversation(world: World) -> None:
    await world.talk("Mei", "#lobby", "one")
    [reply] = await world.ask("Bob", Send(to="#lobby", text="two", reply_to=1))
    assert reply.ref == 1
    for seq in (0, 3, 2**53 - 1):
        reply_to = Send(to="#lobby", text="?", reply_to=seq)
        assert await world.is_refused("Bob", reply_to) == ("unknown_message", "reply_to")
    elsewhere = Send(to="@mei", text="?", reply_to=1)
    assert await world.is_refused("Bob", elsewhere) == ("unknown_message", "reply_to")


async def test_only_its_author_edits_a_message(world: World) -> None:
    await world.talk("Mei", "#lobby", "helo")
    theirs = Edit(to="#lobby", seq=1, text="no")
    assert await world.is_refused("Bob", theirs) == ("not_permitted", "seq")
    [edit] = await world.ask("Mei", Edit(to="#lobby", seq=1, text="hello"))
    assert (edit.kind, edit.ref, edit.text) == ("edit", 1, "hello")
    of_an_edit = Edit(to="#lobby", seq=2, text="no message")
    assert await world.is_refused("Mei", of_an_edit) == ("unknown_message", "seq")


async def test_mentions_of_an_edit_are_those_of_its_text(world: World) -> None:
    await world.talk("Mei", "#lobby", "hi @bob")
    [edit] = await world.ask("Mei", Edit(to="#lobby", seq=1, text="hi @bob and @eve"))
    assert edit.mentions == ("Bob", "Eve")
    assert (await world.seen("Bob", "#lobby")).mentions == 1
    assert (await world.seen("Eve", "#lobby")).mentions == 1
    await world.ask("Mei", Edit(to="#lobby", seq=1, text="hi @eve"))
    assert (await world.seen("Bob", "#lobby")).mentions == 0


async def test_message_is_deleted_by_its_author_or_an_operator(world: World) -> None:
    await world.ask("Mei", CreateRoom(room="#garden"))
    for name in ("Bob", "Eve"):
        await world.ask(name, Join(room="#garden"))
    sent = await world.talk("Bob", "#garden", "one", "two", "three")
    first, second, third = (message.seq for message in sent)
    theirs = Delete(to="#garden", seq=first)
    assert await world.is_refused("Eve", theirs) == ("not_permitted", "seq")
    await world.ask("Bob", Delete(to="#garden", seq=first))
    await world.ask("Mei", Delete(to="#garden", seq=second))
    await world.ask("Mei", SetOperator(room="#garden", name="Eve"))
    [deletion] = await world.ask("Eve", Delete(to="#garden", seq=third))
    assert (deletion.kind, deletion.ref, deletion.text) == ("delete", third, "")


@pytest.mark.parametrize("to", ["#lobby", "@bob"])
async def test_lobby_and_private_conversations_have_no_operators(world: World, to: str) -> None:
    await world.talk("Mei", to, "mine")
    theirs = Delete(to="@mei" if to == "@bob" else to, seq=1)
    assert await world.is_refused("Bob", theirs) == ("not_permitted", "seq")


async def test_deleted_message_no_longer_exists(world: World) -> None:
    await world.talk("Mei", "#lobby", "oops")
    await world.ask("Mei", Delete(to="#lobby", seq=1))
    for request, field in (
        (Edit(to="#lobby", seq=1, text="again"), "seq"),
        (Delete(to="#lobby", seq=1), "seq"),
        (React(to="#lobby", seq=1, emoji="👍"), "seq"),
        (Send(to="#lobby", text="re", reply_to=1), "reply_to"),
    ):
        assert await world.is_refused("Mei", request) == ("unknown_message", field)


# -- reactions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "emoji",
    [
        "👍",
        "❤️",
        "👩🏽‍🚀",
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        "🇺🇦",
        "1️⃣",
        "#️⃣",
        "ℹ️",
        "‼️",
        "©️",
        "㊗️",
        "\U0001fae9",
        "\U0001fadd",
        "👩🏻‍❤️‍💋‍👨🏽",
    ],
)
async def test_any_emoji_is_a_reaction_even_of_a_later_unicode(world: World, emoji: str) -> None:
    await world.talk("Mei", "#lobby", "hi")
    given, taken = await world.ask(
        "Bob",
        React(to="#lobby", seq=1, emoji=emoji),
        React(to="#lobby", seq=1, emoji=emoji, on=False),
    )
    assert (given.kind, given.ref, given.text) == ("react", 1, emoji)
    assert (taken.kind, taken.ref, taken.text) == ("unreact", 1, emoji)


@pytest.mark.parametrize(
    "emoji",
    [
        "", " ", "👍 ", "👍\n", "\x1b[31m", "👍\x07", "\u202e👍", "👍\u2066", "\u200b", "\u200d",
        "\ufe0f", "\u20e3", "\u0301", "\ufeff", "\u2028", "\ue000", "\ud83d",
        "+1", "lol", "1", "é", "▓", "👍👍", "🇩", "👍\u200d", "\u200d👍", "👍\u20e3",
        "\u200d".join("👍👍👍👍👍"),
        "😀" + "\ufe0f" * MAX_EMOJI,
    ],
)  # fmt: skip
async def test_invisible_or_misleading_text_is_not_a_reaction(world: World, emoji: str) -> None:
    await world.talk("Mei", "#lobby", "hi")
    for on in (True, False):
        request = React(to="#lobby", seq=1, emoji=emoji, on=on)
        assert await world.is_refused("Bob", request) == ("bad_request", "emoji")


@pytest.mark.parametrize("other", ["❤", "❤\ufe0e", "❤️"])
async def test_emoji_is_the_same_with_any_selector(world: World, other: str) -> None:
    await world.talk("Mei", "#lobby", "hi")
    for who, emoji in (("Mei", "❤️"), ("Bob", other)):
        [given] = await world.ask(who, React(to="#lobby", seq=1, emoji=emoji))
        assert given.text == "❤️"
    [taken] = await world.ask("Mei", React(to="#lobby", seq=1, emoji=other, on=False))
    assert (taken.kind, taken.text) == ("unreact", "❤️")


@pytest.mark.parametrize("old", ["+1", "❤"])
async def test_older_reaction_can_be_joined_if_an_emoji_and_removed(world: World, old: str) -> None:
    await world.talk("Mei", "#lobby", "hi")
    await world.append(draft("Bob", "#lobby", old, kind="react", ref=1))
    if old == "❤":
        [given] = await world.ask("Mei", React(to="#lobby", seq=1, emoji="❤️"))
        assert given.text == old
    [taken] = await world.ask("Bob", React(to="#lobby", seq=1, emoji=old, on=False))
    assert (taken.kind, taken.text) == ("unreact", old)


async def test_reactions_of_a_person_to_a_message_are_bounded(world: World) -> None:
    await world.talk("Mei", "#lobby", "hi")
    emoji = [chr(0x1F600 + number) for number in range(MAX_OWN_REACTIONS + 1)]
    await world.ask("Mei", *(React(to="#lobby", seq=1, emoji=one) for one in emoji[:-1]))
    one_more = React(to="#lobby", seq=1, emoji=emoji[-1])
    assert await world.is_refused("Mei", one_more) == ("too_many", "emoji")
    await world.ask("Mei", React(to="#lobby", seq=1, emoji=emoji[0]))  # which exists already
    await world.ask("Bob", one_more)
    await world.ask("Mei", React(to="#lobby", seq=1, emoji=emoji[0], on=False), one_more)


async def test_different_reactions_to_a_message_are_bounded(
    world: World,
) -> None:
    await world.register("Ann", "Tom")
    await world.talk("Mei", "#lobby", "hi")
    emoji = [chr(0x1F600 + number) for number in range(MAX_REACTIONS + 1)]
    for number, one in enumerate(emoji[:-1]):  # no person gives all of them
        await world.ask(
            ("Mei", "Bob", "Eve", "Ann", "Tom")[number % 5], React(to="#lobby", seq=1, emoji=one)
        )
    one_more = React(to="#lobby", seq=1, emoji=emoji[-1])
    assert await world.is_refused("Bob", one_more) == ("too_many", "emoji")
    await world.ask("Bob", React(to="#lobby", seq=1, emoji=emoji[0]))
    await world.ask("Bob", React(to="#lobby", seq=1, emoji=emoji[1], on=False))
    await world.ask("Bob", one_more)


# -- mentions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mentioned"),
    [
        ("hi @bob", ["Bob"]),
        ("@BOB: look", ["Bob"]),
        ("@bob, @eve! (@mei)", ["Bob", "Eve", "Mei"]),
        ("@bob's", ["Bob"]),
        ("@bob.", ["Bob"]),
        ("@bob...", ["Bob"]),
        ("@bob-", ["Bob"]),
        ("@eve @bob @eve", ["Eve", "Bob"]),
        ("@梅，你好", ["梅"]),
        ("@हिन्दी है", ["हिन्दी"]),
        ("@שָׂרָה!", ["שָׂרָה"]),
        ("@İREM", ["İrem"]),
        ("@ｂｏｂ", ["Bob"]),
        ("@jean-luc.", ["jean-luc"]),
        ("bob", []),
        ("@ bob", []),
        ("mail@bob", []),
        ("@@bob", []),
        ("@nobody", []),
        ("@bobby", []),
        ("@bob_", ["Bob"]),
        ("@-bob", []),
        ("你好@bob", ["Bob"]),
        ("@bob你好", ["Bob"]),
        ("bob: look", ["Bob"]),
        ("nobody: @bob", ["Bob"]),
        ("`@bob` medium.com/@eve", []),
        ("＠bob", ["Bob"]),
        ("@" + "x" * 3000, []),
        ("@bob" + "\u0301" * 3000, []),
    ],
)
async def test_message_mentions_the_names_after_at_signs(
    world: World, text: str, mentioned: list[str]
) -> None:
    await world.register("梅", "हिन्दी", "שָׂרָה", "İrem", "jean-luc")
    [draft] = await world.draft("Mei", Send(to="#lobby", text=text))
    assert list(draft.mentions) == mentioned
    assert len(draft.mentioned) == len(mentioned)


async def test_mentions_of_a_message_are_bounded(world: World) -> None:
    people = [f"p{number}" for number in range(MAX_MENTIONS + 5)]
    await world.register(*people)
    text = " ".join(f"@{name}" for name in people)
    [draft] = await world.draft("Mei", Send(to="#lobby", text=text))
    assert list(draft.mentions) == people[:MAX_MENTIONS]


async def test_private_message_mentions_nobody(world: World) -> None:
    [draft] = await world.draft("Mei", Send(to="@bob", text="ask @eve, @bob"))
    assert draft.mentions == ()


@pytest.mark.parametrize("text", ["here, take this", "room: hi", "room你好: hi", "HERE:"])
async def test_only_a_written_at_sign_mentions_everybody(world: World, text: str) -> None:
    await world.ask("Mei", CreateRoom(room="#den"))
    [draft] = await world.draft("Mei", Send(to="#den", text=text))
    assert draft.mentions == ()
    [draft] = await world.draft("Mei", Send(to="#den", text=f"{text} @bob ＠room"))
    assert draft.mentions == (EVERYBODY, "Bob")


@pytest.mark.parametrize("text", ["@room", "look, @HERE!", "@bob @room"])
async def test_operator_of_a_room_mentions_everybody(world: World, text: str) -> None:
    await world.ask("Mei", CreateRoom(room="#den"))
    await world.ask("Bob", Join(room="#den"))
    [draft] = await world.draft("Mei", Send(to="#den", text=text))
    assert draft.mentions[0] == EVERYBODY
    assert draft.mentioned == ()
    assert draft.facts == Facts(sender=("operator",), is_open=True)
    [draft] = await world.draft("Bob", Send(to="#den", text=text))
    assert EVERYBODY not in draft.mentions
    [draft] = await world.draft("Mei", Send(to="@bob", text=text))
    assert draft.mentions == ()


async def test_moderator_mentions_everybody_in_the_lobby(world: World) -> None:
    [draft] = await world.draft("Mei", Send(to="#lobby", text="@room"))
    assert draft.mentions == ()
    account = await world.store.account(names.fold("Mei"))
    assert account is not None
    await world.store.administration.change_account(
        account, structs.replace(account, role="moderator")
    )
    [draft] = await world.draft("Mei", Send(to="#lobby", text="@room"))
    assert draft.mentions == (EVERYBODY,)


@pytest.mark.parametrize("word", ["@bob ", "@a_a. ", "@\u0915\u093f ", "@" + "a\u0301" * 18 + " "])
async def test_cost_of_mentions_is_bounded_for_any_number_of_at_signs(
    world: World, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded: list[str] = []
    possible_key = names.possible_key

    def counted(name: str) -> NameKey | None:
        folded.append(name)
        return possible_key(name)

    monkeypatch.setattr(names, "possible_key", counted)
    monkeypatch.setattr(names, "fold", None)  # its rules are only for new names
    text = word * (MAX_TEXT // len(word))
    await world.drafts._mentioned(text)
    assert len(folded) == 50


async def test_mentions_are_looked_up_together_and_unknown_names_do_not_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [f"p{number}" for number in range(MAX_MENTIONS + 5)]
    await world.register(*people)
    asked: list[int] = []
    lookup = world.directory.people

    async def counted(keys: Collection[NameKey]) -> dict[NameKey, str]:
        asked.append(len(keys))
        return await lookup(keys)

    monkeypatch.setattr(world.directory, "people", counted)
    unknown = [f"q{number}" for number in range(30)]
    text = " ".join(f"@{name}" for name in [*unknown, *people, *unknown, *unknown])
    mentioned, _ = await world.drafts._mentioned(text)
    assert list(mentioned.values()) == people[:MAX_MENTIONS]
    assert asked == [len(unknown) + len(people)]


# -- ids ------------------------------------------------------------------------------------------


async def test_draft_has_the_cid_of_the_client_or_a_new_one(world: World) -> None:
    [given] = await world.draft("Mei", Send(to="#lobby", text="x", cid="mine"))
    assert given.cid == "mine"
    [one] = await world.draft("Mei", Send(to="#lobby", text="x"))
    [other] = await world.draft("Mei", Send(to="#lobby", text="x"))
    assert one.cid is not None
    assert other.cid is not None
    assert one.cid != other.cid
    assert len({new_cid() for _ in range(1000)}) == 1000
    assert all(len(new_cid()) <= 64 for _ in range(10))
