"""What the text of a message contains: code, links and mentions.

The server, the clients and a dialect read a text by these rules, so that what notifies somebody is
also what is drawn as a mention. The rules in words, with the cases that tests of other
implementations can use, are in ``docs/reference/protocol.md`` and
``tests/conformance/texts.json``.

Reading takes time linear in the length of the text, whatever it is. Nothing here is bounded by the
length of a message: the caller has checked that.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Collection, Iterator
from enum import Enum
from typing import Final, NamedTuple


class TextTokenKind(Enum):
    """What a part of a text is."""

    #: A fenced block: from the fence that opens it to the end of the line of the one that ends it.
    BLOCK = "block"
    #: Code between backticks in a line. `value` is the code.
    CODE = "code"
    #: An address, or ``[label](address)``: `value` is the address as written.
    LINK = "link"
    #: An ``@`` and a name, or a name at the beginning of the text that ``:`` or ``,`` follows.
    #: `value` is what may be the name, without the ``@``; see `readings`.
    MENTION = "mention"
    #: A backslash and a character that it deprives of its meaning, which is `value`.
    ESCAPE = "escape"


class TextToken(NamedTuple):
    """``text[start:end]`` and what it is. Positions count code points."""

    kind: TextTokenKind
    start: int
    end: int
    value: str
    label: str = ""


#: ``> ``, or ``>`` alone, up to five deep; but not the ``>>>`` of Python's prompt.
_QUOTE: Final = re.compile(r"(?:> ){0,4}>{1,2}(?: |$)")
#: A line that begins a block of code; its group is the language.
FENCE: Final = re.compile(r" {0,3}```++\s*+([\w+#.-]{0,20}+)\s*+")


class Mention(NamedTuple):
    """What a mention may name, see `readings`, and whether an ``@`` is written before it."""

    names: tuple[str, ...]
    has_sign: bool


#: The author of what was written with an account that was deleted. No name has a space in it.
DELETED: Final = "deleted account"
#: In the `mentions` of a message, in the first place: everybody in the room.
EVERYBODY: Final = "@room"
#: By these, after an ``@`` that is written, a text mentions everybody, if the sender may do that.
#: Without one, as in "here, take this", they are words.
EVERYBODY_NAMES: Final = ("room", "here")

#: In code points, as typed: a letter may consist of several. A longer word is not a name.
MAX_TYPED_NAME: Final = 128

#: A class of a regular expression, for scripts that are written without spaces between words, and
#: may stand next to an ``@``: Thai, Lao,
#: Tibetan, Myanmar, Khmer, Tai Le and New Tai Lue, Tai Tham, Balinese, Javanese, kana, Bopomofo,
#: Yi and Han, with the marks of iteration and the halfwidth kana.
UNSPACED: Final = (
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f"
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u302f\u3031-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua980-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)
_UNSPACED: Final = re.compile(UNSPACED)
#: What ends an address: spaces, controls, quotes, brackets and the punctuation of Chinese and
#: Japanese, which follows an address without a space; and the signs by which gochat's app shows
#: characters that can't be shown.
_NOT_IN_URL: Final = (
    r"\s\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"<>\"`⟨⟩␀-␡，。、；：！？（）《》「」『』【】“”‘’"
)
_URL: Final = re.compile(rf"(?:https?|gochats?)://[^{_NOT_IN_URL}]+", re.IGNORECASE)
_SCHEME_AT_END: Final = re.compile(r"(?:https?|gochats?)$", re.IGNORECASE)
_LABELLED: Final = re.compile(
    rf"\[([^\[\]\n]{{1,200}})\]\((https?://[^{_NOT_IN_URL}()]{{1,2000}})\)", re.IGNORECASE
)
_SPECIAL: Final = re.compile(r"\\[*`~\[\]\\@＠]|`+|\[|(?i:https?|gochats?)://|[@＠]")
_AT: Final = re.compile("[@＠]")
#: What a text has if it has several lines, quotes, code, links or escapes.
_OTHERS: Final = re.compile(r"[\\`\[>\n]|://")
#: What the beginning of a text has that addresses somebody.
_ADDRESS: Final = re.compile(r"[^\s:,：，@]+[:,：，]")
_TICKS: Final = re.compile("`+")
_OPENING: Final = {")": "(", "]": "[", "}": "{"}
#: Signs after an address, or around it, that are not part of it.
_TRAILING: Final = ".,;:!?'\"*_~"
#: A name may contain them, but not end with them.
_SIGNS: Final = "-_."
#: Most characters of names: letters, digits and these signs, but no marks. Looking at each by
#: itself took 8 µs for a word of 45.
_OF_NAME: Final = re.compile(r"[\w.-]*")


def tokens(text: str) -> Iterator[TextToken]:
    """Yield the tokens of a text in order; they don't overlap."""
    position = 0
    block: tuple[int, int] | None = None  # where it begins, and in how many quotes
    for line in text.split("\n"):
        end = position + len(line)
        if block is not None:
            start, quote = block
            depth, rest = unquoted(line, quote) if quote else (0, line)
            if depth < quote:
                yield TextToken(TextTokenKind.BLOCK, start, position - 1, "")
                block = None
            elif ends_block(rest):
                yield TextToken(TextTokenKind.BLOCK, start, end, "")
                position, block = end + 1, None
                continue
        if block is None:
            quote, rest = unquoted(line)
            if FENCE.fullmatch(rest):
                block = position, quote
            else:
                base = end - len(rest)
                for token in line_tokens(rest, is_first=base == 0):
                    start, stop = token.start + base, token.end + base
                    yield TextToken(token.kind, start, stop, token.value, token.label)
        position = end + 1
    if block is not None:
        yield TextToken(TextTokenKind.BLOCK, block[0], len(text), "")


