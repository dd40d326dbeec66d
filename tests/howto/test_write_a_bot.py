"""docs/how-to/write-a-bot.md and the first example of docs/reference/client.md, as printed."""

from __future__ import annotations

import re
import textwrap
from datetime import timedelta
from typing import Any

import pytest
import trio
from patience import PATIENCE
from peers import PASSWORD, running_server

from gochat import client as library
from gochat.client import Client, Message, open_client
from howto import PAGES

pytestmark = pytest.mark.trio

BOT = PAGES / "write-a-bot.md"
REFERENCE = PAGES.parent / "reference" / "client.md"


def block(page: str, heading: str) -> str:
    """Return the first block of Python under a heading."""
    found = re.search(rf"^#+ {heading}\n.*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


async def run(code: str, **names: Any) -> None:
    """Run a block of a page, which awaits."""
    public = {name: getattr(library, name) for name in library.__all__}
    namespace = {**public, "timedelta": timedelta, "anyio": trio, **names}
    exec("async def run():\n" + textwrap.indent(code, "    "), namespace)
    await namespace["run"]()


async def answer(client: Client) -> Message:
    """Return the next message of somebody else."""
    with trio.fail_after(PATIENCE):
        async for event in client:
            if isinstance(event, Message) and not event.is_own:
                return event
    raise AssertionError("the events have ended")


async def test_bot_answers_who_speaks_to_it() -> None:
    code = block(BOT.read_text(encoding="utf-8"), "Answer")
    async with running_server() as server:
        url = f"gochat://{server.host}:{server.port}"
        async with open_client(url) as mei, open_client(url) as bot, trio.open_nursery() as nursery:
            for client, name in ((mei, "mei"), (bot, "clock")):
                await client.register(name, PASSWORD)
                await client.log_in(name, PASSWORD)
            nursery.start_soon(lambda: run(code, client=bot))
            mei.send("#lobby", "not to it")
            asked = await mei.send("@clock", "hello")
            said = await answer(mei)
            assert (said.text, said.form, said.conversation) == (
                "at your service", "notice", "@clock",
            )  # fmt: skip
            assert said.reply_to is not None
            assert said.reply_to.seq == asked.seq
            mei.send("#lobby", "and you, @clock?")
            assert (await answer(mei)).conversation == "#lobby"
            nursery.cancel_scope.cancel()


async def test_bot_with_a_token_is_made() -> None:
    code = block(BOT.read_text(encoding="utf-8"), "Give it no more than it needs")
    async with running_server() as server:
        url = f"gochat://{server.host}:{server.port}"
        async with open_client(url) as mei, open_client(url) as bot:
            await mei.register("mei", PASSWORD)
            await mei.log_in("mei", PASSWORD)
            await mei.create_room("#builds")
            printed: list[str] = []
            await run(code, url=url, password=PASSWORD, print=printed.append)
            await bot.resume(printed[0])
            await bot.send("#builds", "green")
            with pytest.raises(library.NotPermitted):
                await bot.history("#builds")


async def test_first_example_of_the_reference_answers() -> None:
    code = block(REFERENCE.read_text(encoding="utf-8"), "The client library")
    imports, _, code = code.partition("\n\n")
    assert imports == "from gochat.client import Message, open_client"
    async with running_server() as server:
        url = f"gochat://{server.host}:{server.port}"
        async with open_client(url) as bob, trio.open_nursery() as nursery:
            await bob.register("mei", "a good password")
            await bob.register("bob", PASSWORD)
            await bob.log_in("bob", PASSWORD)
            code = code.replace("gochat://127.0.0.1:8889", url)
            nursery.start_soon(lambda: run(code))
            assert (await answer(bob)).text == "hello"
            bob.send("@mei", "ping")
            assert (await answer(bob)).text == "pong"
            nursery.cancel_scope.cancel()
