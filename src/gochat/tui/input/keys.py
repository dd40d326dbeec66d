"""What the keys do: one table, from which the bindings, the help and the palette are made.

A person rebinds an action by its name, in the configuration file::

    [keys]
    preset = "readline"
    switcher = "ctrl+t"
    newline = ["ctrl+j", "alt+enter"]

What can't be used (an action or a key that doesn't exist, a key that two actions of one scope
want) is reported and left as it was: a typing error must not take a person's keys away.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from textual.binding import Binding
from textual.keys import Keys, format_key, key_to_character

from gochat.tui.chat_log.message_actions import MESSAGE_ACTIONS
from gochat.tui.input.key_presets import PRESETS, VIM
from gochat.tui.language import N_, _, pgettext
from gochat.tui.text.names import either, listed

#: Where an action's keys work. Two actions may share a key unless both can be meant at once.
Scope: TypeAlias = Literal["app", "chat", "input", "message", "list"]

#: The scopes whose keys work at the same time as those of a scope.
_TOGETHER: Final[dict[Scope, frozenset[Scope]]] = {
    "app": frozenset({"app", "chat", "input", "message", "list"}),
    "chat": frozenset({"app", "chat", "input", "message", "list"}),
    "input": frozenset({"app", "chat", "input"}),
    "message": frozenset({"app", "chat", "message"}),
    "list": frozenset({"app", "chat", "list"}),
}


@dataclass(frozen=True, slots=True)
class KeyAction:
    """Something a key does. `run` is the Textual action; `keys` the defaults, most usual first.

    `fixed` actions are not for the configuration: what they mean is the terminal's or everybody's
    convention. `text` is the message of what it does, `number` the value that it has.
    """

    name: str
    scope: Scope
    keys: tuple[str, ...]
    run: str
    text: str
    fixed: bool = False
    number: int | None = None

    @property
    def label(self) -> str:
        """What it does, for people."""
        return _(self.text) if self.number is None else _(self.text, n=self.number)


def _conversation(n: int) -> KeyAction:
    return KeyAction(
        f"conversation_{n}", "chat", (f"alt+{n}",), f"conversation({n})", N_("Conversation {n}"),
        number=n,
    )  # fmt: skip


ACTIONS: Final[tuple[KeyAction, ...]] = (
    KeyAction("help", "app", ("f1",), "help", N_("Help for what you are doing")),
    KeyAction("palette", "app", ("ctrl+p",), "palette", N_("All commands by name")),
    KeyAction("quit", "app", ("ctrl+q",), "quit", N_("Quit")),
    KeyAction("suspend", "app", ("f12",), "suspend_process", N_("Back to the shell; fg returns")),
    KeyAction("switcher", "chat", ("ctrl+k", "ctrl+g"), "switcher", N_("Go to a room or person")),
    KeyAction("search", "chat", ("ctrl+f",), "search", N_("Search messages")),
    KeyAction(
        "activity",
        "chat",
        ("alt+m", "f10"),
        "activity",
        N_("Activity: mentions, replies, reactions"),
    ),
    KeyAction(
        "member_pane",
        "chat",
        ("ctrl+n", "alt+n"),
        "member_pane",
        N_("Who is here, beside the log of a wide terminal"),
    ),
    KeyAction("pins", "chat", ("ctrl+o", "alt+i"), "pins", N_("What is pinned here")),
    KeyAction("saved", "chat", ("ctrl+r", "alt+b"), "saved", N_("What you saved")),
    KeyAction(
        "next_unread", "chat", ("f6", "alt+a"), "next_unread", N_("Next unread, mentions first")
    ),
    KeyAction(
        "first_unread", "chat", ("alt+u", "f11"), "first_unread", N_("The first new message here")
    ),
    KeyAction("previous", "chat", ("alt+slash", "f7"), "previous", N_("Previous conversation")),
    KeyAction("next_conversation", "chat", (), "step(1)", N_("The conversation below")),
    KeyAction("previous_conversation", "chat", (), "step(-1)", N_("The conversation above")),
    KeyAction("next_hit", "chat", (), "hit(1)", N_("The next message that was found")),
    KeyAction("previous_hit", "chat", (), "hit(-1)", N_("The one found before it")),
    KeyAction("side_pane", "chat", ("f2",), "side_pane", N_("Rooms and people")),
    KeyAction("members", "chat", ("f3",), "members", N_("Members of this room")),
    KeyAction("rooms", "chat", ("f4",), "rooms", N_("All rooms")),
    KeyAction("status", "chat", (), "status", N_("Your status: what you are up to")),
    KeyAction("settings", "chat", ("f5",), "settings", N_("Settings")),
    KeyAction("reconnect", "app", ("f9",), "reconnect", N_("Connect now; log in again")),
    *(_conversation(n) for n in range(1, 10)),
    KeyAction("page_up", "input", ("pageup",), "page_up", N_("Scroll up")),
    KeyAction("page_down", "input", ("pagedown",), "page_down", N_("Scroll down")),
    KeyAction("oldest", "input", ("ctrl+home",), "oldest", N_("The first message")),
    KeyAction("now", "input", ("ctrl+end",), "now", N_("Back to now")),
    KeyAction("back", "chat", ("escape",), "back", N_("Close, or back to the input"), fixed=True),
    KeyAction("send", "input", ("enter",), "send", N_("Send")),
    KeyAction(
        "newline", "input", ("alt+enter", "shift+enter", "ctrl+j"), "newline", N_("New line")
    ),
    KeyAction(
        "complete", "input", ("tab",), "complete(1)", N_("Complete names, rooms, commands, :emoji:")
    ),
    KeyAction("complete_back", "input", ("shift+tab",), "complete(-1)", N_("Previous completion")),
    KeyAction("history_back", "input", ("ctrl+up",), "history(-1)", N_("What you sent before")),
    KeyAction(
        "history_forward", "input", ("ctrl+down",), "history(1)", N_("What you sent after that")
    ),
    KeyAction(
        "clear", "input", ("ctrl+l",), "clear", N_("Clear the input (Ctrl+Z brings it back)")
    ),
    KeyAction("select", "input", ("f8", "alt+up"), "select", N_("Select a message")),
    KeyAction("recall_back", "input", (), "recall(-1)", N_("Up; what you sent, at the first line")),
    KeyAction("recall_forward", "input", (), "recall(1)", N_("Down; what you sent after that")),
    KeyAction("kill_to_end", "input", (), "kill('end')", N_("Cut to the end of the line")),
    KeyAction("kill_to_start", "input", (), "kill('start')", N_("Cut to the start of the line")),
    KeyAction("kill_word", "input", (), "kill('word')", N_("Cut the word before the cursor")),
    KeyAction(
        "kill_next_word", "input", (), "kill('next_word')", N_("Cut the word after the cursor")
    ),
    KeyAction("yank", "input", (), "yank", N_("Insert what was cut last")),
    KeyAction("word_left", "input", (), "cursor_word_left", N_("Go to the word before")),
    KeyAction("word_right", "input", (), "cursor_word_right", N_("Go to the next word")),
    KeyAction("editor", "input", ("ctrl+x",), "editor", N_("Write in $EDITOR")),
    KeyAction(
        "up", "input", ("up",), "up", N_("Select a message, when the input is empty"), fixed=True
    ),
    KeyAction("down", "input", ("down",), "down", N_("Down"), fixed=True),
    *(
        KeyAction(action.id, "message", action.keys, action.run, action.text)
        for action in MESSAGE_ACTIONS
    ),
    KeyAction(
        "home", "input", ("home",), "home", N_("Start of the line; top, when empty"), fixed=True
    ),
    KeyAction("end", "input", ("end",), "end", N_("End of the line; now, when empty"), fixed=True),
)

#: In Textual's form, the key of an action that has none.
UNBOUND: Final = "unbound"

BY_NAME: Final = {action.name: action for action in ACTIONS}

#: The keys that have a name, besides letters, digits and signs.
_NAMED: Final = frozenset(
    key.value for key in Keys if "+" not in key.value and not key.value.startswith("<")
) | {"space", "slash", "backslash", "minus", "plus", "comma", "full_stop", "underscore"}
_MODIFIERS: Final = ("ctrl", "alt", "shift", "super", "meta", "hyper")
_SIGNS: Final = {"/": "slash", "\\": "backslash", "-": "minus", "+": "plus", ".": "full_stop"}
_CHARACTERS: Final = {name: sign for sign, name in _SIGNS.items()}
_TYPED: Final = frozenset(_SIGNS.values()) | {"space", "comma", "underscore"}


def bindings(scope: Scope) -> list[Binding]:
    """Return the default bindings of a scope. The keymap changes them by their ids."""
    return [
        Binding(
            ",".join(action.keys) or UNBOUND, action.run, action.text, show=False, id=action.name,
            # Before the widget that has the focus: else a text field takes them for editing.
            priority=scope in ("chat", "input") and action.name != "back",
        )
        for action in ACTIONS
        if action.scope == scope
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Keymap:
    """Which keys each action has, and what was wrong with the configuration."""

    keys: Mapping[str, tuple[str, ...]]
    problems: tuple[str, ...] = ()
    preset: str = "default"

    @property
    def is_modal(self) -> bool:
        """Whether the input has Vim's modes."""
        return self.preset == VIM

    def escaped(self, key: str) -> str | None:
        """Return the key of which `key` is the form with Alt, if that is Esc before it.

        So it is with modes: terminals send the same for both, and "Esc d" can come at once.
        """
        if not self.is_modal or not key.startswith("alt+"):
            return None
        if any(key in keys for keys in self.keys.values()):
            return None
        char = key.removeprefix("alt+")
        if char.startswith("shift+"):
            char = char.removeprefix("shift+").upper()
        if len(char) == 1 or char == "enter":
            return char
        return _CHARACTERS.get(char) or key_to_character(char)

    @property
    def overrides(self) -> dict[str, str]:
        """What differs from the defaults, in Textual's form, where no key is an unknown one."""
        return {
            name: ",".join(keys) or UNBOUND
            for name, keys in self.keys.items()
            if keys != BY_NAME[name].keys
        }

    def shown(self, name: str) -> str:
        """Return the first key of an action as people write it: ``Ctrl+K``."""
        keys = self.keys.get(name, ())
        return spell(keys[0]) if keys else ""

    def all_shown(self, name: str) -> str:
        """Return all keys of an action as people write them."""
        return " · ".join(spell(key) for key in self.keys.get(name, ()))


