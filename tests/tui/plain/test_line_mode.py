"""`gochat tui --plain` on a real server: a script chats through pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from live_server import LiveServer, live_server
from patience import PATIENCE
from peers import PASSWORD

from gochat.client import Presence
from gochat.tui.plain.app import PASSWORD as VARIABLE

_COMMAND: Final = [sys.executable, "-m", "gochat", "tui", "--plain"]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server() as server:
        yield server


class LineMode:
    """The process, whose output is read by a thread."""

    def __init__(self, server: LiveServer, state: Path, name: str) -> None:
        server.register(name)
        self.process = subprocess.Popen(
            [*_COMMAND, "--name", name, "--state-dir", str(state), server.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, VARIABLE: PASSWORD}, text=True, bufsize=1,
        )  # fmt: skip
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def type(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def until(self, text: str) -> str:
        """Wait for a line that contains `text`."""
        with self._news:
            assert self._news.wait_for(
                lambda: any(text in line for line in self.lines), PATIENCE
            ), self.lines
        return next(line for line in self.lines if text in line)

    def end(self) -> tuple[int, str]:
        """End the input; return the exit code and what was written of errors."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stdout is not None
        with self.process.stdout, self.process.stderr:
            return code, self.process.stderr.read()


def test_a_script_chats_through_pipes(server: LiveServer, tmp_path: Path) -> None:
    mei = server.bot("mei")
    app = LineMode(server, tmp_path, "ada")
    app.until("Writing to #lobby.")
    app.type(
        "hello from a pipe :tada:", "/create #garden What grows", "the first line here", "/me waves"
    )
    app.until("Writing to #garden.")
    app.type("/status", "/status :tea: break for 2h")
    app.until("Write /status and what you are up to")
    app.until(": 🍵 break")

    async def talk() -> None:
        said = (await mei.statuses(["ada"]))["ada"]
        assert (said.emoji, said.text, said.until is None) == ("🍵", "break", False)
        async for event in mei:  # what mei sends then comes to ada after it
            if isinstance(event, Presence) and any(one.status == said for one in event.online):
                break
        await mei.join("#garden")
        await mei.send("#garden", "one\ntwo \x1b[31mred")
        sent = await mei.send("#garden", "thre")
        await mei.edit(sent, "three")
        await mei.send("#lobby", "@ada, look")
        await mei.leave("#garden")

    server.run(talk)
    assert app.until("mei joined").startswith("#garden ")
    assert app.until("mei: one").startswith("#garden ")
    app.until("mei left")
    assert "  two ␛[31mred" in app.lines
    assert "#garden mei edited: three" in app.lines
    assert "mei: (mentions you) @ada, look" in app.until("look")
    server.promote("ada", "admin")
    assert app.until("You are now an admin of this server.").startswith("* ")
    server.promote("ada", "member")
    app.until("You are no longer an admin of this server.")
    app.type("/who")
    app.until("  ada 🍵 break until ")
    app.type("/blocked")
    app.until("Blocked: none")
    assert not any("hello from a pipe" in line for line in app.lines), "it was typed here"
    assert app.end() == (0, "")
    found = server.run(mei.search, "pipe").hits
    said = [(m.sender, m.conversation, m.text) for m in found]
    assert said == [("ada", "#lobby", "hello from a pipe 🎉")]


def test_moderator_handles_what_a_member_reports_in_lines(
    server: LiveServer, tmp_path: Path
) -> None:
    """In line mode a report takes the last message that somebody else has written there."""
    server.register("mod")
    server.promote("mod", "admin")
    mei = server.bot("mei")
    member, staff = (LineMode(server, tmp_path / name, name) for name in ("ada", "mod"))
    member.until("Writing to #lobby.")
    staff.until("Writing to #lobby.")

    async def talk() -> None:
        await mei.create_room("#den")
        await mei.send("#den", "hello")
        await mei.send("#den", "something rude")

    server.run(talk)
    member.type("/join #den", "/report every day", "stop it")
    member.until("The moderators get a copy of this message")
    staff.type("/join #den", "/op ada", "/reports")
    line = staff.until("1: mei in #den, reported by ada: every day")
    assert line.endswith(" mei: something rude")
    staff.type("/resolve 1 warned", "/resolve 1", "/reports")
    staff.until("Report 1 is resolved.")
    staff.until("Reports: none")
    server.run(mei.send, "#den", "ruder")
    member.until("mei: ruder")
    member.type("/report")
    member.until("see that it is from you. mei: ruder")
    staff.type("/reports")
    staff.until("2: mei in #den")
    colleague = server.bot("ivy")
    server.promote("ivy", "moderator")
    server.run(colleague.resolve_report, 2)
    staff.until("* Report 2 is resolved.")
    assert sum("Report 1 is resolved." in line for line in staff.lines) == 1
    assert member.end()[0] == 0
    _, errors = staff.end()
    assert "ada reports mei" in errors
    assert "/hand-over #den ada" in errors
    assert "error: There is no open report" in errors


def test_what_goes_wrong_is_said_and_decides_the_exit_code(
    server: LiveServer, tmp_path: Path
) -> None:
    app = LineMode(server, tmp_path, "ada")
    app.until("Writing to")
    app.type("/join #nowhere", "/dance", "/status :tea: \x1b[31mred", "/who")
    app.until("online:")
    code, errors = app.end()
    assert code == 1
    assert "error: Unknown room '#nowhere'" in errors
    assert "error: Unknown command: /dance." in errors
    assert "error: Invalid status: expected one line without control characters." in errors
    assert "Traceback" not in errors


def test_the_next_start_comes_back_without_a_password(server: LiveServer, tmp_path: Path) -> None:
    app = LineMode(server, tmp_path, "ada")
    app.until("Writing to")
    assert app.end() == (0, "")
    server.promote("ada", "moderator")
    again = subprocess.run(
        [*_COMMAND, "--state-dir", str(tmp_path)], input="/quit\n", capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (again.returncode, again.stderr) == (0, "")
    assert "connected as ada" in again.stdout
    assert "You are now" not in again.stdout, "a start has no role before it"
    server.promote("ada", "member")
    assert "\x1b" not in again.stdout


def test_without_a_name_and_a_password_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_COMMAND, "--state-dir", str(tmp_path)], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"give --name and the password in {VARIABLE}" in done.stderr


def test_a_server_that_is_not_there_is_reported(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_COMMAND, "--name", "ada", "--state-dir", str(tmp_path), "127.0.0.1:1"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, VARIABLE: PASSWORD},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
