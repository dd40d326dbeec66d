"""docs/how-to/decide-who-registers.md, as it is printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from peers import PASSWORD, Peer

from gochat.protocol.messages import Error, Payload, Register
from howto import Guide

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform != "linux", reason="the admin socket needs Linux"),
]


async def register(port: int, name: str, invite: str | None = None) -> str:
    """Register; return "", or the code of the refusal."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        reply = await Peer(stream).ask(
            Register(name=name, password=PASSWORD, invite=invite), Payload
        )
        return reply.code if isinstance(reply, Error) else ""


async def test_decide_who_registers(tmp_path: Path, free_port: Callable[[], int]) -> None:
    guide = Guide("decide-who-registers.md", tmp_path)
    config = guide.write("[registration]", str(tmp_path / "server.toml"))
    guide.environment["GOCHAT_STORE"] = f"sqlite:///{tmp_path}/chat.db"
    with guide.serving(f"gochat serve --config {config}", free_port()) as server:
        assert await register(server.port, "mei") == "bad_invite"
        printed = guide.run("gochat admin registration invite")
        found = re.search(r"^code +(\S+)\nid +(\S+)$", printed, re.M)
        assert found is not None, printed
        code, name = found.groups()
        assert await register(server.port, "mei", code) == ""
        listed = guide.sh(guide.take("gochat admin invitation list").replace("3f9c01a2b4d5", name))
        assert "class 7b" in listed
        assert await register(server.port, "bob", code) == "bad_invite"
        guide.run("gochat admin registration closed")
        assert await register(server.port, "bob") == "registration_closed"
    guide.finish()
