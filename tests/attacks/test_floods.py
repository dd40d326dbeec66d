"""Refused requests use up their sender's allowance, after which no work is done for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from attacker import attacker, connection
from peers import PASSWORD, config
from worst_inputs import STRINGS

from gochat.chat import names
from gochat.chat.names import MAX_TYPED
from gochat.protocol.codec import encode
from gochat.protocol.messages import Error, Login, Ping, Register, Request, Send
from gochat.server.app import open_server

pytestmark = pytest.mark.trio

#: How many requests are let through, of this many in one segment.
LET_THROUGH = 3
FLOOD = 40


def bad_names() -> list[str]:
    """Return distinct names that are refused only after they are checked."""
    return [f"x{number}" + "٠" * 20 for number in range(FLOOD)]


class Folds:
    """Counts the names that are checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._examine = names._examine
        monkeypatch.setattr(names, "_examine", self._counted)

    def _counted(self, name: str) -> Any:
        self.count += 1
        return self._examine(name)


@pytest.mark.parametrize(
    ("requests", "code", "at_most"),
    [
        ([Register(name=n, password=PASSWORD) for n in bad_names()], "bad_name", 1),
        ([Login(name=n, password=PASSWORD) for n in bad_names()], "bad_credentials", 2),
    ],
    ids=["register", "login"],
)
async def test_refused_names_count_until_none_is_checked(
    requests: Sequence[Request],
    code: str,
    at_most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = config(
        registrations_per_address=LET_THROUGH,
        login_failures=LET_THROUGH,
    )
    async with open_server(limits) as server, trio.open_nursery() as nursery:
        peer = connection(server, nursery)
        folds = Folds(monkeypatch)
        await peer.send(*requests, Ping(request_id="last"))
        await peer.expect_last("last")
        refusals = [str(m.code) for m in peer.received if isinstance(m, Error)]
        assert refusals == [code] * LET_THROUGH + ["rate_limited"] * (FLOOD - LET_THROUGH)
        assert folds.count <= at_most * LET_THROUGH
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("dear", "cheap"),
    [
        (
            Register(name=STRINGS["katakana dots"](MAX_TYPED), password=PASSWORD),
            Register(name=STRINGS["letters"](MAX_TYPED), password=PASSWORD),
        ),
        (
            Send(to="#lobby", text=STRINGS["long mentions"](4000)),
            Send(to="#lobby", text=STRINGS["words"](4000)),
        ),
    ],
    ids=["a name that froze the server", "50 mentions of digits"],
)
async def test_formerly_expensive_requests_cost_about_as_much_as_others(
    dear: Request, cheap: Request
) -> None:
    """They cost 60 times as much."""
    async with attacker() as mallory:

        async def cheapest(request: Request) -> float:
            return min([await mallory.cost(type(request), [encode(request)]) for _ in range(5)])

        assert await cheapest(dear) <= 10 * await cheapest(cheap)
