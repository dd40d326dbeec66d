"""Who may send which request where: every case of `permissions.py`, on a server with each store.

One server and a few people: for each of the server's roles one who tries everything. Each is, in
the rooms of the table, what its columns say. What succeeds is undone before the next one tries.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from msgspec import structs
from peers import PASSWORD, config
from permission_attempts import attempt_of, is_so_already
from permission_world import ACTORS, Conversation, Undo, World, replies
from permissions import REQUESTS, ROLES, ROWS, Place, Row, before_login, logged_in
from redis_nodes import Nodes
from worst_inputs import VALID

from gochat.chat.server_roles import ServerRole
from gochat.protocol.messages import (
    ChangePassword,
    EndSession,
    Error,
    History,
    Login,
    Pong,
    Register,
    Request,
    Resume,
    Sent,
    Write,
)
from gochat.protocol.states import needs_login
from gochat.protocol.text import EVERYBODY
from gochat.server.app import open_server

pytestmark = pytest.mark.trio

ROOT: Final = Path(__file__).parents[2]
#: Fewer requests than a connection may send before its login.
_BEFORE_LOGIN: Final = 12


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Everybody, on a server with one store or the other."""
    configuration = config()
    if request.param == "redis":
        configuration = config(store=Nodes(request.getfixturevalue("redis_server")).url())
    async with open_server(configuration) as server, trio.open_nursery() as nursery:
        world = World(server, nursery)
        await world.begin()
        yield world
        nursery.cancel_scope.cancel()


async def test_every_request_has_a_row() -> None:
    assert {row.request for row in ROWS} == set(REQUESTS)
    assert len({row.name for row in ROWS}) == len(ROWS)
    # And a request with a conversation in it has what comes of it there.
    assert {row.request for row in ROWS if row.outcomes} == {
        kind
        for kind in REQUESTS
        if {"to", "conv", "room", "name"} & set(kind.__struct_fields__) and needs_login(kind)
    }


async def test_protocol_page_names_every_error_of_the_table() -> None:
    page = (ROOT / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")
    for row in ROWS:
        [text] = re.findall(rf"^### `{row.request.msg_type}`\n(.*?)^###? ", page, re.M | re.S)[:1]
        [errors] = re.findall(r"Errors:\s(.*?)\.(?:\n\n|$)", text, re.S)
        named = set(re.findall(r"`(\w+)`", errors))
        of_row = {row.outcome(place, role) for place in row.outcomes for role in ROLES}
        assert of_row - {"ok", "text", "-"} <= named, row.name


async def test_every_case_is_decided_as_the_table_says(world: World) -> None:
    wrong: list[str] = []
    for row in ROWS:
        if row.outcomes:
            for role in ROLES:
                wrong += await _try(world, row, role)
    for role, actor in ACTORS.items():
        rows = [row for row in ROWS if not row.outcomes]
        answers = await world.replies(actor, [_personal(row) for row in rows])
        for row, reply in zip(rows, answers, strict=True):
            got = _outcome(row.request, reply)
            wrong += _compared(f"{row.name} by a {role}", logged_in(row.request, role), got)
    for kind, reply in (await _before_the_login(world)).items():
        wrong += _compared(f"{kind.msg_type} before", before_login(kind), _outcome(kind, reply))
    assert not wrong, "\n".join(wrong)


def _compared(what: str, expected: str, got: str) -> list[str]:
    return [] if expected == got else [f"{what}: expected {expected}, got {got}"]


def _outcome(kind: type[Request], reply: Any) -> str:
    if reply is None:
        return "ok" if kind is Pong else "no reply"
    return str(reply.code) if isinstance(reply, Error) else "ok"


async def _try(world: World, row: Row, role: ServerRole) -> list[str]:
    """Try a row in all places at once; return what is not as it says. Undo what was granted."""
    actor, attempt, wrong = ACTORS[role], attempt_of(row), []
    there = world.conversations(actor)
    tried = {to: there[to] for to in row.outcomes if row.outcome(to, role) != "-"}
    answers = await world.replies(actor, [attempt.request(to, actor) for to in tried.values()])
    errors: dict[Place, Error] = {}
    undone: list[Sequence[Undo]] = []
    for (place, to), reply in zip(tried.items(), answers, strict=True):
        expected, got = row.outcome(place, role), _outcome(row.request, reply)
        if isinstance(reply, Error):
            errors[place] = reply
        else:
            is_changed = isinstance(reply, Sent)
            if issubclass(row.request, Write) and is_changed is is_so_already(row, to):
                wrong.append(f"{row.name} by a {role} in {place.value}: {reply}")
            if row.case == "`@room`":
                [page] = await world.ask(actor, History(conv=to.address, limit=1))
                got = "ok" if EVERYBODY in page.entries[-1].mentions else "text"
            undone.append(attempt.undo(to, actor))
        wrong += _compared(f"{row.name} by a {role} in {place.value}", expected, got)
    await world.carry_out(undone)
    # A hidden room is nowhere: every word of the answer is as for one that does not exist.
    if Place.ABSENT in errors:
        absent = _without_name(errors[Place.ABSENT], there[Place.ABSENT])
        for place in (Place.PRIVATE_NOBODY, Place.PRIVATE_BANNED):
            if place in errors and _without_name(errors[place], there[place]) != absent:
                wrong.append(f"{row.name} by a {role} shows that there is a room: {errors[place]}")
    return wrong


def _without_name(error: Error, to: Conversation) -> str:
    return repr(structs.replace(error, request_id=None)).replace(to.address, "#")


def _personal(row: Row) -> Any:
    """Return a request about no conversation that has an effect."""
    changes: Mapping[type[Request], Any] = {
        ChangePassword: ChangePassword(old=PASSWORD, new=PASSWORD),
        EndSession: EndSession(),
    }
    return changes.get(row.request, VALID[row.request])


async def _before_the_login(world: World) -> dict[type[Request], Any]:
    """Send each request to a connection on which nobody is logged in; return the replies."""
    answers: dict[type[Request], Any] = {}
    before = [kind for kind in REQUESTS if kind not in (Login, Resume)]
    while some := before[len(answers) :][:_BEFORE_LOGIN]:
        got = await replies(world.connection(), [VALID[kind] for kind in some])
        answers |= zip(some, got, strict=True)
    login = Login(name=VALID[Register].name, password=VALID[Register].password)
    [answers[Login]] = await replies(world.connection(), [login])
    resume = Resume(token=answers[Login].token)
    [answers[Resume]] = await replies(world.connection(), [resume])
    return answers
