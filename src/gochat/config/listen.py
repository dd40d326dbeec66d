"""The keys of a `[[listen]]`."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from gochat.config.limits import within

#: What stands for whoever can open a unix socket, in `proxy_from`.
UNIX: Final = "unix"

_PROXIES: Final = (
    "Addresses and networks of proxies, as `10.0.0.7` or `10.0.0.0/24`, whose connections begin "
    "with a header of the PROXY protocol (version 1 or 2): clients then count and are logged by "
    "their own addresses. From there the header is required, from elsewhere it is not understood."
)
ProxyFrom = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...],
    Meta(description=_PROXIES),
]


class Listen(Struct, frozen=True, kw_only=True):
    """Something to listen on: an address and port, a unix socket, or a socket from systemd."""

    host: Annotated[
        str,
        Meta(min_length=1, max_length=255, description="Address or host name, as `host` above."),
    ] = "127.0.0.1"
    port: Annotated[int, within(0, 65535, "Port, as `port` above.")] = 8889
    unix: Annotated[
        str,
        Meta(
            max_length=100,
            description="Path of a unix socket to listen on, instead of `host` and `port`.",
        ),
    ] = ""
    unix_mode: Annotated[
        str,
        Meta(
            min_length=3,
            max_length=4,
            description="Mode of that socket: who may connect. The default is its owner and group.",
        ),
    ] = "660"
    systemd: Annotated[
        str,
        Meta(
            max_length=255,
            description="Name of sockets that systemd hands over (`FileDescriptorName=` in the "
            "socket unit), instead of `host` and `port`.",
        ),
    ] = ""
    tls: Annotated[
        bool | None,
        Meta(
            description="Whether connections are encrypted. Left out: if `[tls]` has a "
            "certificate, and it is not a unix socket."
        ),
    ] = None
    proxy_from: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...],
        Meta(
            description=_PROXIES + " `unix` is whoever can open the unix socket.",
        ),
    ] = ()

    def __str__(self) -> str:
        """Return what it is, for people."""
        if self.unix:
            return self.unix
        if self.systemd:
            return f"systemd's {self.systemd}"
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
