"""Recognise the user's own server before sending it anything: see :mod:`gochat.protocol.proof`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from gochat import private
from gochat.client.address import Address
from gochat.errors import ChatError, ConnectionLost
from gochat.protocol import proof
from gochat.protocol.messages import Ping, Pong


def read_key(address: Address, path: Path) -> bytes:
    """Return the key of the server that runs now.

    Raises:
        ConnectionLost: the key file is missing, so no such server runs; or it can't be read.
    """
    try:
        return private.read_file(path)
    except FileNotFoundError as error:
        raise ConnectionLost(
            f"your own server at {address} is not running: start it with gochat chat"
        ) from error
    except OSError as error:
        raise ConnectionLost(
            f"the key of your own server can't be read: {path}: {error.strerror}"
        ) from error


async def recognise(
    ask: Callable[[Ping, type[Pong]], Awaitable[Pong]], address: Address, key: bytes
) -> None:
    """Return if the server has `key`. Sends nothing but a random challenge.

    Raises:
        ConnectionLost: it does not have the key, or did not answer the challenge.
    """
    challenge = proof.new_challenge()
    try:
        pong = await ask(Ping(challenge=challenge), Pong)
    except ChatError:
        pong = Pong()
    if not proof.is_proof(key, challenge, pong.proof):
        raise ConnectionLost(
            f"{address} is not your own server, so nothing was sent to it: another program has "
            "that port. If that is a gochat serve of yours, end it: gochat chat starts the server "
            "by itself"
        )
