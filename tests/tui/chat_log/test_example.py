"""The example of the chat log does what it shows, with no network and no server."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pilots import until

from gochat.tui.chat_log import ChatLog, LogMessage

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[3] / "examples" / "chat_log.py"


def load() -> Any:
    """Import the example, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("gochat_example_chat_log", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def message(log: ChatLog, key: str) -> LogMessage:
    item = log.items[key]
    assert isinstance(item, LogMessage)
    return item


async def test_what_is_written_is_pending_and_then_sent() -> None:
    app = load().Diary(seconds=0.01)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*"Hello", "enter")
        log = app.query_one(ChatLog)
        await until(pilot, lambda: "300" in log.items and message(log, "300").state == "sent")
        assert message(log, "300").text == "Hello"
        assert log.at_bottom


async def test_scrolling_up_loads_older_entries_until_there_are_none() -> None:
    app = load().Diary()
    async with app.run_test(size=(80, 24)) as pilot:
        log = app.query_one(ChatLog)
        before = len(log.items)
        log.focus()
        await pilot.press("home")
        await until(pilot, lambda: len(log.items) > before)
        while not log.older_exhausted:
            log.scroll_home()
            await pilot.pause()
        assert "0" in log.items


async def test_keys_of_a_message_copy_it_react_to_it_and_answer_it() -> None:
    app = load().Diary(seconds=0.01)
    async with app.run_test(size=(80, 24)) as pilot:
        log = app.query_one(ChatLog)
        log.focus()
        await pilot.press("up", "y", "plus")
        await until(pilot, lambda: bool(message(log, "welcome").reactions))
        assert "log.append" in app.clipboard
        await pilot.press("plus")
        await until(pilot, lambda: not message(log, "welcome").reactions)
        await pilot.press("r")
        await until(pilot, lambda: not log.has_focus)
        await pilot.press(*"Thanks", "enter")
        await until(pilot, lambda: "300" in log.items)
        reply = message(log, "300").reply
        assert reply is not None
        assert reply[0] == "diary"


def test_the_widget_brings_no_client_and_no_server_with_it() -> None:
    code = (
        "import sys, gochat.tui.chat_log; "
        "print([name for name in sys.modules if name.startswith(('gochat.client', 'gochat.server',"
        " 'gochat.protocol.', 'gochat.storage', 'gochat.chat', 'anyio', 'trio', 'msgspec'))"
        " and name != 'gochat.protocol.text'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
