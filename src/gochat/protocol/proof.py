"""How a server shows programs of the user who runs it that it is their server. Pure.

On a machine that several people share, whoever comes first has a port. The server has a key, made
when it starts, in a file that only its user can read. A program sends a challenge before anything
else; only who has the key can answer it. What is sent after that on the same connection goes to
the same server.
"""

from __future__ import annotations

import hmac
import secrets


def new_key() -> bytes:
    """Return a key for a server that starts."""
    return secrets.token_hex(32).encode()


def new_challenge() -> str:
    """Return a challenge; used once."""
    return secrets.token_hex(32)


def prove(key: bytes, challenge: str) -> str:
    """Return the proof: HMAC-SHA256 of the challenge, in hexadecimal."""
    return hmac.digest(key, b"gochat server proof:" + challenge.encode(), "sha256").hex()


def is_proof(key: bytes, challenge: str, proof: str | None) -> bool:
    """Return whether `proof` is the one for `challenge`, in a time that doesn't depend on it."""
    return hmac.compare_digest(prove(key, challenge).encode(), (proof or "").encode())
