"""Colours for fenced code: Pygments' tokens as roles of the palette.

Only for languages asked for by name and listed here: guessing is slow, and mostly wrong on a few
lines. A lexer is a pile of regular expressions, and some take quadratic time on what nobody writes
in earnest: 4,000 line breaks took the one of Java 0.7 s. So code goes to them in chunks, each of
which takes about 10 ms at worst. What that costs is the colour of a comment or string that crosses
from one chunk into the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pygments.lexer import Lexer

#: What people write after the fence, and Pygments' name for it.
LANGUAGES: Final = {
    "bash": "bash",
    "c": "c",
    "c++": "cpp",
    "cpp": "cpp",
    "css": "css",
    "diff": "diff",
    "go": "go",
    "html": "html",
    "ini": "ini",
    "java": "java",
    "javascript": "javascript",
    "js": "javascript",
    "json": "json",
    "kotlin": "kotlin",
    "lua": "lua",
    "patch": "diff",
    "py": "python",
    "python": "python",
    "rb": "ruby",
    "rs": "rust",
    "ruby": "ruby",
    "rust": "rust",
    "sh": "bash",
    "shell": "bash",
    "sql": "sql",
    "swift": "swift",
    "toml": "toml",
    "ts": "typescript",
    "typescript": "typescript",
    "xml": "xml",
    "yaml": "yaml",
    "yml": "yaml",
    "zig": "zig",
}

#: Parents stand for all kinds below them; the more exact come first.
_ROLES: Final = (
    ("Comment", "comment"),
    ("Keyword", "keyword"),
    ("Operator.Word", "keyword"),
    ("Name.Builtin", "function"),
    ("Name.Function", "function"),
    ("Name.Class", "function"),
    ("Name.Decorator", "function"),
    ("Name.Tag", "keyword"),
    ("Name.Attribute", "function"),
    ("Literal.String", "string"),
    ("Literal.Number", "number"),
    ("Generic.Deleted", "removed"),
    ("Generic.Inserted", "string"),
    ("Generic.Heading", "keyword"),
    ("Generic.Subheading", "keyword"),
)


#: In characters: most code in a chat is one chunk.
_CHUNK: Final = 500
#: Longer code has no colours.
MAX_HIGHLIGHTED: Final = 2000


class Token(NamedTuple):
    """A range of the code and its role."""

    start: int
    end: int
    role: str


@lru_cache(maxsize=256)
def highlight(code: str, language: str) -> tuple[Token, ...]:
    """Return the coloured ranges of `code`, in order; none for a language not known here."""
    name = LANGUAGES.get(language.casefold())
    if name is None or len(code) > MAX_HIGHLIGHTED:
        return ()
    lexer = _lexer(name)
    # Some lexers see a comment only if its line ends.
    return tuple(
        Token(begin + start, min(begin + start + len(text), len(code)), role)
        for begin, chunk in _chunks(code + "\n")
        for start, kind, text in lexer.get_tokens_unprocessed(chunk)
        if text and begin + start < len(code) and (role := _role(str(kind)))
    )


def _chunks(code: str) -> Iterator[tuple[int, str]]:
    """Cut `code` after line breaks, or within a line that is too long."""
    start = 0
    while start < len(code):
        stop = start + _CHUNK
        if stop < len(code):
            stop = code.rfind("\n", start, stop) + 1 or stop
        yield start, code[start:stop]
        start = stop


@cache
def _lexer(name: str) -> Lexer:
    # Imported when the first code comes: the registry of lexers costs a program's start.
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(name)


@cache
def _role(kind: str) -> str:
    kind = kind.removeprefix("Token.") + "."
    return next((role for prefix, role in _ROLES if kind.startswith(prefix + ".")), "")
