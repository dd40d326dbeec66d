"""The app's own themes can be read: the contrast of WCAG 2 holds for each text on its ground."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import Theme

from gochat.tui.profile import themes
from gochat.tui.text.colours import RGB, luminance


def contrast(one: Color, other: Color) -> float:
    lights = sorted((luminance(RGB(*one.rgb)), luminance(RGB(*other.rgb))), reverse=True)
    return (lights[0] + 0.05) / (lights[1] + 0.05)


@pytest.mark.parametrize("theme", themes.OWN, ids=lambda theme: theme.name)
@pytest.mark.parametrize("ground", ["background", "surface", "panel"])
@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("foreground", 7.0),
        ("text-muted", 4.5),
        ("primary", 4.5),
        ("accent", 4.5),
        ("success", 4.5),
        ("warning", 4.5),
        ("error", 4.5),
        ("text-error", 4.5),
        ("text-warning", 4.5),
        ("text-disabled", 3.0),
    ],
)
def test_texts_are_readable_on_their_grounds(
    theme: Theme, ground: str, text: str, least: float
) -> None:
    colours = theme.to_color_system().generate()
    assert contrast(Color.parse(colours[text]), Color.parse(colours[ground])) >= least


@pytest.mark.parametrize("theme", themes.OWN, ids=lambda theme: theme.name)
def test_the_steps_of_the_ground_differ_but_little(theme: Theme) -> None:
    colours = theme.to_color_system().generate()
    grounds = [Color.parse(colours[name]) for name in ("background", "surface", "panel")]
    assert len({ground.hex for ground in grounds}) == 3
    assert all(contrast(grounds[0], ground) < 1.3 for ground in grounds[1:])
