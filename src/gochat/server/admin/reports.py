"""The commands about reports of messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gochat.chat.reports import Report, no_report
from gochat.errors import ChatError, ErrorCode
from gochat.server.admin.accounts import require_account
from gochat.server.admin.arguments import OfReport, ReportPage, Resolution, ResolutionOf
from gochat.server.admin.call import Call, Handler
from gochat.server.report_requests import recorded, resolved

#: Reports read at once.
PAGE: Final = 100


class Listed(Struct, frozen=True, kw_only=True):
    """A report in a list. `by` is who made it, `about` whom it is about."""

    id: int
    at: int
    by: str
    about: str
    conversation: str
    messages: int
    reason: str
    resolved: bool

    @classmethod
    def of(cls, report: Report) -> Listed:
        """Return what a list shows of a report."""
        return cls(
            id=report.id,
            at=report.ts,
            by=report.name,
            about=", ".join(report.names),
            conversation=report.conv,
            messages=len(report.messages),
            reason=report.reason,
            resolved=report.handled is not None,
        )


class ShownReports(Struct, frozen=True, kw_only=True):
    """A page of reports; `next` is null on the last one."""

    reports: tuple[Listed, ...]
    next: int | None


class ShownMessage(Struct, frozen=True, kw_only=True):
    """A message as it read when it was reported."""

    seq: int
    at: int
    sender: str
    edited: bool
    text: str


class ShownReport(Struct, frozen=True, kw_only=True):
    """A report, with its messages; `resolved_by` is empty while it is open."""

    id: int
    at: int
    by: str
    conversation: str
    reason: str
    resolved_by: str
    note: str
    messages: tuple[ShownMessage, ...]

    @classmethod
    def of(cls, report: Report) -> ShownReport:
        """Return all that is shown of a report."""
        handled = report.handled
        return cls(
            id=report.id,
            at=report.ts,
            by=report.name,
            conversation=report.conv,
            reason=report.reason,
            resolved_by="" if handled is None else f"{handled.by} ({handled.role})",
            note="" if handled is None else handled.note,
            messages=tuple(
                ShownMessage(
                    seq=one.seq, at=one.ts, sender=one.name, edited=one.edited, text=one.text
                )
                for one in report.messages
            ),
        )


class ResolvedAll(Struct, frozen=True, kw_only=True):
    """How many reports of somebody were resolved."""

    name: str
    resolved: int


async def list_all(call: Call, page: ReportPage) -> ShownReports:
    """List reports."""
    found, has_more = await call.services.store.reports.reports(
        after=page.after, limit=page.limit, resolved=page.all
    )
    return ShownReports(
        reports=tuple(map(Listed.of, found)), next=found[-1].id if has_more and found else None
    )


async def show(call: Call, of: OfReport) -> ShownReport:
    """Show a report, with the messages."""
    return ShownReport.of(await _require(call, of.id))


async def resolve(call: Call, of: Resolution) -> ShownReport:
    """Resolve a report."""
    report = await _require(call, of.id)
    if report.handled is not None:
        raise no_report(of.id)
    await call.record(*recorded(report, of.note))
    after = resolved(report, call.actor, of.note)
    if not await call.services.store.reports.change(report, after):
        raise no_report(of.id)
    await call.services.report_keeper.closed((report,))
    return ShownReport.of(after)


async def resolve_of(call: Call, of: ResolutionOf) -> ResolvedAll:
    """Resolve all open reports that a person has made: who makes very many keeps others from
    reporting, since there can't be more than so many."""
    reporter, store = await require_account(call, of.name), call.services.store
    await call.record(reporter.name, of.note)
    count, after, more = 0, 0, True
    while more:
        found, more = await store.reports.reports(after=after, limit=PAGE)
        closed: list[Report] = []
        for report in found:
            after = report.id
            if report.reporter == reporter.key:
                done = resolved(report, call.actor, of.note)
                if await store.reports.change(report, done):
                    closed.append(report)
        await call.services.report_keeper.closed(closed)
        count += len(closed)
    return ResolvedAll(name=reporter.name, resolved=count)


async def _require(call: Call, id_: int) -> Report:
    report = await call.services.store.reports.report(id_)
    if report is None:
        raise ChatError(
            ErrorCode.BAD_REQUEST, f"there is no report {id_}: see `report list`", field="id"
        )
    return report


HANDLERS: Final[Mapping[str, Handler]] = {
    "report list": list_all,
    "report show": show,
    "report resolve": resolve,
    "report resolve-of": resolve_of,
}
