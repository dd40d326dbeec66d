"""What moderators do by their role: at all nodes, until it is taken, and in the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from moderated import Stage, open_stage, stores_of

from gochat.chat.administration import AuditEntry
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import (
    Ban,
    CreateRoom,
    Delete,
    Error,
    Join,
    LoggedIn,
    Pin,
    Resume,
    Send,
    Sent,
    SetSlowMode,
    SetTopic,
)

pytestmark = pytest.mark.trio


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with open_stage(*stores_of(request)) as stage:
        yield stage


async def test_role_is_said_at_login_and_resume(stage: Stage) -> None:
    mei = await stage.peer("mei")
    await stage.set_role("mei", "moderator")
    reply = await stage.connect().ask(Resume(token=mei.token), LoggedIn)
    assert reply.role == "moderator"


async def test_role_that_is_taken_is_of_no_use_at_any_node(stage: Stage) -> None:
    mei, bob = await stage.peer("mei", "moderator"), await stage.peer("bob", "admin")
    for peer, name in ((mei, "mei"), (bob, "bob")):
        await peer.ask(SetTopic(room="#lobby", topic=name), Sent)
        await stage.set_role(name, "member")
        refused = await peer.ask(SetTopic(room="#lobby", topic="mine"), Error)
        assert refused.code == "not_permitted"


async def test_moderators_pin_in_the_lobby_and_that_is_recorded(stage: Stage) -> None:
    mei, bob = await stage.peer("mei", "moderator"), await stage.peer("bob")
    seq = (await bob.ask(Send(to="#lobby", text="rules"), Sent)).seq
    refused = await bob.ask(Pin(to="#lobby", seq=seq), Error)
    assert (refused.code, refused.args) == ("not_permitted", {"rule": "operator"})
    for on in (True, False):
        await mei.ask(Pin(to="#lobby", seq=seq, on=on), Sent)
    actor = "mei (moderator)"
    assert await stage.acts() == [
        (actor, "message pin", "#lobby", str(seq), ""),
        (actor, "message unpin", "#lobby", str(seq), ""),
    ]


async def test_acts_of_a_moderator_are_in_the_audit_log_once(stage: Stage) -> None:
    mei = await stage.peer("mei", "moderator")
    bob, eve = await stage.peer("bob"), await stage.peer("eve")
    await bob.ask(CreateRoom(room="#garden"), Sent)
    for peer in (mei, eve):
        await peer.ask(Join(room="#garden"), Sent)
    said = await eve.ask(Send(to="#lobby", text="spam"), Sent)
    deletion = Delete(to="#lobby", seq=said.seq, reason="spam", cid="1")
    first = await mei.ask(deletion, Sent)
    again = await mei.ask(deletion, Sent)
    assert (again.seq, again.dup) == (first.seq, True)
    await mei.ask(SetSlowMode(room="#lobby", seconds=30), Sent)
    await mei.ask(Ban(room="#garden", name="eve", seconds=60), Sent)
    await bob.ask(SetTopic(room="#garden", topic="roses"), Sent)  # their own room
    own = await mei.ask(Send(to="#lobby", text="@room be nice"), Sent)
    await mei.ask(Delete(to="#lobby", seq=own.seq), Sent)
    who = "mei (moderator)"
    assert await stage.acts() == [
        (who, "message delete", "eve", f"#lobby {said.seq}", "spam"),
        (who, "room slow", "#lobby", "30", ""),
        (who, "room ban", "eve", "#garden for 1m", ""),
    ]


async def test_act_that_fails_is_recorded_as_failed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei = await stage.peer("mei", "admin")

    async def fail(_: object) -> object:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(stage.store, "append", fail)
        await mei.ask(SetTopic(room="#lobby", topic="news"), Error)
    assert [act for _, act, _, _, _ in await stage.acts()] == ["room topic"] * 2
    assert (await stage.acts())[-1][3].startswith("FAILED: ")


async def test_nothing_is_done_that_can_not_be_recorded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei, bob = await stage.peer("mei", "admin"), await stage.peer("bob")
    said = await bob.ask(Send(to="#lobby", text="spam"), Sent)

    async def fail(_: AuditEntry) -> int:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(stage.store.administration, "record", fail)
        refused = await mei.ask(Delete(to="#lobby", seq=said.seq), Error)
        assert refused.code == "unavailable"
    assert await stage.acts() == []
    await mei.ask(Delete(to="#lobby", seq=said.seq), Sent)
