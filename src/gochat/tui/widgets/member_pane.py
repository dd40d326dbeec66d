"""The right side of a wide terminal: who is in the conversation that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from gochat.client import Status
from gochat.tui.language import _, grouped
from gochat.tui.model import members
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.presentation import status_sign, status_text
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow, RowList
from gochat.tui.widgets.side_pane import presence_sign


class MemberPane(Vertical):
    """Shows the members of the shown conversation; posts whom the person chooses."""

    class PersonChosen(Message):
        """The person wants to write to somebody."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Scrolled(Message):
        """Others are visible."""

    def __init__(self, model: ChatModel, *, id: str | None = None) -> None:  # noqa: A002 – as widgets say
        super().__init__(id=id)
        self._model = model
        self.rows = RowList(self._draw, id="member-rows")
        self._heading = Static("", id="member-heading", markup=False)
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        """A heading, and the list."""
        yield self._heading
        yield self.rows

    def use_language(self) -> None:
        """Show everything in the language that is in use now."""
        self._drawn = None
        self.refresh_members()

    def refresh_members(self) -> None:
        """Show what has changed, if it is on the screen and looks otherwise."""
        if not self.display or not self.is_attached:
            return
        view = self._model.shown
        found = members.names(self._model)
        looks = [self._look(name) for name in found or ()]
        drawn = (view.conv, found is None, looks)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        names: Sequence[str] = found or ()
        number = grouped(len(names)) if found is not None else "…"
        self._heading.update(_("Here · {n}", n=number), layout=False)
        self.rows.show(names)

    def _look(self, name: str) -> tuple[str, bool, bool, bool, Status | None]:
        person = self._model.people.get(name)
        is_away = person is not None and person.away is not None
        is_operator = bool((self._model.shown.members or {}).get(name))
        return name, person is not None, is_away, is_operator, self._model.status_of(name)

    def _draw(self, key: str) -> ListRow:
        """Whether they are online, the name, what they say of themselves, and what they are here.

        Of what they say the emoji stays longest, where there is little room.
        """
        _name, _is_online, is_away, is_operator, said = self._look(key)
        status = "" if said is None else f"{status_sign(said)} {status_text(said)}".strip()
        left = Content.assemble(
            " ", presence_sign(self._model, key), " ",
            Content.styled(one_line(key), "$foreground"),
            Content.styled(f"  {status}" if status else "", "$text-muted"),
        )  # fmt: skip
        signs = [
            text
            for text, is_so in (
                (_("away"), is_away),
                (_("operator"), is_operator),
                (_("you"), key == self._model.me),
            )
            if is_so
        ]
        return ListRow(left, Content.styled(f"{' · '.join(signs)} ", "$text-muted"))

    @on(RowList.Scrolled)
    def _scrolled(self, event: RowList.Scrolled) -> None:
        event.stop()
        self.post_message(self.Scrolled())

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        event.stop()
        self.post_message(self.PersonChosen(event.key))
