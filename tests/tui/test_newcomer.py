"""Somebody's first quarter of an hour, on a real server: once by keys, once by the mouse.

Letters are typed and sent with Enter both times; everything else is done by one of the two.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio.to_thread
import pytest
from pilots import screen_text, settle, type_text, until, until_waiting
from processes import Running, serve
from textual.pilot import Pilot

from gochat.client import Client, open_client
from gochat.tui.app import GochatApp
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen

pytestmark = pytest.mark.anyio

PASSWORD = "a good password"
CODE = "```python\nprint('hello')\n```"


class Hands:
    """What a person sees and does."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self.pilot = pilot

    async def sees(self, text: str) -> None:
        """Wait until `text` is on the screen."""
        await until(self.pilot, lambda: text in screen_text(self.pilot), repr(text))
        await settle(self.pilot)

    async def types(self, text: str) -> None:
        """Type `text`."""
        await type_text(self.pilot, text)
        await settle(self.pilot)

    async def says(self, text: str) -> None:
        """Type `text` and send it."""
        await self.types(text)
        await self.press("enter")

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)
        await settle(self.pilot)

    def position(self, text: str, *, last: bool = False) -> tuple[int, int]:
        """Find `text` on the screen; the first occurrence, or the last."""
        lines = list(enumerate(screen_text(self.pilot).splitlines()))
        for y, line in reversed(lines) if last else lines:
            if (x := line.find(text)) >= 0:
                return x + 1, y
        pytest.fail(f"{text!r} is not on the screen:\n{screen_text(self.pilot)}")

    async def click(self, text: str, *, last: bool = False) -> None:
        """Click on `text`. A button takes no click while it looks pressed from the one before."""
        screen = self.pilot.app.screen
        await until(self.pilot, lambda: not screen.query("Button.-active"), "the button")
        await self.pilot.click(offset=self.position(text, last=last))
        await settle(self.pilot)

    # What is done differently.

    async def register(self) -> None:
        raise AssertionError("each kind of hands does it its way")

    async def write_to(self, person: str) -> None:
        raise AssertionError("each kind of hands does it its way")

    async def go_to_lobby(self) -> None:
        raise AssertionError("each kind of hands does it its way")

    async def join(self, room: str) -> None:
        raise AssertionError("each kind of hands does it its way")

    async def search(self, words: str) -> None:
        raise AssertionError("each kind of hands does it its way")

    async def react(self, message: str) -> None:
        raise AssertionError("each kind of hands does it its way")

    async def copy(self, message: str) -> None:
        raise AssertionError("each kind of hands does it its way")

    async def choose_theme(self, theme: str) -> None:
        raise AssertionError("each kind of hands does it its way")


class Keys(Hands):
    """By keys alone."""

    async def register(self) -> None:
        await self.types("ada")
        await self.press("tab")
        await self.types(PASSWORD)
        await self.press("tab", "tab", "enter")
        await self.says(PASSWORD)

    async def write_to(self, person: str) -> None:
        await self.press("ctrl+k")
        await self.says(person)

    async def go_to_lobby(self) -> None:
        await self.press("alt+1")

    async def join(self, room: str) -> None:
        await self.press("f4")
        await self.sees("Enter join or open")
        await self.sees(room)
        await self.says(room)

    async def search(self, words: str) -> None:
        await self.press("ctrl+f")
        await self.types(words)
        await self.sees("24 bottles")
        await self.press("enter")

    async def react(self, message: str) -> None:
        await self.press("up", "plus")
        await self.says("tada")

    async def copy(self, message: str) -> None:
        await self.press("up", "y", "escape")

    async def choose_theme(self, theme: str) -> None:
        await self.press("ctrl+p")
        await self.says(f"theme {theme}")


