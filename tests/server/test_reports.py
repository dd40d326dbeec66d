"""Reports: who may report what, who sees and resolves it, and two people at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from moderated import Stage, open_stage, stores_of
from msgspec import structs
from peers import Peer

from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    Error,
    Invite,
    Join,
    Kick,
    Ok,
    OpenReport,
    Ping,
    Pong,
    Report,
    ReportClosed,
    Reported,
    ReportList,
    Reports,
    ResolveReport,
    Restrict,
    Send,
    Sent,
)

pytestmark = pytest.mark.trio


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with open_stage(*stores_of(request)) as stage:
        yield stage


async def say(peer: Peer, to: str, text: str = "rude") -> int:
    return (await peer.ask(Send(to=to, text=text), Sent)).seq


async def listed(peer: Peer, limit: int = 50) -> tuple[OpenReport, ...]:
    return (await peer.ask(Reports(limit=limit), ReportList)).reports


def closed(peer: Peer) -> list[int]:
    return [one.id for one in peer.received if isinstance(one, ReportClosed)]


async def test_report_carries_copies_of_what_moderators_can_not_read(stage: Stage) -> None:
    """Also if the messages are edited or deleted afterwards."""
    mod = await stage.peer("mod", "moderator")
    ann, bob = await stage.peer("ann"), await stage.peer("bob")
    first, second = await say(bob, "@ann", "rude"), await say(bob, "@ann", "ruder")
    await bob.ask(Edit(to="@ann", seq=second, text="rudest"), Sent)
    mine = await say(ann, "@bob", "stop it")
    request = Report(to="@Bob", seqs=(mine, second, first, first), reason="every day")
    await ann.ask(request, Ok)
    event = await mod.expect(Reported)
    assert (event.from_, event.conv, event.names, event.reason) == (
        *("ann", "@bob", ("bob",)),
        "every day",
    )
    await bob.ask(Edit(to="@ann", seq=first, text="nice"), Sent)
    await bob.ask(Delete(to="@ann", seq=second), Sent)
    [report] = await listed(mod)
    assert (report.id, report.from_, report.conv, report.reason) == (
        *(event.id, "ann", "@bob"),
        "every day",
    )
    assert [(one.seq, one.from_, one.text, one.edited) for one in report.messages] == [
        (first, "bob", "rude", False),
        (second, "bob", "rudest", True),
        (mine, "ann", "stop it", False),
    ]


async def test_only_what_one_can_read_is_reported(stage: Stage) -> None:
    await stage.peer("mod", "moderator")
    ann, bob, eve = [await stage.peer(name) for name in ("ann", "bob", "eve")]
    await bob.ask(CreateRoom(room="#Den", private=True), Sent)
    rude = await say(bob, "#Den")
    private = await say(bob, "@eve")
    lobby = await say(bob, "#lobby")
    joined = await say(ann, "#lobby", "mine")

    async def refused(request: Report) -> str:
        return (await ann.ask(request, Error)).code

    assert await refused(Report(to="#den", seqs=(rude,))) == "unknown_conversation"
    assert await refused(Report(to="@eve", seqs=(private,))) == "unknown_message"
    assert await refused(Report(to="@nobody", seqs=(1,))) == "unknown_person"
    assert await refused(Report(to="#lobby", seqs=(999,))) == "unknown_message"
    assert await refused(Report(to="#lobby", seqs=(lobby, 999))) == "unknown_message"
    assert await refused(Report(to="#lobby", seqs=(joined,))) == "bad_request"
    assert await refused(Report(to="#lobby", seqs=(lobby,), reason="x" * 201)) == "text_too_long"
    await bob.ask(Delete(to="#lobby", seq=lobby), Sent)
    assert await refused(Report(to="#lobby", seqs=(lobby,))) == "unknown_message"
    await bob.ask(Invite(room="#den", name="ann"), Sent)
    await ann.ask(Join(room="#den"), Sent)
    seen = await say(bob, "#den")
    await bob.ask(Kick(room="#den", name="ann"), Sent)
    assert await refused(Report(to="#den", seqs=(seen,))) == "unknown_conversation"
    await eve.ask(Report(to="@bob", seqs=(private,)), Ok)


async def test_long_messages_are_reported_one_by_one(stage: Stage) -> None:
    """So a report is never longer than a message, and each fits a frame."""
    mod = await stage.peer("mod", "moderator")
    ann, bob = await stage.peer("ann"), await stage.peer("bob")
    long = [await say(bob, "#lobby", chr(1) * 3990 + f"{number:010}") for number in range(3)]
    refused = await ann.ask(Report(to="#lobby", seqs=tuple(long)), Error)
    assert (refused.code, refused.field) == ("text_too_long", "seqs")
    for seq in long:
        await ann.ask(Report(to="#lobby", seqs=(seq,), reason="x" * 200), Ok)
    found: list[OpenReport] = []
    while True:
        after = found[-1].id if found else 0
        page = await mod.ask(Reports(after=after), ReportList)
        found += page.reports
        if not page.more:
            break
    assert [report.messages[0].seq for report in found] == long


async def test_nobody_handles_reports_about_an_equal_or_themselves(stage: Stage) -> None:
    roles = {"mod": "moderator", "mia": "moderator", "adm": "admin", "ada": "admin"}
    peers = {name: await stage.peer(name, role) for name, role in roles.items()}  # type: ignore[arg-type]
    ann, bob = await stage.peer("ann"), await stage.peer("bob")
    by_bob, by_mod, by_adm = [
        await say(peer, "#lobby") for peer in (bob, peers["mod"], peers["adm"])
    ]
    for seqs in ((by_bob,), (by_mod,), (by_adm,), (by_bob, by_mod)):
        await ann.ask(Report(to="#lobby", seqs=seqs), Ok)
    sees = {
        "mod": [1],
        "mia": [1],
        "adm": [1, 2, 4],
        "ada": [1, 2, 4],
    }
    for name, expected in sees.items():
        assert [one.id for one in await listed(peers[name])] == expected, name
        assert [one.id for one in await listed(peers[name], limit=1)] == expected[:1]
        refused = await peers[name].ask(ResolveReport(id=3), Error)
        assert (refused.code, refused.args) == ("bad_request", {"rule": "report"})
        for report in expected:
            if report not in [one.id for one in peers[name].received if isinstance(one, Reported)]:
                await peers[name].expect(Reported, lambda one, report=report: one.id == report)  # type: ignore[misc]
        await peers[name].ask(Ping(), Pong)
        arrived = {one.id for one in peers[name].received if isinstance(one, Reported)}
        assert arrived == set(expected), name
    assert not [one for one in bob.received if isinstance(one, Reported)]
    for request in (Reports(), ResolveReport(id=1)):
        assert (await ann.ask(request, Error)).code == "not_permitted"
    await stage.set_role("mod", "member")
    for request in (Reports(), ResolveReport(id=1)):
        assert (await peers["mod"].ask(request, Error)).code == "not_permitted"


async def test_report_is_resolved_once_and_recorded(stage: Stage) -> None:
    mod, mia = await stage.peer("mod", "moderator"), await stage.peer("mia", "moderator")
    ann, bob = await stage.peer("ann"), await stage.peer("bob")
    await ann.ask(Report(to="#lobby", seqs=(await say(bob, "#lobby"),)), Ok)
    await mod.ask(ResolveReport(id=1, note="warned them"), Ok)
    assert (await mia.ask(ResolveReport(id=1), Error)).code == "bad_request"
    assert (await mod.ask(ResolveReport(id=9), Error)).code == "bad_request"
    assert await listed(mia) == ()
    assert await stage.acts() == [
        ("mod (moderator)", "report resolve", "bob", "report 1: warned them", "")
    ]
    kept = await stage.store.reports.report(1)
    assert kept is not None
    assert kept.handled is not None
    assert (kept.handled.by, kept.handled.note) == ("mod", "warned them")


async def test_repeated_report_adds_nothing_and_costs_no_quota(stage: Stage) -> None:
    for server in stage.servers:
        limits = structs.replace(server.services.config.limits, reports_per_day=2)
        server.services.quotas.configure(limits, trio.current_time())
    mod = await stage.peer("mod", "moderator")
    ann, bob = stage.connect(), await stage.peer("bob")
    await ann.register("ann")
    await ann.log_in("ann", "log")
    seqs = [await say(bob, "#lobby") for _ in range(3)]
    for _ in range(5):
        await ann.ask(Report(to="#lobby", seqs=(seqs[0],)), Ok)
    await ann.ask(Report(to="#lobby", seqs=(seqs[1],)), Ok)
    refused = await ann.ask(Report(to="#lobby", seqs=(seqs[2],)), Error)
    assert (refused.code, refused.args) == ("rate_limited", {"limit": "reports_per_day"})
    assert refused.retry_after is not None
    assert len(await listed(mod)) == 2


async def test_who_is_muted_reports_and_handles_reports(stage: Stage) -> None:
    adm, mod = await stage.peer("adm", "admin"), await stage.peer("mod", "moderator")
    ann, bob = await stage.peer("ann"), await stage.peer("bob")
    seq = await say(bob, "#lobby")
    for name in ("ann", "mod"):
        await adm.ask(Restrict(name=name, kind="mute", seconds=60), Ok)
    await ann.ask(Report(to="#lobby", seqs=(seq,)), Ok)
    await mod.ask(ResolveReport(id=1), Ok)


async def test_who_could_handle_a_report_learns_that_it_is_resolved(stage: Stage) -> None:
    """On all their devices, and nobody else: neither a member nor a moderator whom it is about."""
    adm, ada = await stage.peer("adm", "admin"), await stage.peer("ada", "admin")
    other = stage.connect()
    await other.log_in("adm", "log")
    mod, ann = await stage.peer("mod", "moderator"), await stage.peer("ann")
    for number in range(2):
        seqs = (await say(mod, "#lobby", f"rude {number}"),)
        await ann.ask(Report(to="#lobby", seqs=seqs), Ok)
    await adm.ask(ResolveReport(id=2), Ok)
    await adm.ask(ResolveReport(id=2), Error)
    await ada.ask(ResolveReport(id=1), Ok)
    for peer in (adm, other, ada):
        while len(closed(peer)) < 2:
            await peer.expect(ReportClosed)
        assert closed(peer) == [2, 1]
    for peer in (mod, ann):
        await peer.ask(Ping(), Pong)
        assert closed(peer) == []
