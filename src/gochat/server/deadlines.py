"""Deadlines of all sessions, checked by one task.

A timer for each session would cost a task or a scope for each; visiting all of them once a second
costs less than one broadcast, and no deadline here needs to be more exact.

A deadline measures the silence of the peer: none runs while the session handles a request, nor
while the server itself was held up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Final, NoReturn

import trio

from gochat.config import Limits
from gochat.protocol.codec import encode
from gochat.protocol.messages import ByeReason, Capability, Ping
from gochat.server.session import RETRY_AFTER, Session

#: Seconds between two checks.
LOOK_EVERY = 1.0
#: Sessions that are closed in one step, and that are looked at. A crowd that has connected at the
#: same moment is closed at the same moment, too, and each has its end to attend to.
MOST_CLOSED: Final = 16
MOST_LOOKED_AT: Final = 1000
#: Heartbeats are spread over this part of their interval, so that they don't come in waves.
JITTER = 0.2

_PING = encode(Ping())


def _spread() -> float:
    return 1 - JITTER * random.random()  # noqa: S311 - spreads load, keeps no secret


async def watch(sessions: Collection[Session], present: Callable[[], Limits]) -> NoReturn:
    """Check all sessions once a second, more often if a timeout is short. Runs for ever.

    `present` returns the limits, which can change meanwhile.
    """
    was_late = False
    while True:
        limits = present()
        interval = min(LOOK_EVERY, limits.frame_timeout / 4, limits.anonymous_timeout / 4)
        due = trio.current_time() + interval
        await trio.sleep_until(due)
        now = trio.current_time()
        # A process that was stopped, or had no processor time, must first read what has arrived.
        # But only once in a row, or a server that is always late would never close anything.
        was_late = now - due > interval and not was_late
        if was_late:
            continue
        looked_at = closed = 0
        for session in tuple(sessions):
            if session.has_ended:
                continue
            was_ending = session.is_ending
            check(session, limits, now)
            looked_at += 1
            closed += session.is_ending and not was_ending
            if closed == MOST_CLOSED or looked_at == MOST_LOOKED_AT:
                looked_at = closed = 0
                await trio.lowlevel.checkpoint()


def check(session: Session, limits: Limits, now: float) -> None:
    """Close `session` if one of its deadlines has passed; ping it if it has long been silent."""
    token = session.login.token if session.login is not None else None
    if token is not None and token.until <= now:
        session.close(ByeReason.SESSION_REVOKED, "the session has expired: log in again")
    elif session.working_since is not None:
        _show_life(session, session.working_since, limits, now)
    elif session.partial_since is not None and now - session.partial_since > limits.frame_timeout:
        session.close(ByeReason.FRAME_TIMEOUT, "a frame took too long to arrive")
    elif session.login is None:
        if now - session.opened > limits.anonymous_timeout:
            session.close(ByeReason.LOGIN_TIMEOUT, "no login in time")
    elif Capability.HEARTBEAT in session.caps:
        if session.pinged is not None:
            if now - session.pinged > limits.heartbeat_timeout:
                session.close(
                    ByeReason.HEARTBEAT_TIMEOUT, "no answer to a ping", retry_after=RETRY_AFTER
                )
        elif now - session.last_heard > limits.heartbeat_interval * _spread():
            _ping(session, now)


def _show_life(session: Session, since: float, limits: Limits, now: float) -> None:
    """Ping a client that has long waited for a reply, to show that the server is alive."""
    if session.pinged is not None:
        since = max(since, session.pinged)
    if Capability.HEARTBEAT in session.caps and now - since > limits.heartbeat_interval * _spread():
        _ping(session, now)


def _ping(session: Session, now: float) -> None:
    session.pinged = now
    session.outlet.post(_PING)
    session.outlet.flush()
