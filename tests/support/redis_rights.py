"""The user of docs/how-to/redis.md, who may do no more than gochat needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"


def rules(prefix: str) -> list[str]:
    """The rules that the page gives the user, for data with this prefix."""
    found = re.search(
        r"^ACL SETUSER gochat on >PASSWORD (.*?)\n```", PAGE.read_text("utf-8"), re.M | re.S
    )
    assert found is not None
    return found[1].replace("\\\n", " ").replace("~gochat:*", f"~{prefix}:*").split()


def add_user(
    port: int, prefix: str, *, password: str | None = None, userinfo: str | None = None
) -> str:
    """Add such a user to a Redis; return their part of a URL, which can be added to others."""
    userinfo = userinfo or f"u{uuid4().hex}:{uuid4().hex}"
    user, _, secret = userinfo.partition(":")
    client: Any = redis.Redis(port=port, password=password)  # whose methods have no useful types
    try:
        client.execute_command("ACL", "SETUSER", user, "on", f">{secret}", *rules(prefix))
    finally:
        client.close()
    return userinfo
