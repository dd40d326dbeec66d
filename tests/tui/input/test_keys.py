"""Keys are rebound by name; what can't be used is reported and changes nothing."""

from __future__ import annotations

import pytest

from gochat.tui.chat_log.message_actions import MESSAGE_ACTIONS
from gochat.tui.input import keys
from gochat.tui.input.key_presets import PRESETS
from gochat.tui.input.vim.log_keys import LogKeys


def test_without_configuration_the_keys_are_the_defaults() -> None:
    keymap = keys.read({})
    assert keymap == keys.defaults()
    assert not keymap.overrides
    assert not keymap.problems


def test_with_vims_keys_alt_is_esc_and_no_action_hides_a_key_of_the_log() -> None:
    keymap = keys.read({"preset": "vim"})
    given = {key for chosen in keymap.keys.values() for key in chosen}
    assert {key for key in given if key.startswith("alt+")} <= {"alt+up", "alt+down"}
    assert not [action.key for action in MESSAGE_ACTIONS if LogKeys().takes(action.key)]
    assert keymap.escaped("alt+d") == "d"
    assert keymap.escaped("alt+shift+d") == "D"
    assert keymap.escaped("alt+up") is None
    assert keys.read({"preset": "vim", "search": "alt+d"}).escaped("alt+d") is None


def test_an_action_gets_the_keys_that_a_person_chose() -> None:
    keymap = keys.read({"switcher": "Ctrl+T", "newline": ["ctrl+o", "alt+/"]})
    assert keymap.keys["switcher"] == ("ctrl+t",)
    assert keymap.overrides["newline"] == "ctrl+o,alt+slash"
    assert keymap.shown("switcher") == "Ctrl+T"


def test_a_default_gives_way_to_a_choice() -> None:
    keymap = keys.read({"search": "ctrl+k"})
    assert keymap.keys["search"] == ("ctrl+k",)
    assert keymap.keys["switcher"] == ("ctrl+g",)
    assert not keymap.problems


def test_an_action_that_loses_its_only_key_is_reported() -> None:
    keymap = keys.read({"side_pane": "ctrl+f"})
    assert keymap.problems == ("keys: Ctrl+F is 'side_pane' now, and 'search' has no key",)
    assert keymap.overrides["search"] == "unbound"


def test_of_two_that_want_one_key_the_second_keeps_what_it_had() -> None:
    keymap = keys.read({"search": "ctrl+t", "switcher": "ctrl+t"})
    assert keymap.keys["search"] == ("ctrl+t",)
    assert keymap.keys["switcher"] == ("ctrl+k", "ctrl+g")
    assert "'switcher' keeps Ctrl+K and Ctrl+G" in keymap.problems[0]


@pytest.mark.parametrize(
    ("configured", "problem"),
    [
        ({"serch": "ctrl+s"}, "did you mean 'search'?"),
        ({"search": "x"}, "unknown key 'x'"),
        ({"search": "ctrl+nothing"}, "unknown key"),
        ({"search": 5}, "must be a key or a list of keys"),
        ({"search": "/"}, "unknown key"),
        ({"search": []}, "must be a key or a list of keys"),
        ({"back": "ctrl+b"}, "can't be changed"),
    ],
)
def test_what_cannot_be_used_is_reported(configured: dict[str, object], problem: str) -> None:
    keymap = keys.read(configured)
    assert problem in " ".join(keymap.problems)
    assert keymap.keys == keys.defaults().keys


def test_a_selected_message_takes_bare_letters_and_capitals_are_others() -> None:
    keymap = keys.read({"message_reply": "R", "message_retry": "z", "message_react": "+"})
    assert not keymap.problems
    assert keymap.overrides == {
        "message_reply": "R", "message_retry": "z", "message_react": "plus",
    }  # fmt: skip
    assert keymap.shown("message_reply") == "R"
    assert keymap.shown("message_react") == "+"


def test_every_default_is_a_key_and_meets_no_other() -> None:
    for action in keys.ACTIONS:
        keymap = keys.read(
            {} if action.fixed or not action.keys else {action.name: list(action.keys)}
        )
        assert not keymap.problems
        assert keymap.keys == keys.defaults().keys


def test_nothing_is_only_on_alt() -> None:
    for action in keys.ACTIONS:
        if action.keys and not action.name.startswith(
            "conversation_"
        ):  # the switcher goes there as well
            assert any(not key.startswith("alt+") for key in action.keys), action.name


@pytest.mark.parametrize(
    ("key", "shown"),
    [("ctrl+k", "Ctrl+K"), ("alt+slash", "Alt+/"), ("f1", "F1"), ("pageup", "PgUp"), ("up", "↑")],
)
def test_keys_are_written_as_people_write_them(key: str, shown: str) -> None:
    assert keys.spell(key) == shown


def test_a_preset_changes_what_the_configuration_does_not() -> None:
    keymap = keys.read({"preset": "readline", "kill_to_end": "ctrl+o"})
    assert keymap.keys["recall_back"] == ("up",)
    assert keymap.keys["up"] == ()
    assert keymap.keys["switcher"] == ("ctrl+g",)
    assert keymap.keys["kill_to_end"] == ("ctrl+o",)
    assert not keymap.problems
    assert keymap.overrides["down"] == "unbound"


def test_no_key_of_a_preset_has_two_meanings() -> None:
    for preset in PRESETS:
        keymap = keys.read({"preset": preset})
        assert not keymap.problems
        again = keys.read({
            name: list(chosen) for name, chosen in keymap.keys.items()
            if chosen and not keys.BY_NAME[name].fixed
        })  # fmt: skip
        assert not [problem for problem in again.problems if "both" in problem]


def test_a_preset_that_there_is_not_is_reported() -> None:
    assert "choose default, readline or vim" in keys.read({"preset": "emacs"}).problems[0]
