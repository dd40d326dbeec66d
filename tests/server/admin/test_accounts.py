"""The commands about accounts, and what they do to those who are logged in or try to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from admin_peer import AdminPeer, administered, connected, needs_linux
from msgspec import structs
from peers import PASSWORD, Peer, RunningServer, config, running_server
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.config import Admin
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    CreatedToken,
    CreateToken,
    Error,
    LoggedIn,
    Login,
    Ping,
    Pong,
    Register,
    Resume,
    RoleChanged,
    Send,
    Sent,
)
from gochat.server.admin.commands import COMMANDS
from gochat.storage.sqlite.administration import SqliteAdministration

pytestmark = [pytest.mark.trio, needs_linux]

NEW = "a better password"


class Place:
    """A server with its admin socket, and, on Redis, another node."""

    def __init__(self, server: RunningServer, other: RunningServer, admin: AdminPeer) -> None:
        self.server = server
        self.other = other
        self.admin = admin

    async def log_in(self, name: str, password: str = PASSWORD) -> Error | LoggedIn:
        """Log in on a connection of its own, at the other node."""
        async with self.other.connect() as peer:
            await peer.send(Login(name=name, password=password))
            reply = await peer.receive()
            assert isinstance(reply, (Error, LoggedIn))
            return reply

    async def refusal(self, name: str, password: str = PASSWORD) -> str:
        reply = await self.log_in(name, password)
        assert isinstance(reply, Error), reply
        return reply.code


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "sqlite":
        async with administered(tmp_path) as (server, admin):
            yield Place(server, server, admin)
        return
    redis: RedisServer = request.getfixturevalue("redis_server")
    configuration = config(store=Nodes(redis).url())
    path = tmp_path / "admin"
    administered_one = structs.replace(configuration, admin=Admin(socket=str(path)))
    async with (
        running_server(administered_one) as one,
        running_server(configuration) as two,
        connected(path) as admin,
    ):
        yield Place(one, two, admin)


async def ended(peer: Peer) -> Bye:
    """Return the last message of a connection that the server closes."""
    bye = (await peer.at_end())[-1]
    assert isinstance(bye, Bye)
    return bye


async def test_account_is_shown_with_its_sessions_and_rooms(place: Place) -> None:
    async with place.server.peer("Mei") as mei, place.other.peer("Bob") as bob:
        await mei.ask(Send(to="@Bob", text="secret"), Sent)
        await bob.ask(CreateToken(device="bot", scopes=("read",), lifetime=60), CreatedToken)
        shown = await place.admin.ask("account show", name="bob")
        reading = [name for name, one in COMMANDS.items() if not one.acts and "show" not in name]
        for command in reading:
            assert "secret" not in str(await place.admin.ask(command))
    assert "secret" not in str(shown)
    assert (shown["name"], shown["role"], shown["state"]) == ("Bob", "member", "active")
    assert (shown["bot"], shown["password"]) == (False, "set")
    assert shown["rooms"] == ["#lobby"], "nobody sees with whom somebody talks"
    assert [(one["online"], one["scopes"]) for one in shown["sessions"]] == [
        (True, []),
        (False, ["read"]),
    ]
    assert shown["online"]
    assert shown["seen"] >= shown["created"] > 0


async def test_accounts_are_listed_in_pages_and_filtered(place: Place) -> None:
    for name in ("ann", "bob", "Ben", "eve"):
        await place.admin.ask("account create", name=name, password=PASSWORD)
    await place.admin.ask("role set", name="eve", role="moderator")
    await place.admin.ask("account disable", name="bob")
    await place.admin.ask("bot on", name="ann")

    async def names(**arguments: Any) -> list[str]:
        found, after = [], ""
        while True:
            page = await place.admin.ask("account list", after=after, **arguments)
            found += [one["name"] for one in page["accounts"]]
            after = page["next"]
            if not after:
                return found

    assert await names() == ["ann", "Ben", "bob", "eve"]
    assert await names(limit=1) == ["ann", "Ben", "bob", "eve"]
    assert await names(limit=2, role="member") == ["ann", "Ben", "bob"]
    assert await names(state="disabled") == ["bob"]
    assert await names(bots=True) == ["ann"]
    assert await names(matching="B") == ["Ben", "bob"]
    await place.admin.ask("account reset-password", name="ann")
    assert await names(password="code") == ["ann"]
    assert await names(password="set") == ["Ben", "bob", "eve"]


async def test_accounts_are_found_by_the_address_from_which_they_log_in(tmp_path: Path) -> None:
    proxied = structs.replace(config(), proxy_from=("127.0.0.0/8",))
    async with administered(tmp_path, configuration=proxied) as (server, admin):

        async def found(address: str) -> list[tuple[str, list[str]]]:
            page = await admin.ask("account list", address=address)
            assert all(one["seen"] > 0 for one in page["accounts"])
            return [(one["name"], one["addresses"]) for one in page["accounts"]]

        async def come(peer: Peer, address: str) -> None:
            kind, to = ("TCP6", "::1") if ":" in address else ("TCP4", "127.0.0.1")
            await peer.stream.send_all(f"PROXY {kind} {address} {to} 40000 8889\r\n".encode())

        await admin.ask("account create", name="ann", password=PASSWORD)  # was never here
        async with server.connect() as peer:
            await come(peer, "203.0.113.7")
            await peer.log_in("Mei")
        async with server.connect() as peer:
            await come(peer, "2001:db8:0:40::1:7")
            await peer.log_in("Bob")
            token = peer.token
        async with server.connect() as peer:
            await come(peer, "198.51.100.9")
            await peer.ask(Resume(token=token), LoggedIn)
        assert await found("203.0.113.7") == [("Mei", ["203.0.113.7"])]
        assert await found("203.0.113.0/24") == [("Mei", ["203.0.113.7"])]
        assert await found("::ffff:203.0.113.7") == [("Mei", ["203.0.113.7"])]
        assert await found("203.0.113.8") == []
        assert await found("198.51.100.0/24") == [("Bob", ["198.51.100.9"])]
        assert await found("2001:db8:0:40::2") == [("Bob", ["2001:db8:0:40::"])], "one customer"
        assert await found("2001:db8::/32") == [("Bob", ["2001:db8:0:40::"])]
        assert await found("2001:db8:0:41::/64") == []
        await admin.ask("account ban", name="mei")
        assert await found("203.0.113.7") == [], "what was kept of it went with the sessions"
        assert await admin.refused("account list", address="garden") == "bad_request"


async def test_banned_account_is_out_everywhere_until_it_is_lifted(place: Place) -> None:
    async with place.server.peer("Mei") as here, place.other.peer("Mei") as there:
        changed = await place.admin.ask("account ban", "spam", name="MEI", seconds=60)
        assert (changed["name"], changed["sessions_ended"]) == ("Mei", True)
        for peer in (here, there):
            assert (await ended(peer)).text.endswith(" UTC: spam")
    assert await place.refusal("Mei") == "account_banned"
    shown = (await place.admin.ask("account show", name="mei"))["restrictions"]
    listed = (await place.admin.ask("account restrictions"))["restrictions"]
    assert listed == [{"name": "Mei", **one} for one in shown]
    [one] = listed
    assert (one["kind"], one["reason"], one["expires"] - one["at"]) == ("ban", "spam", 60_000)
    await place.admin.ask("account unban", name="mei")
    assert isinstance(await place.log_in("Mei"), LoggedIn)
    acts = (await place.admin.ask("audit"))["acts"]
    assert [(one["act"], one["subject"], one["detail"], one["reason"]) for one in acts] == [
        ("account unban", "Mei", "", ""),
        ("account ban", "Mei", "for 1m", "spam"),
    ]


async def test_muted_account_writes_nothing_in_public(place: Place) -> None:
    async with place.other.peer("Mei", "log") as mei:
        await place.admin.ask("account mute", "shouting", name="mei")
        assert (await mei.ask(Send(to="#lobby", text="x"), Error)).code == "muted"
        await place.admin.ask("account unmute", name="mei")
        await mei.ask(Send(to="#lobby", text="x"), Sent)


async def test_disabled_account_is_out_everywhere_until_enabled(place: Place) -> None:
    async with place.server.peer("Mei") as here, place.other.peer("Mei") as there:
        changed = await place.admin.ask("account disable", "spam", name="MEI")
        assert (changed["state"], changed["sessions_ended"]) == ("disabled", True)
        for peer in (here, there):
            bye = await ended(peer)
            assert (bye.reason, bye.retry_after) == ("session_revoked", None)
            assert "disabled" in bye.text
        token = here.token
    assert await place.refusal("Mei") == "account_disabled"
    assert await place.refusal("Mei", "wrong password") == "bad_credentials"
    async with place.other.connect() as peer:
        assert (await peer.ask(Resume(token=token), Error)).code == "account_disabled"
        assert (await peer.ask(Register(name="Mei", password=NEW), Error)).code == "name_taken"
    again = await place.admin.ask("account disable", name="mei")
    assert (again["state"], again["sessions_ended"]) == ("disabled", None)
    enabled = await place.admin.ask("account enable", name="mei")
    assert (enabled["state"], enabled["sessions_ended"]) == ("active", None)
    assert isinstance(await place.log_in("Mei"), LoggedIn)
    async with place.other.connect() as peer:
        assert (await peer.ask(Resume(token=token), Error)).code == "bad_token"
    acts = (await place.admin.ask("audit"))["acts"]
    assert [(one["act"], one["reason"]) for one in acts] == [
        ("account enable", ""),
        ("account disable", "spam"),
    ]


async def test_forgotten_password_is_replaced_by_way_of_a_code(place: Place) -> None:
    async with place.server.peer("Mei") as mei:
        issued = await place.admin.ask("account reset-password", name="mei")
        assert issued["sessions_ended"]
        assert "code" in (await ended(mei)).text
    code = issued["code"]
    assert await place.refusal("Mei") == "bad_credentials", "the old one is void"
    assert await place.refusal("Mei", code) == "bad_password"
    assert await place.refusal("Mei", f"{code} short") == "bad_password"
    wrong = code[:-1] + ("2" if code[-1] != "2" else "3")
    assert await place.refusal("Mei", f"{wrong} {NEW}") == "bad_credentials"
    assert (await place.admin.ask("account show", name="mei"))["password"] == "code"
    assert isinstance(await place.log_in("Mei", f"{code.lower()} {NEW}"), LoggedIn)
    assert await place.refusal("Mei", f"{code} {NEW}") == "bad_credentials", "it was used"
    assert isinstance(await place.log_in("Mei", NEW), LoggedIn)
    for act in (await place.admin.ask("audit"))["acts"]:
        assert code not in str(act)


async def test_of_two_who_use_a_code_at_once_one_gets_in(place: Place) -> None:
    """And with the password that this one has set."""
    code = (await place.admin.ask("account create", name="Mei"))["code"]
    replies: dict[str, Error | LoggedIn] = {}

    async def use(number: int) -> None:
        replies[f"{NEW} {number}"] = await place.log_in("Mei", f"{code} {NEW} {number}")

    async with trio.open_nursery() as nursery:
        for number in range(4):  # one more and the account has failed too often
            nursery.start_soon(use, number)
    (winner,) = [password for password, reply in replies.items() if isinstance(reply, LoggedIn)]
    refused = {reply.code for reply in replies.values() if isinstance(reply, Error)}
    assert refused <= {"bad_credentials", "rate_limited"}
    assert isinstance(await place.log_in("Mei", winner), LoggedIn)


async def test_codes_are_guessed_no_faster_than_passwords(tmp_path: Path) -> None:
    async with administered(tmp_path, login_failures_account=3) as (server, admin):
        await admin.ask("account create", name="Mei")
        place = Place(server, server, admin)
        guesses = [await place.refusal("Mei", f"2222-2222-2222-222{n} {NEW}") for n in range(2, 7)]
    assert guesses == ["bad_credentials"] * 3 + ["rate_limited"] * 2


async def test_account_is_made_with_a_name_that_is_reserved(place: Place) -> None:
    created = await place.admin.ask("account create", name="Admin", password=PASSWORD)
    assert created == {"name": "Admin", "code": "", "expires": 0}
    assert isinstance(await place.log_in("admin"), LoggedIn)
    for name, password, code in [
        ("ADMIN", PASSWORD, "name_taken"),
        ("Adm1n", "short", "bad_password"),
        ("a b", PASSWORD, "bad_name"),
    ]:
        assert await place.admin.refused("account create", name=name, password=password) == code
    details = [one["detail"] for one in (await place.admin.ask("audit"))["acts"]]
    assert [one[:7] for one in details] == ["FAILED:", "with a ", "with a "]


async def test_sessions_end_without_a_new_password(place: Place) -> None:
    async with place.server.peer("Mei") as here, place.other.peer("Mei") as there:
        ended_ones = await place.admin.ask("account end-sessions", name="mei")
        assert ended_ones == {"name": "Mei", "sessions": 2, "sessions_ended": True}
        for peer in (here, there):
            assert (await ended(peer)).reason == "session_revoked"
    assert isinstance(await place.log_in("Mei"), LoggedIn)


async def test_roles_and_the_mark_of_bots(place: Place) -> None:
    await place.admin.ask("account create", name="Mei", password=PASSWORD)
    assert (await place.admin.ask("role set", name="mei", role="admin"))["role"] == "admin"
    assert (await place.admin.ask("bot on", name="mei"))["bot"] is True
    assert (await place.admin.ask("bot off", name="mei"))["bot"] is False
    assert await place.admin.refused("role set", name="mei", role="owner") == "bad_request"
    assert (await place.admin.ask("role set", name="mei", role="member"))["role"] == "member"
    acts = (await place.admin.ask("audit", limit=2))["acts"]
    assert [(one["act"], one["subject"], one["detail"]) for one in acts] == [
        ("role set", "Mei", "admin to member"),
        ("bot off", "Mei", ""),
    ]


async def test_new_role_reaches_the_sessions_of_the_person_at_every_node(place: Place) -> None:
    one, two = place.server, place.other
    async with (
        one.peer("mei", "log") as mei, two.peer("mei", "log") as phone,
        two.peer("mei") as minimal, two.peer("bob", "log") as bob,
    ):  # fmt: skip
        for role in ("admin", "admin", "moderator", "member"):
            await place.admin.ask("role set", name="mei", role=role)
        for peer in (mei, phone):
            while (await peer.expect(RoleChanged)).role != "member":
                pass  # of several at once, the last one is certain to come
        for peer in (minimal, bob):
            await peer.ask(Ping(), Pong)
            assert not any(isinstance(one, RoleChanged) for one in peer.received)
        await place.admin.ask("role set", name="mei", role="admin")
        assert await mei.expect(RoleChanged) == RoleChanged(role="admin")
        reply = await place.log_in("mei")
        assert isinstance(reply, LoggedIn)
        assert reply.role == "admin"


async def test_whoever_does_not_exist_is_refused(place: Place) -> None:
    for command in ("show", "disable", "enable", "reset-password", "end-sessions"):
        assert await place.admin.refused(f"account {command}", name="nobody") == "unknown_person"
    assert await place.admin.refused("role set", name="nobody", role="admin") == "unknown_person"
    assert (await place.admin.ask("audit"))["acts"] == [], "nothing was done"


async def test_act_that_fails_is_in_the_audit_log_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> bool:
        raise StoreUnavailable("the disk is full")

    async with administered(tmp_path) as (_, admin):
        await admin.ask("account create", name="Mei")
        monkeypatch.setattr(SqliteAdministration, "change_account", down)
        assert await admin.refused("account disable", name="mei") == "unavailable"
        acts = (await admin.ask("audit", limit=2))["acts"]
    assert [one["detail"] for one in acts] == ["FAILED: the disk is full", ""]
    assert {one["act"] for one in acts} == {"account disable"}


async def test_no_login_survives_being_disabled_meanwhile(place: Place) -> None:
    """Logins, resumes and changes of the password go on while the account is disabled."""
    async with place.server.peer("Mei") as mei:
        token = mei.token
        late: list[object] = []
        is_disabled = False

        async def come(request: Any) -> None:
            while True:
                is_late = is_disabled
                async with place.other.connect() as peer:
                    await peer.send(request)
                    reply = await peer.receive()
                    if isinstance(reply, LoggedIn):
                        if is_late:
                            late.append(reply)
                            return
                        await peer.send(ChangePassword(old=PASSWORD, new=PASSWORD))
                        after = await peer.at_end() if is_disabled else [await peer.receive()]
                        del after
                    elif is_late:
                        return

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(come, Login(name="Mei", password=PASSWORD))
            nursery.start_soon(come, Resume(token=token))
            for _ in range(20):
                await trio.lowlevel.checkpoint()
            await place.admin.ask("account disable", name="mei")
            is_disabled = True
    assert not late
    shown = await place.admin.ask("account show", name="mei")
    assert (shown["state"], shown["sessions"], shown["online"]) == ("disabled", [], False)
