"""A field of a form."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Label, Static

from gochat.tui.widgets.text_field import TextField


class Field(Vertical):
    """A label, an input, and the place for what is wrong with it."""

    DEFAULT_CSS = "Field { height: auto; }"

    def __init__(self, name: str, label: str, value: str = "", *, password: bool = False) -> None:
        super().__init__(id=f"field-{name}")
        self._label, self._value, self._password = label, value, password
        self._input_id = name

    def compose(self) -> ComposeResult:
        """Stack the three."""
        yield Label(self._label, classes="field-label")
        yield TextField(
            self._value, password=self._password, compact=True, id=self._input_id,
            select_on_focus=False,
        )  # fmt: skip
        yield Static("", classes="field-error", markup=False)

    def on_descendant_focus(self) -> None:
        """Mark which field is typed into. (Textual's `:focus-within` forgets the label.)"""
        self.add_class("-focused")

    def on_descendant_blur(self) -> None:
        """Something else is typed into."""
        self.remove_class("-focused")

    @property
    def input(self) -> Input:
        """The input."""
        return self.query_one(Input)

    def show_error(self, text: str) -> None:
        """Show what is wrong, or nothing."""
        self.set_class(bool(text), "-wrong")
        self.query_one(".field-error", Static).update(text)
