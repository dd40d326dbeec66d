"""What a server tells about itself, and what it grants: read as bare JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from msgspec import structs
from patience import PATIENCE
from peers import PASSWORD, RunningServer, config, running_server

import gochat
from gochat.config import Config, Registration
from gochat.protocol.framing import FrameDecoder, frame

pytestmark = pytest.mark.trio


class Wire:
    """A connection on which payloads are dicts: what is left out of one is seen."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._decoder = FrameDecoder()

    async def send(self, msg_type: str, **fields: Any) -> None:
        envelope = {"msg_type": msg_type, "msg_data": json.dumps(fields)}
        await self._stream.send_all(frame(json.dumps(envelope).encode()))

    async def receive(self) -> tuple[str, dict[str, Any]]:
        with trio.fail_after(PATIENCE):
            while (body := self._decoder.next_frame()) is None:
                self._decoder.receive_data(bytes(await self._stream.receive_some()))
        envelope = json.loads(body)
        return envelope["msg_type"], json.loads(envelope["msg_data"])

    async def ask(self, msg_type: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        """Return the next reply, passing over events."""
        await self.send(msg_type, **fields)
        while (received := await self.receive())[0] in ("presence", "message"):
            pass
        return received


@asynccontextmanager
async def wire(server: RunningServer) -> AsyncIterator[Wire]:
    async with await trio.open_tcp_stream(server.host, server.port) as stream:
        yield Wire(stream)


def configured(**keys: Any) -> Config:
    return structs.replace(config(password_min=10, burst=7), **keys)


async def test_hello_before_a_login_says_what_the_server_offers() -> None:
    registration = Registration(mode="invite", invites=("a-long-code",))
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
            "caps": ["heartbeat", "log", "typing"],
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
