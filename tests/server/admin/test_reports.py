"""`gochat admin report`, and what deleting an account does to reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from admin_peer import administered, needs_linux

from gochat.protocol.messages import Ok, Report, ReportClosed, Send, Sent
from gochat.server.admin import reports

pytestmark = [pytest.mark.trio, needs_linux]


async def test_reports_are_listed_shown_and_resolved(tmp_path: Path) -> None:
    async with (
        administered(tmp_path) as (server, admin),
        server.peer("ann", "log") as ann,
        server.peer("bob", "log") as bob,
    ):
        await admin.ask("role set", name="bob", role="admin")  # the owner handles all
        for text in ("rude", "ruder"):
            sent = await bob.ask(Send(to="@ann", text=text), Sent)
            await ann.ask(Report(to="@bob", seqs=(sent.seq,), reason=text), Ok)
        first = await admin.ask("report list", limit=1)
        second = await admin.ask("report list", after=first["next"])
        assert [one["reason"] for one in first["reports"] + second["reports"]] == ["rude", "ruder"]
        assert second["next"] is None
        assert first["reports"][0]["about"] == "bob"
        shown = await admin.ask("report show", id=2)
        assert [one["text"] for one in shown["messages"]] == ["ruder"]
        done = await admin.ask("report resolve", "seen", id=2, note="warned")
        assert (done["resolved_by"].endswith("(owner)"), done["note"]) == (True, "warned")
        for command in ("report resolve", "report show"):
            assert await admin.refused(command, id=9) == "bad_request"
        assert await admin.refused("report resolve", id=2) == "bad_request"
        assert [one["id"] for one in (await admin.ask("report list"))["reports"]] == [1]
        everything = (await admin.ask("report list", all=True))["reports"]
        assert [(one["id"], one["resolved"]) for one in everything] == [(1, False), (2, True)]
        act = (await admin.ask("audit", limit=1))["acts"][0]
        assert (act["act"], act["subject"], act["detail"], act["reason"]) == (
            *("report resolve", "bob"),
            *("report 2: warned", "seen"),
        )


async def test_all_that_somebody_has_reported_is_resolved_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PAGE", 2)
    async with (
        administered(tmp_path) as (server, admin),
        server.peer("ann", "log") as ann,
        server.peer("bob", "log") as bob,
        server.peer("Eve", "log") as eve,
    ):
        for number in range(5):
            sent = await bob.ask(Send(to="#lobby", text=f"{number}"), Sent)
            await (ann if number == 3 else eve).ask(Report(to="#lobby", seqs=(sent.seq,)), Ok)
        done = await admin.ask("report resolve-of", "spam", name="@eve", note="a flood")
        assert done == {"name": "Eve", "resolved": 4}
        assert [one["by"] for one in (await admin.ask("report list"))["reports"]] == ["ann"]
        assert (await admin.ask("report show", id=1))["note"] == "a flood"
        assert (await admin.ask("report resolve-of", name="eve"))["resolved"] == 0
        assert await admin.refused("report resolve-of", name="nobody") == "unknown_person"
        acts = (await admin.ask("audit"))["acts"]
        assert [(one["act"], one["subject"], one["detail"], one["reason"]) for one in acts] == [
            ("report resolve-of", "Eve", "", ""),
            ("report resolve-of", "Eve", "a flood", "spam"),
        ]


async def test_deleted_account_leaves_no_texts_and_no_name_in_reports(tmp_path: Path) -> None:
    async with (
        administered(tmp_path) as (server, admin),
        server.peer("ann", "log") as ann,
        server.peer("bob", "log") as bob,
    ):
        for talker, reporter in ((ann, bob), (bob, ann)):
            sent = await talker.ask(Send(to="#lobby", text="rude"), Sent)
            await reporter.ask(Report(to="#lobby", seqs=(sent.seq,), reason="he"), Ok)
        await admin.ask("account delete", name="bob")
        [left] = (await admin.ask("report list", all=True))["reports"]
        assert (left["by"], left["about"], left["reason"]) == ("", "ann", "")


async def test_moderators_learn_that_reports_are_no_longer_open(tmp_path: Path) -> None:
    """By whichever command; a report that was resolved before it is removed is closed once."""
    async with (
        administered(tmp_path) as (server, admin),
        server.peer("ann", "log") as ann,
        server.peer("bob", "log") as bob,
        server.peer("mod", "log") as mod,
    ):
        await admin.ask("role set", name="mod", role="moderator")
        for reporter in (ann, ann, ann, mod):
            sent = await bob.ask(Send(to="#lobby", text="rude"), Sent)
            await reporter.ask(Report(to="#lobby", seqs=(sent.seq,)), Ok)
        await admin.ask("report resolve", id=2)
        await admin.ask("report resolve-of", name="ann")
        await admin.ask("account delete", name="bob")
        await mod.expect(ReportClosed, lambda one: one.id == 4)
        assert [one.id for one in mod.received if isinstance(one, ReportClosed)] == [2, 1, 3, 4]
        assert (await admin.ask("report list", all=True))["reports"] == []
