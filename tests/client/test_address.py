"""Where a server is."""

from __future__ import annotations

import pytest

from gochat.client.address import Address, parse
from gochat.errors import ConfigError


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
