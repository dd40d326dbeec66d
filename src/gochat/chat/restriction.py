"""A restriction of an account as it is kept; the rules are in :mod:`gochat.chat.restrictions`."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from gochat.chat.server_roles import ActorRole

#: Seconds, the longest first.
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class Restriction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who imposed it, with which role, since when, until when, and why.

    `since` and `until` are in milliseconds since the Unix epoch, `until` is 0 if it has to be
    lifted.
    """

    by: str
    role: ActorRole
    since: int
    until: int = 0
    reason: str = ""

    def holds(self, now: int) -> bool:
        """Return whether it has not ended at `now`."""
        return not self.until or self.until > now


def duration(seconds: int | None) -> str:
    """Return a time for people, as they give it: ``for 7d``, ``for 90s``; empty for no end."""
    if not seconds:
        return ""
    size, unit = next(one for one in _UNITS if seconds % one[0] == 0)
    return f"for {seconds // size}{unit}"


def held(restriction: Restriction | None, now: int) -> Restriction | None:
    """Return a restriction if it holds."""
    return restriction if restriction is not None and restriction.holds(now) else None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Restriction)


def encode(restriction: Restriction | None) -> str:
    """Return it as stores keep it: empty for none."""
    return "" if restriction is None else _encoder.encode(restriction).decode()


def decode(kept: str | bytes | None) -> Restriction | None:
    """Return what is kept."""
    return _decoder.decode(kept) if kept else None
