"""What may stand between the app and the terminal: tmux or GNU screen, here or beyond ssh.

Of tmux on this machine :mod:`gochat.tui.host.tmux` knows more: it can be asked. Beyond ssh only
``TERM`` says that there is one, and not always which.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from gochat.tui.host import tmux
from gochat.tui.language import _

#: Characters that GNU screen passes on at once; its versions take 256 or more.
_LONGEST: Final = 240


def passed_on(sequence: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a sequence for the terminal in the form in which it gets there."""
    if tmux.is_inside(environ) or _is_beyond(environ, "tmux"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY"):
        return in_screen(sequence)
    return sequence


def in_screen(sequence: str) -> str:
    """Return a sequence in the form in which GNU screen passes it on."""
    sequence = sequence.replace("\x1b\\", "\a")  # that would be the end of what is passed on
    parts = (sequence[at : at + _LONGEST] for at in range(0, len(sequence), _LONGEST))
    return "".join(f"\x1bP{part}\x1b\\" for part in parts)


def _is_beyond(environ: Mapping[str, str], kind: str) -> bool:
    """Return whether ``TERM`` is of this kind, without a variable of one on this machine."""
    is_here = tmux.is_inside(environ) or environ.get("STY")
    return environ.get("TERM", "").startswith(kind) and not is_here


def notification_problem(environ: Mapping[str, str] = os.environ) -> str:
    """Return what to set so that notifications arrive, nothing if they may."""
    if tmux.is_inside(environ):
        return tmux.problem()
    if not _is_beyond(environ, "screen"):
        return ""
    return _(
        "TERM={term} means tmux or screen, perhaps on another machine, which shows no "
        "notifications: for tmux, put {settings} into ~/.tmux.conf there. Or turn desktop "
        "notifications off in F5.",
        term=environ["TERM"],
        settings="`set -g default-terminal tmux-256color`, `set -g allow-passthrough on`",
    )


def clipboard_problem(environ: Mapping[str, str] = os.environ) -> str:
    """Return what to know of the terminal's clipboard, nothing if it should work."""
    if environ.get("TERM") == "linux":
        return _("This terminal has no clipboard: Ctrl+V pastes what you copied, here only.")
    if _is_beyond(environ, "tmux") or _is_beyond(environ, "screen"):
        return _(
            "tmux on another machine passes what you copied on to the terminal's clipboard only "
            "with {setting} in ~/.tmux.conf there.",
            setting=tmux.SET_CLIPBOARD,
        )
    return ""
