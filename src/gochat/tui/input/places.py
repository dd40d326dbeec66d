"""Places in a log as people write them: a day, or the link to a message. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from urllib.parse import quote, unquote

from gochat.tui.language import N_

#: What can be written, for who has written something else.
USAGE: Final = N_("write a day as 2026-03-12, a month as 2026-03, yesterday, or a message's link.")

_DATE: Final = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)
_LINK: Final = re.compile(r"(gochats?://[^/?#\s]+)/([^/\s]+)/(\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class MessageLink:
    """The link to a message: ``gochats://chat.example:8889/%23garden/17``.

    `server` is the server's URL, `conv` the conversation as it is for who copied the link.
    """

    server: str
    conv: str
    seq: int

    def __str__(self) -> str:
        return f"{self.server}/{quote(self.conv, safe='')}/{self.seq}"


def read(text: str, today: date) -> date | MessageLink | None:
    """Return the day or the message that `text` names, or None if it names neither."""
    text = text.strip()
    match text.casefold():
        case "today":
            return today
        case "yesterday":
            return today - timedelta(days=1)
        case _:
            return read_link(text) or _date(text)


def read_link(text: str) -> MessageLink | None:
    """Return the message that a link names, or None if it is not one of these."""
    found = _LINK.fullmatch(text.strip())
    if found is None:
        return None
    conv = unquote(found[2])
    return MessageLink(found[1], conv, int(found[3])) if conv[:1] in ("#", "@") else None


def _date(text: str) -> date | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
    except ValueError:
        return None
