"""Notify moderators of reports, and remove those that are no longer kept: see
:mod:`gochat.chat.reports`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NoReturn

import structlog
import trio

from gochat.chat.directory import Directory
from gochat.chat.names import NameKey
from gochat.chat.reports import Report, forget, may_handle
from gochat.chat.server_roles import Actor, ServerRole
from gochat.chat.store import Store
from gochat.errors import StoreUnavailable
from gochat.protocol.messages import ReportClosed, Reported
from gochat.server.hub import Hub
from gochat.storage.common.clock import wall_clock

log = structlog.stdlib.get_logger()

#: Seconds between two looks. It does no harm if several nodes look at once.
LOOK_EVERY: Final = 3600.0


class ReportKeeper:
    """Notifies who is online and may handle a report, and removes old ones: it looks every hour,
    also for what was written with accounts that were deleted meanwhile.

    A notice that fails because the store does is not sent again: what it says is in the store.
    """

    def __init__(self, store: Store, directory: Directory, hub: Hub) -> None:
        self._store = store
        self._directory = directory
        self._hub = hub

    async def run(self) -> NoReturn:
        """Look, for ever."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                log.debug("reports not examined", reason=str(error))
            await trio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Remove what is no longer kept."""
        removed = await self.forget(set(self._directory.gone))
        if removed:
            log.info("old reports removed", count=removed)

    async def forget(self, people: Collection[NameKey]) -> int:
        """Remove what is no longer kept, and what these people wrote, whose accounts were deleted.

        Return how many reports were removed.
        """
        removed = await forget(self._store.reports, people, wall_clock())
        await self.closed(report for report in removed if report.handled is None)
        return len(removed)

    async def made(self, report: Report) -> None:
        """Notify those who may handle a new report."""
        event = Reported(
            id=report.id,
            ts=report.ts,
            from_=report.name,
            conv=report.conv,
            names=report.names,
            reason=report.reason,
        )
        if people := _handlers(report, await self._staff()):
            self._hub.publish_report(people, event)

    async def closed(self, reports: Iterable[Report]) -> None:
        """Notify those who could handle these reports that they are no longer open."""
        closed = tuple(reports)
        staff = await self._staff() if closed else {}
        for report in closed:
            if people := _handlers(report, staff):
                self._hub.publish_report_closed(people, ReportClosed(id=report.id))

    async def _staff(self) -> dict[NameKey, ServerRole]:
        try:
            return await self._store.administration.staff()
        except StoreUnavailable:
            return {}


def _handlers(report: Report, staff: dict[NameKey, ServerRole]) -> list[NameKey]:
    return [key for key, role in staff.items() if may_handle(Actor("", role), key, report, staff)]
