"""People's roles at the server, as their sessions learn of them: on one server, and on two nodes.

That a role set over the admin socket gets there is in ``admin/test_accounts.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from moderated import Stage, open_stage, stores_of
from patience import PATIENCE
from peers import PASSWORD, Peer

from gochat.chat.account import Account
from gochat.chat.names import NameKey
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import LoggedIn, Login, Ping, Pong, RoleChanged

pytestmark = pytest.mark.trio


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """One server with SQLite, or two nodes with one Redis."""
    async with open_stage(*stores_of(request)) as opened:
        yield opened


async def roles(peer: Peer) -> list[str]:
    """Return the roles that a peer was sent until now."""
    await peer.ask(Ping(), Pong)
    return [one.role for one in peer.received if isinstance(one, RoleChanged)]


async def test_node_that_may_have_missed_a_change_reports_what_has_changed(stage: Stage) -> None:
    mei, bob = await stage.peer("mei"), await stage.peer("bob", "moderator")
    await stage.set_role("mei", "admin")
    for server in stage.servers:
        server.services.roles.doubt()
    assert (await mei.expect(RoleChanged)).role == "admin"
    for server in stage.servers:
        server.services.roles.look_soon(NameKey("bob"))
    await stage.set_role("mei", "member")
    stage.servers[0].services.roles.changed(NameKey("mei"))
    assert (await mei.expect(RoleChanged)).role == "member"
    assert await roles(bob) == []


async def test_change_is_reported_when_the_store_can_be_read_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei = await stage.peer("mei")
    store = stage.servers[0].services.store
    failures: list[NameKey] = []
    account = store.account

    async def fail_once(key: NameKey) -> Account | None:
        if not failures:
            failures.append(key)
            raise StoreUnavailable("gone", retry_after=0.01)
        return await account(key)

    await stage.set_role("mei", "moderator")
    monkeypatch.setattr(store, "account", fail_once)
    stage.servers[0].services.roles.changed(NameKey("mei"))
    assert (await mei.expect(RoleChanged)).role == "moderator"
    assert failures == ["mei"]


async def test_role_that_changes_during_a_login_is_in_its_reply(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login has read the role before the change, and is sent nothing before its reply."""
    await stage.peer("mei")
    services = stage.servers[0].services
    account = services.store.account
    while stage.servers[stage.connected % len(stage.servers)].services is not services:
        stage.connect()
    peer = stage.connect()

    async def read_and_wait(key: NameKey) -> Account | None:
        monkeypatch.setattr(services.store, "account", account)
        found = await account(key)
        await stage.set_role("mei", "admin")
        services.roles.changed(key)
        person = services.hub.person(key)
        assert person is not None
        with trio.fail_after(PATIENCE):
            while any(session.role != "admin" for session in person.sessions):
                await trio.lowlevel.checkpoint()
        return found

    require_current = services.tokens.require_current

    async def then(token: bytes, *, is_login: bool) -> None:
        await require_current(token, is_login=is_login)
        monkeypatch.setattr(services.store, "account", read_and_wait)

    monkeypatch.setattr(services.tokens, "require_current", then)
    reply = await peer.ask(Login(name="mei", password=PASSWORD, caps=("log",)), LoggedIn)
    assert reply.role == "admin"
    assert await roles(peer) == []
