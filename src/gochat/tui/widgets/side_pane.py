"""The left side: rooms, private conversations, and who is online."""

from __future__ import annotations

from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from gochat.tui.language import N_, _, grouped
from gochat.tui.model import activity
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.order import Group, GroupName
from gochat.tui.model.presentation import count, status_sign
from gochat.tui.model.views import ConversationView
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.conversation_list import ConversationList
from gochat.tui.widgets.row_list import ListRow, RowList
from gochat.tui.widgets.text_field import TextField

#: How the keys of rows begin that are not conversations.
_SIGN: Final = "="
_FIND: Final = N_("Find a person")
_GAP: Final = "= gap"
_MORE: Final = "= more"
_ACTIVITY: Final = "= activity"
_HEADINGS: Final[dict[GroupName, str]] = {
    "unread": N_("Unread"),
    "invitations": N_("Invitations"),
    "favourites": N_("Favourites"),
    "rooms": N_("Rooms"),
    "private": N_("Private"),
}
#: People who are visible whatever the number of conversations, and the lines around them.
_PEOPLE: Final = 4
_AROUND_PEOPLE: Final = 3


class SidePane(Vertical):
    """Shows the conversations and the people of a model; posts which is chosen."""

    class ConversationChosen(Message):
        """The person wants to see this conversation."""

        def __init__(self, conv: str) -> None:
            super().__init__()
            self.conv = conv

    class ActivityWanted(Message):
        """The person wants to see what concerns them."""

    class RoomsWanted(Message):
        """The person wants to see all rooms."""

    def __init__(self, model: ChatModel, *, id: str | None = None) -> None:  # noqa: A002 – as widgets say
        super().__init__(id=id)
        self._model = model
        #: The upper list, the lower one, and the field that searches it.
        self.conversations = ConversationList(
            self._draw_conversation, self._unread, id="conversations"
        )
        self.people = RowList(self._draw_person, id="people")
        self.filter = TextField(placeholder=_(_FIND), id="people-filter", compact=True)
        self._total = -1
        self._new = 0
        self._drawn: list[object] = []
        self._groups: dict[str, Group] = {}
        self._heading = Static("", id="people-heading", markup=False)

    def compose(self) -> ComposeResult:
        """Two lists with a heading each; the lower one can be searched."""
        yield self.conversations
        yield self._heading
        yield self.filter
        yield self.people

    def use_language(self) -> None:
        """Show everything in the language that is in use now."""
        self.filter.placeholder = _(_FIND)
        self._total, self._drawn = -1, []
        self.refresh_people()
        self.refresh_conversations()

    def refresh_conversations(self) -> None:
        """Show what has changed in the conversations."""
        # Drawn again only when it looks otherwise: an unread count that is not shown, for example,
        # changes with each of five hundred messages a second.
        groups = self._model.groups()
        self._new = activity.count_new_items(self._model)
        drawn: list[object] = [
            *(self._model.current, self._room(), groups, self._new),
            *(self._look(view) for view in self._model.conversations.values()),
        ]
        if drawn == self._drawn:
            return
        self._drawn = drawn
        self._groups = {f"{_SIGN} {group.name}": group for group in groups}
        self.conversations.styles.max_height = self._room()
        keys = self._rows(gaps=True)
        if len(keys) > self._room():
            keys = self._rows(gaps=False)
        self.conversations.show(keys, self._model.current)

    def _room(self) -> int:
        """Return how many lines the conversations may take: all that the people don't need."""
        people = min(max(1, len(self._model.people)), _PEOPLE)
        return max(_PEOPLE, self.size.height - _AROUND_PEOPLE - people)

    def on_resize(self) -> None:
        """Take the room that there is now."""
        self.refresh_conversations()

    def _rows(self, *, gaps: bool) -> list[str]:
        keys = [_ACTIVITY] if self._new else []
        for heading, group in self._groups.items():
            if gaps and keys:
                keys.append(_GAP)
            keys.append(heading)
            keys += [c for c in group.convs if not group.folded or c == self._model.current]
            if group.name == "rooms" and not group.folded:
                keys.append(_MORE)
        return keys

    def _unread(self, key: str) -> int:
        view = self._model.conversations.get(key)
        return view.badge if view is not None and key != self._model.current else 0

    def refresh_people(self) -> None:
        """Show who is online now."""
        total = len(self._model.people)
        if total != self._total:
            self._total = total
            self._heading.update(_("Online · {n}", n=total), layout=False)
        self.people.show(self._model.people.matching(self.filter.value))

    def _look(self, view: ConversationView) -> object:
        person = None if view.is_room else self._model.people.get(view.name)
        said = None if view.is_room else self._model.status_of(view.name)
        has_draft = view.is_begun
        return (
            *(view.conv, view.badge, view.mentions, view.wanted, view.joined, has_draft),
            *(person, said),
        )

    def _draw_conversation(self, key: str) -> ListRow:
        if (group := self._groups.get(key)) is not None:
            sign = "▸" if group.folded else "▾"
            heading = Content.styled(f"{sign} {_(_HEADINGS[group.name])}", "$text-muted")
            right = self._folded(group) if group.folded else Content.styled(" ", "$text-muted")
            return ListRow(heading, right)
        if key == _ACTIVITY:
            new = Content.styled(f"{count(self._new)} ", "$accent bold")
            return ListRow(Content.styled("★ " + _("Activity"), "$foreground bold"), new)
        if key == _GAP:
            return ListRow(Content(""), enabled=False)
        if key == _MORE:
            return ListRow(Content.styled(" + " + _("more rooms"), "$text-muted"))
        view = self._model.conversations.get(key)
        if view is None:  # an invitation
            name = Content.assemble(
                " ", Content.styled("#", "$text-muted"), Content.styled(one_line(key[1:]), "bold")
            )
            return ListRow(name, _invited())
        return ListRow(self._title(view), self._badge(view))

    def _title(self, view: ConversationView) -> Content:
        style = "$text-muted" if not view.joined or view.wanted == "none" else "$foreground"
        if view.badge:
            style = "$foreground bold"
        if view.is_room:
            sign = Content.styled("#", "$text-muted")
        else:
            sign = presence_sign(self._model, view.name) + " "
        name = Content.styled(one_line(view.name), style)
        said = Content("") if view.is_room else self._status_sign(view.name)
        return Content.assemble(" ", sign, name, said)

    def _status_sign(self, name: str) -> Content:
        """Return the emoji of somebody's status, to stand after their name."""
        said = self._model.status_of(name)
        sign = "" if said is None else status_sign(said)
        return Content(f"  {sign}" if sign else "")

    def _badge(self, view: ConversationView) -> Content:
        if view.conv in self._model.invitations and not view.joined:
            return _invited()
        if view.badge:
            style = "$accent bold" if view.rank == 0 else "$foreground bold"
            return self._unread_sign(view.badge, bool(view.mentions), style)
        if view.is_begun and view.conv != self._model.current:
            return Content.styled("✎ ", "$text-muted")
        return Content("")

    def _unread_sign(self, number: int, is_mentioned: bool, style: str) -> Content:
        mark = Content.styled("@ ", "$accent bold") if is_mentioned else Content("")
        return Content.assemble(mark, Content.styled(f"{count(number)} ", style))

    def _folded(self, group: Group) -> Content:
        """Draw how many a folded group has: messages that are unread, or else conversations."""
        views = [v for c in group.convs if (v := self._model.conversations.get(c)) and v.badge]
        if not views:
            return Content.styled(f"{grouped(len(group.convs))} ", "$text-muted")
        return self._unread_sign(
            sum(view.badge for view in views), any(view.mentions for view in views), "$accent bold"
        )

    def _draw_person(self, key: str) -> ListRow:
        me = key == self._model.me
        left = Content.assemble(
            " ", presence_sign(self._model, key), " ",
            Content.styled(one_line(key), "$foreground"), self._status_sign(key),
        )  # fmt: skip
        person = self._model.people.get(key)
        if me:
            return ListRow(left, Content.styled(_("you") + " ", "$text-muted"))
        if person is not None and person.away is not None:
            return ListRow(left, Content.styled(_("away") + " ", "$text-muted"))
        return ListRow(left)

    @on(Input.Changed, "#people-filter")
    def _filter(self, event: Input.Changed) -> None:
        event.stop()
        self.refresh_people()

    @on(Input.Submitted, "#people-filter")
    def _first(self, event: Input.Submitted) -> None:
        event.stop()
        if self.people.keys:
            self._choose(f"@{self.people.keys[0]}")

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        if event.rows is self.people:
            self._choose(f"@{event.key}")
        elif event.key == _ACTIVITY:
            self.post_message(self.ActivityWanted())
        elif event.key == _MORE:
            self.post_message(self.RoomsWanted())
        elif (group := self._groups.get(event.key)) is not None:
            self._model.folded ^= {group.name}
            self.refresh_conversations()
        else:
            self._choose(event.key)

    def _choose(self, conv: str) -> None:
        self.filter.clear()
        self.post_message(self.ConversationChosen(conv))


def _invited() -> Content:
    return Content.styled(_("invited") + " ", "$accent bold")


def presence_sign(model: ChatModel, person: str) -> Content:
    """Return the sign for whether somebody is online, away or neither."""
    online = model.people.get(person)
    if online is None:
        return Content.styled("○", "$text-disabled")
    if online.away is not None:
        return Content.styled("◐", "$warning")
    return Content.styled("●", "$success")
