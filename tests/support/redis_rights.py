"""The user of docs/how-to/redis.md, with only the permissions that gochat needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"


def rules(prefix: str, *, is_engine: bool = False) -> list[str]:
    """Return the rules that the page gives the user, for data with this prefix."""
    found = re.findall(r"^ACL SETUSER gochat (.*?)\n```", PAGE.read_text("utf-8"), re.M | re.S)
    first: str = found[0]
    of_the_engine: str = found[1]
    text = first.removeprefix("on >PASSWORD ") + (" " + of_the_engine if is_engine else "")
    return text.replace("\\\n", " ").replace("~gochat:*", f"~{prefix}:*").split()


def add_user(
    port: int,
    prefix: str,
    *,
    password: str | None = None,
    userinfo: str | None = None,
    is_engine: bool = False,
) -> str:
    """Add such a user to a Redis; return their part of a URL. Works on several servers."""
    userinfo = userinfo or f"u{uuid4().hex}:{uuid4().hex}"
    user, _, secret = userinfo.partition(":")
    client: Any = redis.Redis(port=port, password=password)  # whose methods have no useful types
    try:
        client.execute_command(
            "ACL", "SETUSER", user, "on", f">{secret}", *rules(prefix, is_engine=is_engine)
        )
    finally:
        client.close()
    return userinfo
