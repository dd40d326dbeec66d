"""What a server tells about itself, and what it grants: read as bare JSON."""

from __future__ import annotations

from typing import Any

import pytest
from bare_wire import wire
from msgspec import structs
from peers import PASSWORD, config, running_server

import gochat
from gochat.config import Config, Registration

pytestmark = pytest.mark.trio


def configured(**keys: Any) -> Config:
    return structs.replace(config(password_min=10, burst=7), **keys)


async def test_hello_before_a_login_says_what_the_server_offers() -> None:
    registration = Registration(mode="invite")
    named = configured(name="garden", motd="Water\nthe plants.", registration=registration)
    async with running_server(named) as server, wire(server) as bare:
        msg_type, info = await bare.ask("hello", request_id="h")
    limits = info.pop("limits")
    assert (msg_type, info) == (
        "server_info",
        {
            "request_id": "h",
            "name": "garden",
            "version": f"gochat {gochat.__version__}",
            "protocol": 1,
            "caps": ["heartbeat", "log", "status", "typing"],
            "registration": "invite",
            "login": ["password"],
            "password_min": 10,
            "password_max": 128,
            "motd": "Water\nthe plants.",
        },
    )
    assert limits["burst"] == 7


async def test_hello_is_answered_in_any_state_and_changes_none() -> None:
    async with running_server() as server, wire(server) as bare:
        await bare.ask("register", name="mei", password=PASSWORD)
        first = await bare.ask("hello")
        assert "motd" not in first[1]
        msg_type, logged_in = await bare.ask("login", name="mei", password=PASSWORD)
        assert msg_type == "logged_in"
        assert await bare.ask("hello") == first
        assert first[1]["limits"] == logged_in["limits"]
        assert (await bare.ask("who"))[0] == "people"
        assert (await bare.ask("logout"))[0] == "logged_out"
        assert await bare.ask("hello") == first


async def test_login_says_which_capabilities_were_granted() -> None:
    async with running_server() as server, wire(server) as bare:
        await bare.ask("register", name="mei", password=PASSWORD)
        caps = ["typing", "acks", "log", "typing"]
        _, logged_in = await bare.ask("login", name="mei", password=PASSWORD, caps=caps)
        assert logged_in["caps"] == ["log", "typing"]
        async with wire(server) as again:
            caps = ["heartbeat"]
            _, resumed = await again.ask("resume", token=logged_in["token"], caps=caps)
            assert resumed["caps"] == ["heartbeat"]


async def test_minimal_session_is_sent_no_capabilities_and_no_acknowledgement() -> None:
    async with running_server() as server, wire(server) as bare:
        await bare.ask("register", name="mei", password=PASSWORD)
        _, logged_in = await bare.ask("login", name="mei", password=PASSWORD)
        fields = {"name", "token", "expires", "limits", "heartbeat", "server"}
        assert set(logged_in) == fields
        await bare.send("send", to="#lobby", text="hi")
        assert (await bare.ask("who"))[0] == "people"
        assert (await bare.ask("send", to="#lobby", text="hi", request_id="1"))[0] == "sent"
