"""The few keys that matter now, for the status line. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gochat.tui.chat_log.message_actions import MESSAGE_ACTIONS, offered
from gochat.tui.input.keys import Keymap
from gochat.tui.language import _, pgettext
from gochat.tui.model.entries import TimelineEntry


class Hint(NamedTuple):
    """A key as it is shown, what it does, and the key itself, which a click presses."""

    shown: str
    text: str
    key: str


def _back() -> Hint:
    return Hint("Esc", pgettext("key", "back"), "escape")


def for_cut(keymap: Keymap, *, ended: bool) -> tuple[Hint, ...]:
    """Without a connection, before all others; `ended`: the session, not only the connection."""
    return _of(keymap, {"reconnect": _("log in") if ended else _("try now")})


def for_input(keymap: Keymap) -> tuple[Hint, ...]:
    """While writing."""
    texts = {
        "switcher": _("go to"), "palette": _("commands"), "help": _("help"),
        "search": _("search"),
    }  # fmt: skip
    return _of(keymap, texts)


def for_list() -> tuple[Hint, ...]:
    """In the side pane."""
    return Hint("Enter", _("open"), "enter"), Hint("Tab", _("next list"), "tab"), _back()


def for_message(keymap: Keymap, entry: TimelineEntry | None) -> tuple[Hint, ...]:
    """With a message selected."""
    texts: dict[str, str] = {}
    if entry is not None:
        actions = {action.name: action for action in MESSAGE_ACTIONS}
        texts = {actions[name].id: _(actions[name].label).lower() for name in offered(entry)}
        if entry.state == "failed":
            texts[actions["delete"].id] = _("discard")
    return (*_of(keymap, texts), _back())


def _of(keymap: Keymap, texts: dict[str, str]) -> tuple[Hint, ...]:
    return tuple(
        Hint(keymap.shown(name), text, keymap.keys[name][0])
        for name, text in texts.items()
        if keymap.keys[name]
    )
