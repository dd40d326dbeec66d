"""Where a server is, and how to get there: the one place that turns the network's errors into
texts that a person can act on."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from gochat.errors import ConfigError, ConnectionLost

DEFAULT_PORT: Final = 8889

_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


@dataclass(frozen=True, slots=True)
class Address:
    """A server's host and port, and whether it is spoken to by TLS."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(url: str) -> Address:
    """Return what `url` means: ``gochat://host[:port]`` or ``gochats://host[:port]``.

    Raises:
        ConfigError: it is none of these.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is no address of a server: {error}") from error
    if parts.scheme not in ("gochat", "gochats") or not host or parts.path.strip("/"):
        raise ConfigError(
            f"{url!r} is no address of a server: write gochat://host:port, or gochats://host:port "
            "for TLS"
        )
    return Address(host, DEFAULT_PORT if port is None else port, parts.scheme == "gochats")


async def connect(
    address: Address,
    ssl_context: ssl.SSLContext | None,
    *,
    connect_timeout: float,
    tls_timeout: float,
) -> ByteStream:
    """Connect to `address`, by TLS where it says so. The caller closes the stream.

    Raises:
        ConnectionLost: it can't be reached within the times; the text says what to look at.
    """
    try:
        with anyio.fail_after(connect_timeout):
            stream = await anyio.connect_tcp(address.host, address.port)
    except TimeoutError as error:
        raise ConnectionLost(
            f"{address} did not answer within {connect_timeout:g} s: is the address right, and "
            "does a firewall let you through?"
        ) from error
    except (OSError, UnicodeError) as error:
        raise ConnectionLost(_no_connection(address, error)) from error
    if not address.tls:
        return stream
    try:
        with anyio.fail_after(tls_timeout):
            return await TLSStream.wrap(
                stream,
                server_side=False,
                hostname=address.host,
                ssl_context=ssl_context or ssl.create_default_context(),
                # Frames have lengths and `bye` is the last: a cut can't be taken for an end, and
                # closing need not wait for the peer's goodbye.
                standard_compatible=False,
            )
    except BaseException as error:
        await anyio.aclose_forcefully(stream)
        if isinstance(error, TimeoutError):
            raise ConnectionLost(
                f"{address} did not answer the TLS handshake within {tls_timeout:g} s: is it a "
                "TLS port? gochat:// is without TLS"
            ) from error
        if isinstance(
            error, ssl.SSLError | OSError | anyio.EndOfStream | anyio.BrokenResourceError
        ):
            raise ConnectionLost(_no_tls(address, error)) from error
        raise


def _no_connection(address: Address, error: OSError | UnicodeError) -> str:
    causes = list(_causes(error))
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"nobody answers at {address}: is the server running?"
    if any(isinstance(cause, socket.gaierror | UnicodeError) for cause in causes):
        return f"no machine is known by the name {address.host!r}: is it spelled right?"
    if any(isinstance(cause, OSError) and cause.errno in _UNREACHABLE for cause in causes):
        return f"{address} can't be reached: is this machine online?"
    return f"can't connect to {address}: {causes[-1]}"


def _no_tls(address: Address, error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate of {address} can't be trusted: {cause.verify_message}"
    return f"{address} does not speak TLS: is it a TLS port? gochat:// is without TLS"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error`, what it groups and what caused it."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _causes(part)
        error = error.__cause__
