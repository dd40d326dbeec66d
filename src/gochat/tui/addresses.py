"""Servers as people write them. Pure."""

from __future__ import annotations

import re
from typing import Final

DEFAULT: Final = "gochat://127.0.0.1:8889"
DEFAULT_PORT: Final = 8889


def complete(text: str) -> str:
    """Return what a person wrote as a URL: ``chat.example`` is ``gochat://chat.example:8889``."""
    text = text.strip().rstrip("/")
    scheme, sign, rest = text.partition("://")
    if not sign:
        scheme, rest = "gochat", text
    if rest and not rest.rpartition("]")[2].count(":"):
        if rest.count(":") > 1:
            rest = f"[{rest}]"
        rest = f"{rest}:{DEFAULT_PORT}"
    elif rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]:{DEFAULT_PORT}"
    return f"{scheme.lower()}://{rest}"


def shorten(url: str) -> str:
    """Return a URL as it is shown: only what is not usual."""
    return url.removeprefix("gochat://")


def is_local(address: str) -> bool:
    """Return whether a server's address, as it is shown, leads to this machine only."""
    host = complete(address).partition("://")[2].rpartition(":")[0]
    return host in {"localhost", "[::1]"} or bool(re.fullmatch(r"127(\.\d+){3}", host))
