"""Passwords that a program checks: what it is asked, what its answers do, and how it can fail."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from inviting import CODE, invite
from msgspec import structs
from patience import PATIENCE, until
from peers import PASSWORD, Peer, RunningServer, config, running_server
from structlog.typing import EventDict

from gochat.config import Auth, Config, Registration
from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    CreatedToken,
    CreateToken,
    Error,
    Hello,
    LoggedIn,
    Login,
    PasswordChanged,
    Register,
    Registered,
    Resume,
    ServerInfo,
)

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(os.name != "posix", reason="the programs are shell scripts"),
]

ALLOW = """echo '{"result": "allow"}'"""
#: Lets in who has the password of all tests.
CHECK = f"""case "$question" in
  *'"{PASSWORD}"'*) {ALLOW} ;;
  *) echo '{{"result": "deny", "reason": "wrong"}}' ;;
esac"""


class Program:
    """A program in a directory of its own, which notes what it is asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "program"
        self.write(CHECK)

    def write(self, answer: str) -> None:
        """Make it do this, as a shell script, with the question in $question."""
        script = f"""#!/bin/sh
cd '{self.directory}'
read -r question
printf '%s\\n' "$question" >> questions
env > environment
printf '%s\\n' "$0" "$@" > arguments
{answer}
"""
        new = self.path.with_suffix(".new")
        new.write_text(script)
        new.chmod(0o755)
        new.rename(self.path)  # it may be running

    @property
    def questions(self) -> list[dict[str, Any]]:
        file = self.directory / "questions"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def config(self, registration: Registration | None = None, **keys: Any) -> Config:
        auth = Auth(command=(str(self.path), "an argument"), **keys)
        found = structs.replace(config(), auth=auth)
        return structs.replace(found, registration=registration) if registration else found


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def login(name: str = "mei", password: str = PASSWORD) -> Login:
    return Login(name=name, password=password)


async def inviting(configuration: Config, program: Program) -> Config:
    """Give a server a store with an invitation."""
    store = f"sqlite:///{program.directory / 'chat.db'}"
    await invite(store)
    return structs.replace(configuration, store=store)


async def error_of(peer: Peer, request: Any) -> tuple[str, str | None]:
    error = await peer.ask(request, Error)
    return error.code, error.field


@asynccontextmanager
async def asking(configuration: Config) -> AsyncIterator[tuple[RunningServer, Peer]]:
    async with running_server(configuration) as server, server.connect() as peer:
        yield server, peer


# -- what it is asked, and what it decides ---------------------------------------------------------


async def test_first_login_creates_the_account_that_later_ones_get(program: Program) -> None:
    async with asking(program.config()) as (server, peer):
        assert await error_of(peer, login(password="wrong horse")) == (
            "bad_credentials",
            "password",
        )
        with structlog.testing.capture_logs() as logs:
            assert (await peer.ask(login("Mei"), LoggedIn)).name == "Mei"
        created = [entry for entry in logs if entry["event"] == "account created"]
        assert [entry["account"] for entry in created] == ["Mei"]
        async with server.connect() as again:
            assert (await again.ask(login("@MEI"), LoggedIn)).name == "Mei"
    assert program.questions[-1] == {
        "version": 1,
        "action": "login",
        "name": "mei",
        "password": PASSWORD,
        "address": "127.0.0.1",
    }


