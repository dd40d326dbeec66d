"""What an error says to programs: provoked, for every code, over bare frames."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import trio
from admin_peer import administered, needs_linux
from bare_wire import Wire, wire
from msgspec import structs
from peers import PASSWORD, config, running_server

from gochat.chat.hashing import HashingQueue
from gochat.config import Config, Registration
from gochat.errors import DETAILS, ErrorCode, FactsChanged, StoreUnavailable
from gochat.protocol.messages import Request

pytestmark = pytest.mark.trio

MOST = 60
FIELDS = {cls.msg_type: set(cls.__struct_fields__) for cls in get_args(Request)}


@dataclass(frozen=True)
class Refused:
    """A request that is refused, of whom, and what its error says."""

    code: str
    request: tuple[str, dict[str, Any]]
    args: dict[str, Any] = field(default_factory=dict)
    at: str | None = None
    who: str = "mei"


def request(msg_type: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return msg_type, fields


def register(name: str, password: str = PASSWORD) -> tuple[str, dict[str, Any]]:
    return request("register", name=name, password=password)


def bad_name(name: str, rule: str, **details: int) -> Refused:
    return Refused("bad_name", register(name), {"rule": rule, **details}, "name", who="")


def bad_room(rule: str, at: str, msg_type: str, who: str = "mei", **fields: Any) -> Refused:
    return Refused("bad_request", request(msg_type, **fields), {"rule": rule}, at, who)


#: mei runs #garden and the private #den; bob is in #garden, eve in neither. Message 1 of #lobby is
#: mei's.
CASES = [
    Refused("malformed", request("send", to=7, text="hi"), {"path": "to"}),
    Refused("malformed", request("send", to="#lobby", text="hi", cid=""), {"path": "cid"}),
    Refused("unknown_type", request("nope"), {"type": "nope"}),
    Refused("not_logged_in", request("who"), who=""),
    Refused("already_logged_in", register("ann"), {"name": "mei"}),
    Refused(
        "bad_credentials", request("login", name="mei", password="wrong"), {}, "password", who=""
    ),
    Refused("bad_credentials", request("change_password", old="x", new=PASSWORD), {}, "old"),
    Refused("bad_token", request("resume", token="x"), {}, "token", who=""),
    Refused("name_taken", register("MEI"), {"name": "MEI", "rule": "taken"}, "name", who=""),
    Refused("name_taken", register("rnei"), {"name": "rnei", "rule": "similar"}, "name", who=""),
    Refused("name_taken", register("admin"), {"name": "admin", "rule": "reserved"}, "name", who=""),
    bad_name("", "empty"),
    bad_name("x" * 33, "long", max=32),
    bad_name("x" * 200, "long", max=32),
    bad_name("a b", "character"),
    bad_name("@mei", "character"),
    bad_name("-a", "ends"),
    bad_name("a\u0301\u0300\u0302\u0303\u0304", "marks"),
    bad_name("pаul", "scripts"),
    bad_name("אa", "scripts"),
    bad_name("ب1\u0660", "direction"),
    Refused("bad_name", request("create_room", room="x"), {"rule": "sign"}, "room"),
    Refused("bad_name", request("create_room", room="#a b"), {"rule": "character"}, "room"),
    Refused("bad_password", register("ann", "short"), {"min": 8, "max": 128}, "password", who=""),
    Refused(
        "bad_password",
        request("change_password", old=PASSWORD, new="short"),
        {"min": 8, "max": 128},
        "new",
    ),
    Refused("unknown_person", request("send", to="@ann", text="hi"), {"name": "ann"}, "to"),
    Refused("unknown_person", request("history", conv="@ann"), {"name": "ann"}, "conv"),
    Refused("unknown_person", request("invite", room="#den", name="@ann"), {"name": "ann"}, "name"),
    Refused("unknown_conversation", request("typing", to="x"), {"conv": "x"}, "to"),
    Refused("unknown_conversation", request("join", room="#x"), {"conv": "#x"}, "room"),
    *(
        Refused("unknown_conversation", one, {"conv": "#den"}, at, "eve")
        for at, one in [
            ("to", request("send", to="#den", text="hi")),
            ("to", request("edit", to="#den", seq=1, text="hi")),
            ("to", request("delete", to="#den", seq=1)),
            ("to", request("react", to="#den", seq=1, emoji="👍")),
            ("to", request("typing", to="#den")),
            ("conv", request("history", conv="#den")),
            ("conv", request("search", query="x", conv="#den")),
            ("room", request("members", room="#den")),
            ("room", request("join", room="#den")),
            ("room", request("leave", room="#den")),
            ("room", request("invite", room="#den", name="bob")),
            ("room", request("kick", room="#den", name="bob")),
            ("room", request("set_topic", room="#den", topic="x")),
            ("room", request("set_operator", room="#den", name="bob")),
            ("room", request("set_access", room="#den", private=False)),
            ("room", request("set_history", room="#den", history="shown")),
            ("room", request("ban", room="#den", name="bob")),
            ("room", request("unban", room="#den", name="bob")),
            ("room", request("bans", room="#den")),
            ("room", request("set_slow_mode", room="#den", seconds=1)),
            ("room", request("set_announcements", room="#den", on=True)),
            ("room", request("set_archived", room="#den", on=True)),
        ]
    ),
    *(
        Refused("unknown_message", one, {"conv": "#lobby", "seq": 99}, at)
        for at, one in [
            ("reply_to", request("send", to="#lobby", text="hi", reply_to=99)),
            ("seq", request("edit", to="#lobby", seq=99, text="hi")),
            ("seq", request("delete", to="#lobby", seq=99)),
            ("seq", request("react", to="#lobby", seq=99, emoji="👍")),
        ]
    ),
    Refused(
        "not_a_member", request("send", to="#garden", text="x"), {"conv": "#garden"}, "to", "eve"
    ),
    Refused("not_a_member", request("leave", room="#garden"), {"conv": "#garden"}, "room", "eve"),
    Refused(
        "not_a_member",
        request("kick", room="#garden", name="eve"),
        {"conv": "#garden", "name": "eve"},
        "name",
    ),
    Refused(
        "not_permitted",
        request("edit", to="#lobby", seq=1, text="x"),
        {"rule": "author"},
        "seq",
        "bob",
    ),
    Refused(
        "not_permitted",
        request("delete", to="#lobby", seq=1),
        {"rule": "author_or_operator"},
        "seq",
        "bob",
    ),
    Refused(
        "not_permitted",
        request("set_topic", room="#garden", topic="x"),
        {"rule": "operator"},
        "room",
        "bob",
    ),
    Refused("not_permitted", request("leave", room="#lobby"), {"rule": "lobby"}, "room"),
    Refused(
        "too_many",
        request("react", to="#lobby", seq=1, emoji="🍵"),
        {"rule": "own_emoji", "max": 5},
        "emoji",
    ),
    *(
        Refused("bad_request", request("send", to="#lobby", text="x", meta={key: ""}),
                {"rule": "key"}, "meta")
        for key in ("", "key", "/name", "prefix/", "a/b/c", "A/b", "a b/c", ".a/b", "a/b\n")
    ),
    Refused(
        "text_too_long",
        request("send", to="#lobby", text="x", meta={"a/b": "é" * 511}),
        {"max": 1024, "length": 1025},
        "meta",
    ),
    *(
        Refused("text_too_long", one, {"max": 200, "length": 201}, "reason")
        for one in [
            request("kick", room="#garden", name="bob", reason="x" * 201),
            request("leave", room="#garden", reason="x" * 201),
            request("delete", to="#lobby", seq=1, reason="x" * 201),
        ]
    ),
    Refused(
        "room_exists",
        request("create_room", room="#GARDEN"),
        {"conv": "#GARDEN", "rule": "taken"},
        "room",
    ),
    Refused(
        "room_exists",
        request("create_room", room="#Iobby"),
        {"conv": "#Iobby", "rule": "similar"},
        "room",
    ),
    Refused(
        "room_exists",
        request("create_room", room="#admin"),
        {"conv": "#admin", "rule": "reserved"},
        "room",
    ),
    Refused("text_empty", request("send", to="#lobby", text=" "), {}, "text"),
    Refused("text_empty", request("search", query=" "), {}, "query"),
    Refused(
        "text_too_long",
        request("send", to="#lobby", text="x" * 61),
        {"max": MOST, "length": 61},
        "text",
    ),
    Refused(
        "text_too_long",
        request("edit", to="#lobby", seq=1, text="x" * 61),
        {"max": MOST, "length": 61},
        "text",
    ),
    *(
        Refused("text_too_long", one, {"max": 200, "length": length}, at)
        for length in (201, 257, 5000)  # one error, however much too long it is
        for at, one in [
            ("topic", request("set_topic", room="#garden", topic="x" * length)),
            ("topic", request("create_room", room="#x", topic="x" * length)),
            ("text", request("away", text="x" * length)),
        ]
    ),
    Refused("cid_conflict", request("send", to="#lobby", text="other", cid="once"), {}, "cid"),
    Refused("out_of_order", request("send", to="#lobby", text="hi", n=9), {"due": 1}, "n"),
    Refused("out_of_order", request("join", room="#den", n=2**53 - 1), {"due": 1}, "n"),
    Refused("bad_cursor", request("search", query="hi", cursor="x"), {}, "cursor"),
    Refused("bad_cursor", request("search", query="hi", cursor="9" * 200), {}, "cursor"),
    bad_room("one_of", "before", "history", conv="#lobby", before=1, after=1),
    bad_room("one_of", "after", "history", conv="#lobby", after=1, around=1),
    bad_room("room", "room", "members", room="#lobby"),
    bad_room("emoji", "emoji", "react", to="#lobby", seq=1, emoji="x"),
    bad_room("oneself", "name", "kick", room="#garden", name="mei"),
    *(
        Refused("blocked", one, {"name": "eve", "rule": "theirs"}, at)
        for at, one in [
            ("to", request("send", to="@eve", text="hi")),
            ("to", request("edit", to="@eve", seq=1, text="hi")),
            ("to", request("react", to="@eve", seq=1, emoji="👍")),
            ("name", request("invite", room="#den", name="eve")),
        ]
    ),
    Refused(
        "blocked",
        request("send", to="@mei", text="hi"),
        {"name": "mei", "rule": "own"},
        "to",
        "eve",
    ),
    Refused(
        "slow_mode",
        request("send", to="#slow", text="hi"),
        {"conv": "#slow", "seconds": 600},
        "to",
        "bob",
    ),
    Refused(
        "not_permitted",
        request("send", to="#closed", text="hi"),
        {"rule": "announcements"},
        "to",
        "bob",
    ),
    Refused("not_permitted", request("send", to="#old", text="hi"), {"rule": "archived"}, "to"),
    Refused(
        "not_permitted",
        request("set_topic", room="#old", topic="hi"),
        {"rule": "archived"},
        "room",
    ),
    Refused(
        "banned",
        request("join", room="#closed"),
        {"conv": "#closed", "reason": "spam"},
        "room",
        "eve",
    ),
    Refused(
        "not_permitted",
        request("invite", room="#closed", name="eve"),
        {"rule": "banned"},
        "name",
    ),
    bad_room("last_operator", "name", "set_operator", room="#den", name="mei", on=False),
    bad_room("public", "room", "set_history", room="#garden", history="shown"),
    bad_room("missing", "history", "set_access", room="#den", private=False),
    bad_room("superfluous", "history", "set_access", room="#den", private=True, history="shown"),
]  # fmt: skip


@asynccontextmanager
async def people(*caps: str) -> AsyncIterator[dict[str, Wire]]:
    """Yield the connections of the three, and of nobody, at a server as above."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server(config(text_chars=MOST)))
        those = {
            name: await stack.enter_async_context(wire(server)) for name in ("mei", "bob", "eve")
        }
        for name, one in those.items():
            await one.log_in(name, *caps)
        mei, bob, _ = those.values()
        for sender, (msg_type, fields) in [
            (mei, request("create_room", room="#garden")),
            (mei, request("create_room", room="#den", private=True)),
            (bob, request("join", room="#garden")),
            (mei, request("create_room", room="#closed")),
            (mei, request("send", to="@eve", text="hi")),
            (mei, request("create_room", room="#slow")),
            (mei, request("set_slow_mode", room="#slow", seconds=600)),
            (bob, request("join", room="#slow")),
            (bob, request("send", to="#slow", text="hi")),
            (mei, request("set_announcements", room="#closed", on=True)),
            (bob, request("join", room="#closed")),
            (mei, request("create_room", room="#old")),
            (mei, request("set_archived", room="#old", on=True)),
            (mei, request("ban", room="#closed", name="eve", reason="spam")),
            (mei, request("send", to="#lobby", text="hi", cid="once")),
            *((mei, request("react", to="#lobby", seq=1, emoji=emoji)) for emoji in "👍👎🎉🦜🌱"),
        ]:
            assert (await sender.ask(msg_type, **fields, request_id="0"))[0] == "sent"
        replies = [(await those["eve"].ask("block", name="mei"))[0]]
        if caps:
            replies.append((await those["eve"].reply())[0])  # after the event
        assert replies[-1] == "ok"
        those[""] = await stack.enter_async_context(wire(server))
        if caps:
            await those[""].ask("hello")
        yield those


