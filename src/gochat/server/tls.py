"""TLS over a socket's descriptor: whoever writes also encrypts, without a task.

:class:`trio.SSLStream` encrypts in a task that sends, so a message to a thousand people starts a
thousand tasks: measured, ten times the processor time of this. This module only moves bytes; all
cryptography is OpenSSL's, by way of `ssl`.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from typing import Final

import trio

from gochat.server.sockets import READ_SIZE, read_some

#: Plain bytes per record, the most that TLS allows.
RECORD: Final = 16 * 1024
#: Bytes that may arrive without carrying any data, and that OpenSSL may queue as its own replies
#: before anything else is written. An honest peer requests new keys now and then; from a peer that
#: requests nothing else the replies would pile up.
MAX_OVERHEAD: Final = 64 * 1024


class TlsStream(trio.abc.HalfCloseableStream):
    """The server's side of an encrypted connection. Call :meth:`do_handshake` first.

    One task may read. Writers must pass the bytes of :meth:`encrypt` to the socket in the order of
    the calls. :meth:`send_all` does that, for small writes while nothing else writes. A peer that
    ends the connection without a TLS closure alert has ended it normally: frames have lengths, so
    truncation can't go unnoticed.
    """

    __slots__ = (
        "_has_ended", "_incoming", "_outgoing", "_overhead", "_tls", "descriptor", "is_over",
        "received", "socket_stream",
    )  # fmt: skip

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.socket_stream: Final = stream
        self.descriptor: Final = stream.socket.fileno()
        self._has_ended = False  # beneath TLS
        #: The peer has ended TLS: nothing more can be decrypted.
        self.is_over = False
        #: Bytes read from the socket.
        self.received = 0
        self._overhead = 0  # bytes since anything was decrypted
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def do_handshake(self, turns: trio.Lock) -> None:
        """Perform the handshake. Raises BrokenResourceError: the peer has left, or uses no TLS.

        What it computes takes a millisecond or more, so it waits for its turn: those that share
        `turns` compute one after the other, each in another pass of the event loop.
        """
        while True:
            data = await read_some(self.descriptor)
            if not data:
                raise trio.BrokenResourceError("it ended during the handshake")
            self._take(data)
            error: ssl.SSLError | None = None
            async with turns:  # and nothing that waits for the peer
                try:
                    self._tls.do_handshake()
                except ssl.SSLError as raised:
                    error = raised
            await self._send_outgoing()  # of an error, too: the alert has the reason
            if error is None:
                return
            if not isinstance(error, ssl.SSLWantReadError):
                raise trio.BrokenResourceError("no TLS handshake") from error

    def encrypt(self, data: bytes) -> bytes:
        """Return the records that carry `data`. Raises ssl.SSLError: the connection is broken."""
        records = []
        remainder = memoryview(data)
        while remainder:
            remainder = remainder[self._tls.write(remainder[:RECORD]) :]
            records.append(self._outgoing.read())  # each time, because the buffer never shrinks
        return b"".join(records)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for data, and return it decrypted; b"" at the end. Raises BrokenResourceError.

        It returns all that one read of the socket decrypts to, whatever `max_bytes`.
        """
        while (data := self.decrypted()) is None:
            data = self.decrypt(await read_some(self.descriptor))
            if data is not None:
                return data
        await trio.lowlevel.checkpoint()
        return data

    def decrypt(self, data: bytes) -> bytes | None:
        """Return what `data`, from the socket, decrypts to; None if that needs more bytes.

        b"" is the end. Raises BrokenResourceError.
        """
        if not data:
            self._has_ended = True
            return data
        self._take(data)
        return self.decrypted()

    def decrypted(self) -> bytes | None:
        """Return what can be decrypted of what was taken, as :meth:`decrypt` does."""
        parts = []
        try:
            while part := self._tls.read(READ_SIZE):
                parts.append(part)
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.is_over = True
        except ssl.SSLError as error:
            raise trio.BrokenResourceError("TLS is broken") from error
        if parts:
            self._overhead = 0
        self._require_modesty()
        return b"".join(parts) if parts or self.is_over else None

    async def wait_end(self) -> None:
        """After the end in TLS, wait for the end of the connection beneath.

        Raises BrokenResourceError: it was reset.
        """
        if not self._has_ended:
            try:
                data = os.read(self.descriptor, READ_SIZE)
            except BlockingIOError:
                await self.send_eof()  # the peer may wait for this
                data = await read_some(self.descriptor)
            except OSError as error:
                raise trio.BrokenResourceError("the connection broke") from error
            while data:
                data = await read_some(self.descriptor)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send. Raises BrokenResourceError."""
        try:
            records = self.encrypt(bytes(data))
        except ssl.SSLError as error:
            raise trio.BrokenResourceError("TLS is broken") from error
        await self.socket_stream.send_all(records)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket takes something."""
        await self.socket_stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Close the sending side, in TLS and in TCP. Raises BrokenResourceError."""
        # unwrap wants the peer's closure alert, too, or fails because the peer has broken the
        # connection.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        await self._send_outgoing()
        await self.socket_stream.send_eof()

    async def aclose(self) -> None:
        """Close the socket, without a closure alert: see :meth:`send_eof`."""
        await self.socket_stream.aclose()

    def _require_modesty(self) -> None:
        """Raise BrokenResourceError if the peer makes TLS itself do too much."""
        if self._overhead > MAX_OVERHEAD or self._outgoing.pending > MAX_OVERHEAD:
            raise trio.BrokenResourceError("too much of TLS and nothing in it")

    def _take(self, data: bytes) -> None:
        self.received += len(data)
        self._overhead += len(data)
        self._incoming.write(data)

    async def _send_outgoing(self) -> None:
        if self._outgoing.pending:
            await self.socket_stream.send_all(self._outgoing.read())
