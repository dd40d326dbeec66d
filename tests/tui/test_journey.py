"""The main job, end to end: two people with the real app on a real server."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest
from pilots import screen_text, settle, type_text, typed, until, until_waiting
from processes import Running, serve
from textual.pilot import Pilot

from gochat.client import open_client
from gochat.tui.app import GochatApp
from gochat.tui.profile.state import StateDirectory
from gochat.tui.screens.chat import ChatScreen

pytestmark = pytest.mark.anyio

PASSWORD = "a good password"


@asynccontextmanager
async def person(server: Running, directory: Path) -> AsyncIterator[Pilot[None]]:
    """Open the app as one person has it: with a state directory of their own."""
    app = GochatApp(
        state=StateDirectory(directory),
        open_client=open_client,
        server=f"gochat://127.0.0.1:{server.port}",
    )
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        yield pilot


async def register(pilot: Pilot[None], name: str) -> None:
    """Create an account from the first screen, by keys."""
    await type_text(pilot, name)
    await pilot.press("tab")
    await type_text(pilot, PASSWORD)
    await pilot.press("tab", "tab", "enter")
    await settle(pilot)
    await typed(pilot, PASSWORD)
    await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen), "the chat")
    await sees(pilot, f"connected as {name}")


async def sees(pilot: Pilot[None], text: str) -> None:
    """Wait until `text` is on the screen."""
    await until(pilot, lambda: text in screen_text(pilot), repr(text))


async def test_two_people_register_see_each_other_talk_and_one_leaves(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as server:
        async with AsyncExitStack() as stack:
            ada = await stack.enter_async_context(person(server, tmp_path / "ada"))
            await register(ada, "ada")
            async with person(server, tmp_path / "mei") as mei:
                await register(mei, "mei")
                await sees(ada, "Online · 2")
                await sees(mei, "Online · 2")

                await typed(ada, "hello everybody")
                await sees(mei, "hello everybody")
                await typed(mei, "hello ada")
                await sees(ada, "hello ada")

                # To mei alone: by the list of people, with keys.
                await ada.press("f2", "tab", "tab", "end", "enter")
                await sees(ada, "@mei ›")
                await typed(ada, "just for you")
                await sees(mei, "Unread")
                await mei.press("f6")
                await sees(mei, "just for you")
                await typed(mei, "thank you")
                await sees(ada, "thank you")

                await mei.press("ctrl+q")
            await sees(ada, "Online · 1")
            await sees(ada, "offline")


async def test_what_is_written_during_a_restart_arrives_after_it(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as server:
        port = server.port
        async with AsyncExitStack() as stack:
            ada = await stack.enter_async_context(person(server, tmp_path / "ada"))
            await register(ada, "ada")
            server.process.send_signal(signal.SIGTERM)
            await anyio.to_thread.run_sync(server.finish)
            await sees(ada, "reconnecting")
            await typed(ada, "are you back?")
            await until_waiting(ada, 1)
            await sees(ada, "1 waiting")
            with serve(tmp_path / "chat.db", "--port", str(port)) as again:
                assert again.port == port
                await sees(ada, "connected as ada")
                await until_waiting(ada, 0)
                await settle(ada)
                assert "waiting" not in screen_text(ada)
                mei = await stack.enter_async_context(person(again, tmp_path / "mei"))
                await register(mei, "mei")
                await sees(mei, "are you back?")


async def test_the_app_opens_where_it_was_left_without_asking(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as server:
        async with person(server, tmp_path / "ada") as ada:
            await register(ada, "ada")
            await typed(ada, "said before")
            await sees(ada, "said before")
        async with person(server, tmp_path / "ada") as ada:
            await sees(ada, "connected as ada")
            await sees(ada, "said before")


async def test_a_wrong_password_and_a_taken_name_are_told_beside_their_fields(
    tmp_path: Path,
) -> None:
    with serve(tmp_path / "chat.db") as server:
        async with person(server, tmp_path / "one") as ada:
            await register(ada, "ada")
        async with person(server, tmp_path / "two") as other:
            await typed(other, "ada")
            await typed(other, "not the password")
            await sees(other, "New here?")
            await other.press("tab", "tab", "enter")
            await settle(other)
            await typed(other, "not the password")
            await sees(other, "If it is you, log in.")


async def test_a_password_changed_elsewhere_asks_for_it_and_loses_nothing(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as server:
        async with person(server, tmp_path / "ada") as ada:
            await register(ada, "ada")
            await type_text(ada, "half a sentence")
            async with open_client(f"gochat://127.0.0.1:{server.port}") as elsewhere:
                await elsewhere.log_in("ada", PASSWORD)
                await elsewhere.change_password(PASSWORD, "a better password")
                await sees(ada, "Please log in again")
                await settle(ada)
                await typed(ada, PASSWORD)
                await sees(ada, "password is wrong")
                await settle(ada)
                await typed(ada, "a better password")
                await sees(ada, "connected as ada")
                await sees(ada, "half a sentence")
                await until(ada, lambda: isinstance(ada.app.screen, ChatScreen))


async def test_two_apps_with_one_memory_are_two_sessions_of_one_person(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as server:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(person(server, tmp_path / "ada"))
            await register(one, "ada")
            two = await stack.enter_async_context(person(server, tmp_path / "ada"))
            await sees(two, "connected as ada")
            await typed(one, "from the first")
            await sees(two, "from the first")
            await typed(two, "from the second")
            await sees(one, "from the second")


async def test_what_a_second_app_has_not_sent_is_sent_by_the_next(tmp_path: Path) -> None:
    """Each has an outbox of its own; what one leaves unsent is not lost, and is sent once."""
    with serve(tmp_path / "chat.db") as server:
        port = server.port
        async with person(server, tmp_path / "ada") as one:
            await register(one, "ada")
            async with person(server, tmp_path / "ada") as two:
                await sees(two, "connected as ada")
                server.process.kill()
                await anyio.to_thread.run_sync(server.finish)
                for pilot, text in ((one, "by the first"), (two, "by the second")):
                    await sees(pilot, "reconnecting")
                    await typed(pilot, text)
                    await sees(pilot, "1 waiting")
    with serve(tmp_path / "chat.db", "--port", str(port)) as server:
        async with person(server, tmp_path / "ada") as ada:
            await sees(ada, "connected as ada")
            await shows_once(ada, "by the first", "by the second")


def lines(pilot: Pilot[None], text: str) -> list[str]:
    """Return the lines of the shown conversation that hold `text`, by key."""
    assert isinstance(pilot.app.screen, ChatScreen)
    return [entry.key for entry in pilot.app.screen.model.shown.timeline if text in entry.text]


def is_logged(pilot: Pilot[None], text: str) -> bool:
    """Return whether a line with `text` stands at its place in the log."""
    return any(key.isdigit() for key in lines(pilot, text))


async def shows_once(pilot: Pilot[None], *texts: str) -> None:
    """Wait until each of `texts` is in the log, and see that it is there once."""
    assert isinstance(pilot.app.screen, ChatScreen)
    model = pilot.app.screen.model
    for text in texts:
        await until(pilot, partial(is_logged, pilot, text), text)
    await until(pilot, lambda: model.counts() == (0, 0), "the outbox")
    await settle(pilot)
    for text in texts:
        assert len(lines(pilot, text)) == 1, text
        assert screen_text(pilot).count(text) == 1, screen_text(pilot)


async def test_what_waited_over_a_restart_of_server_and_app_shows_once(tmp_path: Path) -> None:
    """The tutorial's tenth step: the queue comes from the disk, the log by a page."""
    said = ("one of three", "two of three", "the third")
    with serve(tmp_path / "chat.db") as server:
        port = server.port
        async with person(server, tmp_path / "ada") as ada:
            await register(ada, "ada")
            await typed(ada, "said before")
            await shows_once(ada, "said before")
            server.process.kill()
            await anyio.to_thread.run_sync(server.finish)
            await sees(ada, "reconnecting")
            for text in said:
                await typed(ada, text)
            await sees(ada, "3 waiting")
            await ada.press("ctrl+q")
    with serve(tmp_path / "chat.db", "--port", str(port)) as server:
        for _ in range(2):
            async with person(server, tmp_path / "ada") as ada:
                await sees(ada, "connected as ada")
                await shows_once(ada, "said before", *said)
                await ada.press("ctrl+q")


