"""A server with an admin socket, and who speaks to it in bare lines."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec import structs
from patience import PATIENCE
from peers import RunningServer, config, running_server

from gochat.config import Admin, Config

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the admin socket needs Linux")


class AdminPeer:
    """A connection to the admin socket."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._data = b""

    async def line(self) -> dict[str, Any]:
        """Return the next reply. Raises EndOfChannel."""
        with trio.fail_after(PATIENCE):
            while b"\n" not in self._data:
                data = await self.stream.receive_some()
                if not data:
                    raise trio.EndOfChannel
                self._data += bytes(data)
        line, _, self._data = self._data.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    async def send(self, line: str) -> dict[str, Any]:
        """Send a line, and return the reply."""
        await self.stream.send_all(line.encode() + b"\n")
        return await self.line()

    async def ask(self, command: str, reason: str = "", /, **arguments: Any) -> dict[str, Any]:
        """Send a command, which must succeed, and return its result."""
        reply = await self._ask(command, reason, arguments)
        assert reply["ok"], reply
        result: dict[str, Any] = reply["result"]
        return result

    async def refused(self, command: str, /, **arguments: Any) -> str:
        """Send a command, which must be refused, and return the code."""
        reply = await self._ask(command, "", arguments)
        assert not reply["ok"], reply
        assert reply["error"]["text"]
        return str(reply["error"]["code"])

    async def _ask(self, command: str, reason: str, arguments: dict[str, Any]) -> dict[str, Any]:
        request = {"command": command, "arguments": arguments, "reason": reason}
        return await self.send(json.dumps(request))


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[AdminPeer]:
    """Connect to an admin socket."""
    async with await trio.open_unix_socket(path) as stream:
        yield AdminPeer(stream)


@asynccontextmanager
async def administered(
    directory: Path, *, configuration: Config | None = None, **options: Any
) -> AsyncIterator[tuple[RunningServer, AdminPeer]]:
    """Run a server with its admin socket in `directory`, and connect to that."""
    path = directory / "admin"
    whole = structs.replace(configuration or config(**options), admin=Admin(socket=str(path)))
    async with running_server(whole) as server, connected(path) as admin:
        yield server, admin