async def test_password_is_in_no_argument_variable_or_log_line(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the program writes it; and the server's own secrets are not passed on."""
    monkeypatch.setenv("GOCHAT_STORE", "redis://:secret@example.org")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("LDAPTLS_CACERT", "/etc/ca.pem")
    program.write(f'echo "$question" >&2\n{CHECK}')
    with structlog.testing.capture_logs() as logs:
        async with asking(program.config()) as (_, peer):
            await peer.ask(login(), LoggedIn)
    environment = (program.directory / "environment").read_text()
    arguments = (program.directory / "arguments").read_text()
    assert arguments.splitlines() == [str(program.path), "an argument"]
    assert PASSWORD not in environment + arguments + repr(logs)
    assert "LDAPTLS_CACERT=/etc/ca.pem" in environment
    assert "secret" not in environment
    assert "NOTIFY_SOCKET" not in environment
    assert "authentication program wrote" in [entry["event"] for entry in logs]


async def test_name_that_the_program_gives_is_shown_if_it_is_the_same(program: Program) -> None:
    program.write("""echo '{"result": "allow", "name": "Mei", "unknown": 1}'""")
    async with asking(program.config()) as (server, peer):
        assert (await peer.ask(login("mEI"), LoggedIn)).name == "Mei"
        async with server.connect() as other:
            assert (await error_of(other, login("bob")))[0] == "bad_credentials"


@pytest.mark.parametrize("name", ["admin", "аdmin", "server"])
async def test_rules_for_names_hold_for_the_directory_too(program: Program, name: str) -> None:
    async with asking(program.config()) as (server, peer):
        assert await error_of(peer, login(name)) in [
            ("name_taken", "name"),
            ("bad_credentials", "password"),
        ]
        await peer.ask(login("mei"), LoggedIn)
        async with server.connect() as other:
            assert await error_of(other, login("rnei")) == ("name_taken", "name")


@pytest.mark.parametrize("password", ["", "x" * 1025])
async def test_passwords_that_no_directory_can_have_reach_no_program(
    program: Program, password: str
) -> None:
    program.write(ALLOW)
    async with asking(program.config()) as (_, peer):
        assert (await error_of(peer, login(password=password)))[0] == "bad_credentials"
    assert program.questions == []


async def test_wrong_passwords_are_limited_before_the_program_is_asked(program: Program) -> None:
    configuration = program.config()
    limits = structs.replace(configuration.limits, login_failures=100, login_failures_account=2)
    async with asking(structs.replace(configuration, limits=limits)) as (_, peer):
        codes = [(await error_of(peer, login(password="wrong")))[0] for _ in range(4)]
    assert codes[2:] == ["rate_limited"] * 2
    assert len(program.questions) == 2


async def test_registering_and_changing_the_password_are_the_directory_s(program: Program) -> None:
    async with asking(program.config()) as (_, peer):
        assert (await peer.ask(Hello(), ServerInfo)).registration == "closed"
        refusal = await peer.ask(Register(name="bob", password=PASSWORD), Error)
        assert (refusal.code, "directory" in refusal.text) == ("registration_closed", True)
        await peer.ask(login(), LoggedIn)
        refusal = await peer.ask(ChangePassword(old=PASSWORD, new="another horse"), Error)
        assert (refusal.code, refusal.args) == ("not_permitted", {"rule": "directory"})
        assert "directory" in refusal.text


async def test_local_accounts_keep_their_password_where_they_are_allowed(program: Program) -> None:
    registration = Registration(mode="invite")
    configuration = await inviting(program.config(registration, local=True), program)
    async with asking(configuration) as (server, peer):
        request = Register(name="bob", password="bob's own horse", invite=CODE)
        await peer.ask(request, Registered)
        assert (await error_of(peer, login("bob")))[0] == "bad_credentials"
        await peer.ask(login("Bob", "bob's own horse"), LoggedIn)
        change = ChangePassword(old="bob's own horse", new="another horse")
        await peer.ask(change, PasswordChanged)
        assert program.questions == []
        async with server.connect() as other:
            await other.ask(login("mei"), LoggedIn)
    assert [question["name"] for question in program.questions] == ["mei"]


async def test_account_of_the_directory_has_no_password_without_it(
    program: Program, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path / 'chat.db'}"
    async with asking(structs.replace(program.config(), store=store)) as (_, peer):
        await peer.ask(login(), LoggedIn)
    async with asking(config(store=store)) as (_, peer):
        for password in (PASSWORD, ""):
            assert (await error_of(peer, login(password=password)))[0] == "bad_credentials"


# -- how it can fail ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("exit 3", "exit code 3"),
        (f"{ALLOW}; exit 3", "exit code 3"),
        ("kill -9 $$", "SIGKILL"),
        ("true", "not valid"),
        ("echo no", "not valid"),
        ("""echo '{"result": "yes"}'""", "not valid"),
        (f"{ALLOW}; {ALLOW}", "not valid"),
        ("yes | head -c 100000", "more than 65536 bytes"),
        ("exec sleep 1000", "longer than"),
        ("""echo '{"result": "unavailable", "reason": "the directory is down"}'""", "is down"),
    ],
)
async def test_failures_let_nobody_in_and_count_against_nobody(
    program: Program, answer: str, reason: str
) -> None:
    program.write(answer)
    timeout = 0.5 if "sleep" in answer else PATIENCE
    with structlog.testing.capture_logs() as logs:
        async with asking(program.config(timeout=timeout)) as (_, peer):
            for _ in range(4):
                error = await peer.ask(login(), Error)
                assert (error.code, error.retry_after) == ("unavailable", 5.0)
            program.write(CHECK)
            await peer.ask(login(), LoggedIn)
    failures = failed(logs)
    assert len(failures) == 1, "and no more lines than the rate allows"
    assert reason in failures[0]["reason"]
    assert PASSWORD not in repr(logs)


def failed(logs: list[EventDict]) -> list[EventDict]:
    return [entry for entry in logs if entry["event"] == "authentication program failed"]


async def test_program_says_when_to_come_back(program: Program) -> None:
    program.write("""echo '{"result": "unavailable", "retry_after": 60}'""")
    async with asking(program.config()) as (_, peer):
        assert (await peer.ask(login(), Error)).retry_after == 60


