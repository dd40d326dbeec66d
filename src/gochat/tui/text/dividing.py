"""A text that is too long for one message, as several."""

from __future__ import annotations

import re

from gochat.protocol.text import FENCE, ends_block
from gochat.tui.text.wrap import snap

_END = "\n```"
_CLOSING = re.compile(r"[^\S\n]*+```[^\S\n]*+(?:\n|\Z)")


def divided(text: str, most: int) -> list[str]:
    """Divide `text` into parts of at most `most` characters: at the ends of lines, else of words.

    Only a word that is longer is broken, between clusters. No part is blank. A block of code that
    goes on in the next part ends in each, and begins again with its language.
    """
    parts: list[str] = []
    opening = ""  # the line with which the block of code begins that a part ends in
    position, last_fence = 0, text.rfind("```")
    while len(opening) + len(text) - position > most:
        may_end_in_block = bool(opening) or last_fence >= position
        room = most - len(opening) - (len(_END) if may_end_in_block else 0)
        if room <= 0 and opening:
            opening = ""  # no room for fences
            continue
        cut = _cut(text, position, room if room > 0 else most)
        part = opening + text[position:cut]
        position = cut + (text[cut] in "\n ")
        opening, is_empty = _open_block(part)
        if len(opening) > most // 2:  # hundreds of backticks, and not for the sake of code
            opening, is_empty = "", False
        end = _END if opening else ""
        if opening and (closing := _CLOSING.match(text, position)):
            opening, position = "", closing.end()  # the block ends where the next part would begin
        elif is_empty:  # it begins where this part ends
            part, end = part.removesuffix(opening.rstrip("\n")), ""
        parts.append(part.rstrip() + end)
    parts.append((opening + text[position:]).rstrip())
    return [part for part in parts if part.strip()]


def _cut(text: str, start: int, room: int) -> int:
    """Return where a part ends that begins at `start` and has at most `room` characters."""
    for sign in "\n ":
        cut = text.rfind(sign, start + 1, start + room + 1)
        if cut >= 0:
            return cut
    return start + (snap(text[start : start + room + 1], room, up=False) or room)


def _open_block(text: str) -> tuple[str, bool]:
    """Return the line, with its break, that opens the block of code in which `text` ends, and
    whether that is its last line."""
    opening, is_empty = "", False
    for line in text.split("\n"):
        is_empty = False
        if opening and ends_block(line):
            opening = ""
        elif not opening and FENCE.fullmatch(line):
            opening, is_empty = f"{line}\n", True
    return opening, is_empty
