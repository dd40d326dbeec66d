"""A connection to Redis that another thread interrupts."""

from __future__ import annotations

import subprocess
import sys
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


_INTERRUPTED = """
import signal
from gochat.storage.redis.link.url import parse_url
from gochat.storage.redis.link import wire

def interrupt(*_):
    raise SystemExit

location = parse_url("redis://127.0.0.1:1")
connection = wire._make(location, location.hosts[0], 1.0)
signal.signal(signal.SIGALRM, interrupt)
for _ in range(50):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        while True:
            connection.pack_command("EVAL", *range(30), 0.5)
    except SystemExit:
        pass
"""


def test_signal_while_a_command_is_packed_is_no_crash() -> None:
    """As Ctrl+C during a backup: the handlers of the command line raise."""
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED], check=False, timeout=PATIENCE)
    assert done.returncode == 0


@pytest.mark.parametrize("wrong", [None, True, ["a"]])
def test_what_redis_has_no_form_of_is_not_sent(wire: Wire, wrong: Any) -> None:
    with pytest.raises(TypeError):
        wire.ask(("SET", "key", wrong))
