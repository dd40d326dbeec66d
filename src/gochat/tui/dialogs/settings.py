"""How the app looks and behaves; each change holds at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec
from textual.binding import Binding, BindingType
from textual.content import Content

from gochat.client import Level
from gochat.errors import ConfigError
from gochat.tui.dialogs.key_capture import KeyCapture
from gochat.tui.dialogs.picker import Picker
from gochat.tui.input import commands, fuzzy, keys
from gochat.tui.language import N_, _
from gochat.tui.model.error_texts import error_text
from gochat.tui.model.presentation import sentence
from gochat.tui.profile.preferences import Preferences, Settings
from gochat.tui.text.names import separated
from gochat.tui.text.sanitise import one_line
from gochat.tui.widgets.row_list import ListRow

_SWITCH: Final[dict[Any, str]] = {True: N_("on"), False: N_("off")}
_NOT_SHOWN: Final = N_("not shown")
#: The settings, what they are called, and what each value is called: messages, but for times.
TEXTS: Final[dict[str, tuple[str, dict[Any, str]]]] = {
    "theme": (N_("Theme"), {}),
    "language": (N_("Language"), {}),
    "clock": (N_("Times in the log"), {"24h": "14:30", "12h": "2:30p", "off": _NOT_SHOWN}),
    "bell": (N_("Bell for mentions and private messages"), _SWITCH),
    "desktop": (N_("Desktop notifications"), _SWITCH),
    "presence": (N_("Lines for who comes and goes"), {True: N_("shown"), False: _NOT_SHOWN}),
    "members": (N_("Who is here, beside the log"), {True: N_("shown"), False: _NOT_SHOWN}),
    "animations": (N_("Movement"), _SWITCH),
    "highlight": (N_("Words that count as mentions"), {}),
    "quiet": (N_("Hours without notifications"), {}),
}
_LEVELS: Final = {"all": N_("everything"), "mentions": N_("mentions only"), "none": N_("nothing")}
_LEVEL: Final = "level"
_PRESETS: Final = {"default": "gochat", "readline": N_("the shell (readline)"), "vim": "Vim"}
#: Lists, which are written into the file, each with an example.
_WRITTEN: Final = {"highlight": '["deploy", "on call"]', "quiet": '["22:00-07:00"]'}
_KEY: Final = "key:"
_PRESET: Final = "preset"


class SettingsScreen(Picker):
    """Enter or the arrows change the setting under the cursor. Returns nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "change(1)", show=False, priority=True),
        Binding("left", "change(-1)", show=False, priority=True),
    ]
    placeholder: ClassVar[str] = N_("Find a setting or a key")
    keys_text: ClassVar[str] = N_("←→ or Enter change   ↑↓ move   Esc close")

    def __init__(
        self,
        preferences: Preferences,
        themes: Sequence[str],
        languages: Mapping[str, str],
        conv: str,
        level: Level,
        *,
        apply: Callable[[Settings], None],
        rebind: Callable[[str, str], Preferences],
        set_level: Callable[[Level], None],
    ) -> None:
        super().__init__()
        self._preferences, self._themes = preferences, themes
        self._languages = languages
        self._settings = preferences.settings
        self._conv, self._level = conv, level
        self._apply, self._set_level, self._rebind = apply, set_level, rebind

    def find(self, query: str) -> Sequence[str]:
        """Settings, then the keys."""
        everything = [*TEXTS, _LEVEL, _PRESET, *(f"{_KEY}{action.name}" for action in keys.ACTIONS)]
        return fuzzy.rank(query.strip(), everything, self._label)

    def _label(self, key: str) -> str:
        if key == _LEVEL:
            return _("Notify me of messages in {room}", room=one_line(self._conv))
        if key == _PRESET:
            return _("Keys as in")
        if key.startswith(_KEY):
            action = keys.BY_NAME[key.removeprefix(_KEY)]
            return _("Key: {action}", action=action.label)
        return _(TEXTS[key][0])

    def _value(self, key: str) -> str:
        if key == _LEVEL:
            return _(_LEVELS[self._level])
        if key == _PRESET:
            return _(_PRESETS[self._preferences.keymap.preset])
        if key.startswith(_KEY):
            return self._preferences.keymap.all_shown(key.removeprefix(_KEY))
        value = getattr(self._settings, key)
        if key in _WRITTEN:
            return one_line(separated(value)) or _("none")
        if key == "language":
            return self._languages.get(value, value) if value else _("as the system")
        return _(TEXTS[key][1].get(value, str(value)))

    def draw(self, key: str) -> ListRow:
        """What it is, and how it is set."""
        value = Content.styled(f"{self._value(key)} ", "bold")
        if key.startswith(_KEY):
            value = Content.styled(f"{self._value(key)} ", "$text-muted")
        elif key in self._preferences.fixed:
            where = _("in {file}", file=self._preferences.path.name)
            value = Content.assemble(
                value,
                Content.styled(f"{where} ", "$text-muted"),
            )
        return ListRow(Content(f" {self._label(key)}"), value)

    def choose(self, key: str) -> None:
        """Change it."""
        self._change(key, 1)

    def action_change(self, step: int) -> None:
        """Change the setting under the cursor."""
        if (key := self.rows.cursor_key) is not None:
            self._change(key, step)

    def _ask_for_key(self, action: str) -> None:
        if keys.BY_NAME[action].fixed:
            self.notify(_("This key can't be changed."), markup=False)
            return

        def chosen(key: str | None) -> None:
            if key is not None:
                self._write(action, key)

        self.app.push_screen(KeyCapture(keys.BY_NAME[action].label), chosen)

    def _write(self, name: str, value: str) -> None:
        """Write a key, or the preset, into the file."""
        try:
            self._preferences = self._rebind(name, value)
        except ConfigError as error:
            self.notify(sentence(one_line(error_text(error))), severity="error", markup=False)
        else:
            self.notify(_("Written to {file}.", file=self._preferences.path), markup=False)
            self.rows.refresh()

    def title_text(self) -> str:
        """Return the title, and which file is read."""
        return _("Settings · {file}", file=self._preferences.path)

    def _change(self, key: str, step: int) -> None:
        if key.startswith(_KEY):
            self._ask_for_key(key.removeprefix(_KEY))
            return
        if key == _PRESET:
            self._write(key, _next(list(_PRESETS), self._preferences.keymap.preset, step))
            return
        if key in self._preferences.fixed:
            self.notify(_("This is set in {file}.", file=self._preferences.path), markup=False)
            return
        if key in _WRITTEN:
            setting = f"{key} = {_WRITTEN[key]}"
            text = _(
                "Write them into {file}: {setting}", file=self._preferences.path, setting=setting
            )
            self.notify(text, markup=False)
            return
        if key == _LEVEL:
            self._level = _next(commands.LEVELS, self._level, step)
            self._set_level(self._level)
        else:
            values: Sequence[Any] = list(TEXTS[key][1])
            if key == "theme":
                values = self._themes
            elif key == "language":
                values = list(self._languages)
            value = _next(values, getattr(self._settings, key), step)
            self._settings = msgspec.structs.replace(self._settings, **{key: value})
            self._apply(self._settings)
            if key == "language":
                self._use_language()
        self.rows.refresh()

    def _use_language(self) -> None:
        """Show everything in the language that is in use now; what was found stays."""
        self.field.placeholder = _(self.placeholder)
        self._keys.update(_(self.keys_text))
        self.refresh_title()


def _next(values: Sequence[Any], value: Any, step: int) -> Any:
    index = values.index(value) if value in values else 0
    return values[(index + step) % len(values)]
