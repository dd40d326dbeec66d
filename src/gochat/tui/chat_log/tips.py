"""What is told about a place that the mouse is over."""

from __future__ import annotations

from typing import Final

from rich.style import Style

from gochat.tui.chat_log.index import Entry
from gochat.tui.text.sanitise import sanitise_line

#: Names in one tip; of a crowd the rest is counted.
_NAMED: Final = 20


def tip(entry: Entry, style: Style) -> str:
    """Return an address, the full time, the people of a run; nothing if nothing is left to tell."""
    if style.link:
        return style.link
    role = style.meta.get("chat", ("", ""))[0]
    if role == "time":
        local = entry.local
        return f"{local:%A}, {local.day} {local:%B %Y}, {local:%H:%M:%S} {local:%Z}"
    if entry.run is not None and role == "people":
        return "\n".join(
            f"{sanitise_line(verb)}: {_names(people)}" for verb, people in entry.run.told()
        )
    return ""


def _names(people: list[str]) -> str:
    named = ", ".join(sanitise_line(name) for name in people[:_NAMED])
    rest = len(people) - _NAMED
    return f"{named} and {rest} more" if rest > 0 else named
