"""Requests about reports of messages (:mod:`gochat.chat.reports`)."""

from __future__ import annotations

from typing import Final

import trio
from msgspec.structs import replace

from gochat.chat import names
from gochat.chat.accounts import Identity
from gochat.chat.directory import Destination
from gochat.chat.extras import MAX_REASON
from gochat.chat.names import NameKey
from gochat.chat.operating import server_role
from gochat.chat.refusals import check_length, unknown_message
from gochat.chat.reports import (
    CopiedMessage,
    Handling,
    Report,
    copies_cost,
    may_handle,
    no_report,
)
from gochat.chat.server_roles import Actor, ServerRole, require_role
from gochat.errors import ChatError, ErrorCode, StoreUnavailable
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Ok,
    OpenReport,
    ReportedMessage,
    ReportList,
    Reports,
    ResolveReport,
)
from gochat.protocol.messages import Report as ReportRequest
from gochat.server.hub import OnlinePerson
from gochat.server.moderators import Act
from gochat.server.pages import ENVELOPE
from gochat.server.services import Services
from gochat.server.session import Session
from gochat.storage.common.clock import wall_clock

#: Reports in one reply, and read at once.
MAX_LISTED: Final = 50


class ReportRequests:
    """Handles them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def report(
        self, session: Session, who: Identity, person: OnlinePerson, request: ReportRequest
    ) -> None:
        """Report messages that a person can read."""
        check_length(request.reason, MAX_REASON, "a reason", "reason")
        # Not by what this node knows: it may be behind, and who was removed reads nothing more.
        to = await self._services.drafts.address(who, None, request.to)
        report = Report(
            ts=wall_clock(),
            reporter=who.key,
            name=who.name,
            conv=to.shown,
            messages=tuple([await self._copy(who, to, seq) for seq in sorted({*request.seqs})]),
            reason=request.reason,
        )
        self._require_fit(report)
        store, quotas = self._services.store, self._services.quotas
        quotas.charge_report(who.key, trio.current_time())
        try:
            id_, is_new = await store.reports.add(report)
        except ChatError:
            quotas.refund_report(who.key, trio.current_time())
            raise
        if is_new:
            session.note("messages reported", report=id_, count=len(report.messages))
            await self._services.report_keeper.made(replace(report, id=id_))
        else:
            quotas.refund_report(who.key, trio.current_time())
        session.reply(Ok(request_id=request.request_id))

    async def _copy(self, who: Identity, to: Destination, seq: int) -> CopiedMessage:
        message = await self._services.store.message(to.key, seq, viewer=who.key)
        sender = None if message is None else names.known(message.from_)
        if message is None or message.deleted or sender in self._services.directory.gone:
            raise unknown_message(seq, to.shown, "seqs")
        assert sender is not None
        return CopiedMessage(
            seq=message.seq,
            sender=NameKey(sender),
            name=message.from_,
            ts=message.ts,
            text=message.text,
            edited=message.edited is not None,
        )

    def _require_fit(self, report: Report) -> None:
        """Require that it is about somebody else, and as long as a message at most."""
        if not report.about:
            raise ChatError(
                ErrorCode.BAD_REQUEST,
                "these are your own messages: report what somebody else has written",
                field="seqs",
                details={"rule": "oneself"},
            )
        length, most = copies_cost(report.messages), self._services.config.limits.text_chars
        if len(report.messages) > 1 and length > most:
            raise ChatError(
                ErrorCode.TEXT_TOO_LONG,
                f"the messages of a report have together at most {most:,} characters, these have "
                f"{length:,}: report them one by one",
                field="seqs",
                details={"max": most, "length": length},
            )

    async def reports(
        self, session: Session, who: Identity, person: OnlinePerson, request: Reports
    ) -> None:
        """Reply with a page of the reports that a person may handle."""
        actor, staff = await self._actor(who)
        found: list[OpenReport] = []
        after, more, limit = request.after, True, min(request.limit, MAX_LISTED)
        room = self._services.config.limits.frame_bytes - ENVELOPE
        while more and len(found) < limit:
            page, more = await self._services.store.reports.reports(after=after, limit=limit)
            for place, report in enumerate(page, start=1):
                if may_handle(actor, who.key, report, staff):
                    shown = _shown(report)
                    room -= len(encode(ReportList(reports=(shown,))))
                    if found and room < 0:
                        more, limit = True, 0  # it begins the next page
                        break
                    found.append(shown)
                    if len(found) == limit:
                        more = more or place < len(page)
                        break
                after = report.id
            await session.give_way()
        reply = ReportList(reports=tuple(found), more=more, request_id=request.request_id)
        session.reply(reply)

    async def resolve(
        self, session: Session, who: Identity, person: OnlinePerson, request: ResolveReport
    ) -> None:
        """Resolve a report."""
        check_length(request.note, MAX_REASON, "a note", "note")
        act = Act(self._services.store, who)
        try:
            actor, staff = await self._actor(who)
            report = await self._services.store.reports.report(request.id)
            # One that is not for this person is as one that there is not.
            if (
                report is None
                or report.handled is not None
                or not may_handle(actor, who.key, report, staff)
            ):
                raise no_report(request.id)
            role = staff[who.key]
            await act.record(role, "report resolve", *recorded(report, request.note))
            after = resolved(report, actor, request.note)
            roles: list[tuple[NameKey, ServerRole]] = [(who.key, role)]
            roles += [(key, staff.get(key, "member")) for key in report.about]
            if not await self._services.store.reports.change(report, after, roles):
                raise no_report(request.id)
        except (ChatError, StoreUnavailable) as error:
            await act.failed(error)
            raise
        session.note("report resolved", report=report.id)
        await self._services.report_keeper.closed((report,))
        session.reply(Ok(request_id=request.request_id))

    async def _actor(self, who: Identity) -> tuple[Actor, dict[NameKey, ServerRole]]:
        """Return who handles reports, and all who are not members.

        Raises:
            ChatError: ``not_permitted``: it is a member.
        """
        actor = Actor(who.name, await server_role(self._services.store, who.key))
        require_role(actor, "moderator")
        staff = await self._services.store.administration.staff()
        actor = Actor(who.name, staff.get(who.key, "member"))
        require_role(actor, "moderator")
        return actor, staff


def resolved(report: Report, actor: Actor, note: str) -> Report:
    """Return a report that somebody has resolved now."""
    handling = Handling(by=actor.name, role=actor.role, ts=wall_clock(), note=note)
    return replace(report, handled=handling)


def recorded(report: Report, note: str) -> tuple[str, str]:
    """Return subject and detail of what the audit log has about a resolved report."""
    which = f"report {report.id}"
    return ", ".join(report.names), f"{which}: {note}" if note else which


def _shown(report: Report) -> OpenReport:
    return OpenReport(
        id=report.id,
        ts=report.ts,
        from_=report.name,
        conv=report.conv,
        messages=tuple(
            ReportedMessage(
                seq=one.seq, from_=one.name, ts=one.ts, text=one.text, edited=one.edited
            )
            for one in report.messages
        ),
        reason=report.reason,
    )
