"""Who is at the other end of a unix socket."""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trio

if sys.platform == "linux":

    def peer_uid(connected: socket.socket | trio.socket.SocketType) -> int:
        """Return the user id of the process at the other end. Raises OSError."""
        size = struct.calcsize("3i")
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        assert isinstance(credentials, bytes)
        _, uid, _ = struct.unpack("3i", credentials)
        return int(uid)

else:

    def peer_uid(connected: socket.socket | trio.socket.SocketType) -> int:
        """Raise OSError: this system doesn't say."""
        raise OSError("this system doesn't identify the user at the other end of a socket")
