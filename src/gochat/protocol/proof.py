"""How a server proves to programs of the user who runs it that it is their server. Pure.

On a machine that several people share, any of them can take a port first. The server has a key,
made when it starts, in a file that only its user can read. A program sends a challenge before
anything else; only a server with the key can answer it. Everything sent later on the same
connection goes to the same server.
"""

from __future__ import annotations

import hmac
import secrets


def new_key() -> bytes:
    """Return a random key for a server that starts."""
    return secrets.token_hex(32).encode()


def new_challenge() -> str:
    """Return a random challenge, to be used once."""
    return secrets.token_hex(32)


def prove(key: bytes, challenge: str) -> str:
    """Return the proof: HMAC-SHA256 of the challenge, in hexadecimal."""
    return hmac.digest(key, b"gochat server proof:" + challenge.encode(), "sha256").hex()


def is_proof(key: bytes, challenge: str, proof: str | None) -> bool:
    """Return whether `proof` is the right one for `challenge`, in constant time."""
    return hmac.compare_digest(prove(key, challenge).encode(), (proof or "").encode())
