"""Open the admin socket, and serve who connects."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

import msgspec
import structlog
import trio

from gochat import private
from gochat.chat.server_roles import Actor, require_role
from gochat.config import Config
from gochat.errors import (
    ChatError,
    ConfigError,
    ErrorCode,
    FrameError,
    GochatError,
    StoreUnavailable,
)
from gochat.server import workers
from gochat.server.admin import wire
from gochat.server.admin.call import Call, Handler
from gochat.server.admin.commands import COMMANDS
from gochat.server.admin.handlers import HANDLERS
from gochat.server.admin.peer import peer_uid
from gochat.server.admin.place import require_safe, socket_path
from gochat.server.admin.wire import Failure, LineDecoder, Reply, Request
from gochat.server.listener import accept_for_ever
from gochat.server.listening import unix_socket
from gochat.server.services import Services

log = structlog.stdlib.get_logger()

#: Connections at once. Of those that wait for a request, the one that waits longest makes room.
MAX_CONNECTIONS: Final = 16
#: Seconds for the next request to arrive, and for a reply to be taken.
TIMEOUT: Final = 60.0
#: Seconds for who is turned away to read why.
LAST_WORDS: Final = 1.0
#: Bytes per read.
READ_SIZE: Final = 16 * 1024
#: The mode of the socket: its owner's.
MODE: Final = 0o600


@contextlib.contextmanager
def opened(config: Config) -> Iterator[trio.SocketListener | None]:
    """Listen on the admin socket inside the block; yield None if there is none.

    Of several workers only the first one has it. One that is not configured and can't be opened is
    left out with a warning, and without one on systems that have none.

    Raises:
        AddressUnavailable: the configured one can't be opened now.
        ConfigError: the configured one can't be opened at all.
    """
    path = socket_path(config)
    is_possible = sys.platform == "linux" or config.admin.socket
    if path is None or not is_possible or workers.number() not in (None, 1):
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            if sys.platform != "linux":
                raise ConfigError(
                    "the admin socket needs Linux, where a socket identifies its peer's user"
                )
            if not config.admin.socket:
                private.make_directories(path.parent)
            require_safe(path.parent)
            bound = stack.enter_context(unix_socket(path, MODE, key="admin.socket"))
        except (GochatError, OSError) as error:
            if config.admin.socket:
                raise
            log.warning(
                "admin socket unavailable",
                path=str(path),
                reason=str(error),
                advice="gochat admin can't reach this server: set admin.socket",
            )
            yield None
            return
        log.info("admin socket open", path=str(path))
        yield trio.SocketListener(trio.socket.from_stdlib_socket(bound))


class AdminSocket:
    """Serves the connections to the admin socket; `handlers` carry out the commands."""

    def __init__(self, services: Services, handlers: Mapping[str, Handler] = HANDLERS) -> None:
        self._services = services
        self._handlers = handlers
        self._open = 0
        self._idle: dict[trio.CancelScope, None] = {}  # the longest first

    async def run(self, listener: trio.SocketListener) -> NoReturn:
        """Accept connections and serve them, for ever."""
        async with listener, trio.open_nursery() as nursery:
            await accept_for_ever(listener, lambda stream: nursery.start_soon(self.serve, stream))
        raise AssertionError

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection, and close it."""
        self._open += 1
        try:
            with contextlib.suppress(trio.BrokenResourceError, trio.TooSlowError):
                await self._serve(stream)
        except Exception:  # a bug here must not end the chat
            log.exception("admin connection failed")
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        uid = peer_uid(stream.socket)
        if uid not in (0, os.geteuid()):
            more = self._services.journal.admit("admin connection refused")
            if more is not None:
                log.warning("admin connection refused", uid=uid, **more)
            text = f"only root and the server's own user may use this socket, and you are {uid}"
            await self._turn_away(stream, _refused(ErrorCode.NOT_PERMITTED, text))
            return
        if self._open > MAX_CONNECTIONS:
            if not self._idle:
                text = f"{MAX_CONNECTIONS} connections are at work here: try again"
                await self._turn_away(stream, _refused(ErrorCode.BUSY, text))
                return
            next(iter(self._idle)).cancel()
        actor, lines = Actor(f"uid {uid}", "owner"), LineDecoder(wire.MAX_REQUEST)
        while True:
            try:
                line = await self._next_line(stream, lines)
            except FrameError as error:
                await self._turn_away(stream, _refused(error.code, str(error)))
                return
            if line is None:
                return
            await _send(stream, await self.answer(actor, line))

    async def _turn_away(self, stream: trio.SocketStream, reply: Reply) -> None:
        """Send a last reply, and let the peer read it: closing on unread data discards it."""
        if self._open > 2 * MAX_CONNECTIONS:
            return
        with trio.move_on_after(LAST_WORDS):
            await stream.send_all(wire.encode(reply))
            await stream.send_eof()
            while await stream.receive_some(READ_SIZE):
                pass

    async def _next_line(self, stream: trio.SocketStream, lines: LineDecoder) -> bytes | None:
        """Return the next request; None if there is none in time, or this makes room."""
        with trio.move_on_after(TIMEOUT) as scope:
            self._idle[scope] = None
            try:
                while (line := lines.next_line()) is None:
                    data = await stream.receive_some(READ_SIZE)
                    if not data:
                        return None
                    lines.receive_data(bytes(data))
            finally:
                del self._idle[scope]
            return line
        return None

    async def answer(self, actor: Actor, line: bytes) -> Reply:
        """Carry out a request, and return the reply."""
        call = None
        try:
            request = msgspec.json.decode(line, type=Request)
            command = COMMANDS.get(request.command)
            if command is None:
                raise ChatError(
                    ErrorCode.UNKNOWN_TYPE,
                    f"unknown command {request.command[:64]!r}: expected one of "
                    f"{', '.join(COMMANDS)}",
                )
            require_role(actor, command.least)
            arguments = msgspec.convert(request.arguments, command.arguments)
            call = Call(self._services, actor, request.command, request.reason)
            return Reply(ok=True, result=await self._handlers[request.command](call, arguments))
        except msgspec.MsgspecError as error:
            return _refused(ErrorCode.BAD_REQUEST, f"invalid request: {error}")
        except ChatError as error:
            refusal = _refused(error.code, error.text)
        except StoreUnavailable as error:
            refusal = _refused(ErrorCode.UNAVAILABLE, str(error))
        except Exception:
            log.exception("admin command failed")
            refusal = _refused(wire.INTERNAL, "the server has a bug: its log has the traceback")
        if call is not None and refusal.error is not None:
            await call.failed(refusal.error.text)
        return refusal


def _refused(code: str, text: str) -> Reply:
    return Reply(ok=False, error=Failure(code=code, text=text))


async def _send(stream: trio.SocketStream, reply: Reply) -> None:
    with trio.fail_after(TIMEOUT):
        await stream.send_all(wire.encode(reply))
