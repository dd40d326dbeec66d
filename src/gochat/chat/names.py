"""Names of people and rooms: which are allowed, and when two are the same.

A name is the PRECIS UsernameCasePreserved profile (RFC 8265): letters, digits and marks of any
script, width folded, NFC, the bidi rule. Two names are the same if their folded forms are
(UsernameCaseMapped). On top of the profile:

- letters of one script only, or of those that are written together (UTS #39, "highly
  restrictive"), so that nobody can be imitated by letters of another script;
- the signs ``-``, ``_`` and ``.`` inside, but not at either end, and no other signs, so that a name
  in a sentence ("@mei, look") ends where people think it does.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final, NewType

from confusable_homoglyphs import categories
from precis_i18n import get_profile

from gochat.errors import ChatError, ErrorCode

#: The form of a name that is compared and stored as a key.
NameKey = NewType("NameKey", str)

#: In characters. Long enough for real names, short enough for a side pane.
MAX_NAME: Final = 32

_PRESERVED: Final = get_profile("UsernameCasePreserved")
_FOLDED: Final = get_profile("UsernameCaseMapped")
_SIGNS: Final = frozenset("-_.")

#: Scripts that are written together (UTS #39, section 5.2), each set with Latin.
_TOGETHER: Final = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)
_ANY_SCRIPT: Final = frozenset({"COMMON", "INHERITED"})


@lru_cache(maxsize=65536)
def fold(name: str) -> NameKey:
    """Return the key of `name`.

    Raises:
        ChatError: ``bad_name``: no name can have this form.
    """
    try:
        return NameKey(str(_FOLDED.enforce(name)))
    except UnicodeEncodeError as error:
        raise _bad(f"a name can't contain {_describe(error)}") from error


def check(name: str) -> str:
    """Return `name` as it will be shown.

    Raises:
        ChatError: ``bad_name``, with what is wrong.
    """
    if not name:
        raise _bad("a name needs at least one character")
    if len(name) > MAX_NAME:
        raise _bad(f"a name has at most {MAX_NAME} characters")
    try:
        shown = str(_PRESERVED.enforce(name))
    except UnicodeEncodeError as error:
        raise _bad(f"a name can't contain {_describe(error)}") from error
    fold(name)
    if len(shown) > MAX_NAME:
        raise _bad(f"a name has at most {MAX_NAME} characters")
    if shown[0] in _SIGNS or shown[-1] in _SIGNS:
        raise _bad("a name begins and ends with a letter or a digit")
    for char in shown:
        if unicodedata.category(char)[0] not in "LMN" and char not in _SIGNS:
            raise _bad(f"a name can't contain {char!r}: letters, digits and - _ . only")
    scripts = {categories.aliases_categories(char)[0] for char in shown} - _ANY_SCRIPT
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        mixed = " and ".join(sorted(script.title() for script in scripts))
        raise _bad(f"a name can't mix {mixed} letters: they look alike")
    return shown


def _bad(text: str) -> ChatError:
    return ChatError(ErrorCode.BAD_NAME, text, field="name")


def _describe(error: UnicodeEncodeError) -> str:
    char = error.object[error.start : error.end]
    if not char:
        return "this"
    if char.isspace():
        return "spaces"
    try:
        return unicodedata.name(char[0]).lower() if not char.isprintable() else repr(char)
    except ValueError:
        return f"U+{ord(char[0]):04X}"
