"""The app, as far as themes go: which there are, and how they are shown."""

from __future__ import annotations

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

    def get_theme(self, theme_name: str) -> Theme | None:
        """Return a theme as it is shown; its colours are adjusted when it is first used."""
        theme = super().get_theme(theme_name)
        if theme is None:
            return None
        if theme.name not in self._legible:
            self._legible[theme.name] = legible(theme)
        return self._legible[theme.name]
