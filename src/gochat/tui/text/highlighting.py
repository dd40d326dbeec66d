"""Colours for fenced code: Pygments' tokens, told as roles of the palette.

Only for languages asked for by name and listed here. Guessing is slow and mostly wrong on a few
lines, and a lexer is a pile of regular expressions: each of these was fed repeated quotes,
brackets, slashes and the like in the longest message, and stayed within a few milliseconds.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pygments.lexer import Lexer

#: What people write after the fence, and Pygments' name for it.
_LANGUAGES: Final = {
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
    ("Generic.Deleted", "deleted"),
    ("Generic.Inserted", "string"),
    ("Generic.Heading", "keyword"),
    ("Generic.Subheading", "keyword"),
)


class Token(NamedTuple):
    """A range of the code and its role."""

    start: int
    end: int
    role: str


def highlight(code: str, language: str) -> list[Token]:
    """Return the coloured ranges of `code`, in order; none for a language not known here."""
    name = _LANGUAGES.get(language.casefold())
    if name is None:
        return []
    tokens: list[Token] = []
    for start, kind, text in _lexer(name).get_tokens_unprocessed(code):
        if text and (role := _role(str(kind))):
            tokens.append(Token(start, start + len(text), role))
    return tokens


@cache
def _lexer(name: str) -> Lexer:
    # Imported when the first code comes: the registry of lexers costs a program's start.
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(name)


@cache
def _role(kind: str) -> str:
    kind = kind.removeprefix("Token.") + "."
    return next((role for prefix, role in _ROLES if kind.startswith(prefix + ".")), "")
