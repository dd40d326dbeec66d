"""Compare what a server sent with what a case expects. ``README.md`` lists the matchers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "list": (list,), "object": (dict,), "null": (type(None),),
}  # fmt: skip


def differences(want: Any, got: Any, at: str, saved: dict[str, Any]) -> Iterator[str]:
    """Yield how a value differs from what is wanted; put what is to be saved into `saved`.

    Objects may have more fields than are wanted, unless the matcher is ``$only``; lists may not
    have more items.
    """
    match want:
        case {"$is": name}:
            is_right = isinstance(got, TYPES[name]) and isinstance(got, bool) == (name == "boolean")
            if not is_right:
                yield f"{at} is not of the type {name}"
        case {"$absent": True}:
            yield f"{at} is there"
        case {"$set": wanted}:
            yield from _members(wanted, got, at, saved, at_least=False)
        case {"$has": wanted}:
            yield from _members(wanted, got, at, saved, at_least=True)
        case {"$lacks": wanted}:
            if not isinstance(got, list) or any(matches(wanted, each) for each in got):
                yield f"{at} has {wanted}"
        case {"$count": count}:
            if not isinstance(got, (str, list)) or len(got) != count:
                yield f"{at} has not the length {count}"
        case {"$match": pattern}:
            if not (isinstance(got, str) and re.fullmatch(pattern, got, re.DOTALL)):
                yield f"{at} does not match {pattern}"
        case {"$at_least": least}:
            if isinstance(got, bool) or not isinstance(got, (int, float)) or got < least:
                yield f"{at} is not a number of at least {least}"
        case {"$not": other}:
            if matches(other, got):
                yield f"{at} is {other}"
        case {"$only": fields}:
            if isinstance(got, dict) and (more := got.keys() - fields.keys()):
                yield f"{at} has more fields: {sorted(more)}"
            yield from differences(fields, got, at, saved)
        case {"$save": name}:
            saved[name] = got
            yield from differences(want["as"], got, at, saved) if "as" in want else ()
        case dict():
            if not isinstance(got, dict):
                yield f"{at} is not an object"
                return
            for key, inner in want.items():
                if key in got:
                    yield from differences(inner, got[key], f"{at}.{key}", saved)
                elif inner != {"$absent": True}:
                    yield f"{at} has no {key}"
        case list():
            if not isinstance(got, list) or len(got) != len(want):
                yield f"{at} has not {len(want)} items"
                return
            for number, (inner, each) in enumerate(zip(want, got, strict=True)):
                yield from differences(inner, each, f"{at}[{number}]", saved)
        case _:
            if type(want) is not type(got) or want != got:
                yield f"{at} is {got!r}, not {want!r}"


def matches(want: Any, got: Any) -> bool:
    """Return whether a value is as wanted."""
    return not [*differences(want, got, "", {})]


def _members(
    wanted: list[Any], got: Any, at: str, saved: dict[str, Any], *, at_least: bool
) -> Iterator[str]:
    """Yield how a list differs from the wanted items, in whatever order."""
    left = list(got) if isinstance(got, list) else []
    for item in wanted:
        found = next((each for each in left if matches(item, each)), None)
        if found is None:
            yield f"{at} has no {item}"
            return
        left.remove(found)
        yield from differences(item, found, at, saved)
    if left and not at_least:
        yield f"{at} has more items: {left}"