async def test_what_is_in_flight_when_the_app_is_left_shows_once(tmp_path: Path) -> None:
    """The server commits it after the app that sent it has ended."""
    with serve(tmp_path / "chat.db") as server:
        async with person(server, tmp_path / "ada") as ada:
            await register(ada, "ada")
            server.process.send_signal(signal.SIGSTOP)
            await typed(ada, "said and gone")
            await sees(ada, "1 waiting")
            await ada.press("ctrl+q")
        server.process.send_signal(signal.SIGCONT)
        async with person(server, tmp_path / "ada") as ada:
            await sees(ada, "connected as ada")
            await shows_once(ada, "said and gone")


async def test_a_private_message_right_after_the_start_shows_once(tmp_path: Path) -> None:
    """However the name is spelled, it goes where the conversation with that person is."""
    with serve(tmp_path / "chat.db") as server:
        async with open_client(f"gochat://127.0.0.1:{server.port}") as bob:
            await bob.register("bob", PASSWORD)
            await bob.log_in("bob", PASSWORD)
            async with person(server, tmp_path / "ada") as ada:
                await register(ada, "ada")
                await bob.send("@ada", "hello ada").sent()
                await typed(ada, "/msg bob said before")
                await shows_once(ada, "hello ada", "said before")
            async with person(server, tmp_path / "ada") as ada:
                await sees(ada, "connected as ada")
                await typed(ada, "/msg BOB hello bob")
                await shows_once(ada, "hello ada", "said before", "hello bob")
                assert isinstance(ada.app.screen, ChatScreen)
                assert sorted(ada.app.screen.model.conversations) == ["#lobby", "@bob"]
