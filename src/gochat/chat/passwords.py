"""Passwords: their form, their hashes, and equal cost of refusals for known and unknown names.

A password is prepared as by the OpaqueString profile (RFC 8265, section 4.2): every kind of space
becomes the ordinary one, and letters are composed (NFC). So it is the same password on a keyboard
that types ``é`` in two parts. Unlike the profile, it refuses no character: a password is known to
its owner, and read by nobody. The profile's library takes time quadratic in the length; this module
does not.
"""

from __future__ import annotations

import enum
import secrets
import unicodedata
from typing import Final

import argon2
from argon2.low_level import Type, hash_secret_raw

from gochat.errors import ChatError, ErrorCode

#: OWASP's minimum for argon2id: 19 MiB, two passes, one lane; about 17 ms a hash.
ARGON2_MEMORY_KIB: Final = 19456
ARGON2_PASSES: Final = 2
ARGON2_LANES: Final = 1

MIN_PASSWORD: Final = 8
#: Nobody types more, and hashing megabytes helps nobody.
MAX_PASSWORD: Final = 128
#: How many parts one character may be typed in: Vietnamese and Korean have three. Input longer than
#: the maximum length times this isn't composed, because that takes time.
PARTS: Final = 4
#: Maps the space separators of Unicode (Zs) to the ordinary space.
_SPACES: Final = {
    code: " " for code in range(0x80, 0x3001) if unicodedata.category(chr(code)) == "Zs"
}


def prepare(password: str) -> str:
    """Return the form of a password that is hashed. Preparing it again changes nothing."""
    return unicodedata.normalize("NFC", password.translate(_SPACES))


class Verdict(enum.Enum):
    """The result of comparing a password with a hash."""

    WRONG = enum.auto()
    RIGHT = enum.auto()
    #: Right, but must be hashed again: its form or the parameters have changed.
    OUTDATED = enum.auto()


class Passwords:
    """Hashes passwords and compares them with hashes, in the calling thread: both are slow."""

    def __init__(
        self,
        hasher: argon2.PasswordHasher | None = None,
        length: range = range(MIN_PASSWORD, MAX_PASSWORD + 1),
    ) -> None:
        self._hasher = hasher or argon2.PasswordHasher(
            time_cost=ARGON2_PASSES, memory_cost=ARGON2_MEMORY_KIB, parallelism=ARGON2_LANES
        )
        self._length = length
        self._max_typed = PARTS * length[-1]
        # An unknown name must cost as much as a wrong password, or it reveals who has an account.
        self._dummy = self._hasher.hash(secrets.token_hex(16))

    def check(self, password: str, field: str = "password") -> None:
        """Raise ChatError, ``bad_password``, if a password, from the request's `field`, is too
        short or too long."""
        if len(password) > self._max_typed or len(prepare(password)) not in self._length:
            raise ChatError(
                ErrorCode.BAD_PASSWORD,
                f"a password has {self._length[0]} to {self._length[-1]} characters",
                field=field,
                details={"min": self._length[0], "max": self._length[-1]},
            )

    def hash(self, password: str) -> str:
        """Return the hash of a password."""
        return self._hasher.hash(self._forms(password)[0])

    def verify(self, password_hash: str | None, password: str) -> Verdict:
        """Compare a password with the hash of an account; None if there is no account.

        A wrong password takes the same time whether or not there is an account, and whether its
        hash has the current parameters or cheaper ones.
        """
        prepared, *as_typed = self._forms(password)
        for form in (prepared, *as_typed):  # an old hash may be of what was typed
            if self._matches(password_hash or self._dummy, form) and password_hash is not None:
                if form is not prepared or self._hasher.check_needs_rehash(password_hash):
                    return Verdict.OUTDATED
                return Verdict.RIGHT
            if password_hash is not None:
                self._make_up_for(password_hash)
        return Verdict.WRONG

    def _forms(self, password: str) -> list[str]:
        """Return the prepared form, and the password as typed if that differs."""
        if len(password) > self._max_typed:
            return [password]
        prepared = prepare(password)
        return [prepared] if prepared == password else [prepared, password]

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def _make_up_for(self, password_hash: str) -> None:
        """Do the work that the current parameters require beyond those of an old hash."""
        passes, lanes = self._hasher.time_cost, self._hasher.parallelism
        missing = self._hasher.memory_cost - _cost(password_hash) // passes
        if missing > 0:
            hash_secret_raw(
                b"nobody's",
                bytes(16),
                time_cost=passes,
                memory_cost=max(missing, 8 * lanes),  # the least that argon2 takes
                parallelism=lanes,
                hash_len=self._hasher.hash_len,
                type=Type.ID,
            )


def _cost(password_hash: str) -> int:
    """Return the cost of comparing with a hash: KiB times passes over them."""
    try:
        parameters = argon2.extract_parameters(password_hash)
    except argon2.exceptions.InvalidHashError:
        return 0
    return parameters.memory_cost * parameters.time_cost
