"""Other people's text, made safe to show.

Whatever comes over the network and is shown passes through here once: messages, names, topics,
error texts. What a terminal would obey or hide is shown instead of sent: ESC as ``␛``, an override
of the writing direction as ``⟨U+202E⟩``. What people need to write their languages stays: combining
marks, the joiners inside Persian words and emoji, the flags of regions.

The rules, in the order in which a character meets them:

- ``\\r\\n`` is ``\\n``; tabs become spaces up to the next of every four columns.
- C0 controls become their pictures (``␀`` … ``␟``, ``␡``), C1 controls, surrogates, noncharacters
  and everything Unicode calls default-ignorable become ``⟨U+…⟩``.
- A zero-width joiner stays between emoji, a zero-width non-joiner between letters that join, a
  variation selector after a character, tags in the flag of a region.
- At most `MAX_MARKS` zero-width characters stay on one base, the others are dropped ("zalgo"); a
  line that begins with one gets a dotted circle to carry it, so that it does not combine with what
  stands left of it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from rich.cells import cell_len, get_character_cell_size

#: On one base character. Vietnamese needs 2, pointed Hebrew 3, polytonic Greek 3.
MAX_MARKS: Final = 4

#: Columns from one tab stop to the next.
TAB: Final = 4

#: Text of only these needs no second look: printable ASCII, most of Latin, Greek, Cyrillic, kana,
#: Han and Hangul syllables.
_SAFE: Final = re.compile(
    r"[\n\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u0373\u0384-\u0482\u2010-\u2015\u2018-\u201f\u2026"
    r"\u20ac\u2190-\u21ff\u2500-\u25fc\u3000-\u3029\u3041-\u3096\u30a0-\u30ff\u4e00-\u9fff"
    r"\uac00-\ud7a3\uff01-\uff5e]*"
)

#: Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties: drawn as nothing, so that text
#: can hide in them or be steered by them.
_IGNORABLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

#: A region's flag: the black flag, its letters as tags, and the tag that ends it.
_REGION_FLAG: Final = re.compile(
    "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f"
)

_JOINER: Final = "\u200d"
_NON_JOINER: Final = "\u200c"
_TEXT_STYLE: Final = "\ufe0e"
_EMOJI_STYLE: Final = "\ufe0f"
_CARRIER: Final = "◌"


def sanitise(text: str) -> str:
    """Return `text` with everything replaced that could command or deceive; keeps line breaks."""
    if _SAFE.fullmatch(text):
        return text
    text = text.replace("\r\n", "\n")
    if "\t" in text:
        text = text.expandtabs(TAB)
    if _SAFE.fullmatch(text):
        return text
    return _replaced(text)


def copyable(text: str) -> str:
    """Return `text` as `sanitise` shows it, but with its tabs: for the clipboard, from which it may
    be pasted into a shell, which would obey an ESC."""
    return "\t".join(map(sanitise, text.replace("\r\n", "\n").split("\t")))


@lru_cache(maxsize=4096)
def sanitise_line(text: str) -> str:
    """Return `text` as `sanitise` does, on one line: a name, a topic, an excerpt."""
    return sanitise(text.replace("\r\n", "\n")).replace("\n", "␊")


def one_line(text: str) -> str:
    """Return `text` as `sanitise` does, on one line, each run of white space as one space."""
    return " ".join(sanitise(text).split())


def _replaced(text: str) -> str:
    out: list[str] = []
    marks = 0  # zero-width characters since the last base
    index, size = 0, len(text)
    while index < size:
        char = text[index]
        if char == "\n":
            out.append(char)
        elif char == "\U0001f3f4" and (flag := _REGION_FLAG.match(text, index)):
            out.append(flag.group())
            index = flag.end()
            marks = 0
            continue
        elif shown := _picture(char):
            if _IGNORABLE.match(char) and out and _stays(text, index, out[-1]):
                marks += 1
                if marks <= MAX_MARKS:
                    out.append(char)
                index += 1
                continue
            out.append(shown)
            marks = 0
        elif _width(char) == 0:
            if _is_skin_tone(char) and not (out and _is_emoji(out[-1][-1])):
                out.append(_named(char))
            elif not out or out[-1] == "\n":
                out.append(_CARRIER + char)
                marks = 1
            elif marks < MAX_MARKS:
                out.append(char)
                marks += 1
        else:
            out.append(char)
            marks = 0
        index += 1
    return "".join(out)


@lru_cache(maxsize=4096)
def _picture(char: str) -> str:
    """Return what stands for `char`, or nothing if it stands for itself."""
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    category = unicodedata.category(char)
    if category == "Cf":
        # Number signs of Arabic, Syriac and Kaithi are of this category and have a shape.
        return (
            ""
            if unicodedata.bidirectional(char) in {"AN", "AL", "L"} and not _IGNORABLE.match(char)
            else _named(char)
        )
    if category in {"Cc", "Cs", "Zl", "Zp"} or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return _named(char)
    return _named(char) if _IGNORABLE.match(char) else ""


def _named(char: str) -> str:
    return f"⟨U+{ord(char):04X}⟩"


def _stays(text: str, index: int, before: str) -> bool:
    """Return whether the ignorable character at `index` has a visible effect."""
    char = text[index]
    last = before[-1]
    if last == "\n" or (_IGNORABLE.match(last) and last != _EMOJI_STYLE):
        return False
    after = text[index + 1 : index + 2]
    if char == _JOINER:
        return (
            bool(after)
            and _is_emoji(after)
            and (_is_emoji(last) or last == _EMOJI_STYLE or _is_skin_tone(last))
        )
    if char == _NON_JOINER:
        return bool(after) and _joins(last) and _joins(after)
    if char == _EMOJI_STYLE:
        return _is_emoji(last) or cell_len(last + char) > cell_len(last)
    if char == _TEXT_STYLE:
        return _width(last) == 1
    # Ideographic variants, and the first selectors, which mathematics and Mongolian use.
    return (0xFE00 <= ord(char) <= 0xFE0D or 0xE0100 <= ord(char) <= 0xE01EF) and _is_ideograph(
        last
    )


def _width(char: str) -> int:
    return get_character_cell_size(char)


def _is_skin_tone(char: str) -> bool:
    return "\U0001f3fb" <= char <= "\U0001f3ff"


def _is_emoji(char: str) -> bool:
    return unicodedata.category(char) == "So" or _is_skin_tone(char)


def _is_ideograph(char: str) -> bool:
    return unicodedata.category(char) == "Lo" and _width(char) == 2


def _joins(char: str) -> bool:
    """Return whether `char` is of a script in which shapes depend on their neighbours."""
    return (
        unicodedata.category(char)[0] in "LM"
        and 0x0590 <= ord(char) <= 0x1CFF
        and not (0x1100 <= ord(char) <= 0x11FF)
    )
