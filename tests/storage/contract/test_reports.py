"""The Store's contract: reports of messages."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace
from storing import NOON, Chat, person

from gochat.chat.reports import KEPT, KEPT_OPEN, CopiedMessage, Handling, Report, forget
from gochat.chat.server_roles import ServerRole
from gochat.errors import ChatError
from gochat.storage.redis import reports as in_redis
from gochat.storage.sqlite import reports as in_sqlite

pytestmark = pytest.mark.trio

MEI, BOB, EVE = person("Mei"), person("Bob"), person("Eve")


def copied(seq: int, name: str = "Bob") -> CopiedMessage:
    return CopiedMessage(seq=seq, sender=person(name), name=name, ts=NOON, text=f"müll {seq}")


def report(*seqs: int, by: str = "Mei", ts: int = NOON) -> Report:
    return Report(
        ts=ts,
        reporter=person(by),
        name=by,
        conv="@Bob",
        messages=tuple(map(copied, seqs)),
        reason="rude",
    )


def handled(one: Report, ts: int = NOON) -> Report:
    return replace(one, handled=Handling(by="Eve", role="moderator", ts=ts, note="warned"))


async def ids(chat: Chat, *, resolved: bool = False) -> list[int]:
    found, more = await chat.store.reports.reports(after=0, limit=100, resolved=resolved)
    assert not more
    return [one.id for one in found]


async def set_role(chat: Chat, name: str, role: ServerRole) -> None:
    before = await chat.store.account(person(name))
    assert before is not None
    changed = replace(before, role=role)
    assert await chat.store.administration.change_account(before, changed)


async def test_reports_are_kept_and_listed_in_pages(chat: Chat) -> None:
    reports = chat.store.reports
    made = [report(1), report(2), report(2, by="Eve"), report(1, 2)]
    assert [await reports.add(one) for one in made] == [(1, True), (2, True), (3, True), (4, True)]
    for id_, one in enumerate(made, start=1):
        assert await reports.report(id_) == replace(one, id=id_)
    assert await reports.report(9) is None
    first, more = await reports.reports(after=0, limit=3)
    assert ([one.id for one in first], more) == ([1, 2, 3], True)
    second, more = await reports.reports(after=3, limit=3)
    assert (second, more) == ([replace(made[3], id=4)], False)


async def test_report_that_is_made_again_is_the_same_until_it_is_resolved(chat: Chat) -> None:
    reports = chat.store.reports
    assert await reports.add(report(1, 2)) == (1, True)
    assert await reports.add(replace(report(1, 2), reason="still", ts=NOON + 1)) == (1, False)
    before = replace(report(1, 2), id=1)
    assert await reports.change(before, handled(before))
    assert await reports.add(report(1, 2)) == (2, True)
    assert await ids(chat) == [2]
    assert await ids(chat, resolved=True) == [1, 2]


async def test_of_several_who_resolve_a_report_at_once_one_does(chat: Chat) -> None:
    reports, done = chat.store.reports, []
    await reports.add(report(1))
    before = replace(report(1), id=1)

    async def resolve(number: int) -> None:
        done.append(await reports.change(before, handled(before, NOON + number)))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(resolve, number)
    assert sorted(done) == [False] * 4 + [True]
    assert await ids(chat) == []
    assert not await reports.change(before, None)


async def test_roles_are_compared_when_a_report_is_resolved(chat: Chat) -> None:
    reports = chat.store.reports
    await reports.add(report(1))
    before = replace(report(1), id=1)
    roles: list[tuple[object, ServerRole]] = [(EVE, "moderator"), (BOB, "member")]
    await set_role(chat, "Eve", "moderator")
    await set_role(chat, "Bob", "moderator")
    assert await chat.store.administration.staff() == {EVE: "moderator", BOB: "moderator"}
    assert not await reports.change(before, handled(before), roles)  # type: ignore[arg-type]
    await set_role(chat, "Bob", "member")
    await set_role(chat, "Eve", "member")
    assert await chat.store.administration.staff() == {}
    assert not await reports.change(before, handled(before), roles)  # type: ignore[arg-type]
    await set_role(chat, "Eve", "moderator")
    assert await reports.change(before, handled(before), roles)  # type: ignore[arg-type]


async def test_full_store_drops_what_was_resolved_first_and_nothing_open(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (in_redis, in_sqlite):
        monkeypatch.setattr(module, "MAX_REPORTS", 3)
    reports = chat.store.reports
    for seq in (1, 2, 3):
        await reports.add(report(seq))
    with pytest.raises(ChatError, match="wait to be handled"):
        await reports.add(report(4))
    for seq, ts in ((2, NOON + 1), (1, NOON + 2)):
        before = replace(report(seq), id=seq)
        assert await reports.change(before, handled(before, ts))
    assert await reports.add(report(4)) == (4, True)
    assert await ids(chat, resolved=True) == [1, 3, 4]


async def test_old_reports_go_and_so_does_what_deleted_accounts_wrote(chat: Chat) -> None:
    reports = chat.store.reports
    now = NOON + KEPT_OPEN + KEPT
    await reports.add(report(1, ts=now - KEPT_OPEN))  # has waited for too long
    await reports.add(report(2, ts=now - 1))
    await reports.add(report(3, by="Eve", ts=now - 1))
    both = report(4, ts=now - 1)
    await reports.add(replace(both, messages=(*both.messages, copied(5, "Eve"))))
    for id_, ts in ((2, now - KEPT), (3, now - KEPT + 1)):
        before = await reports.report(id_)
        assert before is not None
        assert await reports.change(before, handled(before, ts))
    assert [one.id for one in await forget(reports, (), now)] == [1, 2]
    assert await ids(chat, resolved=True) == [3, 4]
    assert await forget(reports, {EVE}, now) == []
    without_reporter, without_message = [await reports.report(id_) for id_ in (3, 4)]
    assert without_reporter is not None
    assert without_message is not None
    assert (without_reporter.name, without_reporter.reason) == ("", "")
    assert [one.seq for one in without_message.messages] == [4]
    assert [one.id for one in await forget(reports, {BOB}, now)] == [3, 4]
    assert await ids(chat, resolved=True) == []
