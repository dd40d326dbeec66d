"""The URL of a store in SQLite: the path of a file, and one option."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl

from gochat.errors import ConfigError

Synchronous: TypeAlias = Literal["off", "normal", "full"]
SYNCHRONOUS: Final[dict[str, Synchronous]] = {"off": "off", "normal": "normal", "full": "full"}

#: What a shell would have expanded.
_UNEXPANDED: Final = re.compile(r"^~|\$\{?\w+\}?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Location:
    """The path of a database (None: in memory), and its ``synchronous`` setting."""

    path: Path | None
    synchronous: Synchronous = "normal"


def parse_url(url: str) -> Location:
    """Parse a ``sqlite:`` URL. Raises :exc:`~gochat.errors.ConfigError`."""
    rest, _, query = url.partition("://")[2].partition("?")
    if rest and not rest.startswith("/"):
        raise ConfigError(
            f"the store {url!r} has a host, which a file does not: "
            f"write sqlite:///{rest} for a path from here"
        )
    synchronous: Synchronous = "normal"
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option != "synchronous":
            raise ConfigError(f"the store {url!r}: unknown option {option!r}")
        if value not in SYNCHRONOUS:
            raise ConfigError(f"the store {url!r}: synchronous is one of {', '.join(SYNCHRONOUS)}")
        synchronous = SYNCHRONOUS[value]
    name = rest[1:]
    if name == ":memory:":
        return Location(None, synchronous)
    if not name:
        raise ConfigError(
            f"the store {url!r} has no path, perhaps because a variable is not set: write "
            "sqlite:////PATH (or sqlite:///:memory: for a store that is gone when it is closed)"
        )
    unexpanded = _UNEXPANDED.search(name)
    if unexpanded:
        raise ConfigError(
            f"the store {url!r}: {unexpanded[0]} is not expanded here: write the path itself, "
            "sqlite:////PATH"
        )
    if name.endswith("/") or name != name.strip() or _CONTROL.search(name):
        raise ConfigError(
            f"the store {url!r} is not the path of a file: it ends with a slash, or has spaces "
            "around it, or control characters in it"
        )
    return Location(Path(name).absolute(), synchronous)
