"""Take the pictures of the app that the README and the tutorial show: ``make pictures``.

The app itself runs, without a terminal, on the demonstration's client: the same people at the same
moment each time, so that a picture changes only when the app does. A test compares them.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from textual.pilot import Pilot

from gochat.tui.actions.session import Credentials
from gochat.tui.app import GochatApp
from gochat.tui.demo.conversation import furnish
from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.profile.preferences import Preferences, Settings
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen

IMAGES: Final = Path(__file__).resolve().parent / "images"
#: Friday 27 November 2026, 10:30 UTC.
NOW: Final = 1_795_775_400.0
_SERVER: Final = "gochat://127.0.0.1:8889"
_CODE: Final = """\
The whole bot:
```python
async for event in client:
    match event:
        case Message(text="ping"):
            client.reply(event, "pong")
```"""

#: What a person does before the picture is taken.
Act = Callable[[Pilot[None], ScriptedClient], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    """One picture. `lively`: others are there and have talked before."""

    act: Act
    size: tuple[int, int] = (96, 28)
    lively: bool = True
    logged_in: bool = True


async def _settle(pilot: Pilot[None]) -> None:
    """Wait until what has happened is drawn."""
    app = pilot.app
    assert isinstance(app, GochatApp)
    for _ in range(3):
        await pilot.pause()
        while app.is_drawing_due:
            await pilot.pause(0.01)
    await pilot.pause()


async def _see(pilot: Pilot[None], text: str) -> tuple[int, int]:
    """Wait until `text` is on the screen; return where."""
    deadline = time.monotonic() + 30
    while True:
        strips = pilot.app.screen._compositor.render_strips()  # the only way to the text
        for y, strip in enumerate(strips):
            if (x := strip.text.find(text)) >= 0:
                return x, y
        if time.monotonic() > deadline:
            raise TimeoutError(f"{text!r} is not on the screen")
        await pilot.pause(0.01)


def _press(*keys: str, see: str = "") -> Act:
    """Press keys, one after the other, and wait until `see` is shown."""

    async def act(pilot: Pilot[None], _: ScriptedClient) -> None:
        for key in keys:
            await pilot.press(key)
            await _settle(pilot)
        if see:
            await _see(pilot, see)

    return act


async def _look(pilot: Pilot[None], client: ScriptedClient) -> None:
    """Nothing: the app as it opens."""


async def _register(pilot: Pilot[None], client: ScriptedClient) -> None:
    await pilot.press(*"ada", "tab", *"a good password", "tab", "tab", "enter")
    await _settle(pilot)
    await pilot.press(*"a good password")


async def _private(pilot: Pilot[None], client: ScriptedClient) -> None:
    client.record("@mei", "ada", "Gladly! And could you show me your bot?", ago=600)
    client.record("@mei", "mei", _CODE, ago=540)
    await pilot.press("alt+4")
    await _settle(pilot)
    await pilot.press(*"It is short! I'll try it")


async def _hover(pilot: Pilot[None], client: ScriptedClient) -> None:
    x, y = await _see(pilot, "are you around")
    await pilot.hover(offset=(x + 1, y))


async def _cut(pilot: Pilot[None], client: ScriptedClient) -> None:
    client.cut(retry_in=4.0, reason="the server is restarting")
    await _settle(pilot)
    await pilot.press(*"Did you restart it?", "enter")
    await _settle(pilot)
    await pilot.press(*"I can go on wri")


#: By the name of the file.
SCENES: Final[dict[str, Scene]] = {
    "chat": Scene(_look, size=(110, 32)),
    "register": Scene(_register, logged_in=False),
    "first-minute": Scene(_look, lively=False),
    "switcher": Scene(_press("ctrl+k", "m", see="@mei")),
    "rooms": Scene(_press("f4", see="#music")),
    "private": Scene(_private),
    "message": Scene(_press("up", see="Esc back")),
    "mouse": Scene(_hover),
    "react": Scene(_press("up", "plus", see="tada")),
    "search": Scene(_press("ctrl+f", *"soak", see="24 min")),
    "theme": Scene(_press("ctrl+p", *"light", see="Theme: gochat-light")),
    "cut": Scene(_cut),
}


async def _all_listed(pilot: Pilot[None]) -> None:
    """Wait until everything is drawn, also what concerns the person, which is asked for later."""
    await _settle(pilot)
    screen = pilot.app.screen
    while isinstance(screen, ChatScreen) and screen.controller.is_doing("activity"):
        await pilot.pause(0.01)
    await _settle(pilot)


async def take(name: str) -> str:
    """Return a picture as SVG."""
    scene = SCENES[name]
    client = ScriptedClient(now=lambda: NOW)
    if scene.lively:
        furnish(client)
    with TemporaryDirectory() as directory:
        app = GochatApp(
            state=StateDirectory(Path(directory)),
            open_client=opener(client),
            preferences=Preferences(Settings(animations=False)),
            server=_SERVER,
            credentials=Credentials(_SERVER, "ada", "demo") if scene.logged_in else None,
            clock=lambda: NOW,
            now=lambda: NOW,
        )
        async with app.run_test(size=scene.size) as pilot:
            while scene.logged_in and not isinstance(app.screen, ChatScreen):
                await pilot.pause(0.01)
            await _all_listed(pilot)
            await scene.act(pilot, client)
            await _all_listed(pilot)
            picture = app.export_screenshot(title="gochat")
    # A number that also depends on what can't be seen, such as the order of events.
    picture = re.sub(r"\bterminal-\d+", f"terminal-{name}", picture)
    # The fonts would come from a server of somebody else's; a terminal's font does as well.
    return re.sub(r"@font-face\s*\{.*?\}", "", picture, flags=re.DOTALL)


def main() -> None:
    """Take all pictures, or those that are named."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    IMAGES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or SCENES:
        picture = asyncio.run(take(name))
        (IMAGES / f"{name}.svg").write_text(picture, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
