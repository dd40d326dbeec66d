"""Themes of one's own are read from files; what is wrong with one is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from pilots import OpenApp

from gochat.tui.profile import own_themes
from gochat.tui.profile.preferences import load
from gochat.tui.profile.state import StateDirectory


def test_a_file_is_a_theme_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "harbour.toml").write_text('dark = false\nprimary = "#7fb4ca"\npanel = "white"\n')
    (tmp_path / "notes.txt").write_text("no theme")
    themes, problems = own_themes.load(tmp_path)
    assert [(theme.name, theme.dark, theme.primary) for theme in themes] == [
        ("harbour", False, "#7fb4ca")
    ]
    assert not problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dark = true\n", ": 'primary' is missing"),
        ('primary = "#7fb4ca"\n\npanel = "bluish"\n', ":3: 'panel' must be a colour"),
        ('primary = "#7fb4ca"\ncolour = "red"\n', ":2: 'colour' is not known"),
        ('dark = "yes"\nprimary = "red"\n', ":1: 'dark' must be true or false"),
        ('primary = "#7fb4ca80"\n', ":1: 'primary' must be a colour"),
        ("primary\n", "(at line 1"),
        ('primary = "red"\n[variables]\nx = 1\n', ":2: 'variables' is not known"),
    ],
)
def test_a_mistake_is_reported_with_file_line_and_key(
    tmp_path: Path, text: str, problem: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    themes, problems = own_themes.load(tmp_path)
    assert not themes
    assert str(tmp_path / "mine.toml") in problems[0]
    assert problem in problems[0]


def test_there_need_be_no_themes(tmp_path: Path) -> None:
    assert own_themes.load(tmp_path / "themes") == ([], [])


@pytest.mark.anyio
async def test_the_app_uses_a_theme_of_ones_own(
    open_app: OpenApp, state: StateDirectory, tmp_path: Path
) -> None:
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "harbour.toml").write_text('primary = "#7fb4ca"\n')
    (tmp_path / "tui.toml").write_text('theme = "harbour"\n')
    async with open_app(preferences=load(state, tmp_path / "tui.toml")) as pilot:
        assert pilot.app.theme == "harbour"
