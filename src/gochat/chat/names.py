"""Names of people and rooms: which are allowed, and when two are the same.

A name follows the PRECIS UsernameCasePreserved profile (RFC 8265): letters, digits and marks of any
script, width folded, NFC, the bidi rule. Two names are the same if their folded forms are
(UsernameCaseMapped, and without the combining dot above an ``i``: "İrem" is "irem"). In addition to
the profile:

- letters must be of one script, or of scripts that are written together (UTS #39, "highly
  restrictive"), so that one name can't mix letters of two alphabets that look alike;
- the signs ``-``, ``_`` and ``.`` are allowed inside, but not at either end. Other signs, and
  letters that look like signs, are not, so that a name in a sentence ("@mei, look") ends where
  people think it does;
- a name can't begin with a mark, which would be drawn on the ``@``, nor contain piles of marks (UTS
  #39, section 5.4), which would reach into the lines above and below.

Names can look alike without mixing scripts: one wholly of another alphabet ("раураӏ", Cyrillic),
letters of one script (``l`` and ``I``, ``rn`` and ``m``), ``O`` and ``0``. No rule about a single
name can refuse them without refusing real names ("Сара"), so they are compared with the names that
are taken: :mod:`gochat.chat.skeletons`.

The zero-width joiners are refused, although Persian and Sinhala use them: a name would have
invisible parts. Scripts are looked up in a table of Unicode 15. A newer letter counts as of a
script that goes with no other, so an old table refuses too much rather than too little.
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

#: In characters, as displayed. Long enough for real names, short enough for a side pane.
MAX_NAME: Final = 32
#: In characters as typed, where a letter may consist of three parts. Longer input isn't examined.
MAX_TYPED: Final = 4 * MAX_NAME
#: On one letter: no script needs more.
MAX_MARKS: Final = 4

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
#: Letters that belong to no single script, such as ˈ and ꜝ, look like signs, except these: Hawaiian
#: and Ukrainian names have the first two, Japanese ones the others.
_SHARED_LETTERS: Final = frozenset("ʻʼー〆")
#: Latin letters, by their script, that look like signs: clicks and a dot.
_LOOK_LIKE_SIGNS: Final = frozenset("ǀǁǂǃꞏ")


def fold(name: str) -> NameKey:
    """Return the key of `name`. The key of a key is itself.

    Raises:
        ChatError: ``bad_name``: `name` is not a valid name.
    """
    return _examine(name)[1]


def fold_person(name: str) -> NameKey:
    """Return the key of the name of a person, which may have an ``@`` in front.

    Raises:
        ChatError: ``bad_name``: `name` is not a valid name.
    """
    return fold(name.removeprefix("@"))


def check(name: str) -> str:
    """Return `name` in the form that is displayed.

    Raises:
        ChatError: ``bad_name``, with the reason.
    """
    return _examine(name)[0]


def known(shown: str) -> NameKey:
    """Return the key of a displayed name, which was checked when it was registered.

    Never raises: messages stay readable if a later rule would refuse their sender's name.
    """
    if shown.isascii():
        return NameKey(shown.lower())
    lower = unicodedata.normalize("NFC", shown.lower())
    return NameKey(lower.replace("i\u0307", "i").replace("j\u0307", "j"))


def possible_key(typed: str) -> NameKey | None:
    """Return the key that `typed` has if it is a name, without checking that it is one.

    For lookups among existing names. None if it is empty or too long for a name. Never raises, and
    costs much less than :func:`fold`.
    """
    if len(typed) > MAX_TYPED:
        return None
    key = known(_normal_form(typed))
    return key if 1 <= len(key) <= MAX_NAME else None


def _examine(name: str) -> tuple[str, NameKey]:
    if len(name) > MAX_TYPED:
        raise _too_long()
    shown = _normal_form(name)
    if len(shown) > MAX_NAME:
        raise _too_long()
    return _forms(shown)


def _normal_form(name: str) -> str:
    """Return the profile's form of `name`, if the profile allows it: width folded, NFC.

    NFC sorts marks in quadratic time, so `name` must have at most MAX_TYPED characters.
    """
    if name.isascii():
        return name
    return unicodedata.normalize("NFC", str(_PRESERVED.width_mapping_rule(name)))


@lru_cache(maxsize=65536)
def _forms(shown: str) -> tuple[str, NameKey]:
    """Return a name in its normal form, and its key."""
    if not shown:
        raise _bad("empty", "a name needs at least one character")
    _check_form(shown)
    key = known(shown)
    if key != shown:
        _check_form(key)  # the key must be a valid name, too
    if not shown.isascii():  # for ASCII, gochat's rules are stricter
        _check_profile(shown)
    return shown, key


def _check_profile(shown: str) -> None:
    """Check the profile, after all other checks.

    The library takes time quadratic in the length of the name: it examines the whole name for each
    digit of some kinds.
    """
    try:
        _PRESERVED.enforce(shown)
        if shown.lower() != shown:
            _FOLDED.enforce(shown)
    except UnicodeEncodeError as error:
        raise _refused(error) from error


def _check_form(name: str) -> None:
    if len(name) > MAX_NAME:
        raise _too_long()
    for char in name:
        if not _is_allowed(char):
            raise _bad(
                "character",
                f"a name can't contain {_describe(char)}: letters, digits and - _ . only",
            )
    if name[0] in _SIGNS or name[-1] in _SIGNS or unicodedata.category(name[0])[0] == "M":
        raise _bad("ends", "a name begins and ends with a letter or a digit")
    _check_marks(name)
    scripts = set(map(_script, name)) - _ANY_SCRIPT
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        mixed = " and ".join(sorted(script.replace("_", " ").title() for script in scripts))
        raise _bad("scripts", f"a name can't mix {mixed} letters: they look alike")


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    return str(categories.alias(char))


def _is_allowed(char: str) -> bool:
    kind = unicodedata.category(char)[0]
    if kind == "L":
        return char in _SHARED_LETTERS or (
            char not in _LOOK_LIKE_SIGNS and _script(char) not in _ANY_SCRIPT
        )
    return kind in "MN" or char in _SIGNS


def _check_marks(name: str) -> None:
    marks = ""
    for char in unicodedata.normalize("NFD", name):
        if unicodedata.category(char) not in ("Mn", "Me"):
            marks = ""
            continue
        if marks.endswith(char) or len(marks) == MAX_MARKS:
            raise _bad("marks", "a name can't have so many marks on one letter")
        marks += char


def _bad(rule: str, text: str, **details: int) -> ChatError:
    return ChatError(ErrorCode.BAD_NAME, text, field="name", details={"rule": rule, **details})


def _too_long() -> ChatError:
    return _bad("long", f"a name has at most {MAX_NAME} characters", max=MAX_NAME)


def _refused(error: UnicodeEncodeError) -> ChatError:
    """Return the error for what the profile refuses."""
    if error.reason.endswith("bidi_rule"):
        return _bad(
            "direction",
            "a name can't mix letters that are written to the left with others like this",
        )
    return _bad("character", f"a name can't contain {_describe(error.object[error.start])}")


def _describe(char: str) -> str:
    if char.isspace():
        return "spaces"
    if char.isprintable() and unicodedata.category(char)[0] != "M":
        return repr(char)
    return unicodedata.name(char, "").lower() or f"U+{ord(char):04X}"
