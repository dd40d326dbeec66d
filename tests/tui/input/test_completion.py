"""What Tab makes of the word before the cursor; finding by a few letters; emoji by name."""

from __future__ import annotations

import time

import pytest

from gochat.client import Conversation, Person, Synchronised
from gochat.client.convert import to_entry
from gochat.protocol import messages as wire
from gochat.protocol.text import DELETED
from gochat.tui.input import commands, emoji, fuzzy
from gochat.tui.input.completion import Sources, complete
from gochat.tui.model.chat import ChatModel


@pytest.fixture
def sources() -> Sources:
    model = ChatModel("ada")
    model.apply(
        Synchronised(
            tuple(Person(name=name) for name in ("ada", "mei", "Melanie", "tomas", "小林")),
            tuple(
                Conversation(name=c, epoch="e", head=0, time=None)
                for c in ("#lobby", "#design", "@mo")
            ),
        )
    )
    return Sources(model, rooms=["#music"], themes=["nord", "gochat-dark"])


def found(before: str, sources: Sources) -> list[str]:
    return [candidate.text for candidate in complete(before, sources).candidates]


def test_names_complete_with_and_without_the_sign(sources: Sources) -> None:
    assert found("hi @me", sources) == ["@mei ", "@Melanie "]
    assert found("hi me", sources) == ["@mei ", "@Melanie "]
    assert found("@小", sources) == ["@小林 "]
    assert complete("hi @me", sources).automatic
    assert not complete("hi me", sources).automatic


def test_everybody_is_a_whole_name(sources: Sources) -> None:
    """Enter sends it, also where somebody's name begins so."""
    sources.model.apply(Synchronised((Person(name="hereward"),), ()))
    assert complete("@here", sources).is_whole
    assert not complete("@her", sources).is_whole


def test_oneself_is_not_offered(sources: Sources) -> None:
    assert found("@ad", sources) == []


def test_who_spoke_last_comes_first(sources: Sources) -> None:
    model = sources.model
    message = wire.Message(to="#lobby", epoch="e", seq=1, ts=0, from_="tomas", text="hi")
    model.apply(to_entry(message, "ada"))
    assert found("@", sources)[0] == "@tomas "


def test_deleted_account_is_not_offered(sources: Sources) -> None:
    message = wire.Message(to="#lobby", epoch="e", seq=1, ts=0, from_=DELETED, text="hi")
    sources.model.apply(to_entry(message, "ada"))
    assert found("@del", sources) == []


def test_who_was_written_to_is_offered_also_when_offline(sources: Sources) -> None:
    (candidate,) = complete("@mo", sources).candidates
    assert (candidate.text, candidate.hint) == ("@mo ", "offline")


def test_rooms_complete_those_one_is_in_first(sources: Sources) -> None:
    assert found("#", sources) == ["#lobby ", "#design ", "#music "]
    assert found("see #de", sources) == ["#design "]


def test_commands_complete_with_their_usage(sources: Sources) -> None:
    candidates = complete("/jo", sources).candidates
    assert [(c.text, c.label) for c in candidates] == [("/join ", "/join ROOM")]
    assert complete("/", sources).automatic
    assert len(found("/", sources)) > 20


def test_the_arguments_of_commands_complete_by_their_kind(sources: Sources) -> None:
    assert found("/msg me", sources) == ["mei ", "Melanie "]
    assert found("/join mu", sources) == ["#music "]
    assert found("/notify m", sources) == ["mentions "]
    assert found("/theme n", sources) == ["nord "]
    assert found("/topic see @me", sources) == ["@mei ", "@Melanie "]
    assert complete("/topic x", sources).usage.startswith("/topic [TOPIC]: ")


def test_a_word_in_the_text_of_a_command_is_completed_in_its_place(sources: Sources) -> None:
    assert complete("/msg mei ask @to", sources).start == len("/msg mei ask ")


def test_emoji_complete_by_name_the_shortest_first(sources: Sources) -> None:
    assert found(":tad", sources) == ["🎉 "]
    assert found(":hear", sources)[0] == "❤️ "
    assert complete(":ta", sources).automatic


@pytest.mark.parametrize("text", ["at 10:30", "well :", "ok :)", "x:y", "", "a ", "mail me@me"])
def test_no_popup_comes_where_none_is_asked_for(sources: Sources, text: str) -> None:
    completions = complete(text, sources)
    assert not (completions.automatic and completions.candidates)


def test_an_emoji_is_there_as_soon_as_its_name_ends() -> None:
    assert emoji.just_named("well :tada:") == (5, "🎉")
    assert emoji.just_named("10:30:") is None
    assert emoji.just_named("`:tada:") is None  # code is code


def test_every_emoji_has_a_usable_name() -> None:
    assert len(emoji.EMOJI) > 500
    for name, sign in emoji.EMOJI.items():
        assert emoji.just_named(f":{name}:") == (0, sign)
    for name in emoji.USUAL:
        assert name in emoji.EMOJI


def test_a_few_letters_find_the_right_one() -> None:
    names = ["release-1.0", "real-life", "lobby", "music"]
    assert fuzzy.rank("rl1", names, str) == ["release-1.0"]
    assert fuzzy.rank("mu", names, str) == ["music"]
    assert fuzzy.rank("", names, str) == names
    assert fuzzy.rank("zz", names, str) == []
    assert fuzzy.rank("mei", ["amelie-imke", "mei"], str)[0] == "mei"


def test_the_places_of_the_letters_are_told() -> None:
    found = fuzzy.match("lb", "lobby")
    assert found is not None
    assert found[1] == (0, 2)
    matched = fuzzy.match("ẞ", "Straße")
    assert matched is None or all(position < 6 for position in matched[1])


def test_a_hostile_name_costs_no_time() -> None:
    start = time.process_time()
    for _ in range(100):
        fuzzy.match("a" * 40 + "b", "a" * 256)
    assert time.process_time() - start < 5.0  # exponential time would be for ever


def test_every_name_of_a_command_is_whole(sources: Sources) -> None:
    for command in commands.COMMANDS:
        for name in (command.name, *command.aliases):
            assert complete(f"/{name}", sources).is_whole
    assert not complete("/devi", sources).is_whole
