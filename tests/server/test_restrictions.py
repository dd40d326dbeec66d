"""Bans from the server and mutes: at all nodes, until they end, and whatever is under way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from moderated import Stage, open_stage, stores_of
from msgspec import structs
from patience import eventually
from peers import PASSWORD, Peer

from gochat.chat import names
from gochat.protocol.messages import (
    Away,
    Ban,
    Bye,
    ChangePassword,
    CreateRoom,
    Delete,
    Edit,
    Error,
    Invite,
    Join,
    Kick,
    Leave,
    LoggedIn,
    Login,
    Ok,
    PasswordChanged,
    People,
    React,
    Restrict,
    RestrictionList,
    Restrictions,
    Resume,
    Send,
    Sent,
    SetStatus,
    SetTopic,
    Status,
    Statuses,
    StatusList,
    Unrestrict,
    Who,
)
from gochat.storage.common.clock import wall_clock

pytestmark = pytest.mark.trio


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with open_stage(*stores_of(request)) as stage:
        yield stage


async def ended(peer: Peer) -> Bye:
    """Receive until the server closes; return its reason."""
    [bye] = [one for one in await peer.at_end() if isinstance(one, Bye)]
    return bye


async def end_all(stage: Stage, name: str) -> None:
    """Let the time of what somebody is restricted by pass."""
    account = await stage.store.account(names.fold(name))
    assert account is not None
    past = wall_clock() - 1
    after = structs.replace(
        account,
        ban=structs.replace(account.ban, until=past) if account.ban else None,
        mute=structs.replace(account.mute, until=past) if account.mute else None,
    )
    assert await stage.store.administration.change_account(account, after)


async def test_ban_ends_all_sessions_and_refuses_new_ones_until_it_ends(stage: Stage) -> None:
    mei = await stage.peer("mei", "moderator")
    here, there = await stage.peer("bob"), await stage.peer("bob")
    await mei.ask(Restrict(name="@Bob", kind="ban", seconds=3600, reason="spam"), Ok)
    for peer in (here, there):
        bye = await ended(peer)
        assert bye.reason == "session_revoked"
        assert bye.text.startswith("this account is banned until ")
        assert bye.text.endswith(" UTC: spam")
    for peer in (here, there):
        refused = await stage.connect().ask(Resume(token=peer.token), Error)
        assert (refused.code, refused.field) == ("account_banned", "token")
        assert refused.text.startswith("this account is banned until ")
        assert refused.text.endswith(" UTC: spam")
    for _ in stage.servers:
        refused = await stage.connect().ask(Login(name="bob", password=PASSWORD), Error)
        assert refused.code == "account_banned"
    wrong = await stage.connect().ask(Login(name="bob", password="wrong horse"), Error)
    assert wrong.code == "bad_credentials"  # only who knows the password learns of it
    await end_all(stage, "bob")
    assert (await stage.connect().ask(Resume(token=here.token), Error)).code == "bad_token"
    await stage.connect().ask(Login(name="bob", password=PASSWORD), LoggedIn)


async def test_only_a_token_that_was_valid_until_the_ban_learns_of_it(stage: Stage) -> None:
    """Not one that a new password has revoked before, nor one of a program that guesses."""
    mei, bob = await stage.peer("mei", "moderator"), await stage.peer("bob")
    new = "another horse battery"
    changed = await bob.ask(ChangePassword(old=PASSWORD, new=new), PasswordChanged)
    await mei.ask(Restrict(name="bob", kind="ban", seconds=60), Ok)
    await ended(bob)
    flipped = changed.token[:-4] + ("A" if changed.token[-4] != "A" else "B") + changed.token[-3:]
    for token, code in (
        (changed.token, "account_banned"),
        (bob.token, "bad_token"),
        (flipped, "bad_token"),
    ):
        assert (await stage.connect().ask(Resume(token=token), Error)).code == code


async def test_ban_that_is_lifted_lets_log_in_again(stage: Stage) -> None:
    mei, bob = await stage.peer("mei", "admin"), await stage.peer("bob")
    await mei.ask(Restrict(name="bob", kind="ban"), Ok)
    assert (await ended(bob)).text == "this account is banned"
    await mei.ask(Unrestrict(name="bob", kind="ban"), Ok)
    for _ in stage.servers:
        await stage.connect().ask(Login(name="bob", password=PASSWORD), LoggedIn)


async def test_who_is_muted_is_told_until_when_and_why_and_writes_in_private(stage: Stage) -> None:
    mei, bob = await stage.peer("mei", "moderator"), await stage.peer("bob")
    said = await bob.ask(Send(to="#lobby", text="hello"), Sent)
    await bob.ask(CreateRoom(room="#garden"), Sent)
    await mei.ask(Restrict(name="bob", kind="mute", seconds=3600, reason="spam"), Ok)
    for request, field in (
        (Send(to="#lobby", text="x"), "to"),
        (Send(to="#garden", text="x"), "to"),
        (Edit(to="#lobby", seq=said.seq, text="x"), "to"),
        (React(to="#lobby", seq=said.seq, emoji="👍"), "to"),
        (SetTopic(room="#garden", topic="x"), "room"),
        (Away(text="x"), "text"),
        (SetStatus(emoji="🌴"), "text"),
    ):
        error = await bob.ask(request, Error)
        assert (error.code, error.field, error.args["reason"]) == ("muted", field, "spam")
        assert wall_clock() < int(error.args["until"]) <= wall_clock() + 3_600_000
    await bob.ask(Send(to="@mei", text="why?"), Sent)
    await bob.ask(Away(), Ok)
    await bob.ask(SetStatus(), Ok)
    await end_all(stage, "bob")
    await bob.ask(Send(to="#lobby", text="again"), Sent)


async def test_who_is_muted_does_what_they_may_without_saying_why(stage: Stage) -> None:
    """A reason is read by all who are in the room."""
    mei, bob, eve = [await stage.peer(name) for name in ("mei", "bob", "eve")]
    await stage.set_role("mei", "moderator")
    for room in ("#garden", "#den"):
        await bob.ask(CreateRoom(room=room, private=room == "#den"), Sent)
        await bob.ask(Invite(room=room, name="eve"), Sent)
        await eve.ask(Join(room=room), Sent)
    said = await bob.ask(Send(to="#garden", text="hello"), Sent)
    await mei.ask(Restrict(name="bob", kind="mute", seconds=60, reason="spam"), Ok)
    requests = (
        Kick(room="#garden", name="eve"),
        Ban(room="#garden", name="eve"),
        Delete(to="#garden", seq=said.seq),
        Leave(room="#garden"),
    )
    for request in requests:
        error = await bob.ask(structs.replace(request, reason="buy my seeds"), Error)
        assert (error.code, error.field, error.args["reason"]) == ("muted", "reason", "spam")
    for request in requests:
        await bob.ask(request, Sent)
    await bob.ask(Kick(room="#den", name="eve", reason="by herself"), Sent)  # it is private


async def test_mute_takes_away_notice_and_status_back(stage: Stage) -> None:
    mei, bob = await stage.peer("mei", "moderator"), await stage.peer("bob")
    await bob.ask(Away(text="buy my seeds"), Ok)
    await bob.ask(SetStatus(text="buy my seeds"), Ok)

    async def shown(peer: Peer) -> tuple[str | None, Status | None]:
        people = (await peer.ask(Who(), People)).people
        said = (await peer.ask(Statuses(names=("bob",)), StatusList)).people
        away = next(one.away for one in people if one.name == "bob")
        return away, said[0].status if said else None

    said = Status(text="buy my seeds")
    for peer in (mei, bob):
        await eventually(partial(is_so, shown, peer, ("buy my seeds", said)))
    await mei.ask(Restrict(name="bob", kind="mute", seconds=60), Ok)
    for peer in (mei, bob):
        await eventually(partial(is_so, shown, peer, (None, None)))


async def is_so(look: Callable[[Peer], Awaitable[object]], peer: Peer, expected: object) -> bool:
    return await look(peer) == expected


async def test_moderators_restrict_members_only_and_not_for_long(stage: Stage) -> None:
    mei, bob = await stage.peer("mei", "moderator"), await stage.peer("bob", "moderator")
    eve = await stage.peer("eve")
    for peer, request, rule in (
        (eve, Restrict(name="mei", kind="mute", seconds=60), "role"),
        (eve, Unrestrict(name="eve", kind="mute"), "role"),
        (eve, Restrictions(), "role"),
        (mei, Restrict(name="bob", kind="ban", seconds=60), "rank"),
        (mei, Restrict(name="mei", kind="ban", seconds=60), "rank"),
        (mei, Restrict(name="eve", kind="ban"), "duration"),
    ):
        error = await peer.ask(request, Error)
        assert (error.code, error.args["rule"]) == ("not_permitted", rule)
    unknown = await mei.ask(Restrict(name="nobody", kind="ban", seconds=60), Error)
    assert unknown.code == "unknown_person"
    assert await stage.acts() == []
    await stage.set_role("mei", "admin")
    await mei.ask(Restrict(name="bob", kind="ban"), Ok)
    await ended(bob)


async def test_restrictions_are_listed_and_in_the_audit_log(stage: Stage) -> None:
    mei = await stage.peer("mei", "moderator")
    for name in ("bob", "eve"):
        await stage.peer(name)
    await mei.ask(Restrict(name="bob", kind="mute", seconds=60, reason="loud"), Ok)
    await mei.ask(Restrict(name="bob", kind="ban", seconds=60, reason="spam"), Ok)
    await mei.ask(Restrict(name="eve", kind="mute", seconds=60), Ok)
    page = await mei.ask(Restrictions(limit=1), RestrictionList)
    assert [(one.name, one.kind, one.by, one.reason) for one in page.restrictions] == [
        ("bob", "ban", "mei", "spam"),
        ("bob", "mute", "mei", "loud"),
    ]
    assert page.more
    assert page.restrictions[0].until == page.restrictions[0].ts + 60_000
    await end_all(stage, "bob")
    page = await mei.ask(Restrictions(), RestrictionList)
    assert ([one.name for one in page.restrictions], page.more) == (["eve"], False)
    await mei.ask(Unrestrict(name="eve", kind="mute"), Ok)
    await mei.ask(Unrestrict(name="eve", kind="mute"), Ok)  # it is so already
    who = "mei (moderator)"
    assert await stage.acts() == [
        (who, "account mute", "bob", "for 1m", "loud"),
        (who, "account ban", "bob", "for 1m", "spam"),
        (who, "account mute", "eve", "for 1m", ""),
        (who, "account unmute", "eve", "", ""),
    ]
    assert (await mei.ask(Restrictions(), RestrictionList)).restrictions == ()


async def test_role_that_is_taken_between_decision_and_commit_restricts_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei, bob = await stage.peer("mei", "moderator"), await stage.peer("bob")
    for server in stage.servers:
        administration = server.services.store.administration
        change = administration.change_account

        async def too_late(*words: object, change: object = change) -> bool:
            monkeypatch.undo()
            await stage.set_role("mei", "member")
            return await change(*words)  # type: ignore[operator,no-any-return]

        monkeypatch.setattr(administration, "change_account", too_late)
    error = await mei.ask(Restrict(name="bob", kind="ban", seconds=60), Error)
    assert (error.code, error.args["rule"]) == ("not_permitted", "role")
    await bob.ask(Send(to="#lobby", text="still here"), Sent)
    assert (await stage.acts())[-1][3].startswith("FAILED: ")
