"""A colour for each name: always the same one, and readable on the theme in use.

The hue comes from a hash of the name, the lightness from the backgrounds: it is moved away from
them until the contrast of WCAG 2 is reached on each. So two themes show the same name in the same
hue, and none shows it too faint.
"""

from __future__ import annotations

import colorsys
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

#: WCAG 2, level AA, for text.
MIN_CONTRAST: Final = 4.5
#: People can't distinguish more.
HUES: Final = 24
#: Dark colours look greyer than light ones of the same saturation.
_SATURATION_ON_DARK: Final = 0.62
_SATURATION_ON_LIGHT: Final = 0.85
#: Steps of lightness. Between black and white only few shades are readable on both.
_STEPS: Final = 400
_LIGHTEST_START: Final = 0.62
_DARKEST_START: Final = 0.42
#: The luminance with the same contrast to black and to white.
_MIDDLE: Final = 0.179


class RGB(NamedTuple):
    """A colour; each part 0–255."""

    red: int
    green: int
    blue: int


def luminance(colour: RGB) -> float:
    """Return the relative luminance of WCAG 2, 0–1."""
    red, green, blue = (_linear(part / 255) for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def contrast(one: RGB, other: RGB) -> float:
    """Return the contrast ratio of WCAG 2, 1–21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def hue(name: str) -> int:
    """Return the hue of `name`, ``0`` to ``HUES - 1``: the same in every process."""
    digest = blake2b(name.casefold().encode("utf-8", "replace"), digest_size=4).digest()
    return int.from_bytes(digest, "big") % HUES


def sender_colour(name: str, backgrounds: tuple[RGB, ...]) -> RGB:
    """Return the colour of `name` on any of `backgrounds`."""
    return _of_hue(hue(name), backgrounds)


@lru_cache(maxsize=256)
def _of_hue(number: int, backgrounds: tuple[RGB, ...]) -> RGB:
    saturation = _SATURATION_ON_DARK if _are_dark(backgrounds) else _SATURATION_ON_LIGHT
    return readable(number / HUES, saturation, backgrounds)


def readable(
    hue_share: float,
    saturation: float,
    backgrounds: tuple[RGB, ...],
    least: float = MIN_CONTRAST,
) -> RGB:
    """Return a colour of this hue (0–1) and saturation (0–1) that is readable on `backgrounds`.

    It is as light as it may be on light backgrounds, and as dark as it may be on dark ones, which
    is where hues look most different, within a middle range. Where no colour reaches
    the contrast `least` on all backgrounds, it is what comes nearest.
    """
    dark = _are_dark(backgrounds)
    first = _LIGHTEST_START if dark else _DARKEST_START
    shares = [step / _STEPS for step in range(_STEPS + 1)]
    # From the preferred lightness away from the backgrounds; the others only if all of those fail.
    order = sorted(
        shares, key=lambda share: (share < first, share) if dark else (share > first, -share)
    )
    best, best_contrast = RGB(0, 0, 0), 0.0
    for lightness in order:
        colour = _of_hls(hue_share, lightness, saturation)
        lowest = min(contrast(colour, background) for background in backgrounds)
        if lowest >= least:
            return colour
        if lowest > best_contrast:
            best, best_contrast = colour, lowest
    return best


def _are_dark(backgrounds: tuple[RGB, ...]) -> bool:
    return sum(map(luminance, backgrounds)) < _MIDDLE * len(backgrounds)


def _of_hls(hue_share: float, lightness: float, saturation: float) -> RGB:
    red, green, blue = colorsys.hls_to_rgb(hue_share, lightness, saturation)
    return RGB(round(red * 255), round(green * 255), round(blue * 255))
