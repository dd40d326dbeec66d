"""Going to a room or a person by a few letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.content import Content

from gochat.client import Room
from gochat.tui.dialogs.picker import Picker, highlighted
from gochat.tui.input import fuzzy
from gochat.tui.language import N_, _
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.presentation import count
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow

#: People who are looked through for letters that stand apart, with each key that is typed.
_PEOPLE = 1000


class Switcher(Picker):
    """Conversations, then rooms to join, then people. Returns an address."""

    heading: ClassVar[str] = N_("Go to")
    placeholder: ClassVar[str] = N_("A room or a person")
    nothing: ClassVar[str] = N_("No room or person matches.")
    keys_text: ClassVar[str] = N_("Enter go there   ↑↓ move   Esc close")

    def __init__(self, model: ChatModel, rooms: Sequence[Room] = ()) -> None:
        super().__init__()
        self._model = model
        self._rooms = {room.name: room for room in rooms if not room.joined}

    def add_rooms(self, rooms: Sequence[Room]) -> None:
        """Offer rooms that can be joined, too."""
        self._rooms = {room.name: room for room in rooms if not room.joined}
        self.refresh_rows(to_top=False)

    def find(self, query: str) -> Sequence[str]:
        """The previous conversation first, then what is unread, then all others."""
        model = self._model
        wanted = query.strip()
        # What is shown already is found by its name only, or it would seem not to exist.
        known = [view.conv for view in model.ordered() if wanted or view.conv != model.current]
        known.sort(key=self._urgency)
        others = [room for room in self._rooms if room not in model.conversations]
        near = model.people.matching(wanted.lstrip("#"))[:_PEOPLE]
        people = [
            f"@{person}"
            for person in dict.fromkeys([*near, *model.people.names()[:_PEOPLE]])
            if f"@{person}" not in model.conversations and person != model.me
        ]
        if not wanted:
            return [*known, *others, *people]
        sign = wanted[0] if wanted[0] in "#@" else ""
        candidates = [key for key in (*known, *others, *people) if key.startswith(sign)]
        return fuzzy.rank(wanted.lstrip("#@"), candidates, lambda key: key[1:])

    def _urgency(self, conv: str) -> tuple[bool, bool, bool]:
        view = self._model.conversations[conv]
        urgent = view.badge and (view.mentions or not view.is_room)
        return (conv != self._model.previous, not urgent, not view.badge)

    def draw(self, key: str) -> ListRow:
        """Name, what it is about, and what is unread."""
        found = fuzzy.match(self.query_text.strip().lstrip("#@"), key[1:])
        positions = found[1] if found else ()
        view = self._model.conversations.get(key)
        title = highlighted(one_line(key[1:]), positions if one_line(key[1:]) == key[1:] else ())
        about, right = "", Content("")
        if view is not None and view.is_room:
            about = one_line(view.topic)
        elif key in self._rooms:
            topic = one_line(self._rooms[key].topic)
            about = " · ".join(part for part in (_("not joined"), topic) if part)
        elif key[1:] not in self._model.people:
            about = _("offline")
        if view is not None and view.badge:
            mention = "@" if view.mentions else ""
            right = Content.styled(f"{mention}{count(view.badge)} ", "$accent bold")
        sign = Content.styled(f" {key[0]}", "$text-muted")
        return ListRow(
            Content.assemble(sign, title, Content.styled(f"  {about}", "$text-muted")), right
        )