def said_by(args: dict[str, Any]) -> list[str]:
    return [
        f"{value:,}" if type(value) is int else str(value)
        for name, value in args.items()
        if name not in ("rule", "limit")
    ]


@pytest.mark.parametrize("caps", [("log",), ()], ids=["capabilities", "minimal"])
async def test_error_says_the_same_to_programs_and_people(caps: tuple[str, ...]) -> None:
    texts: dict[tuple[str, str], str] = {}
    async with people(*caps) as those:
        for case in CASES:
            msg_type, fields = case.request
            async with AsyncExitStack() as stack:
                one = those[case.who]
                if not case.who:
                    one = await stack.enter_async_context(another(one))
                    if caps:
                        await one.ask("hello")
                kind, error = await one.ask(msg_type, **fields)
            shown = f"{case} {error}"
            assert (kind, error["code"], error.get("field")) == ("error", case.code, case.at), shown
            assert error.get("args", {}) == (case.args if caps else {}), shown
            assert set(case.args) <= DETAILS.get(ErrorCode(case.code), frozenset()), shown
            assert all(value in error["text"] for value in said_by(case.args)), shown
            assert case.at is None or case.at in FIELDS[msg_type], shown
            if "rule" in case.args:
                texts.setdefault((case.code, case.args["rule"]), error["text"])
    assert len(set(texts.values())) == len(texts), "each rule has a text of its own"


