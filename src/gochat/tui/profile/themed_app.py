"""The app, as far as themes go: which there are, and how they are shown."""

from __future__ import annotations

import difflib

from textual.app import App
from textual.theme import Theme

from gochat.tui.profile import themes
from gochat.tui.profile.legibility import legible


class ThemedApp(App[None]):
    """An app with Textual's themes and gochat's, all with texts that can be read."""

    def __init__(self) -> None:
        self._legible: dict[str, Theme] = {}
        super().__init__()
        for theme in themes.OWN:
            self.register_theme(theme)

    def use_theme(self, name: str) -> tuple[str, ...]:
        """Use a theme, or the default one if there is none of this name; return what is wrong."""
        if name in self.available_themes:
            self.theme = name
            return ()
        self.theme = themes.DARK.name
        near = difflib.get_close_matches(name, self.available_themes, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return (f"there is no theme {name!r}{hint}",)

    def get_theme(self, theme_name: str) -> Theme | None:
        """Return a theme as it is shown; its colours are adjusted when it is first used."""
        theme = super().get_theme(theme_name)
        if theme is None:
            return None
        if theme.name not in self._legible:
            self._legible[theme.name] = legible(theme)
        return self._legible[theme.name]
