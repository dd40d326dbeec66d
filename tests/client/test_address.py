"""Where a server is."""

from __future__ import annotations

import errno
import socket
from typing import NoReturn

import anyio
import pytest

from gochat.client.address import Address, connect, parse
from gochat.errors import ConfigError, ConnectionLost


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("gochat://127.0.0.1:8889", Address("127.0.0.1", 8889, tls=False)),
        ("gochat://chat.example", Address("chat.example", 8889, tls=False)),
        ("gochats://chat.example:443/", Address("chat.example", 443, tls=True)),
        ("gochat://[::1]:7000", Address("::1", 7000, tls=False)),
    ],
)
def test_an_address_is_a_host_and_a_port(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "localhost:8889", "http://localhost", "gochat://", "gochat://a:port",
     "gochat://a:99999", "gochat://a/room", "gochat://[::1"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of a server"):
        parse(url)


def test_an_address_is_shown_as_people_write_it() -> None:
    assert str(Address("chat.example", 8889, tls=True)) == "chat.example:8889"
    assert str(Address("::1", 8889, tls=False)) == "[::1]:8889"


ADDRESS = Address("chat.example", 8889, tls=False)


def grouped(*errors: Exception) -> OSError:
    """What it looks like when several addresses of one name were tried."""
    failure = OSError("All connection attempts failed")
    failure.__cause__ = ExceptionGroup("multiple connection attempts failed", errors)
    return failure


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(), "nobody answers at chat.example:8889: is the server running?"),
        (grouped(OSError("a"), ConnectionRefusedError()), "nobody answers at chat.example:8889"),
        (socket.gaierror(-2, "Name or service not known"), "no machine is known by the name"),
        (UnicodeError("label too long"), "no machine is known by the name 'chat.example'"),
        (OSError(errno.ENETUNREACH, "…"), "can't be reached: is this machine online?"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "can't connect to .*: .*Too many open files",
        ),
    ],
)
async def test_what_fails_in_the_network_is_said_so_that_one_can_act_on_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    async def fail(host: str, port: int) -> NoReturn:
        raise error

    monkeypatch.setattr(anyio, "connect_tcp", fail)
    with pytest.raises(ConnectionLost, match=text):
        await connect(ADDRESS, None, connect_timeout=10, tls_timeout=5)


@pytest.mark.anyio
async def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(host: str, port: int) -> NoReturn:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(anyio, "connect_tcp", wait)
    with pytest.raises(ConnectionLost, match=r"did not answer within 0\.01 s"):
        await connect(ADDRESS, None, connect_timeout=0.01, tls_timeout=5)