@asynccontextmanager
async def another(one: Wire) -> AsyncIterator[Wire]:
    """Open a further connection to the same server: bad logins are counted."""
    async with await trio.open_tcp_stream(*one.stream.socket.getpeername()[:2]) as stream:
        yield Wire(stream)


# -- those that need a server of their own ------------------------------------------------------


@asynccontextmanager
async def hello_at(configuration: Config, name: str = "") -> AsyncIterator[Wire]:
    async with running_server(configuration) as server, wire(server) as one:
        await one.ask("hello")
        if name:
            await one.log_in(name)
        yield one


async def refusal(one: Wire, msg_type: str, **fields: Any) -> dict[str, Any]:
    kind, error = await one.ask(msg_type, **fields)
    assert kind == "error", error
    return error


@needs_linux
async def test_account_errors_say_what_to_do(tmp_path: Path) -> None:
    async with administered(tmp_path) as (server, admin), wire(server) as one:
        await one.ask("hello")
        code = (await admin.ask("account create", name="mei"))["code"]
        error = await refusal(one, "login", name="mei", password=code)
        assert (error["code"], error["args"]) == ("bad_password", {"rule": "one_time_code"})
        assert (error["field"], code in error["text"]) == ("password", False)
        assert "the code, a space, and your new password" in error["text"]
        short = await refusal(one, "login", name="mei", password=f"{code} short")
        assert (short["code"], short["args"]) == ("bad_password", {"min": 8, "max": 128})
        await admin.ask("account disable", name="mei")
        error = await refusal(one, "login", name="mei", password=f"{code} {PASSWORD}")
        assert (error["code"], error["field"]) == ("account_disabled", "name")
        assert "args" not in error


