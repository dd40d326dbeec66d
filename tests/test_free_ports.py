"""The ports that tests listen on: nobody else gets one between its choice and its use."""

from __future__ import annotations

import socket
from collections.abc import Callable

#: From here on Linux gives ports to what connects or asks for any, by default. Others begin higher.
GIVEN_BY_THE_SYSTEM = 32_768
#: A Redis Cluster listens on a port that is higher by as much, too.
BUS = 10_000


def test_ports_are_none_that_the_system_gives_and_differ(free_port: Callable[[], int]) -> None:
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == 100
    assert all(port >= 1024 and port + BUS < GIVEN_BY_THE_SYSTEM for port in ports)
    assert not {port + BUS for port in ports} & set(ports)


def test_port_in_use_is_passed_over(free_port: Callable[[], int]) -> None:
    first = free_port()
    with socket.socket() as used:
        used.bind(("127.0.0.1", first + 1))
        assert free_port() > first + 1
