"""Themes whose texts can be read: colours that are too faint on their grounds are moved away.

A theme is somebody's taste, and many have texts with a contrast of 2 : 1. Each theme that the app
offers, Textual's and people's own, goes through here once: hues stay, and lightness changes as far
as the contrast of WCAG 2 asks for. Pure, except that Textual mixes the colours.
"""

from __future__ import annotations

import colorsys
import dataclasses
from typing import Final

from textual.color import BLACK, WHITE, Color
from textual.theme import Theme

from gochat.tui.text.colours import MIN_CONTRAST, RGB, contrast, readable

#: Colours that texts are written in, by the names of a theme.
_COLOURS: Final = ("primary", "secondary", "accent", "success", "warning", "error")
#: Tints of the foreground that lie below texts: fields, what the mouse is on, what is open.
_TINT: Final = 0.12
#: The tint of what the cursor is on, at most.
_CURSOR_TINT: Final = 0.35
#: The same at least, in percent: less would not be seen.
_LEAST_TINT: Final = 16
#: Of a contrast, by which whole numbers for a colour's parts can miss it.
_ROUNDING: Final = 0.05
#: Signs beside a text that says the same.
_SIGN_CONTRAST: Final = 3.0
#: How far a text of less weight is from the ground to the foreground, where a theme has no own.
_MUTED: Final = 0.6
#: The same of a sign.
_SIGN: Final = 0.45


def legible(theme: Theme) -> Theme:
    """Return `theme` with texts that can be read on all grounds of the app.

    One that leaves its colours to the terminal keeps them: they are unknown.
    """
    if theme.ansi:
        cursor = {"cursor-ground": f"{theme.primary} {_CURSOR_TINT:.0%}"}
        return dataclasses.replace(theme, variables={**cursor, **theme.variables})
    made = {**theme.to_color_system().generate(), **theme.variables}
    base = [Color.parse(made[name]) for name in ("background", "surface", "panel")]
    foreground = _readable(Color.parse(made["foreground"]), base)
    tinted = [*base, *(ground.blend(foreground, _TINT) for ground in base)]
    has_muted = "auto" not in made["text-muted"]  # what Textual makes is often too faint
    muted = Color.parse(made["text-muted"]) if has_muted else base[0].blend(foreground, _MUTED)
    muted = _readable(muted, tinted)
    chosen = _cursor(base[2], Color.parse(made["primary"]), muted)
    grounds = [*tinted, chosen]
    foreground = _readable(foreground, grounds)
    muted = _readable(muted, grounds)
    given = {name: Color.parse(made[name]) for name in _COLOURS}
    colours = {name: _readable(colour, grounds) for name, colour in given.items()}
    texts = {
        f"text-{name}": _readable(Color.parse(made[f"text-{name}"]), grounds) for name in _COLOURS
    }
    filled = (colours["primary"], colours["error"])  # the grounds of buttons
    on_filled = max(
        (BLACK, WHITE), key=lambda text: min(contrast(_rgb(text), _rgb(g)) for g in filled)
    )
    sign = _readable(base[0].blend(foreground, _SIGN), grounds, _SIGN_CONTRAST)
    variables = {
        **theme.variables,
        **{name: colour.hex for name, colour in texts.items()},
        "text-muted": muted.hex,
        "foreground-muted": muted.hex,
        "text-disabled": sign.hex,
        "button-color-foreground": on_filled.hex,
        "cursor-ground": chosen.hex,
    }
    parts = {name: colour.hex for name, colour in colours.items() if colour != given[name]}
    # Those that the theme leaves open are mixed from the others, which are not the same any more.
    parts |= {name: made[name] for name in ("background", "surface", "panel")}
    return dataclasses.replace(theme, foreground=foreground.hex, variables=variables, **parts)  # type: ignore[arg-type]  # only names of colours


def _cursor(ground: Color, primary: Color, muted: Color) -> Color:
    """Return the ground of what the cursor is on: as much of `primary` as leaves texts readable."""
    percent = round(100 * _CURSOR_TINT)
    while percent > _LEAST_TINT and (
        contrast(_rgb(ground.blend(primary, percent / 100)), _rgb(muted)) < MIN_CONTRAST
    ):
        percent -= 1
    return ground.blend(primary, percent / 100)


def _readable(colour: Color, grounds: list[Color], least: float = MIN_CONTRAST) -> Color:
    """Return `colour`, made lighter or darker as far as needed."""
    behind, least = tuple(map(_rgb, grounds)), least + _ROUNDING
    if all(contrast(_rgb(colour), ground) >= least for ground in behind):
        return colour
    hue, _, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour.rgb))
    return Color(*readable(hue, saturation, behind, least))


def _rgb(colour: Color) -> RGB:
    return RGB(*colour.rgb)