async def test_frame_errors_say_how_long_it_was() -> None:
    async with hello_at(config()) as one:
        await one.stream.send_all((70_000).to_bytes(4, "big"))
        _, error = await one.reply()
        assert (error["code"], error["args"]) == (
            "frame_too_large",
            {"max": 65536, "length": 70000},
        )
    async with hello_at(config()) as one:
        await one.stream.send_all(bytes(4))
        _, error = await one.reply()
        assert (error["code"], "args" in error) == ("frame_empty", False)


async def test_registration_errors_have_no_details() -> None:
    for mode, code in (("closed", "registration_closed"), ("invite", "bad_invite")):
        registration = Registration(mode=mode)  # type: ignore[arg-type]  # one of the modes
        configuration = structs.replace(config(), registration=registration)
        async with hello_at(configuration) as one:
            error = await refusal(one, "register", name="mei", password=PASSWORD)
            assert (error["code"], "args" in error) == (code, False)


async def test_rate_limits_say_which_one_it_is() -> None:
    fast = partial(request, "send", to="#lobby")
    cases: list[tuple[dict[str, Any], tuple[str, dict[str, Any]], str]] = [
        ({"burst": 1, "per_second": 0.01}, fast(text="x"), "per_second"),
        ({"request_budget": 100, "request_budget_per_second": 1}, request("rooms"),
         "request_budget"),
        ({"rooms_per_day": 1}, request("create_room", room="#x"), "rooms_per_day"),
        ({"bytes_per_day": 100_000}, fast(text="x" * 4000), "bytes_per_day"),
    ]  # fmt: skip
    for limits, (msg_type, fields), limit in cases:
        async with hello_at(config(**limits), "mei") as one:
            number, kind, reply = 0, "", dict[str, Any]()
            while kind != "error":
                number += 1
                if msg_type == "create_room":
                    fields["room"] = f"#x{number}"
                kind, reply = await one.ask(msg_type, **fields, request_id=str(number))
            assert (reply["code"], reply.get("args")) == ("rate_limited", {"limit": limit})
            assert reply["retry_after"] > 0


