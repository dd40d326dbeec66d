"""What tmux and GNU screen let through: it is sent in their form, or the app says what to set."""

from __future__ import annotations

import pytest

from gochat.tui.host import multiplexers

_SEQUENCE = "\x1b]9;hello\x1b\\"


@pytest.mark.parametrize(
    ("environ", "sent"),
    [
        ({"TERM": "xterm-256color"}, _SEQUENCE),
        ({"TERM": "tmux-256color"}, "\x1bPtmux;\x1b\x1b]9;hello\x1b\x1b\\\x1b\\"),
        ({"TERM": "screen", "TMUX": "/tmp/x"}, "\x1bPtmux;\x1b\x1b]9;hello\x1b\x1b\\\x1b\\"),
        ({"TERM": "screen", "STY": "1.pts-0"}, "\x1bP\x1b]9;hello\a\x1b\\"),
        ({"TERM": "screen"}, _SEQUENCE),
    ],
    ids=["neither", "tmux beyond ssh", "tmux", "screen", "either beyond ssh"],
)
def test_a_sequence_is_sent_so_that_it_gets_to_the_terminal(
    environ: dict[str, str], sent: str
) -> None:
    assert multiplexers.passed_on(_SEQUENCE, environ) == sent


def test_screen_is_sent_a_long_sequence_in_parts() -> None:
    parts = multiplexers.in_screen("\x1b]52;c;" + "A" * 1000 + "\a").split("\x1b\\")
    assert parts.pop() == ""
    assert all(part.startswith("\x1bP") and len(part) < 250 for part in parts)
    assert "".join(part[2:] for part in parts) == "\x1b]52;c;" + "A" * 1000 + "\a"


@pytest.mark.parametrize(
    ("environ", "notifications", "clipboard"),
    [
        ({"TERM": "screen-256color"}, "set -g default-terminal", "set -g set-clipboard on"),
        ({"TERM": "tmux-256color"}, "", "set -g set-clipboard on"),
        ({"TERM": "screen", "STY": "1.pts-0"}, "", ""),
        ({"TERM": "linux"}, "", "no clipboard"),
        ({"TERM": "xterm-256color"}, "", ""),
    ],
)
def test_what_does_not_get_there_is_said(
    environ: dict[str, str], notifications: str, clipboard: str
) -> None:
    for said, problem in (
        (notifications, multiplexers.notification_problem(environ)),
        (clipboard, multiplexers.clipboard_problem(environ)),
    ):
        assert said in problem
        assert bool(problem) == bool(said)
