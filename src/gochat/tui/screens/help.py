"""Help for what one is doing: its keys first, then everything else."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from gochat.tui import commands, keys
from gochat.tui.keys import Keymap

#: What can have the focus, and what the keys do there that aren't in the table of actions.
MESSAGE_KEYS: Final = (
    ("↑ ↓", "select another message"),
    ("r", "reply"),
    ("+", "react"),
    ("e", "edit your own"),
    ("d", "delete your own; discard one that was not sent"),
    ("y", "copy its text"),
    ("o", "open its link"),
    ("R", "send again what was not sent"),
    ("Esc", "back to the input"),
)
LIST_KEYS: Final = (
    ("↑ ↓ PgUp PgDn", "move"),
    ("Enter", "open"),
    ("Tab", "the next list; the field between them finds a person"),
    ("Esc", "back to the input"),
)
MOUSE: Final = (
    ("click a name", "write to that person"),
    ("click a link", "open it"),
    ("drag", "select text; Ctrl+C copies it"),
    ("wheel", "scroll"),
    ("click the keys below", "do what they do"),
)
WRITING: Final = (
    ("**bold**  *italic*", "emphasis"),
    ("`code`  ```", "code, in a line or in a block"),
    ("> text", "a quote"),
    ("@name", "mention somebody: they are told"),
    (":tada:", "🎉"),
)

#: The column in which the explanations begin.
_COLUMN: Final = 24


class HelpScreen(ModalScreen[None]):
    """`focus` is ``input``, ``message`` or ``list``; `command` is one to explain."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "app.pop_screen", show=False),
    ]
    AUTO_FOCUS = "#help-text"

    def __init__(self, keymap: Keymap, focus: str = "input", command: str = "") -> None:
        super().__init__()
        self._keymap, self._on, self._command = keymap, focus, command

    def compose(self) -> ComposeResult:
        """A box with a scrolling text."""
        with Vertical(id="help"):
            yield Static("Help", id="help-title", markup=False)
            with VerticalScroll(id="help-text"):
                yield Static(self._text(), markup=False)
            yield Static("↑↓ scroll   Esc close", id="help-keys", markup=False)

    def _text(self) -> Content:
        sections: list[Content] = []
        if (command := commands.find(self._command)) is not None:
            also = " ".join(f"/{alias}" for alias in command.aliases)
            rows = [(command.usage, command.text)] + ([(also, "the same")] if also else [])
            sections.append(_section(f"/{command.name}", rows))
        here = {
            "message": ("The selected message", MESSAGE_KEYS),
            "list": ("Rooms and people", LIST_KEYS),
        }
        writing = _section("Writing", [*self._actions("input"), *WRITING])
        if self._on in here:
            sections += [_section(*here.pop(self._on)), writing]
        else:
            sections.append(writing)
        sections.append(_section("Everywhere", [*self._actions("chat"), *self._actions("app")]))
        sections += [_section(title, rows) for title, rows in here.values()]
        sections.append(
            _section("Commands", [(command.usage, command.text) for command in commands.COMMANDS])
        )
        sections.append(_section("Mouse", MOUSE))
        return Content("\n\n").join(sections)

    def _actions(self, place: str) -> list[tuple[str, str]]:
        rows = [
            (self._keymap.all_shown(action.name), action.text)
            for action in keys.ACTIONS
            if action.place == place
            and not action.name.startswith("conversation_")
            and action.name not in ("down", "complete_back")
        ]
        if place == "chat":
            rows.insert(5, ("Alt+1 … Alt+9", "the first nine conversations"))
        return rows

    def on_click(self, event: events.Click) -> None:
        """A click beside the box closes it."""
        if event.widget is self:
            self.dismiss()


def _section(title: str, rows: object) -> Content:
    lines = [Content.styled(title, "bold $primary")]
    assert isinstance(rows, list | tuple)
    for key, text in rows:
        gap = " " * max(2, _COLUMN - len(key))
        text = text[:1].lower() + text[1:] if not text[:2].isupper() else text
        lines.append(
            Content.assemble(
                "  ", Content.styled(key, "bold"), gap, Content.styled(text, "$text-muted")
            )
        )
    return Content("\n").join(lines)
