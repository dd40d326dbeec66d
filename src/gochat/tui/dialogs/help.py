"""Help for what the person is doing: its keys first, then everything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from gochat.tui.dialogs.panel import Panel
from gochat.tui.input import commands, keys
from gochat.tui.input.keys import Keymap
from gochat.tui.language import N_, _
from gochat.tui.text.wrap import wrap

#: What can have the focus, and what the keys do there that aren't in the table of actions, as
#: messages.
LIST_KEYS: Final = (
    ("↑ ↓ PgUp PgDn", N_("move")),
    ("Enter", N_("open")),
    ("Tab", N_("the next list; the field between them finds a person")),
    ("Esc", N_("back to the input")),
)
MOUSE: Final = (
    (N_("click a name"), N_("write to that person")),
    (N_("click a link"), N_("open it")),
    (N_("drag"), N_("select text; Ctrl+C copies it")),
    (N_("wheel"), N_("scroll")),
    (N_("click the keys below"), N_("do what they do")),
)
WRITING: Final = (
    (N_("**bold**  *italic*"), N_("emphasis")),
    (N_("`code`  ```"), N_("code, in a line or in a block")),
    (N_("> text"), N_("a quote")),
    (N_("@name"), N_("mention somebody, who is notified")),
    (":tada:", "🎉"),
)

#: With Vim's keys: what the table of actions does not have.
VIM: Final = (
    ("Esc · i a I A o O", N_("normal mode · insert mode; Enter sends in both")),
    ("h l w b e 0 ^ $ f t ; %", N_("move; with a count before it: 3w")),
    ("d c y gu gU g~", N_('cut, change, copy, case: with a motion, or dd, ciw, di", ca(')),
    ("x D C s S r ~ J p P", N_("the short ones")),
    ("v V", N_("select by character or line")),
    ("u Ctrl+R .", N_("undo, redo, repeat")),
    ('"a "+', N_("a register; + is the terminal's clipboard")),
    ("k j", N_("lines; then what you sent; a message, when the input is empty")),
    ("gg G Ctrl+U Ctrl+D", N_("the log, from an empty input or with a message selected")),
    ("/ n N", N_("search; the next message found, the one before")),
    ("gt gT 3gt", N_("the next conversation, the one before, the third")),
    (":", N_("all commands by name")),
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
            yield Static(_("Help"), id="help-title", markup=False)
            with VerticalScroll(id="help-text"):
                yield self._body
            yield Static(_("↑↓ scroll   Esc close"), id="help-keys", markup=False)

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
            rows = [(command.usage, command.about)] + ([(also, _("the same"))] if also else [])
            sections.append(section(f"/{command.name}", rows))
        message = [
            ("↑ ↓", _("select another message")),
            *self._actions("message"),
            ("Esc", _("back to the input")),
        ]
        here: dict[str, tuple[str, Sequence[tuple[str, str]]]] = {
            "message": (_("The selected message"), message),
            "list": (_("Rooms and people"), _translated(LIST_KEYS)),
        }
        writing = section(_("Writing"), [*self._actions("input"), *_translated(WRITING)])
        if self._keymap.is_modal:
            vim = section(_("Vim's keys"), _translated(VIM))
            writing = Content("\n\n").join([writing, vim])
        if self._on in here:
            sections += [section(*here.pop(self._on)), writing]
        else:
            sections.append(writing)
        everywhere = [*self._actions("chat"), *self._actions("app")]
        sections.append(section(_("Everywhere"), everywhere))
        sections += [section(title, rows) for title, rows in here.values()]
        sections.append(
            section(_("Commands"), [(one.usage, one.about) for one in commands.COMMANDS])
        )
        sections.append(section(_("Mouse"), _translated(MOUSE)))
        return Content("\n\n").join(sections)

    def _actions(self, scope: str) -> list[tuple[str, str]]:
        rows = [
            (self._keymap.all_shown(action.name), action.label)
            for action in sorted(keys.ACTIONS, key=lambda action: action.name in _SCROLLING)
            if action.scope == scope
            and self._keymap.keys[action.name]
            and not action.name.startswith("conversation_")
            and action.name not in ("down", "complete_back")
        ]
        if scope == "chat":
            rows.insert(5, ("Alt+1 … Alt+9", _("the first nine conversations")))
        return rows


def _translated(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(_(key), _(meaning)) for key, meaning in rows]


def _section(title: str, rows: Iterable[tuple[str, str]], width: int) -> Content:
    """Return a heading and rows of two columns; what is too long for one goes on below."""
    column = 26 if width > 60 else 16
    lines = [Content.styled(title, "bold $primary")]
    for key, meaning in rows:
        text = meaning if meaning[:2].isupper() else meaning[:1].lower() + meaning[1:]
        rows_of_text = wrap(text, 0, len(text), max(16, width - column - 2))
        first, *more = (text[start:end] for start, end in rows_of_text)
        if cell_len(key) >= column - 1:
            lines.append(Content.assemble("  ", Content.styled(key, "bold")))
            gap = " " * (column + 2)
            lines.append(Content.styled(f"{gap}{first}", "$text-muted"))
        else:
            gap = " " * (column - cell_len(key))
            lines.append(
                Content.assemble(
                    "  ", Content.styled(key, "bold"), gap, Content.styled(first, "$text-muted")
                )
            )
        lines += [Content.styled(f"{' ' * (column + 2)}{line}", "$text-muted") for line in more]
    return Content("\n").join(lines)