def defaults() -> Keymap:
    """Return the keys as they are without configuration."""
    return Keymap({action.name: action.keys for action in ACTIONS})


def read(configured: Mapping[str, object]) -> Keymap:
    """Return the keys with what a person has configured, as far as it can be used."""
    problems: list[str] = []
    preset = configured.get("preset", "default")
    changed = PRESETS.get(preset) if isinstance(preset, str) else None
    if changed is None:
        problems.append(
            _(
                "keys: unknown preset {preset!r}: choose {presets}",
                preset=preset,
                presets=either([*PRESETS]),
            )
        )
    base = {action.name: action.keys for action in ACTIONS} | dict(changed or {})
    for name, given in (changed or {}).items():
        for other in BY_NAME:
            if other not in (changed or {}) and _meet(name, other):
                base[other] = tuple(key for key in base[other] if key not in given)
    keys = dict(base)
    wanted: dict[str, tuple[str, ...]] = {}
    for name, value in configured.items():
        if name == "preset":
            continue
        action = BY_NAME.get(name)
        if action is None:
            near = difflib.get_close_matches(name, BY_NAME, n=1)
            problems.append(
                _("keys: unknown action {name!r}; did you mean {near!r}?", name=name, near=near[0])
                if near
                else _("keys: unknown action {name!r}", name=name)
            )
        elif action.fixed:
            problems.append(_("keys: {name!r} can't be changed", name=name))
        elif (chosen := _chosen(value)) is None:
            problems.append(_("keys: {name!r} must be a key or a list of keys", name=name))
        elif bad := [key for key in chosen if not _is_key(key, action.scope)]:
            problems.append(
                _("keys: {name!r}: unknown key {key!r}; write it as ctrl+k", name=name, key=bad[0])
            )
        else:
            wanted[name] = chosen
    # A default gives way to what was chosen; of two that were chosen the first one stays.
    for name, chosen in wanted.items():
        clash = next(
            (
                (other, key)
                for other in wanted
                if other in keys and other != name and _meet(name, other)
                for key in chosen
                if key in keys[other]
                and keys[other] == wanted[other]
                and list(wanted).index(other) < list(wanted).index(name)
            ),
            None,
        )
        if clash:
            problems.append(
                _(
                    "keys: {key} is chosen for both {other!r} and {name!r}; {name!r} keeps {keys}",
                    key=spell(clash[1]),
                    other=clash[0],
                    name=name,
                    keys=listed([*map(spell, base[name])]) or pgettext("keys", "none"),
                )
            )
        else:
            keys[name] = chosen
    for name, chosen in [(n, k) for n, k in keys.items() if n in wanted and k == wanted[n]]:
        for other in BY_NAME:
            if other == name or keys[other] == wanted.get(other) or not _meet(name, other):
                continue
            left = tuple(key for key in keys[other] if key not in chosen)
            if left != keys[other]:
                if not left:
                    problems.append(
                        _(
                            "keys: {keys} is {name!r} now, and {other!r} has no key",
                            keys=listed([*map(spell, chosen)]),
                            name=name,
                            other=other,
                        )
                    )
                keys[other] = left
    return Keymap(keys, tuple(problems), str(preset) if changed is not None else "default")


