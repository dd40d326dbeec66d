"""One-time codes: with one, somebody without a password gets in once, and sets a new one.

A code takes the place of the password, in the same field of the account, so it ends as a password
does. It is used in the password of a login, as ``CODE NEW-PASSWORD``: that any client can send.
Its 80 random bits can't be guessed, so unlike a password it needs no slow hash.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple

#: Without what is mistaken for another letter, read out or written by hand: 0, 1, I, O.
_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_GROUPS: Final = 4
_SIZE: Final = 4
_ONE: Final = rf"[{_ALPHABET}]{{{_SIZE}}}"
_LOGIN: Final = re.compile(rf"\s*((?ai:{_ONE}(?:-{_ONE}){{{_GROUPS - 1}}}))(?:\s(.*))?", re.DOTALL)
_KEPT: Final = re.compile(r"\$code\$(\d+)\$([0-9a-f]{64})", re.ASCII)


class KeptCode(NamedTuple):
    """A code as it is kept; `expires` is in milliseconds since the Unix epoch."""

    expires: int
    digest: str


class GivenCode(NamedTuple):
    """A code as somebody gives it, with the password that they want; empty if they give none."""

    code: str
    password: str

    def is_that(self, kept: KeptCode) -> bool:
        """Return whether it is the one that is kept, expired or not."""
        return compare_digest(_digest(self.code), kept.digest)


def make() -> str:
    """Return a new code."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_SIZE)) for _ in range(_GROUPS))
    return "-".join(groups)


def hashed(code: str, expires: int) -> str:
    """Return what is kept of a code in the place of a password's hash."""
    return f"$code${expires}${_digest(code)}"


def kept(password_hash: str) -> KeptCode | None:
    """Return the code that is kept there, or None if it is the hash of a password."""
    found = _KEPT.fullmatch(password_hash)
    return None if found is None else KeptCode(int(found[1]), found[2])


def given(password: str) -> GivenCode | None:
    """Return the code in the password of a login, or None if it has none."""
    found = _LOGIN.fullmatch(password)
    return None if found is None else GivenCode(found[1].upper(), (found[2] or "").lstrip())


def _digest(code: str) -> str:
    return sha256(code.encode()).hexdigest()
