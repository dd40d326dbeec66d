"""What a server says about itself: see the requests `Hello` and `Login`."""

from __future__ import annotations

from typing import Final

import gochat
from gochat.chat.admission import Mode
from gochat.config import Config
from gochat.protocol.messages import Capability, Limits, ServerInfo

#: The server's software and version, for people.
VERSION: Final = f"gochat {gochat.__version__}"
#: The edition of the protocol that the server speaks.
PROTOCOL: Final = 1


def server_info(config: Config, mode: Mode, request_id: str | None = None) -> ServerInfo:
    """Return the reply to `Hello`; `mode` is who can register."""
    return ServerInfo(
        name=config.name,
        version=VERSION,
        protocol=PROTOCOL,
        caps=tuple(sorted(Capability)),
        registration=mode,
        login=("password",),
        password_min=config.limits.password_min,
        password_max=config.limits.password_max,
        limits=limits(config),
        motd=config.motd,
        request_id=request_id,
    )


def limits(config: Config) -> Limits:
    """Return the limits that clients can keep within by themselves."""
    configured = config.limits
    return Limits(
        frame_bytes=configured.frame_bytes,
        text_chars=configured.text_chars,
        burst=configured.burst,
        per_second=configured.per_second,
        history_page=configured.history_page,
    )
