"""Where motions and text objects lead. Texts are sequences of clusters, places are indices in them.

A line break is a cluster of its own. Every function takes any place from 0 to the length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from gochat.tui.text.wrap import clusters

Chars: TypeAlias = Sequence[str]

BREAK: Final = "\n"
_BLANK: Final = 0
#: Scripts that are written without spaces: a change of the script ends a word, as in Vim.
_SCRIPTS: Final = (
    re.compile("[\u3040-\u309f]"),  # hiragana
    re.compile("[\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f]"),  # katakana
    re.compile("[\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"),
    re.compile("[\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff]"),  # hangul
)  # fmt: skip
_PAIRS: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}
_OPENING: Final = {closing: opening for opening, closing in _PAIRS.items()}
#: Vim's other names of bracketed blocks.
_ALIASES: Final = {"b": "(", "B": "{"}


def split(text: str) -> list[str]:
    """Return the clusters of `text`."""
    chars: list[str] = []
    for number, line in enumerate(text.split(BREAK)):
        if number:
            chars.append(BREAK)
        chars += [line[start:end] for start, end, _ in clusters(line)]
    return chars


def index_at(chars: Chars, offset: int) -> int:
    """Return the index of the cluster at an offset in the text."""
    passed = 0
    for index, char in enumerate(chars):
        passed += len(char)
        if passed > offset:
            return index
    return len(chars)


def offset_of(chars: Chars, index: int) -> int:
    """Return where in the text a cluster begins."""
    return sum(map(len, chars[:index]))


# -- lines -----------------------------------------------------------------------------------------


def line_start(chars: Chars, at: int) -> int:
    """Return where the line begins."""
    while at > 0 and chars[at - 1] != BREAK:
        at -= 1
    return at


def line_end(chars: Chars, at: int) -> int:
    """Return the place of the line's break, or of the text's end."""
    while at < len(chars) and chars[at] != BREAK:
        at += 1
    return at


def last_of_line(chars: Chars, at: int) -> int:
    """Return the last cluster of the line, its start if it is empty."""
    return max(line_start(chars, at), line_end(chars, at) - 1)


def first_nonblank(chars: Chars, at: int) -> int:
    """Return the first cluster of the line that is not blank, its last one if all are."""
    at, end = line_start(chars, at), line_end(chars, at)
    start = at
    while at < end and chars[at].isspace():
        at += 1
    return at if at < end else max(start, end - 1)


def other_line(chars: Chars, at: int, lines: int, column: int) -> int:
    """Return the place in `column` of the line so many further on, as far as there are lines."""
    start = line_start(chars, at)
    for _ in range(abs(lines)):
        if lines < 0 and start > 0:
            start = line_start(chars, start - 1)
        elif lines > 0 and (end := line_end(chars, start)) < len(chars):
            start = end + 1
    return min(start + column, last_of_line(chars, start))


def line_number(chars: Chars, number: int) -> int:
    """Return the start of a line, the first one is 1; the last line if there are fewer."""
    return other_line(chars, 0, number - 1, 0)


def is_empty_line(chars: Chars, at: int) -> bool:
    """Return whether `at` is an empty line."""
    return (at == 0 or chars[at - 1] == BREAK) and (at == len(chars) or chars[at] == BREAK)


# -- words -----------------------------------------------------------------------------------------


def _kind(chars: Chars, at: int, *, big: bool) -> int:
    """Return of which kind a cluster is; a word is of one kind."""
    if not 0 <= at < len(chars) or chars[at].isspace():
        return _BLANK
    char = chars[at][0]
    if big:
        return 1
    for number, script in enumerate(_SCRIPTS):
        if script.match(char):
            return 4 + number
    if char.isalnum() or char == "_":
        return 1
    return 3 if unicodedata.category(char) == "So" or len(chars[at]) > 1 else 2


def next_word(chars: Chars, at: int, *, big: bool = False) -> int:
    """``w``: where the next word begins; an empty line is one."""
    kind = _kind(chars, at, big=big)
    if kind == _BLANK:
        at = min(at + 1, len(chars))
    while at < len(chars) and kind != _BLANK and _kind(chars, at, big=big) == kind:
        at += 1
    while at < len(chars) and _kind(chars, at, big=big) == _BLANK and not is_empty_line(chars, at):
        at += 1
    return at


def word_end(chars: Chars, at: int, *, big: bool = False) -> int:
    """``e``: the last cluster of the word, or of the next one from there."""
    at += 1
    while at < len(chars) and _kind(chars, at, big=big) == _BLANK:
        at += 1
    if at >= len(chars):
        return max(0, len(chars) - 1)
    return _run(chars, at, big=big)[1] - 1


def previous_word(chars: Chars, at: int, *, big: bool = False) -> int:
    """``b``: where the word begins, or the one before from there."""
    at -= 1
    while at > 0 and _kind(chars, at, big=big) == _BLANK and not is_empty_line(chars, at):
        at -= 1
    if at <= 0:
        return 0
    return at if _kind(chars, at, big=big) == _BLANK else _run(chars, at, big=big)[0]


def previous_word_end(chars: Chars, at: int, *, big: bool = False) -> int:
    """``ge``: the last cluster of the word before."""
    if (kind := _kind(chars, at, big=big)) == _BLANK:
        at -= 1
    while at >= 0 and kind != _BLANK and _kind(chars, at, big=big) == kind:
        at -= 1
    while at > 0 and _kind(chars, at, big=big) == _BLANK and not is_empty_line(chars, at):
        at -= 1
    return max(0, at)


def _run(chars: Chars, at: int, *, big: bool) -> tuple[int, int]:
    """Return the part of a line around `at` that is of one kind."""
    kind = _kind(chars, at, big=big)
    start = end = at
    while start > 0 and chars[start - 1] != BREAK and _kind(chars, start - 1, big=big) == kind:
        start -= 1
    while end < len(chars) and chars[end] != BREAK and _kind(chars, end, big=big) == kind:
        end += 1
    return start, end


def repeat(
    motion: Callable[..., int], chars: Chars, at: int, times: int, *, big: bool = False
) -> int:
    """Follow a motion so many times."""
    for _ in range(times):
        if (there := motion(chars, at, big=big)) == at:
            break
        at = there
    return at


# -- elsewhere -------------------------------------------------------------------------------------


def find(chars: Chars, at: int, char: str, *, back: bool, before: bool, times: int) -> int | None:
    """``f`` and the like: the n-th `char` in the line, or, `before` it, its neighbour."""
    start, end = line_start(chars, at), line_end(chars, at)
    step = -1 if back else 1
    found = at
    for _ in range(times):
        found += step
        while start <= found < end and not chars[found].startswith(char):
            found += step
        if not start <= found < end:
            return None
    return found - step if before else found


def paragraph(chars: Chars, at: int, *, back: bool) -> int:
    """``{`` and ``}``: the next empty line after what is written, or the end."""
    step = -1 if back else 1
    while 0 <= at < len(chars) and is_empty_line(chars, at):
        at += step
    while 0 <= at < len(chars) and not is_empty_line(chars, at):
        at += step
    return min(max(at, 0), len(chars))


def matching(chars: Chars, at: int) -> int | None:
    """``%``: the partner of the first bracket from here on."""
    end = line_end(chars, at)
    while at < end and chars[at] not in _PAIRS and chars[at] not in _OPENING:
        at += 1
    if at >= end:
        return None
    if chars[at] in _PAIRS:
        return _closing(chars, at, chars[at])
    return _enclosing(chars, at, _OPENING[chars[at]])


def _closing(chars: Chars, at: int, opening: str) -> int | None:
    """Return the partner of the opening bracket at `at`."""
    depth = 0
    for index in range(at, len(chars)):
        depth += (chars[index] == opening) - (chars[index] == _PAIRS[opening])
        if not depth:
            return index
    return None


def _enclosing(chars: Chars, at: int, opening: str) -> int | None:
    """Return the opening bracket of the block that `at` is in, or at its end."""
    depth = 0
    for index in range(min(at, len(chars)) - 1, -1, -1):
        depth += (chars[index] == opening) - (chars[index] == _PAIRS[opening])
        if depth > 0:
            return index
    return None


def text_object(chars: Chars, at: int, name: str, *, around: bool) -> tuple[int, int] | None:
    """Return the part of the text that an object is, such as ``w`` (in ``iw``) or ``"``."""
    name = _ALIASES.get(name, name)
    name = _OPENING.get(name, name)
    if name in ("w", "W"):
        return _word(chars, at, big=name == "W", around=around)
    if name in ('"', "'", "`"):
        return _quoted(chars, at, name, around=around)
    if name in _PAIRS:
        return _bracketed(chars, at, name, around=around)
    return None


