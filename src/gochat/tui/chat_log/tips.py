"""The tooltip for what is under the mouse."""

from __future__ import annotations

from typing import Final

from rich.style import Style

from gochat.tui.chat_log.index import ItemNode
from gochat.tui.language import _, ngettext
from gochat.tui.text.dates import full_date
from gochat.tui.text.names import separated
from gochat.tui.text.sanitise import sanitise_line

#: Names in one tip; the others are counted.
_NAMED: Final = 20


def tip(node: ItemNode, style: Style) -> str:
    """Return an address, the full time, the people of a run; or an empty string."""
    if style.link:
        return style.link
    role = style.meta.get("chat", ("", ""))[0]
    if role == "time":
        local = node.local
        return _("{date}, {time} {zone}", date=full_date(local), time=f"{local:%H:%M:%S}",
                 zone=f"{local:%Z}")  # fmt: skip
    if node.run is not None and role == "people":
        return "\n".join(
            _("{what}: {names}", what=sanitise_line(_(verb)), names=_names(people))
            for verb, people in node.run.summary()
        )
    return ""


def _names(people: list[str]) -> str:
    named = separated([sanitise_line(name) for name in people[:_NAMED]])
    unnamed = len(people) - _NAMED
    if unnamed <= 0:
        return named
    return ngettext("{names} and {n} more", "{names} and {n} more", unnamed, names=named)
