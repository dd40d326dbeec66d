"""The tooltip for what is under the mouse."""

from __future__ import annotations

from typing import Final

from rich.style import Style

from gochat.tui.chat_log.index import ItemNode
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
        return f"{local:%A}, {local.day} {local:%B %Y}, {local:%H:%M:%S} {local:%Z}"
    if node.run is not None and role == "people":
        return "\n".join(
            f"{sanitise_line(verb)}: {_names(people)}" for verb, people in node.run.summary()
        )
    return ""


def _names(people: list[str]) -> str:
    named = ", ".join(sanitise_line(name) for name in people[:_NAMED])
    unnamed = len(people) - _NAMED
    return f"{named} and {unnamed} more" if unnamed > 0 else named
