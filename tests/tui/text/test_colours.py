"""A name has one colour everywhere, and it can be read on every theme."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.tui.text.colours import HUES, MIN_CONTRAST, RGB, contrast, hue, sender_colour

_DARK = (RGB(18, 18, 18), RGB(40, 32, 20))
_LIGHT = (RGB(224, 224, 224), RGB(250, 240, 220))
_PARTS = st.integers(0, 255)
_COLOURS = st.builds(RGB, _PARTS, _PARTS, _PARTS)


@given(
    st.text(max_size=32), st.sampled_from([_DARK, _LIGHT, (RGB(0, 0, 0),), (RGB(255, 255, 255),)])
)
def test_every_name_is_readable(name: str, backgrounds: tuple[RGB, ...]) -> None:
    colour = sender_colour(name, backgrounds)
    assert all(contrast(colour, background) >= MIN_CONTRAST for background in backgrounds)


@given(st.text(max_size=32), _COLOURS)
def test_every_name_is_readable_on_any_one_background(name: str, background: RGB) -> None:
    assert contrast(sender_colour(name, (background,)), background) >= MIN_CONTRAST


def test_names_are_readable_where_the_background_is_unknown() -> None:
    unknown = (RGB(0, 0, 0), RGB(255, 255, 255))
    for number in range(100):
        colour = sender_colour(f"name{number}", unknown)
        assert min(contrast(colour, ground) for ground in unknown) >= MIN_CONTRAST


def test_the_hue_is_the_same_in_every_process() -> None:
    assert [hue(name) for name in ("mei", "jonas", "anna")] == [
        hue("MEI"),
        hue("Jonas"),
        hue("ANNA"),
    ]
    assert hue("mei") == 14  # as it was yesterday


def test_names_spread_over_the_hues() -> None:
    assert len({hue(f"name{number}") for number in range(500)}) == HUES


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        (RGB(0, 0, 0), RGB(255, 255, 255), 21.0),
        (RGB(255, 255, 255), RGB(255, 255, 255), 1.0),
        (RGB(119, 119, 119), RGB(255, 255, 255), 4.48),  # the example everybody knows
    ],
)
def test_contrast_is_that_of_wcag(one: RGB, other: RGB, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01)
