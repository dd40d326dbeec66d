"""What a configuration's values may not be together, although each by itself may."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final, NamedTuple

from gochat.config.listen import UNIX, Listen
from gochat.config.schema import Config

#: The bytes of a frame that one character can need: a control character, escaped in the payload and
#: again in the envelope, is `\\\\u0001`; and the bytes for reactions, names and so on.
ESCAPED: Final = 7
AROUND_TEXT: Final = 32 * 1024
#: Whatever waits for the peer lets a mailbox fill to a quarter (`SHARE` in server/delivery.py), and
#: then adds a frame.
FRAMES_IN_MAILBOX: Final = 4
#: Origins as browsers send them, in lower case and without the scheme's own port.
ORIGIN: Final = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]*[a-z0-9\]]")


class Contradiction(NamedTuple):
    """What is wrong with some keys together."""

    keys: tuple[str, ...]
    text: str


def contradictions(config: Config) -> Iterator[Contradiction]:
    """Yield what is wrong with a configuration."""
    limits = config.limits
    if bool(config.tls.cert) != bool(config.tls.key):
        yield Contradiction(
            ("tls.cert", "tls.key"),
            "the certificate and its key go together: give both or neither",
        )
    for origin in config.websocket_origins:
        if ORIGIN.fullmatch(origin) is None:
            yield Contradiction(
                ("websocket_origins",),
                f"{origin!r} is not an origin: expected one as in https://chat.example.org or "
                "http://127.0.0.1:8000, in small letters, without a path",
            )
    for listen in config.listeners:
        yield from _of_listener(config, listen)
    if limits.password_min > limits.password_max:
        yield Contradiction(
            ("limits.password_min", "limits.password_max"),
            f"passwords of {limits.password_min} to {limits.password_max} characters: none fits",
        )
    needed = limits.text_chars * ESCAPED + AROUND_TEXT
    if needed > limits.frame_bytes:
        yield Contradiction(
            ("limits.text_chars", "limits.frame_bytes"),
            f"a message of {limits.text_chars} characters, escaped, needs frames of {needed} bytes",
        )
    if limits.mailbox_bytes < FRAMES_IN_MAILBOX * limits.frame_bytes:
        yield Contradiction(
            ("limits.mailbox_bytes", "limits.frame_bytes"),
            f"{limits.mailbox_bytes} bytes hold fewer than {FRAMES_IN_MAILBOX} frames of "
            f"{limits.frame_bytes} bytes: what waits for a client needs at least "
            f"{FRAMES_IN_MAILBOX * limits.frame_bytes}",
        )
    if config.auth.command and not PurePath(config.auth.command[0]).is_absolute():
        yield Contradiction(
            ("auth.command",),
            f"{config.auth.command[0]!r} is not an absolute path, as /usr/local/bin/ldap_login is",
        )
    if config.auth.command and config.auth.local and config.registration.mode == "open":
        yield Contradiction(
            ("auth.local", "registration.mode", "auth.command"),
            "with accounts of a directory, local ones must not be open to everybody, who could "
            "register the names of others: set registration.mode to invite or closed",
        )


def _of_listener(config: Config, listen: Listen) -> Iterator[Contradiction]:
    host, proxy_from = ("listen", "listen") if config.listen else ("host", "proxy_from")
    if ":" in listen.host and not _is_ip_address(listen.host):
        yield Contradiction(
            (host,),
            f"{listen.host!r} is not an address or a host name; the port is a key of its own, "
            "as in --port 8889",
        )
    if listen.tls and not config.tls.cert:
        yield Contradiction(("listen",), f"{listen} is to use TLS, but [tls] has no certificate")
    if re.fullmatch("0?[0-7]{3}", listen.unix_mode) is None:
        yield Contradiction(
            ("listen",), f"unix_mode {listen.unix_mode!r} is not a mode: expected one as in 660"
        )
    for proxy in listen.proxy_from:
        if proxy == UNIX:
            if listen.unix or listen.systemd:
                continue
            text = "'unix' is for unix sockets"
        else:
            try:
                ipaddress.ip_network(proxy)
                continue
            except ValueError as error:
                text = f"{error}: expected an address or a network, as in 10.0.0.0/24"
        yield Contradiction((proxy_from,), "proxy_from: " * bool(config.listen) + text)


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
