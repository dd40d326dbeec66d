"""Notifications for a person who looks elsewhere: bell, desktop, the window's title.

What is written here goes to the terminal as it is, around Textual; so texts of others pass through
:func:`gochat.tui.text.sanitise.one_line` first, and what ends a sequence is taken out of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gochat.tui.host.multiplexers import passed_on
from gochat.tui.language import _, ngettext
from gochat.tui.model.views import Attention
from gochat.tui.profile.preferences import Settings
from gochat.tui.text.sanitise import one_line

#: Between two notifications of the desktop, in seconds. What comes in between is counted.
INTERVAL: Final = 3.0
_TEXT: Final = 120
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f;\\]")
#: Terminals that know OSC 777 and not OSC 9.
_OSC_777: Final = ("rxvt", "foot", "contour")


class Notifier:
    """Writes notifications with `write`; `clock` counts seconds."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._write = write
        self._clock = clock
        self._environ = environ
        terminal = f"{environ.get('TERM', '')} {environ.get('TERM_PROGRAM', '')}"
        self._form = 777 if any(kind in terminal for kind in _OSC_777) else 9
        self._notified_at = float("-inf")
        self._waiting = 0
        self._title = ""

    def notify(self, news: Iterable[Attention], settings: Settings) -> None:
        """Notify of mentions, private messages and invitations; of nothing else."""
        worth = [event for event in news if event.kind != "message"]
        if not worth:
            return
        if settings.bell:
            self._write("\a")
        if not settings.desktop:
            return
        now = self._clock()
        self._waiting += len(worth)
        if now - self._notified_at < INTERVAL:
            return
        last = worth[-1]
        title, body = _words(last)
        if self._waiting > 1:
            body = ngettext(
                "{n} new message, from {sender}", "{n} new messages, the last from {sender}",
                self._waiting, sender=title,
            )  # fmt: skip
            title = "gochat"
        self._notified_at, self._waiting = now, 0
        self._write(passed_on(self._notification(title, body), self._environ))

    def show_title(self, unread: int, *, mentioned: bool, person: str) -> None:
        """Show what is unread in the window's title."""
        count = f"({'@' if mentioned else ''}{unread}) " if unread else ""
        title = _safe(f"{count}gochat · {one_line(person)}")
        if title != self._title:
            self._title = title
            self._write(f"\x1b]2;{title}\x1b\\")

    def _notification(self, title: str, body: str) -> str:
        if self._form == 777:
            return f"\x1b]777;notify;{_safe(title)};{_safe(body)}\x1b\\"
        return f"\x1b]9;{_safe(title)}: {_safe(body)}\x1b\\"


def _words(news: Attention) -> tuple[str, str]:
    sender = one_line(news.sender)
    if news.kind == "invite":
        return sender, _("invites you to {room}", room=one_line(news.conv))
    if news.kind == "mention":
        sender = _("{person} in {conversation}", person=sender, conversation=one_line(news.conv))
    return sender, one_line(news.text)


def _safe(text: str) -> str:
    return _UNSAFE.sub(" ", text)[:_TEXT]
