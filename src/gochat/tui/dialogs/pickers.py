"""Rooms, members of a room, people, reactions: lists to choose from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar, Final

from textual import on
from textual.content import Content

from gochat.client import Member, Room
from gochat.tui.dialogs.picker import Picker, highlighted
from gochat.tui.input import emoji, fuzzy
from gochat.tui.language import N_, _, grouped, ngettext, pgettext
from gochat.tui.model.presentation import count
from gochat.tui.text.names import natural
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow, RowList

CREATE: Final = "create:"


class RoomPicker(Picker):
    """The rooms that the person may see. Returns an address, or ``create:`` and what was typed."""

    heading: ClassVar[str] = N_("Rooms")
    placeholder: ClassVar[str] = N_("Find a room, or name a new one")
    keys_text: ClassVar[str] = N_("Enter join or open   ↑↓ move   Esc close")

    def __init__(self, rooms: Sequence[Room]) -> None:
        super().__init__()
        self._rooms = {room.name: room for room in rooms}

    def show_rooms(self, rooms: Sequence[Room]) -> None:
        """Show these rooms instead."""
        self._rooms = {room.name: room for room in rooms}
        self.refresh_rows(to_top=not self.query_text)

    def find(self, query: str) -> Sequence[str]:
        """Rooms by name, then by words of the topic, then creating one.

        Not by letters that stand apart in topics: a new name would find nearly every long one.
        """
        wanted = query.strip().lstrip("#")
        found = fuzzy.rank(wanted, self._rooms, lambda key: key[1:])
        words = wanted.casefold().split()
        found += [
            key
            for key, room in self._rooms.items()
            if key not in found and all(word in room.topic.casefold() for word in words)
        ]
        if wanted and f"#{wanted}" in self._rooms:
            return found
        return [*found, f"{CREATE}{wanted}"]

    def draw(self, key: str) -> ListRow:
        """Name, topic, and how many are in it."""
        if key.startswith(CREATE):
            wanted = key.removeprefix(CREATE)
            what = _("Create #{name}", name=wanted) if wanted else _("Create a room")
            return ListRow(Content.assemble(" ", Content.styled(f"+ {what}…", "$primary")))
        room = self._rooms[key]
        left = Content.assemble(
            " ", Content.styled("#", "$text-muted"), Content.styled(one_line(key[1:]), "bold"),
            Content.styled(f"  {one_line(room.topic)}", "$text-muted"),
        )  # fmt: skip
        people = count(room.members)
        signs = [ngettext("{n} person", "{n} people", room.members, n=people)]
        if room.private:
            signs.append(pgettext("room", "private"))
        if room.archived:
            signs.append(_("archived"))
        if room.joined:
            signs.append(pgettext("room", "joined"))
        return ListRow(left, Content.styled(f"{' · '.join(signs)} ", "$text-muted"))


class MemberPicker(Picker):
    """Who is in a room, or online. Returns a name.

    `status` returns what somebody says of themselves; `ask` is called with the names of those who
    are visible, and may ask for it.
    """

    placeholder: ClassVar[str] = N_("Find a person")

    def __init__(
        self,
        title: str,
        members: Sequence[Member],
        me: str,
        blocked: Collection[str] = (),
        status: Callable[[str], str] = lambda _name: "",
        ask: Callable[[Sequence[str]], None] = lambda _names: None,
    ) -> None:
        super().__init__()
        self._status, self._ask = status, ask
        self._title_text, self._me, self._blocked = title, me, blocked
        self.members = _in_order(members)

    def show_members(self, members: Sequence[Member]) -> None:
        """Show these people instead."""
        self.members = _in_order(members)
        self.refresh_title()
        self.refresh_rows(to_top=not self.query_text)

    def statuses_changed(self) -> None:
        """Show what people say of themselves now."""
        self.rows.refresh()

    def refresh_rows(self, *, to_top: bool = True) -> None:
        """Find again, and ask for what is not known of those who are visible now."""
        super().refresh_rows(to_top=to_top)
        self._ask(self.rows.keys_near)

    @on(RowList.Scrolled)
    def _scrolled(self, event: RowList.Scrolled) -> None:
        event.stop()
        self._ask(self.rows.keys_near)

    def title_text(self) -> str:
        """Whose members, and how many."""
        return f"{self._title_text} · {grouped(len(self.members))}"

    def find(self, query: str) -> Sequence[str]:
        """By name."""
        return fuzzy.rank(query.strip().lstrip("@"), self.members, lambda key: key)

    def draw(self, key: str) -> ListRow:
        """Name, whether online, what they say of themselves, and what they are in the room."""
        member = self.members[key]
        sign = Content.styled("●", "$success") if member.online else Content.styled(
            "○", "$text-disabled"
        )  # fmt: skip
        found = fuzzy.match(self.query_text.strip().lstrip("@"), key)
        shown = one_line(key)
        title = highlighted(shown, found[1] if found and shown == key else ())
        status = self._status(key)
        said = Content.styled(f"  {status}", "$text-muted") if status else ""
        signs = [text for text, true in (
            (_("blocked"), key in self._blocked), (_("operator"), member.operator),
            (_("you"), key == self._me),
        ) if true]  # fmt: skip
        return ListRow(
            Content.assemble(" ", sign, " ", title, said),
            Content.styled(f"{' · '.join(signs)} ", "$text-muted"),
        )


def _in_order(members: Sequence[Member]) -> dict[str, Member]:
    order = sorted(members, key=lambda m: (not m.operator, not m.online, natural(m.name)))
    return {member.name: member for member in order}


class ActionMenu(Picker):
    """What can be done with a person or a message. Returns the key of an action."""

    def __init__(self, title: str, actions: dict[str, str]) -> None:
        super().__init__()
        self._title_text, self._actions = title, actions

    def title_text(self) -> str:
        """Whom or what it is about."""
        return self._title_text

    def find(self, query: str) -> Sequence[str]:
        """By what it does."""
        return fuzzy.rank(query.strip(), self._actions, lambda key: self._actions[key])

    def draw(self, key: str) -> ListRow:
        """What it does."""
        return ListRow(Content(f" {self._actions[key]}"))


class PersonMenu(ActionMenu):
    """What can be done with a person, which `actions` returns: it changes with the roles."""

    def __init__(self, title: str, actions: Callable[[], dict[str, str]]) -> None:
        super().__init__(title, actions())
        self._now = actions

    def look(self) -> None:
        """Show what can be done now. The cursor stays where it is; if that can't be done any more,
        it goes to the top: Enter was not meant for what is below."""
        actions = self._now()
        if actions != self._actions:
            self._actions = actions
            self.refresh_rows(to_top=self.rows.cursor_key not in actions)


class ListMenu(ActionMenu):
    """What the server is asked for, to choose from; open before the answer is there.

    `empty` is shown if there is nothing. `refusal` returns why the person may not see this any
    more, if they may not.
    """

    def __init__(self, title: str, empty: str, refusal: Callable[[], str] = lambda: "") -> None:
        super().__init__(title, {})
        self._empty, self._is_known = empty, False
        self._refusal, self._refused = refusal, ""

    def look(self) -> None:
        """Show nothing while the person may not see it."""
        if (refused := self._refusal()) != self._refused:
            self._refused = refused
            self.refresh_rows()

    def find(self, query: str) -> Sequence[str]:
        """By what they are."""
        return () if self._refused else super().find(query)

    def show_actions(self, actions: dict[str, str]) -> None:
        """Show what there is: the answer."""
        self._actions, self._is_known = actions, True
        if self.is_attached:
            self.refresh_rows()

    def nothing_text(self) -> str:
        """That it is being loaded, or that there is nothing, or not for the person."""
        if self._refused:
            return self._refused
        if not self._is_known:
            return _("Loading…")
        return super().nothing_text() if self._actions else self._empty


class EmojiPicker(Picker):
    """Emoji to react with. Returns one."""

    heading: ClassVar[str] = N_("React")
    placeholder: ClassVar[str] = N_("Find an emoji: tada, heart, eyes …")

    def __init__(self, given: Sequence[str] = ()) -> None:
        super().__init__()
        self._given = given

    def find(self, query: str) -> Sequence[str]:
        """The usual ones first, by name."""
        wanted = query.strip().strip(":").casefold()
        if not wanted:
            usual = [sign for sign in self._given if sign in _NAMES]
            return list(dict.fromkeys([*usual, *(emoji.EMOJI[name] for name in emoji.USUAL)]))
        return list(dict.fromkeys(sign for name, sign in emoji.matching(wanted)))

    def draw(self, key: str) -> ListRow:
        """The emoji, and its name."""
        yours = _("yours, choose to take it back") if key in self._given else ""
        return ListRow(
            Content.assemble(f" {key}  ", Content.styled(_NAMES[key], "$text-muted")),
            Content.styled(f"{yours} " if yours else "", "$text-muted"),
        )


_NAMES: Final = {sign: name for name, sign in reversed(emoji.EMOJI.items())}
