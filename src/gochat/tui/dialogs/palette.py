"""Everything that can be done, by name; themes are shown as the cursor moves over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.content import Content

from gochat.tui.dialogs.picker import Picker, highlighted
from gochat.tui.input import commands, fuzzy, keys
from gochat.tui.input.keys import Keymap
from gochat.tui.language import N_, _
from gochat.tui.profile.themes import OWN_PREFIX
from gochat.tui.widgets.row_list import ListRow

#: Actions that make no sense away from where their key is pressed.
_NOT_HERE = frozenset({
    "palette", "back", "send", "newline", "complete", "complete_back", "up", "down", "home", "end",
    "page_up", "page_down", "history_back", "history_forward",
    *(action.name for action in keys.ACTIONS if action.scope == "message"),
    *(f"conversation_{n}" for n in range(1, 10)),
})  # fmt: skip
#: Commands that do what an action does.
_DOUBLE = frozenset({
    "quit", "help", "search", "rooms", "members", "settings", "activity",
    "pins", "saved", "status",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Choice:
    text: str
    hint: str = ""
    english: str = ""

    @property
    def words(self) -> str:
        """What is searched: in another language, the English words, too."""
        shown = f"{self.text} {self.hint}"
        is_english = self.english.casefold() == self.text.casefold()
        return shown if is_english else f"{shown} {self.english}"


class CommandPalette(Picker):
    """Returns ``action:…``, ``command:…`` or ``theme:…``."""

    heading: ClassVar[str] = N_("Commands")
    placeholder: ClassVar[str] = N_("What do you want to do?")

    def __init__(
        self,
        keymap: Keymap,
        themes: Sequence[str],
        theme: str,
        preview: Callable[[str], None],
        query: str = "",
    ) -> None:
        super().__init__(query)
        self._theme, self._preview = theme, preview
        self._choices: dict[str, _Choice] = {}
        for action in keys.ACTIONS:
            if action.name not in _NOT_HERE:
                self._choices[f"action:{action.name}"] = _Choice(
                    action.label, keymap.shown(action.name), action.text
                )
        for command in commands.COMMANDS:
            if command.name not in _DOUBLE:
                text = command.about[:1].upper() + command.about[1:]
                self._choices[f"command:{command.name}"] = _Choice(
                    text, command.usage, command.text
                )
        for name in themes:
            hint = _("in use") if name == theme else ""
            self._choices[f"theme:{name}"] = _Choice(
                _("Theme: {theme}", theme=name), hint, f"Theme: {name}"
            )

    def find(self, query: str) -> Sequence[str]:
        """By what it does, or by its slash command."""
        if not query.strip():
            return [key for key in self._choices if not key.startswith("theme:")] + [
                key for key in self._choices if key.startswith("theme:")
            ]
        found = fuzzy.rank(
            query.strip().lstrip("/"),
            self._choices,
            lambda key: self._choices[key].words,
        )
        # The app's own themes first: "light" is not the one that happens to have a short name.
        own = [key for key in found if key.startswith(f"theme:{OWN_PREFIX}")]
        at = next((at for at, key in enumerate(found) if key.startswith("theme:")), 0)
        return found[:at] + own + [key for key in found[at:] if key not in own]

    def draw(self, key: str) -> ListRow:
        """What it does, and the quicker way to it."""
        choice = self._choices[key]
        found = fuzzy.match(self.query_text.strip().lstrip("/"), choice.words)
        positions = [
            position for position in (found[1] if found else ()) if position < len(choice.text)
        ]
        return ListRow(
            Content.assemble(" ", highlighted(choice.text, positions)),
            Content.styled(f"{choice.hint} ", "$text-muted"),
        )

    def moved(self, key: str) -> None:
        """Show the theme under the cursor; the one in use elsewhere."""
        kind, _colon, name = key.partition(":")
        self._preview(name if kind == "theme" else self._theme)

    def cancelled(self) -> None:
        """Back to the theme in use."""
        self._preview(self._theme)
