"""tmux between the app and the terminal: what it holds back, and what it can be asked for.

tmux takes the clipboard from the programs in it only with ``set-clipboard on``, and passes
notifications on only with ``allow-passthrough on``; neither is the default. A program can make tmux
itself fill the clipboard.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from gochat.tui.language import N_, _

#: Seconds that tmux gets: it answers at once, or is stuck.
_TIMEOUT: Final = 2.0
#: What makes tmux take the clipboard from the programs in it.
SET_CLIPBOARD: Final = "`set -g set-clipboard on`"
#: Options that keep something back, which value they need, and the message about it.
_NEEDED: Final = (
    (
        "allow-passthrough",
        ("on", "all"),
        N_(
            "tmux shows no notifications of programs in it: put {setting} into ~/.tmux.conf. "
            "Or turn desktop notifications off in F5."
        ),
    ),
    (
        "focus-events",
        ("on",),
        N_(
            "tmux does not report when you look elsewhere, so you are not notified: put {setting} "
            "into ~/.tmux.conf. Or turn desktop notifications off in F5."
        ),
    ),
)


def is_inside(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process runs in tmux."""
    return bool(environ.get("TMUX"))


def run(*arguments: str, text: str = "") -> str:
    """Return what the command ``tmux`` answers, nothing if it can't be asked."""
    return _answer(*arguments, text=text) or ""


def _answer(*arguments: str, text: str = "") -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 – its own words
            ["tmux", *arguments], input=text, capture_output=True, text=True, timeout=_TIMEOUT,  # noqa: S607 – as the shell finds it
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired, UnicodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def copy(text: str) -> str:
    """Put `text` into tmux's buffer and, by tmux, into the terminal's clipboard; return what to set
    so that it gets there, nothing if it does."""
    if _answer("load-buffer", "-w", "-", text=text) is None:  # before version 3.2
        setting = SET_CLIPBOARD
    else:
        # What tmux knows of the terminal: its name, and then what it can do.
        kind, _space, features = run(
            "display-message", "-p", "#{client_termname} #{client_termfeatures}"
        ).partition(" ")
        if not features or "clipboard" in features.split(","):
            return ""
        setting = f"`set -as terminal-features ',{kind}:clipboard'`"
    return _(
        "tmux keeps what you copied to itself: for the terminal's clipboard, put {setting} into "
        "~/.tmux.conf.",
        setting=setting,
    )


def problem(ask: Callable[..., str] = run) -> str:
    """Return what to set in tmux so that notifications arrive, nothing if they do."""
    for option, values, message in _NEEDED:
        found = ask("show-options", "-Agv", option) or ask("show-options", "-Agwv", option)
        if found and found not in values:
            return _(message, setting=f"`set -g {option} on`")
    return ""
