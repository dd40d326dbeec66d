"""The Lua scripts: read once, loaded on every connection."""

from __future__ import annotations

from hashlib import sha1
from importlib import resources
from typing import Final

from msgspec import Struct


class Script(Struct, frozen=True):
    """A script, and the digest by which to call it."""

    source: bytes
    sha: str


def _read(name: str) -> Script:
    source = (resources.files("gochat.storage.redis") / "scripts" / f"{name}.lua").read_bytes()
    # Redis names scripts by their SHA-1; it protects nothing.
    return Script(source, sha1(source, usedforsecurity=False).hexdigest())


APPEND: Final = _read("append")
PAGE: Final = _read("page")
STANDING: Final = _read("standing")
MARK: Final = _read("mark")
SEEK: Final = _read("seek")
BEAT: Final = _read("beat")
REGISTER: Final = _read("register")
PASSWORD: Final = _read("password")
ATTACH: Final = _read("attach")
RENEW: Final = _read("renew")
EXTEND: Final = _read("extend")
LAG: Final = _read("lag")
INDEX: Final = _read("index")
CLAIM: Final = _read("claim")
RELEASE: Final = _read("release")

ALL: Final = (
    *(APPEND, PAGE, STANDING, MARK, SEEK, BEAT, REGISTER, PASSWORD, ATTACH, RENEW, EXTEND, LAG),
    *(INDEX, CLAIM, RELEASE),
)
