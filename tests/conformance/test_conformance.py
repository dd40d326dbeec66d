"""Our server conforms, on SQLite and on Redis; and servers that don't are found out."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import trio
from children import child
from inviting import invite
from patience import PATIENCE
from processes import CHEAP, GOCHAT
from redis_nodes import Nodes
from redis_process import RedisServer
from run import Run, load
from tampering import FAULTS, Fault, tampering
from wire import Failed, schema_check

CASES: Final = load()
FOR_CLIENTS: Final = Path(__file__).with_name("clients")
PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "protocol.md"

#: The servers that cases need, by how they are configured; README.md has the same.
SERVERS: Final[dict[str | None, dict[str, object]]] = {
    None: {},
    "short times": {
        "limits.anonymous_timeout": 1,
        "limits.frame_timeout": 1,
        "limits.heartbeat_interval": 1,
        "limits.heartbeat_timeout": 1,
    },
    "registration closed": {"registration.mode": "closed"},
    "registration by invite": {"registration.mode": "invite"},
    "4 connections of an address": {"limits.connections_per_address": 4},
    "3 connections": {"limits.max_connections": 3},
    "32 connections of an account": {"limits.connections_per_account": 32},
}
#: What one machine needs to play everybody, on any of them.
FOR_ALL: Final = {
    "limits.registrations": 100_000,
    "limits.registrations_per_address": 100_000,
    "limits.connections_per_address": 1000,
}

Address: TypeAlias = tuple[str, int]
Start: TypeAlias = Callable[[str | None], Address]


@contextmanager
def server(directory: Path, store: str, settings: Mapping[str, object]) -> Iterator[Address]:
    """Run `gochat serve`. Its log is in a file: a pipe that nobody reads would stop it."""
    command = [*GOCHAT, "serve", "--port", "0", "--store", store, *CHEAP]
    for key, value in {**FOR_ALL, **settings}.items():
        command += ["--set", f"{key}={value}"]
    log = directory / "server.log"
    with log.open("w") as file, subprocess.Popen(command, stderr=file) as process:
        child(process)
        try:
            deadline = time.monotonic() + PATIENCE
            while not (found := re.search(r'^.*"listening".*$', log.read_text(), re.M)):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield "127.0.0.1", json.loads(found[0])["port"]
        finally:
            process.kill()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a server that has what cases need, on one store or the other."""
    store = f"sqlite:///{tmp_path / 'chat.db'}"
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        store = Nodes(redis).url()
    with ExitStack() as stack:

        def begin(needs: str | None) -> Address:
            settings = SERVERS[needs]
            if settings.get("registration.mode") == "invite":
                trio.run(invite, store)
            return stack.enter_context(server(tmp_path, store, settings))

        yield begin


@pytest.mark.parametrize("needs", SERVERS)
def test_our_server_conforms(start: Start, needs: str | None) -> None:
    address, check = start(needs), schema_check(is_exact=True)
    assert check is not None
    chosen = {name: case for name, case in CASES.items() if case.get("needs") == needs}
    assert chosen, f"no case needs a server with {needs}"
    failures: list[str] = []
    for name, case in chosen.items():
        try:
            Run(address, 30, check, is_exact=True).play(case)
        except Failed as failure:
            failures.append(f"{name}: {failure}")
    assert not failures, "\n\n".join(failures)


def test_every_need_has_a_server() -> None:
    assert {case.get("needs") for case in CASES.values()} == set(SERVERS)


# -- servers with a fault -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def right_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server that conforms."""
    with server(tmp_path_factory.mktemp("right"), "sqlite:///:memory:", {}) as address:
        yield address


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_fault_is_caught(right_server: Address, fault: type[Fault]) -> None:
    with tampering(right_server, Fault()) as address:
        Run(address, PATIENCE).play(CASES[fault.case])
    with tampering(right_server, fault()) as address:
        with pytest.raises(Failed):
            Run(address, patience=2).play(CASES[fault.case])


def test_a_closed_port_fails_every_case() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises((Failed, ConnectionRefusedError)):
            Run(unused.getsockname()).play(CASES["minimal/register"])


# -- what the cases cover -------------------------------------------------------------------------

SECTIONS: Final = ("Requests", "Replies", "Events", "Errors", "Goodbyes", "Capabilities")
#: What no case shows, and why.
NOT_SHOWN: Final = {
    "new_login": "needs a login from another address; tests/server/test_logins.py",
    "account_disabled": "needs whoever runs the server to disable one; tests/server/admin",
    "account_banned": "needs a moderator of the server; tests/server/test_restrictions.py",
    "address_banned": "needs who runs the server; tests/server/test_address_bans.py",
    "address_ban_list": "needs an admin; tests/server/test_address_ban_requests.py",
    "muted": "needs a moderator, too",
    "restriction_list": "needs a moderator, too",
    "role_changed": "needs who runs the server; tests/server/test_roles.py",
    "report_list": "needs a moderator, too; tests/server/test_reports.py",
    "reported": "needs a moderator, too",
    "report_closed": "needs a moderator, too",
    "busy": "needs many clients at the same moment; tests/server/test_login_line.py",
    "unavailable": "needs a store that fails; tests/faults",
    "internal": "a bug in the server",
    "server_closing": "needs a server that is stopped; tests/server/test_session.py",
    "slow_consumer": "needs a megabyte of what others say; tests/server/test_delivery.py",
}


def words(value: Any) -> Iterator[str]:
    """Yield every string in a case."""
    match value:
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                yield key
                yield from words(inner)
        case list():
            for inner in value:
                yield from words(inner)
        case _:
            pass


def named(heading: str) -> set[str]:
    """Return what a section of the page describes: its subheadings, or its first table's rows."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section is not None
    found = re.findall(r"^### `(\w+)`$", section[1], re.M)
    return set(found or re.findall(r"^\| `(\w+)` \|", section[1], re.M))


@pytest.mark.parametrize("heading", SECTIONS)
def test_cases_show_everything_on_the_page(heading: str) -> None:
    shown = {word for case in CASES.values() for word in words(case["steps"])}
    missing = named(heading) - shown - NOT_SHOWN.keys()
    assert not missing, f"no case shows {sorted(missing)}"


def test_what_is_excused_is_on_the_page_and_in_no_case() -> None:
    shown = {word for case in CASES.values() for word in words(case["steps"])}
    page = {name for heading in SECTIONS for name in named(heading)}
    stale = NOT_SHOWN.keys() - (page - shown)
    assert not stale, f"take {sorted(stale)} out of NOT_SHOWN"


def test_cases_name_sections_of_the_page() -> None:
    cases = CASES | load(FOR_CLIENTS)
    headings = re.findall(r"^#+ (.*)$", PAGE.read_text(encoding="utf-8"), re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    wrong = {name: set(case["page"]) - anchors for name, case in cases.items()}
    assert not {name: missing for name, missing in wrong.items() if missing}
