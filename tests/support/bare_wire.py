"""A connection on which payloads are plain JSON: what a frame leaves out is seen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from patience import PATIENCE
from peers import PASSWORD, RunningServer

from gochat.protocol.framing import FrameDecoder, frame

#: A payload's type and its fields.
Received = tuple[str, dict[str, Any]]


EVENTS = frozenset({"presence", "message", "marked", "is_typing", "new_login"})


class Wire:
    """A connection, at first anonymous."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._decoder = FrameDecoder()

    async def send(self, msg_type: str, **fields: Any) -> None:
        """Send a request."""
        envelope = {"msg_type": msg_type, "msg_data": json.dumps(fields)}
        await self.stream.send_all(frame(json.dumps(envelope).encode()))

    async def receive(self) -> Received:
        """Return the next payload."""
        with trio.fail_after(PATIENCE):
            while (body := self._decoder.next_frame()) is None:
                self._decoder.receive_data(bytes(await self.stream.receive_some()))
        envelope = json.loads(body)
        return envelope["msg_type"], json.loads(envelope["msg_data"])

    async def ask(self, msg_type: str, **fields: Any) -> Received:
        """Return the next reply, passing over events."""
        await self.send(msg_type, **fields)
        return await self.reply()

    async def reply(self) -> Received:
        """Return the next payload that is not an event."""
        while (received := await self.receive())[0] in EVENTS:
            pass
        return received

    async def log_in(self, name: str, *caps: str) -> dict[str, Any]:
        """Register if necessary, and log in; return `logged_in`."""
        await self.ask("register", name=name, password=PASSWORD)
        fields = {"caps": list(caps)} if caps else {}
        msg_type, reply = await self.ask("login", name=name, password=PASSWORD, **fields)
        assert msg_type == "logged_in", reply
        return reply


@asynccontextmanager
async def wire(server: RunningServer) -> AsyncIterator[Wire]:
    """Open a connection to `server`."""
    async with await trio.open_tcp_stream(server.host, server.port) as stream:
        yield Wire(stream)
