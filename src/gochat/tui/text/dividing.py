"""A text that is too long for one message, as several."""

from __future__ import annotations

from gochat.protocol.text import FENCE, ends_block
from gochat.tui.text.wrap import snap

_END = "\n```"


def divided(text: str, most: int) -> list[str]:
    """Divide `text` into parts of at most `most` characters: at the ends of lines, else of words.

    Only a word that is longer is broken, between clusters. No part is blank. A block of code that
    goes on in the next part ends in each, and begins again with its language.
    """
    parts: list[str] = []
    opening = ""  # the line with which the block of code begins that a part ends in
    while len(opening) + len(text) > most:
        room = most - len(opening) - (len(_END) if "```" in text or opening else 0)
        if room <= 0:
            opening, room = "", most  # no room for fences
        cut = max(text.rfind("\n", 1, room + 1), 0) or max(text.rfind(" ", 1, room + 1), 0)
        cut = cut or snap(text, room, up=False) or room
        part, text = (
            opening + text[:cut],
            text[cut:].removeprefix("\n" if text[cut] == "\n" else " "),
        )
        opening, is_empty = _open_block(part)
        end = _END if opening else ""
        first, _, after = text.partition("\n")
        if opening and first.strip() == "```":  # the block ends where the next part would begin
            opening, text = "", after
        elif is_empty:  # it begins where this part ends
            part, end = part.removesuffix(opening.rstrip("\n")), ""
        parts.append(part.rstrip() + end)
    parts.append((opening + text).rstrip())
    return [part for part in parts if part.strip()]


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
