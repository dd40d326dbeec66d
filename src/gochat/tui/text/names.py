"""Names in lists: their order, and what is left of them where there is little room."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from gochat.tui.language import _, pgettext
from gochat.tui.text.wrap import clusters

_NUMBER: Final = re.compile("[0-9]+")
#: Stands for what was left out.
ELLIPSIS: Final = "…"


def natural(name: str) -> str:
    """Return what names are sorted by: regardless of case, and ``room 2`` before ``room 10``."""
    return _NUMBER.sub(_number, name.casefold())


def _number(found: re.Match[str]) -> str:
    # A longer number is greater; so its length comes first, in as many digits for each.
    digits = found.group().lstrip("0")
    return f"{len(digits):03}{digits}"


def listed(names: Sequence[str]) -> str:
    """Return names as people list them: ``mei, tom and zoë``."""
    if len(names) < 2:
        return "".join(names)
    return _("{names} and {last}", names=separated(names[:-1]), last=names[-1])


def either(names: Sequence[str]) -> str:
    """Return names of which one is meant: ``mei, tom or zoë``."""
    if len(names) < 2:
        return "".join(names)
    return _("{names} or {last}", names=separated(names[:-1]), last=names[-1])


def separated(names: Sequence[str]) -> str:
    """Return names with what stands between those of a list: ``mei, tom``."""
    return pgettext("between the names of a list", ", ").join(names)


def shortened(name: str, width: int) -> str:
    """Return `name` in at most `width` cells, with an ellipsis in its middle if that isn't all.

    Names that begin alike mostly differ in how they end.
    """
    if cell_len(name) <= width:
        return name
    first, last = cut(name, width)
    return f"{name[:first]}{ELLIPSIS}{name[last:]}"


def cut(name: str, width: int) -> tuple[int, int]:
    """Return the range of a name that gives way to an ellipsis in `width` cells (1 at least)."""
    parts = clusters(name)
    room, used = width - 1, 0
    first, last = 0, len(parts)
    while first < len(parts) and used + parts[first].cells <= room - room // 2:
        used += parts[first].cells
        first += 1
    while last > first and used + parts[last - 1].cells <= room:
        last -= 1
        used += parts[last].cells
    return parts[first - 1].end if first else 0, parts[last].start if last < len(parts) else len(
        name
    )
