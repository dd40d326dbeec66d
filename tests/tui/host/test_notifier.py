"""Bell, desktop and title: only what is wanted, and never what others can use as a sequence."""

from __future__ import annotations

import pytest

from gochat.tui.host.notifier import INTERVAL, Notifier
from gochat.tui.model.views import Attention
from gochat.tui.profile.preferences import Settings

DIRECT = Attention("@mei", "mei", "hello", "direct")
MENTION = Attention("#design", "mei", "@ada look", "mention")
PLAIN = Attention("#design", "mei", "just text", "message")


class Terminal:
    """Keeps what is written, and the time."""

    def __init__(self, **environ: str) -> None:
        self.written: list[str] = []
        self.now = 0.0
        self.notifier = Notifier(self.written.append, lambda: self.now, environ)


def test_a_private_message_rings_and_is_shown() -> None:
    terminal = Terminal()
    terminal.notifier.notify([DIRECT], Settings())
    assert terminal.written == ["\a", "\x1b]9;mei: hello\x1b\\"]


def test_a_mention_tells_where() -> None:
    terminal = Terminal()
    terminal.notifier.notify([MENTION], Settings(bell=False))
    assert terminal.written == ["\x1b]9;mei in #design: @ada look\x1b\\"]


def test_a_plain_message_does_nothing() -> None:
    terminal = Terminal()
    terminal.notifier.notify([PLAIN], Settings())
    assert terminal.written == []


def test_both_can_be_switched_off() -> None:
    terminal = Terminal()
    terminal.notifier.notify([DIRECT], Settings(bell=False, desktop=False))
    assert terminal.written == []


def test_many_messages_are_one_notification() -> None:
    terminal = Terminal()
    quiet = Settings(bell=False)
    terminal.notifier.notify([DIRECT], quiet)
    terminal.notifier.notify([DIRECT], quiet)
    terminal.notifier.notify([DIRECT], quiet)
    assert len(terminal.written) == 1
    terminal.now += INTERVAL
    terminal.notifier.notify([DIRECT], quiet)
    assert terminal.written[1:] == ["\x1b]9;gochat: 3 new messages, the last from mei\x1b\\"]


@pytest.mark.parametrize("terminal", ["rxvt-unicode-256color", "foot"])
def test_a_terminal_that_knows_the_other_form_gets_it(terminal: str) -> None:
    shown = Terminal(TERM=terminal)
    shown.notifier.notify([DIRECT], Settings(bell=False))
    assert shown.written == ["\x1b]777;notify;mei;hello\x1b\\"]


def test_tmux_is_asked_to_pass_it_on() -> None:
    terminal = Terminal(TMUX="/tmp/tmux")
    terminal.notifier.notify([DIRECT], Settings(bell=False))
    assert terminal.written == ["\x1bPtmux;\x1b\x1b]9;mei: hello\x1b\x1b\\\x1b\\"]


def test_a_hostile_text_cannot_end_the_sequence() -> None:
    terminal = Terminal(TERM="foot")
    hostile = Attention("@x", "a;b\x1b\\", "\x07\x1b]52;c;ZXZpbA==\x07\x9c \\ end", "direct")
    terminal.notifier.notify([hostile], Settings(bell=False))
    (written,) = terminal.written
    body = written.removeprefix("\x1b]777;notify;").removesuffix("\x1b\\")
    assert not set(body) & {"\x1b", "\x07", "\x9c", "\\"}
    assert body.count(";") == 1


def test_the_title_counts_what_is_unread() -> None:
    terminal = Terminal()
    terminal.notifier.show_title(0, mentioned=False, person="ada")
    terminal.notifier.show_title(3, mentioned=False, person="ada")
    terminal.notifier.show_title(3, mentioned=False, person="ada")
    terminal.notifier.show_title(4, mentioned=True, person="ada")
    assert terminal.written == [
        "\x1b]2;gochat · ada\x1b\\",
        "\x1b]2;(3) gochat · ada\x1b\\",
        "\x1b]2;(@4) gochat · ada\x1b\\",
    ]