def spell(key: str) -> str:
    """Return a key as people write it: ``ctrl+k`` is ``Ctrl+K``."""
    *modifiers, last = key.split("+")
    shown = {"escape": "Esc", "enter": "Enter", "pageup": "PgUp", "pagedown": "PgDn"}.get(last)
    if shown is None:
        shown = format_key(last)
        if len(shown) > 1 or modifiers:
            shown = shown.upper() if len(shown) == 1 else shown[:1].upper() + shown[1:]
    return "+".join([*(modifier.title() for modifier in modifiers), shown])


def _chosen(value: object) -> tuple[str, ...] | None:
    values: Iterable[object] = [value] if isinstance(value, str) else value  # type: ignore[assignment]  # checked below
    if not isinstance(values, list) or not values:
        return None
    if not all(isinstance(key, str) for key in values):
        return None
    return tuple(_normal(str(key)) for key in values)


def _normal(key: str) -> str:
    key = re.sub(r"\s", "", key)
    if len(key) == 1:  # a letter by itself may be a capital
        return _SIGNS.get(key, key)
    *modifiers, last = key.lower().removesuffix("+").split("+")
    if key.endswith("++"):
        last = "plus"
    return "+".join([*sorted(modifiers), _SIGNS.get(last, last)])


def _is_key(key: str, scope: Scope) -> bool:
    *modifiers, last = key.split("+")
    if not all(modifier in _MODIFIERS for modifier in modifiers):
        return False
    if scope == "message":
        return len(last) == 1 or last in _NAMED
    if len(last) == 1:
        # A bare letter is for typing, and so is a sign.
        return last.isalnum() and bool(set(modifiers) - {"shift"})
    return last in _NAMED and (bool(modifiers) or last not in _TYPED)


def _meet(one: str, other: str) -> bool:
    return BY_NAME[other].scope in _TOGETHER[BY_NAME[one].scope]
