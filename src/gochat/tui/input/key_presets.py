"""Keys as people are used to them elsewhere: what differs from the defaults, by action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gochat.tui.chat_log.message_actions import MESSAGE_ACTIONS

PRESETS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "default": {},
    # Of the shell: ↑ has what was sent, Ctrl+K cuts, Ctrl+Y brings back what was cut.
    "readline": {
        "up": (),
        "down": (),
        "recall_back": ("up",),
        "recall_forward": ("down",),
        "kill_to_end": ("ctrl+k",),
        "kill_to_start": ("ctrl+u",),
        "kill_word": ("ctrl+w", "alt+backspace"),
        "kill_next_word": ("alt+d",),
        "yank": ("ctrl+y",),
        "word_left": ("alt+b",),
        "word_right": ("alt+f",),
        "switcher": ("ctrl+g",),
        "suspend": ("ctrl+z",),
    },
    # With modes (gochat.tui.input.vim). Alt sends Esc, as in Vim: with it no key has a meaning.
    "vim": {
        "next_unread": ("f6",),
        "first_unread": ("f11",),
        "activity": ("f10",),
        "previous": ("f7",),
        "pins": ("ctrl+o",),
        "member_pane": ("ctrl+n",),
        "saved": ("ctrl+t",),
        **{f"conversation_{number}": () for number in range(1, 10)},
        "newline": ("ctrl+j", "shift+enter"),
        **{action.id: (action.key,) for action in MESSAGE_ACTIONS},
    },
}
#: Of the presets, that with modes.
VIM: Final = "vim"
