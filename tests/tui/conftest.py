"""What the tests of the app share: a scripted client, a fixed clock, and pilots."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from known_styles import styles_computed_once
from patience import PATIENCE
from pilots import OpenApp, settle, until, wait_until_idle
from quick_dispatch import handlers_found_once
from textual._compositor import Compositor
from textual._context import visible_screen_stack
from textual.app import App
from textual.geometry import Size
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip
from textual.theme import Theme

from gochat.tui.actions.session import Credentials
from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.profile import themed_app
from gochat.tui.profile.legibility import legible
from gochat.tui.profile.preferences import Preferences
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen

#: Monday 23 November 2026, 12:00 UTC.
NOON = 1_795_435_200.0
LOGIN = Credentials("gochat://127.0.0.1:8889", "ada", "a good password")


@pytest.fixture
def anyio_backend() -> str:
    """Textual runs on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _keys_wait_until_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are pressed as soon as there is nothing left to do."""
    monkeypatch.setattr("textual.app.wait_for_idle", wait_until_idle)
    monkeypatch.setattr("textual.pilot.wait_for_idle", wait_until_idle)


@pytest.fixture(autouse=True, scope="package")
def _styles_are_computed_once() -> Iterator[None]:
    """There are many apps with the same styles, which Textual computes for each of them."""
    with styles_computed_once():
        yield


@pytest.fixture(autouse=True, scope="package")
def _handlers_are_found_once() -> Iterator[None]:
    """There are many apps with the same widgets."""
    with handlers_found_once():
        yield


@pytest.fixture(autouse=True, scope="package")
def _themes_are_made_once() -> Iterator[None]:
    """Each app makes the colours of its themes readable, which are the same in all."""
    made: dict[str, Theme] = {}

    def legible_once(theme: Theme) -> Theme:
        key = repr(theme)
        if key not in made:
            made[key] = legible(theme)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(themed_app, "legible", legible_once)
        yield


@pytest.fixture(autouse=True)
def _painting_is_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at these screens: they are painted where a test reads them.

    That is half of the work otherwise. What a real terminal gets is in test_terminal.py. The first
    to paint a dialog says what is below it, as Textual does: it keeps that.
    """
    refresh, render_strips = Screen._compositor_refresh, Compositor.render_strips

    def refresh_others(self: Screen[object]) -> None:
        if self is self.app.screen:
            self._dirty_widgets.clear()
        else:
            refresh(self)

    def render_over_others(self: Compositor, size: Size | None = None) -> list[Strip]:
        if isinstance(top := self.root, Screen) and top is top.app.screen:
            visible_screen_stack.set(top.app._background_screens)
        return render_strips(self, size)

    monkeypatch.setattr(Screen, "_compositor_refresh", refresh_others)
    monkeypatch.setattr(Compositor, "render_strips", render_over_others)


@pytest.fixture(autouse=True)
def _notices_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notice stays until it was looked for: its seconds would go by on a busy machine."""
    notify = App.notify

    def notify_for_good(self: App[object], message: str, **how: Any) -> None:
        notify(self, message, **how | {"timeout": PATIENCE})

    monkeypatch.setattr(App, "notify", notify_for_good)


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    """Times are shown the same wherever the tests run."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


class Clock:
    """A clock that a test moves. Both kinds of time in one."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.at


@pytest.fixture
def clock() -> Clock:
    """The time, which stands still."""
    return Clock()


@pytest.fixture
def client(clock: Clock) -> ScriptedClient:
    """A client with a few people online, and no messages."""
    client = ScriptedClient(now=clock)
    client.arrive("mei", "tomas")
    return client


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    """A state directory of the test's own."""
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def make_app(
    client: ScriptedClient, state: StateDirectory, clock: Clock
) -> Callable[..., GochatApp]:
    """Make an app on the scripted client; logged in as ada by default."""

    def make(
        *, credentials: Credentials | None = LOGIN, preferences: Preferences | None = None,
        server: str | None = None,
    ) -> GochatApp:  # fmt: skip
        return GochatApp(
            state=state, open_client=opener(client), preferences=preferences,
            credentials=credentials, server=server, clock=clock, now=clock,
        )  # fmt: skip

    return make


@pytest.fixture
def open_app(make_app: Callable[..., GochatApp]) -> OpenApp:
    """Run an app in a terminal of `size`."""

    @asynccontextmanager
    async def open_it(
        size: tuple[int, int] = (120, 36),
        credentials: Credentials | None = LOGIN,
        preferences: Preferences | None = None,
        server: str | None = None,
    ) -> AsyncIterator[Pilot[None]]:
        app = make_app(credentials=credentials, preferences=preferences, server=server)
        async with app.run_test(size=size, notifications=True) as pilot:
            if credentials is not None:
                await until(pilot, lambda: isinstance(app.screen, ChatScreen))
            await settle(pilot)
            yield pilot

    return open_it
