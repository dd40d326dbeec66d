"""Servers as people write them, and as they are shown. Pure."""

from __future__ import annotations

import dataclasses
from typing import Final

from gochat.client.address import Security, is_loopback, parse

DEFAULT: Final = "gochat://127.0.0.1:8889"


def complete(text: str) -> str:
    """Return what a person wrote as a URL: ``chat.example`` is ``gochats://chat.example:8889``.

    Raises:
        ConfigError: it isn't the address of a server.
    """
    return parse(text).url


def shorten(url: str) -> str:
    """Return a URL as it is shown: only what is not usual, and no file.

    :func:`complete` reverses this, except for the key file of the user's own server.
    """
    address = dataclasses.replace(parse(url), key_file=None)
    return str(address) if parse(str(address)) == address else address.url


def security(url: str) -> Security:
    """Return who can read what is sent there."""
    return parse(url).security


def is_local(text: str) -> bool:
    """Return whether a server's address leads to this machine only."""
    return is_loopback(parse(text).host)
