"""Follow the store's log, also across a break in its history."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Final, NoReturn

import structlog
import trio

from gochat.errors import LogInterrupted
from gochat.protocol.messages import ByeReason
from gochat.server.services import Services
from gochat.server.session import Session

log = structlog.stdlib.get_logger()

#: Sessions that are asked to reconnect in one second: each costs some reading.
COME_BACK_PER_SECOND: Final = 500


async def follow(
    services: Services,
    sessions: Collection[Session],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Pass what the log commits to the hub, for ever.

    If the log can't be continued, what the sessions were sent may not be part of the current
    history. So they are closed, and their clients resume, which repairs it.

    Raises:
        StoreCorrupt: the store is damaged.
    """
    status = _FollowStatus(services, sessions, task_status)
    while True:
        try:
            await services.store.follow(services.hub.deliver, task_status=status)
        except LogInterrupted as error:
            log.warning("log interrupted", reason=str(error), sessions=len(sessions))


class _FollowStatus:
    """The task status of :meth:`Store.follow`: is called before the first batch can come."""

    def __init__(
        self, services: Services, sessions: Collection[Session], status: trio.TaskStatus[None]
    ) -> None:
        self._services = services
        self._sessions = sessions
        self._status = status
        self._is_first = True

    def started(self, _: None = None) -> None:
        if self._is_first:
            self._is_first = False
            self._status.started()
            return
        self._services.directory.forget()
        for session in tuple(self._sessions):
            if session.login is not None:
                # It may still be handling a request: later events would follow a gap.
                session.login.mute()
                span = len(self._sessions) / COME_BACK_PER_SECOND
                session.close(
                    ByeReason.INTERNAL,
                    "the server's log was restored: resume",
                    retry_after=0.2 + span * random.random(),  # noqa: S311 - spreads load
                )
