"""The examples work as described, against the real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from patience import PATIENCE
from processes import serve
from scripted_server import Watcher

from gochat.client import (
    ClientOptions,
    ConnectionState,
    Message,
    MessageId,
    PersonJoined,
    Presence,
    ReactionAdded,
    StateChanged,
    Synchronised,
    open_client,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
PASSWORD = "correct horse"


@contextmanager
def running(example: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(EXAMPLES / example), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def until_online(events: Watcher, name: str) -> None:
    while True:
        match await events.next():
            case Synchronised(people=people) | Presence(online=people):
                if name in {person.name for person in people}:
                    return
            case _:
                pass


async def until_reminded(events: Watcher, what: str) -> Message:
    while (message := await events.next_of(Message)).is_own:
        pass
    assert message.text == f"@mei it is time to {what}"
    return message


@pytest.mark.anyio
async def test_reminder_bot_reminds_also_after_the_server_was_killed(
    tmp_path: Path, free_tcp_port: int
) -> None:
    store, flags = tmp_path / "chat.db", ("--port", str(free_tcp_port))
    url = f"gochat://127.0.0.1:{free_tcp_port}"
    async with open_client(url, options=ClientOptions(backoff_cap=0.5)) as client:
        events = Watcher(client)
        with ExitStack() as stack:
            server = stack.enter_context(serve(store, *flags))
            stack.enter_context(running("reminder_bot.py", url, "clock", PASSWORD))
            await client.register("mei", PASSWORD)
            await client.log_in("mei", PASSWORD)
            await until_online(events, "clock")
            wish = await client.send("@clock", "Remind me in 0 seconds to stretch")
            assert (await events.next_of(ReactionAdded)).message == MessageId("@clock", wish.seq)
            reminder = await until_reminded(events, "stretch")
            assert reminder.reply_to == MessageId("@clock", wish.seq)
            assert reminder.form == "notice"
            server.process.kill()
            server.finish()
            outgoing = client.send("@clock", "remind me in 1 second to look up")
            while (await events.next_of(StateChanged)).state is not ConnectionState.RECONNECTING:
                pass
            stack.enter_context(serve(store, *flags))
            await until_reminded(events, "look up")
            await outgoing
            await client.create_room("#garden")
            await client.invite("#garden", "clock")
            while (await events.next_of(PersonJoined)).sender != "clock":
                pass
            client.send("#garden", "remind me in 0 seconds to water")
            assert (await until_reminded(events, "water")).conversation == "#garden"


def test_minimal_clients_perform_the_six_functions(tmp_path: Path) -> None:
    with (
        serve(tmp_path / "chat.db") as server,
        running("minimal_client.py", "127.0.0.1", str(server.port)) as mei,
        running("minimal_client.py", "127.0.0.1", str(server.port)) as bob,
    ):
        for person, name in ((mei, "mei"), (bob, "bob")):
            tell(person, f"register {name} {PASSWORD}")
            expect(person, "registered")
            tell(person, f"login {name} {PASSWORD}")
            expect(person, "logged in")
        expect(mei, "bob is online")
        tell(mei, "who")
        expect(mei, "online now: bob, mei")
        tell(mei, "all hello to all of you")
        expect(bob, "mei to all: hello to all of you")
        tell(bob, "msg mei only to you: \x1b[2J你好")
        expect(mei, "bob to @mei: only to you: �[2J你好")
        tell(bob, "msg nobody hello")
        expect(bob, "error: no account is named 'nobody'")
        tell(bob, "logout")
        expect(bob, "logged out")
        expect(mei, "bob is offline")
        for person in (mei, bob):
            tell(person, "quit")
            assert person.wait(PATIENCE) == 0


def tell(person: subprocess.Popen[str], line: str) -> None:
    assert person.stdin is not None
    person.stdin.write(line + "\n")
    person.stdin.flush()


def expect(person: subprocess.Popen[str], text: str) -> None:
    """Read until a line contains this text; the test's timeout ends it otherwise."""
    assert person.stdout is not None
    assert any(text in line for line in person.stdout), f"the client ended before {text!r}"
