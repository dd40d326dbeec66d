"""Line mode beside a server that takes its time: it says what it waits for, once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE

from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.model import waits
from gochat.tui.plain import app as plain
from gochat.tui.plain.app import PASSWORD, PlainApp
from gochat.tui.profile.preferences import Preferences
from gochat.tui.profile.state import StateDirectory

pytestmark = pytest.mark.anyio


class Lines:
    """What is typed, and what is written."""

    def __init__(self) -> None:
        self.typed: asyncio.Queue[str | None] = asyncio.Queue()
        self.written: list[str] = []
        self._news = asyncio.Event()

    def type(self, *lines: str) -> None:
        for line in lines:
            self.typed.put_nowait(line)

    def write(self, line: str) -> None:
        self.written.append(line)
        self._news.set()

    async def read(self, _descriptor: int) -> AsyncIterator[str]:
        while (line := await self.typed.get()) is not None:
            yield line

    async def until(self, text: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not any(text in line for line in self.written):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pytest.fail(f"waited in vain for {text!r}; there is: {self.written}")

    @property
    def waits(self) -> list[str]:
        return [line for line in self.written if line.endswith("…") or "waiting" in line]


@pytest.fixture
def line_mode(
    client: ScriptedClient, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[float], AbstractAsyncContextManager[Lines]]]:
    """Run the line mode, which says after so many seconds what it waits for."""

    @asynccontextmanager
    async def run(said_after: float) -> AsyncIterator[Lines]:
        lines = Lines()
        monkeypatch.setenv(PASSWORD, "a good password")
        monkeypatch.setattr(plain, "typed_lines", lines.read)
        monkeypatch.setattr(plain, "SAID_AFTER", said_after)
        monkeypatch.setattr(waits, "SHOWN_AFTER", 0.0)
        app = PlainApp(
            state=state, open_client=opener(client), preferences=Preferences(),
            server="chat.example.org", name="ada", write=lines.write,
        )  # fmt: skip
        running = asyncio.create_task(app.run())
        yield lines
        lines.typed.put_nowait(None)
        async with asyncio.timeout(PATIENCE):
            assert await running == 0

    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield run


class Held:
    """A request whose answer comes when it is let through."""

    def __init__(self, client: ScriptedClient, method: str, patch: pytest.MonkeyPatch) -> None:
        self._answer = asyncio.Event()
        request: Callable[..., Any] = getattr(client, method)

        async def ask(*args: object, **options: object) -> object:
            await self._answer.wait()
            return await request(*args, **options)

        patch.setattr(client, method, ask)

    def answer(self) -> None:
        self._answer.set()


async def test_what_takes_long_is_said_once(
    line_mode: Callable[[float], AbstractAsyncContextManager[Lines]],
    client: ScriptedClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    login, join, members = (
        Held(client, method, monkeypatch) for method in ("log_in", "join", "members")
    )
    client.add_room("#garden", members=["mei"])
    async with line_mode(0.01) as lines:
        await lines.until("* Connecting to chat.example.org:8889…")
        login.answer()
        await lines.until("Writing to #lobby.")
        lines.type("/join #garden", "/members")
        await lines.until("* Joining #garden…")
        join.answer()
        await lines.until("Writing to #garden.")
        await lines.until("* Waiting for the server: /members…")
        members.answer()
        await lines.until("Members:")
        client.cut()
        lines.type("hello")
        await lines.until("* 1 waiting to be sent")
        lines.type("and more")
        client.restore()
        lines.type("/topic")
        await lines.until("This conversation has no topic.")
        for said in ("Joining #garden…", "Waiting for the server: /members…"):
            assert lines.written.count(f"* {said}") == 1
        assert sum("waiting to be sent" in line for line in lines.written) == 1


async def test_first_line_waits_for_what_was_written_before(
    line_mode: Callable[[float], AbstractAsyncContextManager[Lines]],
    client: ScriptedClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else `/report` would find nothing to report."""
    client.say("#lobby", "mei", "something rude")
    history = Held(client, "history", monkeypatch)
    async with line_mode(0.01) as lines:
        lines.type("/report spam")
        await lines.until("* Waiting for the server…")
        history.answer()
        await lines.until("see that it is from you. mei: something rude")


async def test_nothing_is_said_of_quick_answers(
    line_mode: Callable[[float], AbstractAsyncContextManager[Lines]], client: ScriptedClient
) -> None:
    client.add_room("#garden", members=["mei"])
    async with line_mode(PATIENCE) as lines:
        lines.type("/join #garden", "hello", "/members")
        await lines.until("Members:")
        assert not lines.waits
