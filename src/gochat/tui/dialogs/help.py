"""Help for what the person is doing: its keys first, then everything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from gochat.tui.dialogs.panel import Panel
from gochat.tui.input import commands, keys
from gochat.tui.input.keys import Keymap

#: What can have the focus, and what the keys do there that aren't in the table of actions.
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
    ("@name", "mention somebody, who is notified"),
    (":tada:", "🎉"),
)

#: With Vim's keys: what the table of actions does not have.
VIM: Final = (
    ("Esc · i a I A o O", "normal mode · insert mode; Enter sends in both"),
    ("h l w b e 0 ^ $ f t ; %", "move; with a count before it: 3w"),
    ("d c y gu gU g~", 'cut, change, copy, case: with a motion, or dd, ciw, di", ca('),
    ("x D C s S r ~ J p P", "the short ones"),
    ("v V", "select by character or line"),
    ("u Ctrl+R .", "undo, redo, repeat"),
    ('"a "+', "a register; + is the terminal's clipboard"),
    ("k j", "lines; then what you sent; a message, when the input is empty"),
    ("gg G Ctrl+U Ctrl+D", "the log, from an empty input or with a message selected"),
    ("/ n N", "search; the next message found, the one before"),
    ("gt gT 3gt", "the next conversation, the one before, the third"),
    (":", "all commands by name"),
)

_SCROLLING: Final = frozenset({"page_up", "page_down", "oldest", "now", "home", "end"})


class HelpScreen(Panel[None]):
    """`focus` is ``input``, ``message`` or ``list``; `command` is one to explain."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "cancel", show=False),
    ]
    AUTO_FOCUS = "#help-text"
    box: ClassVar[str] = "help"

    def __init__(self, keymap: Keymap, focus: str = "input", command: str = "") -> None:
        super().__init__()
        self._keymap, self._on, self._command = keymap, focus, command
        self._body = Static("", markup=False)
        self._width = 76

    def compose(self) -> ComposeResult:
        """A box with a scrolling text."""
        with Vertical(id="help"):
            yield Static("Help", id="help-title", markup=False)
            with VerticalScroll(id="help-text"):
                yield self._body
            yield Static("↑↓ scroll   Esc close", id="help-keys", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        """Write the text for this width."""
        self._width = min(84, event.size.width) - 6
        self._body.update(self._text())

    def _text(self) -> Content:
        sections: list[Content] = []

        def section(title: str, rows: Iterable[tuple[str, str]]) -> Content:
            return _section(title, rows, self._width)

        if (command := commands.find(self._command)) is not None:
            also = " ".join(f"/{alias}" for alias in command.aliases)
            rows = [(command.usage, command.text)] + ([(also, "the same")] if also else [])
            sections.append(section(f"/{command.name}", rows))
        message = [
            ("↑ ↓", "select another message"),
            *self._actions("message"),
            ("Esc", "back to the input"),
        ]
        here: dict[str, tuple[str, Sequence[tuple[str, str]]]] = {
            "message": ("The selected message", message),
            "list": ("Rooms and people", LIST_KEYS),
        }
        writing = section("Writing", [*self._actions("input"), *WRITING])
        if self._keymap.is_modal:
            writing = Content("\n\n").join([writing, section("Vim's keys", VIM)])
        if self._on in here:
            sections += [section(*here.pop(self._on)), writing]
        else:
            sections.append(writing)
        sections.append(section("Everywhere", [*self._actions("chat"), *self._actions("app")]))
        sections += [section(title, rows) for title, rows in here.values()]
        sections.append(
            section("Commands", [(command.usage, command.text) for command in commands.COMMANDS])
        )
        sections.append(section("Mouse", MOUSE))
        return Content("\n\n").join(sections)

    def _actions(self, scope: str) -> list[tuple[str, str]]:
        rows = [
            (self._keymap.all_shown(action.name), action.text)
            for action in sorted(keys.ACTIONS, key=lambda action: action.name in _SCROLLING)
            if action.scope == scope
            and self._keymap.keys[action.name]
            and not action.name.startswith("conversation_")
            and action.name not in ("down", "complete_back")
        ]
        if scope == "chat":
            rows.insert(5, ("Alt+1 … Alt+9", "the first nine conversations"))
        return rows


def _section(title: str, rows: Iterable[tuple[str, str]], width: int) -> Content:
    """Return a heading and rows of two columns; what is too long for one goes on below."""
    column = 26 if width > 60 else 16
    lines = [Content.styled(title, "bold $primary")]
    for key, meaning in rows:
        text = meaning if meaning[:2].isupper() else meaning[:1].lower() + meaning[1:]
        first, *more = wrap(text, max(16, width - column - 2)) or [""]
        if len(key) >= column - 1:
            lines.append(Content.assemble("  ", Content.styled(key, "bold")))
            gap = " " * (column + 2)
            lines.append(Content.styled(f"{gap}{first}", "$text-muted"))
        else:
            gap = " " * (column - len(key))
            lines.append(
                Content.assemble(
                    "  ", Content.styled(key, "bold"), gap, Content.styled(first, "$text-muted")
                )
            )
        lines += [Content.styled(f"{' ' * (column + 2)}{line}", "$text-muted") for line in more]
    return Content("\n").join(lines)
