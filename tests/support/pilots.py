"""What tests of the app do with its pilot."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from textual import events
from textual.pilot import Pilot

from gochat.tui.app import GochatApp

#: Opens an app and yields its pilot.
OpenApp = Callable[..., AbstractAsyncContextManager[Pilot[None]]]


async def until(
    pilot: Pilot[None], is_true: Callable[[], bool], what: str = "it", seconds: float = 30.0
) -> None:
    """Wait until `is_true`; fail if it never is."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain for {what}; there is:\n{screen_text(pilot)}")
        await pilot.pause(0.005)


async def settle(pilot: Pilot[None]) -> None:
    """Wait until what has happened is on the screen: no change is left to be drawn."""
    app = pilot.app
    assert isinstance(app, GochatApp)
    for _ in range(3):
        await pilot.pause()
        await until(pilot, lambda: not app.is_drawing_due, "the drawing")
    await pilot.pause()


async def typed(pilot: Pilot[None], text: str) -> None:
    """Type `text` and press Enter."""
    await type_text(pilot, text)
    await pilot.press("enter")
    await settle(pilot)


async def type_text(pilot: Pilot[None], text: str) -> None:
    """Have `text` in the field that has the focus, as a paste: keys one by one take long."""
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()


def screen_text(pilot: Pilot[None]) -> str:
    """Return what the screen shows, line by line."""
    app = pilot.app
    strips = app.screen._compositor.render_strips()  # the only way to the text
    return "\n".join(strip.text.rstrip() for strip in strips)
