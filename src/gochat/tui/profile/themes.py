"""The two themes of the app's own. Textual's are there as well.

Calm: one neutral, in three steps for the side pane, the log and what is typed in; one colour for
what is chosen; colour beyond that only for what needs attention.
"""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

#: How the names of the app's own themes begin.
OWN_PREFIX: Final = "gochat-"

DARK: Final = Theme(
    name="gochat-dark",
    dark=True,
    primary="#6ea8fe",
    secondary="#a99bf5",
    accent="#f2b866",
    success="#7fc98f",
    warning="#f2b866",
    error="#f28b82",
    foreground="#dcdfe4",
    background="#16181d",
    surface="#1d2026",
    panel="#121418",
    variables={
        "border": "#3a4150",
        "border-blurred": "#2a2f39",
        "block-cursor-foreground": "#0d1117",
        "block-cursor-text-style": "none",
        "input-cursor-background": "#dcdfe4",
        "input-cursor-foreground": "#16181d",
        "input-selection-background": "#6ea8fe 30%",
        "text-muted": "#9aa1ad",
        "text-disabled": "#6d7480",
        "foreground-muted": "#9aa1ad",
        "scrollbar": "#333945",
        "scrollbar-hover": "#4a5263",
        "scrollbar-active": "#6ea8fe",
        "scrollbar-background": "#16181d",
        "scrollbar-background-hover": "#16181d",
        "scrollbar-background-active": "#16181d",
        "scrollbar-corner-color": "#16181d",
    },
)

LIGHT: Final = Theme(
    name="gochat-light",
    dark=False,
    primary="#1f5fbf",
    secondary="#6a4fb5",
    accent="#9a5b00",
    success="#2c7a3f",
    warning="#9a5b00",
    error="#b3261e",
    foreground="#25282d",
    background="#fdfcfa",
    surface="#f3f1ed",
    panel="#f0eee9",
    variables={
        "border": "#c3beb4",
        "border-blurred": "#dedad2",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "none",
        "input-cursor-background": "#25282d",
        "input-cursor-foreground": "#fdfcfa",
        "input-selection-background": "#1f5fbf 22%",
        "text-muted": "#5f646c",
        "text-disabled": "#80858d",
        "foreground-muted": "#5f646c",
        "scrollbar": "#d3cec5",
        "scrollbar-hover": "#b8b2a7",
        "scrollbar-active": "#1f5fbf",
        "scrollbar-background": "#fdfcfa",
        "scrollbar-background-hover": "#fdfcfa",
        "scrollbar-background-active": "#fdfcfa",
        "scrollbar-corner-color": "#fdfcfa",
    },
)

OWN: Final = (DARK, LIGHT)
