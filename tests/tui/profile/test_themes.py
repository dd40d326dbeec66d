"""Themes can be read: the contrast of WCAG 2 holds for each text on its ground."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from pilots import OpenApp, settle, until
from rich.segment import Segment
from textual.color import Color
from textual.pilot import Pilot
from textual.theme import BUILTIN_THEMES, Theme

from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.settings import SettingsScreen
from gochat.tui.profile import themes
from gochat.tui.profile.legibility import legible
from gochat.tui.text.colours import MIN_CONTRAST, RGB, contrast

OFFERED = [theme for theme in (*themes.OWN, *BUILTIN_THEMES.values()) if not theme.ansi]
#: Lines and signs beside a text that says the same.
_HEX = re.compile("#[0-9A-Fa-f]{6}")
_NO_TEXT = " ─│┼▎▏╭╰┃▁▂▃▄▅▆▇█▌▐▊▋▍▉[]·●○◐"


def colours(theme: Theme) -> dict[str, Color]:
    made = {**theme.to_color_system().generate(), **theme.variables}
    return {name: Color.parse(value) for name, value in made.items() if _HEX.fullmatch(value)}


def ratio(one: Color, other: Color) -> float:
    return contrast(RGB(*one.rgb), RGB(*other.rgb))


@pytest.mark.parametrize("theme", OFFERED, ids=lambda theme: theme.name)
def test_texts_are_readable_on_their_grounds(theme: Theme) -> None:
    made = colours(legible(theme))
    for ground in ("background", "surface", "panel", "cursor-ground"):
        for text in (
            "foreground", "text-muted", "primary", "accent", "success", "warning", "error",
            "text-primary", "text-accent", "text-success", "text-warning", "text-error",
        ):  # fmt: skip
            assert ratio(made[text], made[ground]) >= MIN_CONTRAST, (text, ground)
        assert ratio(made["text-disabled"], made[ground]) >= 3, ground


def test_texts_that_can_be_read_stay_as_they_are() -> None:
    before, after = colours(themes.DARK), colours(legible(themes.DARK))
    for name in ("foreground", "background", "panel", "primary", "accent", "error", "text-muted"):
        assert before[name] == after[name]


def test_a_theme_that_leaves_the_colours_to_the_terminal_stays_so() -> None:
    theme = BUILTIN_THEMES["ansi-dark"]
    made = legible(theme)
    assert (made.foreground, made.primary) == (theme.foreground, theme.primary)


@pytest.mark.parametrize("theme", themes.OWN, ids=lambda theme: theme.name)
def test_the_steps_of_the_ground_differ_but_little(theme: Theme) -> None:
    made = colours(theme)
    grounds = [made[name] for name in ("background", "surface", "panel")]
    assert len({ground.hex for ground in grounds}) == 3
    assert all(ratio(grounds[0], ground) < 1.3 for ground in grounds[1:])


def faint(pilot: Pilot[None], box: str) -> Iterator[tuple[str, float]]:
    """Yield the texts in a box on the screen that can hardly be read."""
    screen = pilot.app.screen
    x, y, width, height = screen.query_one(box).region
    for strip in screen._compositor.render_strips()[y : y + height]:
        for segment in strip.crop(x, x + width):
            if segment.text.strip(_NO_TEXT) and (found := _ratio(segment)) < MIN_CONTRAST:
                yield segment.text, round(found, 1)


def _ratio(segment: Segment) -> float:
    style = segment.style
    assert style is not None
    assert style.color is not None
    assert style.bgcolor is not None
    text, ground = style.color.get_truecolor(), style.bgcolor.get_truecolor(foreground=False)
    if style.reverse:
        text, ground = ground, text
    return contrast(RGB(*text), RGB(*ground))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("scene", "box"), [("chat", "#main"), ("settings", "#picker"), ("question", "#confirm")]
)
async def test_the_app_is_readable_in_every_theme(
    open_app: OpenApp, client: ScriptedClient, scene: str, box: str
) -> None:
    client.add_room("#garden", "What grows", members=["mei"], joined=True)
    client.say("#garden", "mei", "@ada, look", mentions=["ada"])
    client.say(
        "#lobby", "mei", "# Title\n- `one` **two**\n> three https://x.org\n```py\nx = 1\n```"
    )
    async with open_app() as pilot:
        app = pilot.app
        assert isinstance(app, GochatApp)
        if scene == "settings":
            await pilot.press("f5")
            await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        elif scene == "question":
            app.push_screen(Confirm("Leave?", "Leave", detail="For good."))
        else:
            await pilot.press("up")
            app.report("It failed.")
        await settle(pilot)
        found = {}
        for theme in OFFERED:
            app.theme = theme.name
            await pilot.pause()
            if texts := list(faint(pilot, box)):
                found[theme.name] = texts
        assert not found
