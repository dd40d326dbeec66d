"""A connection to Redis that another thread interrupts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from patience import PATIENCE
from redis_nodes import REDIS_TIMEOUT
from redis_process import RedisServer

from gochat.storage.redis.link.url import parse_url
from gochat.storage.redis.link.wire import Broken, Wire, connect


@pytest.fixture
def wire(redis_server: RedisServer) -> Iterator[Wire]:
    location = parse_url(redis_server.url)
    wire = connect(location, location.hosts[0], REDIS_TIMEOUT)
    yield wire
    wire.close()


def descriptor(wire: Wire) -> int:
    number: int = wire._connection._sock.fileno()
    return number


def test_interrupt_ends_a_call_that_waits(wire: Wire) -> None:
    waits, errors = threading.Event(), list[Exception]()

    def wait() -> None:
        waits.set()
        try:
            wire.ask(("XREAD", "BLOCK", 0, "STREAMS", "nothing is added to it", "$"))
        except Broken as error:
            errors.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert waits.wait(PATIENCE)
    wire.interrupt()
    thread.join(PATIENCE / 4)
    assert len(errors) == 1


def test_interrupt_leaves_the_descriptor_to_the_thread_that_uses_it(wire: Wire) -> None:
    """Otherwise that thread would wait for whatever gets the same descriptor next."""
    before = descriptor(wire)
    wire.interrupt()
    assert descriptor(wire) == before


def test_interrupted_connection_is_not_made_again(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted right before the command is sent: the package would connect for it."""
    pack = wire._connection.pack_commands

    def interrupt_and_pack(commands: Any) -> Any:
        wire.interrupt()
        return pack(commands)

    monkeypatch.setattr(wire._connection, "pack_commands", interrupt_and_pack)
    with pytest.raises(Broken):
        wire.ask(("PING",))
    with pytest.raises(Broken, match="is closed"):
        wire.ask(("PING",))
