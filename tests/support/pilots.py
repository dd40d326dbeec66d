"""Helpers for tests that drive the app with a pilot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pytest
from patience import PATIENCE
from textual import events
from textual._xterm_parser import XTermParser
from textual.pilot import Pilot

from gochat.tui.app import GochatApp
from gochat.tui.screens.chat import ChatScreen

#: Opens an app and yields its pilot.
OpenApp = Callable[..., AbstractAsyncContextManager[Pilot[None]]]


#: Seconds within which a timer counts as pending work: a frame of the app takes 33 ms, one of
#: Textual 17 ms. Tests that need later ones (a cursor, a toast) wait for them.
_SOON: Final = 0.04


async def wait_until_idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Wait until nothing is left to run now, or soon.

    Replaces Textual's ``wait_for_idle``, which takes at least 20 ms each time, twice for each key,
    and looks at how busy the process is: that depends on the machine, this does not.
    """
    loop: Any = asyncio.get_running_loop()
    del max_sleep  # the time it takes depends on the machine
    end = loop.time() + PATIENCE
    if min_sleep:
        await asyncio.sleep(min_sleep)
    while (now := loop.time()) < end:
        await asyncio.sleep(0)
        if loop._ready:
            continue
        due = [timer.when() for timer in loop._scheduled if not timer.cancelled()]
        if not due or min(due) > now + _SOON:
            return
        await asyncio.sleep(max(0.0, min(due) - now))
    pytest.fail(f"there was something to do for {PATIENCE:g} s, without an end")


async def until(pilot: Pilot[None], is_true: Callable[[], bool], what: str = "it") -> None:
    """Wait until `is_true`; fail if that never happens."""
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        if time.monotonic() > deadline:
            pytest.fail(
                f"waited {PATIENCE:g} s in vain for {what}; there is:\n{screen_text(pilot)}"
            )
        await pilot.pause(0.005)


async def until_waiting(pilot: Pilot[None], messages: int) -> None:
    """Wait until this many messages are waiting to be sent, and none was refused.

    The status line shows it, too, but shortens it if there is little room.
    """
    screen = pilot.app.screen
    assert isinstance(screen, ChatScreen)
    await until(pilot, lambda: screen.model.counts() == (messages, 0), f"{messages} that wait")


async def settle(pilot: Pilot[None]) -> None:
    """Wait until everything is drawn on the screen."""
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
    """Put `text` into the focused field as a paste: single keys take long."""
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()


def screen_text(pilot: Pilot[None]) -> str:
    """Return what the screen shows, line by line."""
    app = pilot.app
    strips = app.screen._compositor.render_strips()  # the only way to get the text
    return "\n".join(strip.text.rstrip() for strip in strips)


def feed(pilot: Pilot[None], data: str) -> None:
    """Give the app what a terminal sends, all of it in one chunk."""
    for event in XTermParser().feed(data):
        event.set_sender(pilot.app)
        pilot.app.post_message(event)


def post_keys(pilot: Pilot[None], names: Sequence[str]) -> None:
    """Press keys, all of them at once, and don't wait."""
    for name in names:
        event = events.Key(name, name if len(name) == 1 else None)
        event.set_sender(pilot.app)
        pilot.app.post_message(event)


async def press_all(pilot: Pilot[None], names: Sequence[str]) -> None:
    """Press keys, all of them at once, and wait until they have had their effect."""
    app = pilot.app
    assert isinstance(app, GochatApp)
    post_keys(pilot, names)
    await asyncio.sleep(0)
    await until(pilot, lambda: app.is_idle, "the keys")
