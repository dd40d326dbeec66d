"""Server addresses, and how to connect to them.

The one place that turns network errors into texts that a person can act on.
"""

from __future__ import annotations

import enum
import errno
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

from gochat.errors import ConfigError, ConnectionLost

DEFAULT_PORT: Final = 8889

_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


class Security(enum.Enum):
    """Who can read what is sent to a server. The values are display texts."""

    ENCRYPTED = "encrypted"
    PLAIN_TEXT = "plain text"  # anyone on the path
    THIS_MACHINE = "this machine"  # nobody: it never leaves the machine


@dataclass(frozen=True, slots=True)
class Address:
    """A server's host and port, and whether it uses TLS."""

    host: str
    port: int
    tls: bool
    #: The file that holds the key with which the server must prove that it belongs to this user.
    key_file: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address in full, with scheme and port."""
        key_file = "" if self.key_file is None else f"?key_file={quote(str(self.key_file))}"
        return f"{'gochats' if self.tls else 'gochat'}://{self}{key_file}"

    @property
    def security(self) -> Security:
        """Who can read what is sent to this address."""
        if self.tls:
            return Security.ENCRYPTED
        return Security.THIS_MACHINE if is_loopback(self.host) else Security.PLAIN_TEXT


def parse(text: str) -> Address:
    """Parse a server address.

    ``gochats://host[:port]`` uses TLS, ``gochat://host[:port]`` plain text, and ``host[:port]`` TLS
    unless the host is this machine (:func:`is_loopback`). With ``?key_file=PATH`` the server must
    first prove that it belongs to this user.

    Raises:
        ConfigError: `text` has none of these forms.
    """
    text = text.strip()
    has_scheme = "://" in text
    if not has_scheme and text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"  # a bare IPv6 address, which leaves no room for a port
    try:
        parts = urlsplit(text if has_scheme else f"//{text}")
        host = parts.hostname
        port = _port(text, parts)
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        key_file = query.pop("key_file", None)
    except ValueError as error:
        raise ConfigError(f"invalid server address {text!r}: {error}") from error
    is_known = not has_scheme or parts.scheme in ("gochat", "gochats")
    surplus = parts.path.strip("/") or query or parts.fragment or parts.username
    if not is_known or not host or surplus or any(c.isspace() for c in host):
        raise ConfigError(
            f"invalid server address {text!r}: write host:port, or gochat://host:port for a "
            "server without TLS"
        )
    tls = parts.scheme == "gochats" if has_scheme else not is_loopback(host)
    port = DEFAULT_PORT if port is None else port
    return Address(host, port, tls, Path(key_file) if key_file else None)


def _port(text: str, parts: SplitResult) -> int | None:
    with suppress(ValueError):
        if parts.port != 0:
            return parts.port
    raise ConfigError(f"invalid server address {text!r}: the port is a number from 1 to 65535")


def is_loopback(host: str) -> bool:
    """Return whether `host` is written as an address of this machine.

    True for 127.0.0.0/8, ``::1``, ``localhost`` and names below it. Other names are not looked up:
    the network resolves them, and it must not decide whether to encrypt.
    """
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def plain_text_warning(address: Address) -> str:
    """Return the warning for logging in over a network in plain text."""
    return (
        f"the connection to {address} is not encrypted: others on the network can read the "
        "password and everything else; without gochat:// before it the address means TLS"
    )


async def connect(
    address: Address,
    ssl_context: ssl.SSLContext | None,
    *,
    connect_timeout: float,
    tls_timeout: float,
) -> ByteStream:
    """Connect to `address`, with TLS if it asks for it. The caller closes the stream.

    Timeouts are in seconds.

    Raises:
        ConnectionLost: the server can't be reached within the timeouts; the text says what to
            check.
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
        if address.security is Security.THIS_MACHINE:
            await _require_loopback(address, stream)
        return stream
    try:
        with anyio.fail_after(tls_timeout):
            return await TLSStream.wrap(
                stream,
                server_side=False,
                hostname=address.host,
                ssl_context=ssl_context or ssl.create_default_context(),
                # Frames have lengths and `bye` is the last one: a truncated stream can't pass for
                # a complete one, and closing need not wait for the peer's close_notify.
                standard_compatible=False,
            )
    except BaseException as error:
        await anyio.aclose_forcefully(stream)
        if isinstance(error, TimeoutError):
            raise ConnectionLost(
                f"{address} did not answer the TLS handshake within {tls_timeout:g} s. "
                + _how_without_tls(address)
            ) from error
        if isinstance(
            error, ssl.SSLError | OSError | anyio.EndOfStream | anyio.BrokenResourceError
        ):
            raise ConnectionLost(_no_tls(address, error)) from error
        raise


def _no_connection(address: Address, error: OSError | UnicodeError) -> str:
    causes = list(_causes(error))
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"no server answers at {address}: is the server running?"
    if any(isinstance(cause, socket.gaierror | UnicodeError) for cause in causes):
        return f"unknown host {address.host!r}: is the name spelled correctly?"
    if any(isinstance(cause, OSError) and cause.errno in _UNREACHABLE for cause in causes):
        return f"{address} can't be reached: is this machine online?"
    return f"can't connect to {address}: {causes[-1]}"


def _no_tls(address: Address, error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate of {address} can't be trusted: {cause.verify_message}"
    return f"{address} does not speak TLS, so nothing was sent. {_how_without_tls(address)}"


def _how_without_tls(address: Address) -> str:
    plain = f"gochat://{address}"
    if is_loopback(address.host):
        return f"If the server has no TLS: {plain}"
    return f"If the server has no TLS, and others on the network may read everything: {plain}"


async def _require_loopback(address: Address, stream: SocketStream) -> None:
    """Close `stream` and raise ConnectionLost if a name like localhost resolves elsewhere."""
    try:
        reached = str(stream.extra(SocketAttribute.remote_address)[0])  # noqa: S610 - not of Django
    except anyio.TypedAttributeLookupError as error:  # it was reset meanwhile
        await anyio.aclose_forcefully(stream)
        raise ConnectionLost(f"{address} closed the connection") from error
    if not is_loopback(reached):
        await anyio.aclose_forcefully(stream)
        raise ConnectionLost(
            f"{address.host} resolves to {reached}, which is not this machine, so nothing was "
            "sent: check the names of this machine (/etc/hosts), or write the address itself"
        )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error`, the exceptions in its group, and its causes."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _causes(part)
        error = error.__cause__
