"""tmux between the app and the terminal: what it holds back, and what it can be asked for.

tmux takes the clipboard from the programs in it only with ``set-clipboard on``, and passes
notifications on only with ``allow-passthrough on``; neither is the default. A program can have tmux
itself fill the clipboard. Where the app runs on another machine, over ssh from within tmux, it
does not know of tmux, and what it writes meets the same settings.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from gochat.tui.language import N_, _

#: Seconds that tmux gets: it answers at once, or is stuck.
_TIMEOUT: Final = 2.0
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
    try:
        done = subprocess.run(  # noqa: S603 – its own words
            ["tmux", *arguments], input=text, capture_output=True, text=True, timeout=_TIMEOUT,  # noqa: S607 – as the shell finds it
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired, UnicodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def copy(text: str) -> None:
    """Put `text` into tmux's buffer and, by tmux, into the terminal's clipboard."""
    run("load-buffer", "-w", "-", text=text)


def problem(ask: Callable[..., str] = run) -> str:
    """Return what to set in tmux so that notifications arrive, nothing if they do."""
    for option, values, message in _NEEDED:
        found = ask("show-options", "-Agv", option) or ask("show-options", "-Agwv", option)
        if found and found not in values:
            return _(message, setting=f"`set -g {option} on`")
    return ""