def _word(chars: Chars, at: int, *, big: bool, around: bool) -> tuple[int, int]:
    if at >= len(chars) or chars[at] == BREAK:
        return at, at
    start, end = _run(chars, at, big=big)
    if not around:
        return start, end
    if chars[at].isspace():  # the blanks, and the word after them
        return start, _run(chars, end, big=big)[1] if end < len(chars) else end
    after = end
    while after < len(chars) and chars[after] != BREAK and chars[after].isspace():
        after += 1
    while after == end and start > 0 and chars[start - 1] != BREAK and chars[start - 1].isspace():
        start -= 1
    return start, after


def _quoted(chars: Chars, at: int, quote: str, *, around: bool) -> tuple[int, int] | None:
    start, end = line_start(chars, at), line_end(chars, at)
    marks = [index for index in range(start, end) if chars[index] == quote]
    for opening, closing in zip(marks[::2], marks[1::2], strict=False):
        if at <= closing:
            if not around:
                return opening + 1, closing
            after = closing + 1
            while after < end and chars[after].isspace():
                after += 1
            return opening, after
    return None


def _bracketed(chars: Chars, at: int, opening: str, *, around: bool) -> tuple[int, int] | None:
    on_it = at < len(chars) and chars[at] == opening
    start = at if on_it else _enclosing(chars, at, opening)
    if start is None:  # the next one in the line
        start = find(chars, at, opening, back=False, before=False, times=1)
    if start is None or (end := _closing(chars, start, opening)) is None:
        return None
    return (start, end + 1) if around else (start + 1, end)
