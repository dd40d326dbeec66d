"""How the app looks and behaves; each change holds at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import msgspec
from textual.binding import Binding, BindingType
from textual.content import Content

from gochat.client import Level
from gochat.tui.dialogs.picker import Picker
from gochat.tui.input import commands, fuzzy, keys
from gochat.tui.profile.preferences import Preferences, Settings
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow

#: The settings, what they are called, and what each value is called.
TEXTS: Final[dict[str, tuple[str, dict[Any, str]]]] = {
    "theme": ("Theme", {}),
    "clock": ("Times in the log", {"24h": "14:30", "12h": "2:30p", "off": "not shown"}),
    "bell": ("Bell for mentions and private messages", {True: "on", False: "off"}),
    "desktop": ("Notifications of the desktop", {True: "on", False: "off"}),
    "presence": ("Lines for who comes and goes", {True: "shown", False: "not shown"}),
    "animations": ("Movement", {True: "on", False: "off"}),
}
_LEVELS: Final = {"all": "everything", "mentions": "mentions only", "none": "nothing"}
_LEVEL: Final = "level"
_KEY: Final = "key:"


class SettingsScreen(Picker):
    """Enter or the arrows change the setting under the cursor. Returns nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "change(1)", show=False, priority=True),
        Binding("left", "change(-1)", show=False, priority=True),
    ]
    heading: ClassVar[str] = "Settings"
    placeholder: ClassVar[str] = "Find a setting or a key"
    keys_text: ClassVar[str] = "←→ or Enter change   ↑↓ move   Esc close"

    def __init__(
        self,
        preferences: Preferences,
        themes: Sequence[str],
        conv: str,
        level: Level,
        *,
        apply: Callable[[Settings], None],
        set_level: Callable[[Level], None],
    ) -> None:
        super().__init__()
        self._preferences, self._themes = preferences, themes
        self._settings = preferences.settings
        self._conv, self._level = conv, level
        self._apply, self._set_level = apply, set_level

    def find(self, query: str) -> Sequence[str]:
        """Settings, then the keys."""
        everything = [*TEXTS, _LEVEL, *(f"{_KEY}{action.name}" for action in keys.ACTIONS)]
        return fuzzy.rank(query.strip(), everything, self._label)

    def _label(self, key: str) -> str:
        if key == _LEVEL:
            return f"Tell me of what is said in {one_line(self._conv)}"
        if key.startswith(_KEY):
            action = keys.BY_NAME[key.removeprefix(_KEY)]
            return f"Key: {action.text}"
        return TEXTS[key][0]

    def _value(self, key: str) -> str:
        if key == _LEVEL:
            return _LEVELS[self._level]
        if key.startswith(_KEY):
            return self._preferences.keymap.all_shown(key.removeprefix(_KEY))
        value = getattr(self._settings, key)
        return TEXTS[key][1].get(value, str(value))

    def draw(self, key: str) -> ListRow:
        """What it is, and how it is set."""
        value = Content.styled(f"{self._value(key)} ", "bold")
        if key.startswith(_KEY):
            value = Content.styled(f"{self._value(key)} ", "$text-muted")
        elif key in self._preferences.fixed:
            value = Content.assemble(value, Content.styled("in tui.toml ", "$text-muted"))
        return ListRow(Content(f" {self._label(key)}"), value)

    def choose(self, key: str) -> None:
        """Change it."""
        self._change(key, 1)

    def action_change(self, step: int) -> None:
        """Change the setting under the cursor."""
        if (key := self.rows.cursor_key) is not None:
            self._change(key, step)

    def _change(self, key: str, step: int) -> None:
        if key.startswith(_KEY):
            action = key.removeprefix(_KEY)
            self.notify(f'Write {action} = "…" below [keys] in tui.toml.', markup=False, timeout=6)
            return
        if key in self._preferences.fixed:
            self.notify("This is set in tui.toml.", markup=False)
            return
        if key == _LEVEL:
            self._level = _next(commands.LEVELS, self._level, step)
            self._set_level(self._level)
        else:
            values = self._themes if key == "theme" else list(TEXTS[key][1])
            value = _next(values, getattr(self._settings, key), step)
            self._settings = msgspec.structs.replace(self._settings, **{key: value})
            self._apply(self._settings)
        self.rows.refresh()


def _next(values: Sequence[Any], value: Any, step: int) -> Any:
    index = values.index(value) if value in values else 0
    return values[(index + step) % len(values)]
