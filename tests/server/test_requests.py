"""The table of requests is complete, and each request is served in the state that it names."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec import structs
from peers import Peer, running_server
from worst_inputs import VALID

from gochat.chat.log_requests import LogRequest, RoomRequest
from gochat.chat.scopes import Scope
from gochat.protocol.messages import (
    Bye,
    ChangePassword,
    Error,
    History,
    Logout,
    Ping,
    Position,
    Request,
    ServerMessage,
    Sync,
)
from gochat.protocol.states import needs_login
from gochat.server.requests import RULES, cost, scope_of

REQUESTS: tuple[type[Request], ...] = get_args(Request)


def test_table_has_each_request_and_one_handler_for_it() -> None:
    assert set(RULES) == set(REQUESTS)
    for kind, rule in RULES.items():
        assert rule.type is kind
        handlers = (rule.open_handler, rule.handler, rule.batch_handler)
        assert (rule.open_handler is None) == (needs_login(kind) is True)
        assert sum(handler is not None for handler in handlers) == 1


def test_cost_depends_on_the_contents_where_the_work_does() -> None:
    assert cost(History(conv="#x", limit=100)) == RULES[History].cost + 1.0
    position = Position(conv="#x", epoch="e", seq=1, ts=1)
    assert cost(Sync(have=(position,) * 50)) == RULES[Sync].cost + 1.0
    assert cost(Ping()) == RULES[Ping].cost


def test_each_request_of_a_person_needs_a_permission() -> None:
    """What changes rooms, writes or changes the account is never free to a token that reads."""
    for kind, request in VALID.items():
        if kind in get_args(RoomRequest):
            assert scope_of(type(request)) is Scope.ROOMS
        elif kind in get_args(LogRequest):
            assert scope_of(type(request)) is Scope.SEND
        elif needs_login(kind) and kind is not Logout:
            assert scope_of(type(request)) is not None
        else:
            assert scope_of(type(request)) is None
    assert RULES[ChangePassword].scope is Scope.ACCOUNT


async def reply(peer: Peer, request: Any) -> ServerMessage:
    """Send a request, and return its reply, or the pong behind it if it has none."""
    await peer.send(structs.replace(request, request_id="it"), Ping(request_id="after"))
    while True:
        message = await peer.receive()
        if getattr(message, "request_id", None) in ("it", "after") or isinstance(message, Bye):
            return message


@pytest.mark.trio
@pytest.mark.parametrize("kind", REQUESTS, ids=[kind.msg_type for kind in REQUESTS])
async def test_request_is_served_in_the_state_that_it_needs(kind: type[Request]) -> None:
    needs = needs_login(kind)
    async with running_server() as server, server.connect() as peer:
        answer = await reply(peer, VALID[kind])
        is_refused = isinstance(answer, Error) and answer.code == "not_logged_in"
        assert is_refused == (needs is True)
        await peer.log_in("ada")
        answer = await reply(peer, VALID[kind])
        is_refused = isinstance(answer, Error) and answer.code == "already_logged_in"
        assert is_refused == (needs is False)
        assert not isinstance(answer, Error) or answer.code != "not_logged_in"
