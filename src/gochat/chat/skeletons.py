"""Find names that look alike, by the skeletons of UTS #39, section 4.

A name has up to three skeletons: of its displayed form, of its key, and of its key in capitals,
because names are compared without case, and people may read or write any of these: "ALlCE" with a
small L looks like "ALICE", which is "alice". Two names look alike if they have a skeleton in
common. A name is only compared with those that are taken: "сор", all Cyrillic, is a word, and is
refused only if there is a "cop".

The data is that of confusables.txt. Skeletons, like names, are compared without case: "Iobby" and
"lobby" look alike, and so do "b0b" and "bob", by way of "bOb".

Stores keep a *claim* on each skeleton: the key of the first name that had it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import NewType

from gochat.chat.names import known
from gochat.errors import ChatError, ErrorCode

#: The form that all names that look alike share; that of a room begins with ``#``.
Skeleton = NewType("Skeleton", str)


def skeletons(shown: str) -> tuple[Skeleton, ...]:
    """Return the skeletons, one to three, of a displayed name; of a room's with its ``#``.

    Never raises. Takes time linear in the length of `shown`, which callers have checked.
    """
    key = known(shown)
    return tuple(dict.fromkeys(map(skeleton, (shown, key, capitals(key)))))


def capitals(key: str) -> str:
    """Return a key in capitals, as people may write the name."""
    return key.upper()


def skeleton(form: str) -> Skeleton:
    """Return the skeleton of one form of a name. The skeleton of a skeleton is itself."""
    # Twice: a capital may stand for letters of which none looks like its small form.
    return Skeleton(_mapped(_mapped(form)))


def of_all(names: Iterable[str]) -> frozenset[Skeleton]:
    """Return the skeletons of all these names."""
    return frozenset(one for name in names for one in skeletons(name))


def reserved(shown: str) -> ChatError:
    """Return the error for a name that is reserved, or looks like one that is."""
    is_room = shown.startswith("#")
    return ChatError(
        ErrorCode.ROOM_EXISTS if is_room else ErrorCode.NAME_TAKEN,
        f"the name {shown!r} is reserved, or looks like one that is: choose another name",
        field="room" if is_room else "name",
        details={"conv" if is_room else "name": shown, "rule": "reserved"},
    )


def looks_taken(shown: str) -> ChatError:
    """Return the error for a name that looks like another one, of a person or a room."""
    if shown.startswith("#"):
        text, code, field, arg = "room that exists", ErrorCode.ROOM_EXISTS, "room", "conv"
    else:
        text, code, field, arg = "name that is taken", ErrorCode.NAME_TAKEN, "name", "name"
    return ChatError(
        code,
        f"{shown!r} looks like a {text}: choose another name",
        field=field,
        details={arg: shown, "rule": "similar"},
    )


def _mapped(form: str) -> str:
    decomposed = unicodedata.normalize("NFD", form)
    mapped = decomposed.translate(_table()).lower()
    return unicodedata.normalize("NFD", mapped)


@cache
def _table() -> dict[int, str]:
    text = (resources.files("gochat.chat") / "confusables.txt").read_text(encoding="utf-8")
    table: dict[int, str] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            target, _, sources = line.partition("\t")
            table |= dict.fromkeys(map(ord, sources), target)
    return table