def unquoted(line: str, most: int | None = None) -> tuple[int, str]:
    """Return in how many quotes a line is, at most `most`, and what is quoted."""
    found = _QUOTE.match(line)
    if found is None:
        return 0, line
    depth = found.group().count(">")
    if most is None or depth <= most:
        return depth, line[found.end() :]
    kept = 0
    for at, char in enumerate(found.group()):
        kept += char == ">"
        if kept == most:
            return most, line[at + 1 :].removeprefix(" ")
    return 0, line


def ends_block(line: str) -> bool:
    """Return whether a line of a block of code is its last."""
    return line.rstrip().endswith("```")


def line_tokens(line: str, *, is_first: bool = False) -> Iterator[TextToken]:
    """Yield the tokens of a line outside blocks; `is_first` if the text begins with it."""
    position = 0
    if is_first and (addressed := _addressed(line)) is not None:
        yield addressed
        position = addressed.end
    ticks: dict[int, list[int]] | None = None
    while found := _SPECIAL.search(line, position):
        start, position = found.span()
        token = None
        match line[start]:
            case "\\":
                token = TextToken(TextTokenKind.ESCAPE, start, position, line[start + 1])
            case "`":
                if ticks is None:
                    ticks = _runs_of_ticks(line)
                token = _code(line, start, position, ticks)
            case "[":
                token, position = _labelled(line, start), start + 1
            case "@" | "＠":
                token = _mention(line, start)
            case _:
                token, position = _url(line, start)
        if token is not None:
            yield token
            position = token.end


def readings(name: str) -> tuple[str, ...]:
    """Return what the `value` of a mention may name: all of it, or a part.

    People who write without spaces also write on directly after a name: ``@mei你好`` means 你好's
    neighbour if nobody is called ``mei你好``. The part ends where the first letter of an unspaced
    script follows one of another script, or the other way round. The first reading that is the
    name of an account counts.
    """
    if name.isascii():
        return (name,)
    first = None
    for index, char in enumerate(name):
        if not char.isalpha():
            continue
        is_unspaced = _UNSPACED.match(char) is not None
        if first is None:
            first = is_unspaced
        elif is_unspaced != first:
            part = name[:index].rstrip(_SIGNS)
            return (name, part)
    return (name,)


def mentions(text: str) -> Iterator[Mention]:
    """Yield the mentions in a text, in order."""
    if "@" in text or "＠" in text:
        for token in _mentions_alone(text) if _OTHERS.search(text) is None else tokens(text):
            if token.kind is TextTokenKind.MENTION:
                yield Mention(readings(token.value), has_sign(token))
    elif (addressed := _addressed(text)) is not None:  # most texts: only their beginning can
        yield Mention(readings(addressed.value), has_sign=False)


def _mentions_alone(text: str) -> Iterator[TextToken]:
    """Yield the tokens of a text that can't have others than mentions, as :func:`tokens` does."""
    position = 0
    if (addressed := _addressed(text)) is not None:
        yield addressed
        position = addressed.end
    while found := _AT.search(text, position):
        token = _mention(text, found.start())
        position = found.end()
        if token is not None:
            yield token
            position = token.end


