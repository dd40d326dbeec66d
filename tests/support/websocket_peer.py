"""A WebSocket client as a stream of frames, so that a :class:`peers.Peer` can use it.

What it sends and receives are frames with lengths; on the wire each is a text message. Hostile
bytes go to `beneath`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from peers import Peer, RunningServer
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

from gochat.protocol.framing import FrameDecoder, frame


class WebSocketStream(trio.abc.HalfCloseableStream):
    """The client's side of a WebSocket, after :meth:`connect`."""

    def __init__(self, beneath: trio.abc.Stream) -> None:
        self.beneath = beneath
        self.connection = WSConnection(ConnectionType.CLIENT)
        self.pongs: list[bytes] = []
        #: The code of the server's close frame; None before it.
        self.close_code: int | None = None
        self._partial = ""

    async def connect(
        self, host: str, *, origin: str | None = None, subprotocol: str = "gochat.1"
    ) -> None:
        """Perform the handshake. Raises ConnectionRefusedError, with the status."""
        headers = [] if origin is None else [(b"Origin", origin.encode())]
        request = Request(host=host, target="/", subprotocols=[subprotocol], extra_headers=headers)
        await self.beneath.send_all(self.connection.send(request))
        while True:
            data = await self.beneath.receive_some()
            if not data:
                raise ConnectionRefusedError("the server has closed")
            self.connection.receive_data(bytes(data))
            for event in self.connection.events():
                if isinstance(event, RejectConnection):
                    raise ConnectionRefusedError(event.status_code)
                assert isinstance(event, AcceptConnection), event
                assert event.subprotocol == subprotocol
                return

    async def send_event(self, event: Ping | CloseConnection | TextMessage | BytesMessage) -> None:
        """Send anything that WebSocket has."""
        await self.beneath.send_all(self.connection.send(event))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send frames."""
        decoder, sent = FrameDecoder(), b""
        decoder.receive_data(bytes(data))
        while (body := decoder.next_frame()) is not None:
            sent += self.connection.send(TextMessage(body.decode()))
        assert not decoder.is_mid_frame
        await self.beneath.send_all(sent)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next frames; b"" after a close frame, or at the end."""
        frames = b""
        while not frames and self.close_code is None:
            data = await self.beneath.receive_some()
            if not data:
                return b""
            self.connection.receive_data(bytes(data))
            for event in self.connection.events():
                if isinstance(event, TextMessage):
                    self._partial += event.data
                    if event.message_finished:
                        frames += frame(self._partial.encode())
                        self._partial = ""
                elif isinstance(event, Pong):
                    self.pongs.append(bytes(event.payload))
                elif isinstance(event, CloseConnection):
                    self.close_code = event.code
                else:
                    raise RemoteProtocolError(f"from a server: {event}")
        return frames

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream beneath."""
        await self.beneath.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send a close frame."""
        await self.send_event(CloseConnection(code=1000))

    async def aclose(self) -> None:
        """Close the stream beneath."""
        await self.beneath.aclose()


@asynccontextmanager
async def connect(
    server: RunningServer, *, origin: str | None = None
) -> AsyncIterator[tuple[Peer, WebSocketStream]]:
    """Open a WebSocket on which nobody is logged in."""
    async with WebSocketStream(await trio.open_tcp_stream(server.host, server.port)) as stream:
        await stream.connect(f"{server.host}:{server.port}", origin=origin)
        yield Peer(stream), stream
