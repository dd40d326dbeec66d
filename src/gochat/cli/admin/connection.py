"""One request over the admin socket."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec

from gochat.errors import ConfigError, ConnectionLost, FrameError
from gochat.server.admin import wire
from gochat.server.admin.peer import peer_uid
from gochat.server.admin.wire import LineDecoder, Reply, Request

#: Seconds for the reply: an act may wait for all nodes of a deployment.
TIMEOUT: Final = 120.0
_READ_SIZE: Final = 64 * 1024


def ask(path: Path, request: Request) -> Reply:
    """Send a request to the server whose admin socket is `path`, and return the reply.

    Raises:
        ConfigError: this user may not use the socket; or it is not the server's; or the request
            has something else than Unicode in it.
        ConnectionLost: no server answers there.
    """
    try:
        line = wire.encode(request)
    except UnicodeEncodeError as error:  # of bytes on the command line
        raise ConfigError("an argument is not UTF-8") from error
    if sys.platform != "linux":
        raise ConfigError("gochat admin needs Linux, where a socket identifies its peer's user")
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(TIMEOUT)
        try:
            connected.connect(str(path))
            _require_trusted(connected, path)
            connected.sendall(line)
            line = _read_line(connected)
        except PermissionError as error:
            raise ConfigError(
                f"{path} is not open to this user: use root or the server's own user, "
                "as in sudo -u gochat gochat admin …"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise ConnectionLost(
                f"no server answers at {path} ({error.strerror}): is it running, and is this its "
                "configuration? --socket names another one"
            ) from error
        except FrameError as error:
            raise ConnectionLost(f"the reply at {path} is not the server's: {error}") from error
        except OSError as error:
            raise ConnectionLost(f"{path}: {error.strerror or error}") from error
    try:
        return msgspec.json.decode(line, type=Reply)
    except msgspec.MsgspecError as error:
        raise ConnectionLost(
            f"what answers at {path} is not a gochat server of this version: {error}"
        ) from error


def _require_trusted(connected: socket.socket, path: Path) -> None:
    """Require that the server is this user's or root's, before it is sent anything."""
    uid = peer_uid(connected)
    if os.geteuid() not in (0, uid) and uid != 0:
        raise ConfigError(f"what listens at {path} runs as another user ({uid}): nothing was sent")


def _read_line(connected: socket.socket) -> bytes:
    lines = LineDecoder(wire.MAX_REPLY)
    while (line := lines.next_line()) is None:
        data = connected.recv(_READ_SIZE)
        if not data:
            raise ConnectionResetError(None, "the server has closed the connection without a reply")
        lines.receive_data(data)
    return line