def has_sign(mention: TextToken) -> bool:
    """Say whether an ``@`` is written before the name: only then can it mention everybody."""
    return mention.end - mention.start > len(mention.value)


def is_mentioned(name: str, mentioned: Collection[str]) -> bool:
    """Return whether a person is among the `mentions` of a message, by name or with everybody."""
    return name in mentioned or EVERYBODY in mentioned


def _addressed(line: str) -> TextToken | None:
    """Return the name by which a text that begins so addresses somebody: ``mei: look``."""
    if _ADDRESS.match(line) is None:  # most lines
        return None
    end = _end_of_name(line, 0)
    if not end or end == len(line):
        return None
    sign, after = line[end], line[end + 1 : end + 2]
    if sign in "：，" or (sign in ":," and (not after or after.isspace())):
        return TextToken(TextTokenKind.MENTION, 0, end, line[:end])
    return None


def _mention(line: str, start: int) -> TextToken | None:
    before = line[start - 1 : start]
    if before and before != " ":
        if before in "_@＠/":
            return None
        is_letter = before.isalnum() or unicodedata.category(before)[0] == "M"
        if is_letter and not _UNSPACED.match(before):
            return None  # as in an e-mail address
    end = _end_of_name(line, start + 1)
    if not end:
        return None
    return TextToken(TextTokenKind.MENTION, start, end, line[start + 1 : end])


def _end_of_name(line: str, start: int) -> int:
    """Return where the name at `start` ends, 0 if there is none: at the latest, at an address."""
    end, last = start, start + MAX_TYPED_NAME + len("gochats")
    while end <= last:
        found = _OF_NAME.match(line, end, last + 1)
        end = found.end() if found is not None else end
        if end > last or end == len(line) or not _is_of_name(line[end]):
            break
        end += 1
    if line.startswith("://", end):
        scheme = _SCHEME_AT_END.search(line, start, end)
        if scheme is not None and _url(line, scheme.start())[0] is not None:
            end = scheme.start()
    if end - start > MAX_TYPED_NAME:
        return 0
    while end > start and line[end - 1] in _SIGNS:
        end -= 1
    return end if end > start and line[start] not in _SIGNS else 0


def _is_of_name(char: str) -> bool:
    return char.isalnum() or char in _SIGNS or unicodedata.category(char)[0] in "LMN"


def _runs_of_ticks(line: str) -> dict[int, list[int]]:
    """Return where the runs of backticks start, by their length."""
    runs: dict[int, list[int]] = {}
    for run in _TICKS.finditer(line):
        runs.setdefault(run.end() - run.start(), []).append(run.start())
    return runs


def _code(line: str, start: int, end: int, ticks: dict[int, list[int]]) -> TextToken | None:
    runs = ticks.get(end - start, [])  # a run whose first is escaped counts as longer
    following = bisect_right(runs, start)
    if following == len(runs):
        return None
    close = runs[following]
    body = line[end:close]
    if body.startswith(" ") and body.endswith(" ") and body.strip():
        body = body[1:-1]
    return TextToken(TextTokenKind.CODE, start, close + end - start, body)


def _labelled(line: str, start: int) -> TextToken | None:
    found = _LABELLED.match(line, start)
    if found is None:
        return None
    label, address = found.groups()
    if _trimmed(address).endswith("//"):
        return None
    return TextToken(TextTokenKind.LINK, start, found.end(), address, label)


def _url(line: str, start: int) -> tuple[TextToken | None, int]:
    """Return the address at `start`, and where to go on without one."""
    before = line[start - 1 : start]
    is_in_word = before.isalnum() and not _UNSPACED.match(before)
    found = None if is_in_word else _URL.match(line, start)
    if found is None:
        return None, line.index("/", start)
    address = _trimmed(found.group())
    if address.endswith("//"):
        return None, found.end()
    return TextToken(TextTokenKind.LINK, start, start + len(address), address), found.end()


def _trimmed(url: str) -> str:
    """Return `url` without the punctuation that belongs to the sentence around it."""
    surplus = {close: url.count(close) - url.count(opening) for close, opening in _OPENING.items()}
    end = len(url)
    while end:
        last = url[end - 1]
        if last in surplus and surplus[last] > 0:
            surplus[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return url[:end]
