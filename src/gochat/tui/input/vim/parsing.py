"""What keys make a whole command: ``2d3w`` is one, ``2d`` is not yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

OPERATORS: Final = frozenset({"d", "c", "y", "g~", "gu", "gU"})
#: In the place of a motion: the lines themselves, as in ``dd``.
LINES: Final = "lines"
MOTIONS: Final = frozenset(
    {
        *"hljkwWbBeE0^$|;,fFtTG{}%",
        *("gg", "ge", "gE", "g_"),
    }
)
OBJECTS: Final = frozenset(
    kind + name
    for kind in "ia"
    for name in [*"wWbB", "(", ")", "[", "]", "{", "}", "<", ">", *"\"'`"]
)
#: In normal mode, besides motions and operators.
COMMANDS: Final = frozenset(
    {
        *"iaIAoOxXDCYsSpPuJ~vV.nN/:r",
        *("gt", "gT", "ctrl+r", "ctrl+u", "ctrl+d"),
    }
)
#: In visual mode, besides motions, objects and operators.
VISUAL: Final = frozenset({*"xXDCYsSpPuUJ~vVor:/", "ctrl+u", "ctrl+d"})
_WITH_CHAR: Final = frozenset("fFtTr")
_MOST: Final = 999


class IncompleteError(Exception):
    """More keys are needed."""


class UnknownError(Exception):
    """No command begins like this."""


@dataclass(frozen=True, slots=True)
class Command:
    """A whole command. `key` is what it is called by: a motion, an object, or what it does.

    `count` is None if none was given; `char` is what ``f`` and the like look for, or ``r`` writes.
    """

    key: str
    count: int | None = None
    operator: str = ""
    register: str = '"'
    char: str = ""

    @property
    def times(self) -> int:
        """How many times."""
        return 1 if self.count is None else self.count


def parse(keys: Sequence[str], *, visual: bool) -> Command:
    """Return the command that the keys are.

    Raises:
        IncompleteError: the keys are the beginning of a command.
        UnknownError: they are not.
    """
    rest = iter(keys)
    count, key = _counted(rest)
    register = '"'
    if key == '"':
        register = _next(rest)
        second, key = _counted(rest)
        count = _product(count, second)
    key = _prefixed(key, rest)
    operator = ""
    if key in OPERATORS and not visual:
        operator = key
        second, key = _counted(rest)
        count = _product(count, second)
        if key == operator[-1]:
            return Command(LINES, count, operator, register)
        key = _prefixed(key, rest)
        if key == operator:  # gugu
            return Command(LINES, count, operator, register)
    if key in ("i", "a") and (operator or visual):
        key += _next(rest)
    char = ""
    if key in _WITH_CHAR and not (key == "r" and operator):
        char = _next(rest)
        if len(char) > 1 and char.isascii():  # the name of a key
            raise UnknownError
    if operator:
        known = key in MOTIONS or key in OBJECTS
    elif visual:
        known = key in MOTIONS or key in OBJECTS or key in OPERATORS or key in VISUAL
    else:
        known = key in MOTIONS or key in COMMANDS
    if not known:
        raise UnknownError
    return Command(key, count, operator, register, char)


def _next(rest: Iterator[str]) -> str:
    for key in rest:
        return key
    raise IncompleteError


def _counted(rest: Iterator[str]) -> tuple[int | None, str]:
    digits = ""
    while (key := _next(rest)) in "123456789" or (digits and key == "0"):
        digits += key
    return (min(int(digits), _MOST) if digits else None), key


def _product(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one * other, _MOST)


def _prefixed(key: str, rest: Iterator[str]) -> str:
    return key + _next(rest) if key == "g" else key
