"""The app, as far as themes go: which there are, and how they are shown."""

from __future__ import annotations

import difflib

from textual.app import App
from textual.theme import Theme

from gochat.tui.language import _
from gochat.tui.profile import themes
from gochat.tui.profile.legibility import legible
from gochat.tui.profile.preferences import Preferences


class ThemedApp(App[None]):
    """An app with Textual's themes and gochat's, all with texts that can be read."""

    def __init__(self) -> None:
        self._legible: dict[str, Theme] = {}
        super().__init__()
        for theme in themes.OWN:
            self.register_theme(theme)

    def use_theme(self, preferences: Preferences) -> tuple[str, ...]:
        """Use the theme of `preferences`, or the default one if there is none of its name; return
        what is wrong. The person's own themes are offered from then on.
        """
        for theme in preferences.themes:
            self.register_theme(theme)
        name = preferences.settings.theme
        if name in self.available_themes:
            self.theme = name
            return ()
        self.theme = themes.DARK.name
        near = difflib.get_close_matches(name, self.available_themes, n=1)
        if near:
            return (_("unknown theme {name!r}; did you mean {near!r}?", name=name, near=near[0]),)
        return (_("unknown theme {name!r}", name=name),)

    def get_theme(self, theme_name: str) -> Theme | None:
        """Return a theme as it is shown; its colours are adjusted when it is first used."""
        if theme_name in self._legible:  # asked for with each style: Textual would copy all themes
            return self._legible[theme_name]
        theme = super().get_theme(theme_name)
        if theme is None:
            return None
        if theme.name not in self._legible:
            self._legible[theme.name] = legible(theme)
        return self._legible[theme.name]