class Mouse(Hands):
    """By the mouse alone, but for the letters."""

    async def register(self) -> None:
        await self.click("Name")
        x, y = self.position("Name")
        for row, text in ((y + 1, "ada"), (y + 4, PASSWORD)):
            await self.pilot.click(offset=(x, row))
            await self.types(text)
        await self.click("Create account")
        await self.types(PASSWORD)
        await self.click("Create account")

    async def write_to(self, person: str) -> None:
        await self.click(f"● {person}", last=True)

    async def go_to_lobby(self) -> None:
        await self.click("#lobby")

    async def join(self, room: str) -> None:
        await self.click("+ more rooms")
        await self.sees(room)
        await self.click(room)

    async def search(self, words: str) -> None:
        await self.click("Ctrl+F")
        await self.types(words)
        await self.sees("24 bottles")
        await self.click("24 bottles")

    async def _over(self, message: str, word: str) -> None:
        x, y = self.position(message, last=True)
        await self.pilot.hover(offset=(x, y))
        await settle(self.pilot)
        await self.click(f" {word}", last=True)

    async def react(self, message: str) -> None:
        await self._over(message, "react")
        await self.sees("tada")
        await self.click("tada", last=True)

    async def copy(self, message: str) -> None:
        await self._over(message, "copy")

    async def choose_theme(self, theme: str) -> None:
        await self.click("Ctrl+P")
        await self.types(theme)
        await self.click(f"Theme: {theme}")


@asynccontextmanager
async def mei_online(server: Running) -> AsyncIterator[Client]:
    """Add another person, who has made a room and written in it."""
    async with open_client(f"gochat://127.0.0.1:{server.port}") as client:
        await client.register("mei", PASSWORD)
        await client.log_in("mei", PASSWORD)
        await client.create_room("#music", topic="What are you listening to?")
        await client.send("#lobby", "There are 24 bottles in the kitchen.").sent()
        for n in range(8):
            await client.send("#lobby", f"And something else, {n}.").sent()
        yield client


@pytest.mark.parametrize("kind", [Keys, Mouse], ids=["keys", "mouse"])
async def test_a_newcomer_finds_everything(tmp_path: Path, kind: type[Hands]) -> None:
    with serve(tmp_path / "chat.db", "--set", "limits.burst=100") as server:
        async with AsyncExitStack() as stack:
            mei = await stack.enter_async_context(mei_online(server))
            app = GochatApp(
                state=StateDirectory(tmp_path / "ada"),
                open_client=open_client,
                server=f"gochat://127.0.0.1:{server.port}",
            )
            pilot = await stack.enter_async_context(app.run_test(size=(100, 30)))
            await settle(pilot)
            me = kind(pilot)

            await me.register()
            await until(pilot, lambda: isinstance(app.screen, ChatScreen), "the chat")
            await me.sees("Online · 2")

            await me.write_to("mei")
            await me.sees("@mei ›")
            await me.says("hello mei")
            await mei.send("@ada", f"look:\n{CODE}").sent()
            await me.sees("print('hello')")

            await me.copy("print('hello')")
            await until(pilot, lambda: CODE in app.clipboard, "the clipboard")

            await me.react("print('hello')")
            await me.sees("🎉 1")

            await me.join("#music")
            await me.sees("#music ›")
            await me.sees("you joined")

            await me.go_to_lobby()
            await me.search("bottles")
            await me.sees("There are 24 bottles in the kitchen.")

            await me.choose_theme("gochat-light")
            await until(pilot, lambda: app.theme == "gochat-light", "the theme")

            server.process.send_signal(signal.SIGTERM)
            await anyio.to_thread.run_sync(server.finish)
            await me.sees("reconnecting")
            await me.says("did this survive?")
            await until_waiting(pilot, 1)
            await me.sees("1 waiting")
            with serve(tmp_path / "chat.db", "--port", str(server.port)):
                await me.sees("connected as ada")
                await until_waiting(pilot, 0)
                await settle(pilot)
                assert "waiting" not in screen_text(pilot)
                await me.sees("did this survive?")