async def test_failed_logins_say_which_limit_it_is() -> None:
    for limit in ("login_failures", "login_failures_account"):
        limits: dict[str, Any] = {limit: 1}
        async with hello_at(config(**limits)) as one:
            await one.ask("register", name="mei", password=PASSWORD)
            await refusal(one, "login", name="mei", password="wrong")
            error = await refusal(one, "login", name="mei", password="wrong")
            assert (error["code"], error.get("args")) == ("rate_limited", {"limit": limit})


async def test_busy_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def changed(*_: object, **__: object) -> None:
        raise FactsChanged

    async with hello_at(config(), "mei") as one:
        await one.ask("create_room", room="#garden", request_id="1")
        monkeypatch.setattr("gochat.server.write_requests.settle", changed)
        error = await refusal(one, "leave", room="#garden")
        assert (error["code"], error["args"]) == ("busy", {"rule": "conflict"})
    async with hello_at(config()) as one:
        await one.ask("register", name="mei", password=PASSWORD)
        monkeypatch.setattr(HashingQueue, "is_full", True)
        error = await refusal(one, "login", name="mei", password=PASSWORD)
        assert (error["code"], error["args"]) == ("busy", {"rule": "line"})


async def test_unavailable_and_full_have_no_details(monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("the disk is full")

    async with hello_at(config(), "mei") as one:
        monkeypatch.setattr("gochat.storage.sqlite.SqliteStore.rooms", down)
        error = await refusal(one, "rooms")
        assert (error["code"], "args" in error) == ("unavailable", False)
    async with running_server(config(max_connections=1)) as server, wire(server) as one:
        await one.log_in("mei")
        async with wire(server) as other:
            _, error = await other.receive()
            assert (error["code"], "args" in error) == ("server_full", False)


async def test_every_code_is_provoked_here() -> None:
    """Those in the table, and those that need a server of their own."""
    others = {
        "frame_empty", "frame_too_large", "registration_closed", "bad_invite", "rate_limited",
        "busy", "unavailable", "server_full", "account_disabled", "account_banned", "muted",
        "address_banned",
    }  # fmt: skip
    assert {case.code for case in CASES} | others == set(ErrorCode)