async def test_time_limit_ends_what_the_program_has_started_too(program: Program) -> None:
    program.write("sleep 1000 & echo $! > child; wait")
    async with asking(program.config(timeout=0.5)) as (_, peer):
        assert (await error_of(peer, login()))[0] == "unavailable"
        child = int((program.directory / "child").read_text())
        await until(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_stopping_the_server_ends_the_program(program: Program) -> None:
    program.write("sleep 1000 & echo $! > child; wait")
    configuration = program.config(timeout=300)
    limits = structs.replace(configuration.limits, drain_timeout=0.0)
    async with running_server(structs.replace(configuration, limits=limits)) as server:
        async with server.connect() as peer:
            await peer.send(login())
            await until(lambda: (program.directory / "child").exists())
    child = int((program.directory / "child").read_text() or 0)
    await until(lambda: not is_running(child))


async def test_full_queue_is_busy_and_the_server_goes_on(program: Program) -> None:
    program.write(f"while [ ! -e go ]; do sleep 0.01; done; {CHECK}")
    configuration = program.config(concurrency=1, queue=2, timeout=PATIENCE)
    async with running_server(configuration) as server:
        async with server.connect() as first, server.connect() as second, server.connect() as third:
            await first.send(login("mei"))
            await until(lambda: len(program.questions) == 1)
            await second.send(login("bob"))
            await trio.testing.wait_all_tasks_blocked(0.05)
            error = await third.ask(login("eve"), Error)
            assert (error.code, error.retry_after) == ("busy", 1.0)
            assert (await third.ask(Hello(), ServerInfo)).name == "gochat"
            assert len(program.questions) == 1, "one at a time"
            (program.directory / "go").touch()
            await first.expect(LoggedIn)
            await second.expect(LoggedIn)
            await third.ask(login("eve"), LoggedIn)


async def test_leaving_early_spares_no_failure(program: Program) -> None:
    """A guesser who doesn't wait for the answers would start as many programs as they like."""
    program.write(f"while [ ! -e go ]; do sleep 0.01; done; {CHECK}")
    configuration = program.config(timeout=PATIENCE)
    limits = structs.replace(configuration.limits, login_failures_account=1)
    async with running_server(structs.replace(configuration, limits=limits)) as server:
        async with server.connect() as peer:
            await peer.send(login(password="wrong"))
            await until(lambda: len(program.questions) == 1)
        (program.directory / "go").touch()
        async with server.connect() as peer:
            codes = set[str]()
            while "rate_limited" not in codes:
                codes.add((await error_of(peer, login(password="wrong")))[0])
    assert len(program.questions) <= 2


# -- while people are online ----------------------------------------------------------------------


async def test_who_leaves_the_directory_loses_all_sessions(program: Program) -> None:
    async with asking(program.config(recheck=0.2)) as (server, peer):
        token = (await peer.ask(login(), LoggedIn)).token
        request = CreateToken(device="bot", scopes=("send",), lifetime=1000)
        bot = (await peer.ask(request, CreatedToken)).token
        await until(lambda: program.questions[-1]["action"] == "check")
        assert program.questions[-1] == {"version": 1, "action": "check", "name": "mei"}
        bye = await peer.expect(Bye)
        assert bye.reason == "session_revoked"
        assert "directory" in bye.text
        async with server.connect() as again:
            for text in (token, bot):
                assert (await error_of(again, Resume(token=text)))[0] == "bad_token"


async def test_who_is_still_there_and_a_directory_that_is_down_end_nothing(
    program: Program,
) -> None:
    program.write(f'case "$question" in *check*) exit 1 ;; *) {ALLOW} ;; esac')
    async with asking(program.config(recheck=0.2)) as (_, peer):
        await peer.ask(login(), LoggedIn)
        await until(lambda: len(program.questions) > 2)
        program.write(ALLOW)
        asked = len(program.questions)
        await until(lambda: len(program.questions) > asked + 1)
        await peer.ask(Hello(), ServerInfo)


async def test_local_accounts_are_not_the_directory_s_to_end(program: Program) -> None:
    registration = Registration(mode="invite")
    program.write(f'case "$question" in *bob*) exit 1 ;; *) {ALLOW} ;; esac')
    configuration = program.config(registration, local=True, recheck=0.2)
    configuration = await inviting(configuration, program)
    async with asking(configuration) as (server, peer):
        await peer.ask(Register(name="bob", password=PASSWORD, invite=CODE), Registered)
        await peer.ask(login("bob"), LoggedIn)
        async with server.connect() as other:
            await other.ask(login("mei"), LoggedIn)
            await until(lambda: len(program.questions) > 3)
    assert {question["name"] for question in program.questions} == {"mei"}
