"""Accounts that are made for a list of names, on one server and between nodes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from admin_peer import AdminPeer, administered, needs_linux
from peers import PASSWORD, RunningServer

from gochat.chat import one_time_codes
from gochat.protocol.messages import LoggedIn, Login

pytestmark = [pytest.mark.trio, needs_linux]

HOUR = 3600 * 1000


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[RunningServer, AdminPeer]]:
    async with administered(tmp_path) as both:
        yield both


def one(name: str, code: str, role: str = "member") -> dict[str, str]:
    return {"name": name, "code": code, "role": role}


async def made(admin: AdminPeer, *accounts: dict[str, str], hours: int = 1) -> list[Any]:
    expires = int(time.time() * 1000) + hours * HOUR
    result = await admin.ask("account create-many", accounts=accounts, expires=expires)
    return [(each["name"], each["outcome"]) for each in result["accounts"]]


async def checked(admin: AdminPeer, *names: str) -> list[str]:
    accounts = [one(name, "") for name in names]
    asked: dict[str, Any] = {"accounts": accounts, "expires": 0, "only_check": True}
    result = await admin.ask("account create-many", **asked)
    return [each["outcome"] for each in result["accounts"]]


async def test_accounts_are_made_with_the_codes_that_were_given(
    place: tuple[RunningServer, AdminPeer],
) -> None:
    server, admin = place
    codes = [one_time_codes.make() for _ in range(3)]
    assert await made(admin, one("Mei", codes[0], "moderator"), one("bob", codes[1])) == [
        ("Mei", "created"),
        ("bob", "created"),
    ]
    assert (await admin.ask("account show", name="mei"))["role"] == "moderator"
    async with server.connect() as peer:
        await peer.ask(Login(name="bob", password=f"{codes[1]} {PASSWORD}"), LoggedIn)
    # The same request once more, after whatever has interrupted it.
    again = [one("Mei", codes[0], "moderator"), one("bob", codes[1]), one("eve", codes[2])]
    assert await made(admin, *again) == [
        ("Mei", "created before"),
        ("bob", "taken"),
        ("eve", "created"),
    ]
    acts = (await admin.ask("audit"))["acts"]
    assert [(act["subject"], act["detail"]) for act in acts] == [
        ("eve", "with a code"),
        ("bob", "with a code"),
        ("Mei", "member to moderator"),
        ("Mei", "with a code"),
    ]


async def test_what_can_not_be_made_is_refused_by_itself(
    place: tuple[RunningServer, AdminPeer],
) -> None:
    _, admin = place
    code = one_time_codes.make()
    await admin.ask("account create", name="bob")
    assert await checked(admin, "mei", "Bob", "b0b", "no such name", "admin") == [
        "free",
        "taken",
        "refused",
        "refused",
        "free",
    ]
    assert await made(admin, one("mei", code), one("b0b", code), one("x y", code)) == [
        ("mei", "created"),
        ("b0b", "refused"),
        ("x y", "refused"),
    ]
    assert await made(admin, one("eve", "too-short"), one("eve", f"{code} and more")) == [
        ("eve", "refused"),
        ("eve", "refused"),
    ]
    assert await made(admin, one("eve", code), hours=-1) == [("eve", "refused")]
    assert await made(admin, one("eve", code), hours=1000) == [("eve", "refused")]
    failed = [act for act in (await admin.ask("audit"))["acts"] if "FAILED" in act["detail"]]
    assert [act["subject"] for act in failed] == ["b0b"], "it was tried, the others were not"
    assert [one["name"] for one in (await admin.ask("account list"))["accounts"]] == ["bob", "mei"]
