"""Time limits of all sessions, watched by one task.

A timer for each session would cost a task or a scope for each; looking at all of them once a
second costs less than one broadcast, and no deadline here needs to be more exact.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import NoReturn

import trio

from gochat.config import Limits
from gochat.protocol.codec import encode
from gochat.protocol.messages import ByeReason, Capability, Ping
from gochat.server.session import RETRY_AFTER, Session

#: Seconds between two looks.
LOOK_EVERY = 1.0
#: Heartbeats are spread over this part of their interval, so that they don't come in waves.
JITTER = 0.2

_PING = encode(Ping())


def _spread() -> float:
    return 1 - JITTER * random.random()  # noqa: S311 - spreads load, keeps no secret


async def watch(sessions: Collection[Session], limits: Limits) -> NoReturn:
    """Look at all sessions every second, for ever."""
    while True:
        await trio.sleep(min(LOOK_EVERY, limits.frame_timeout / 4, limits.anonymous_timeout / 4))
        now = trio.current_time()
        for session in tuple(sessions):
            check(session, limits, now)


def check(session: Session, limits: Limits, now: float) -> None:
    """Close `session` if one of its deadlines has passed; ping it if it has long been silent."""
    if session.partial_since is not None and now - session.partial_since > limits.frame_timeout:
        session.close(ByeReason.FRAME_TIMEOUT, "a frame took too long to arrive")
    elif session.identity is None:
        if now - session.opened > limits.anonymous_timeout:
            session.close(ByeReason.LOGIN_TIMEOUT, "nobody logged in")
    elif Capability.HEARTBEAT in session.caps:
        if session.pinged is not None:
            if now - session.pinged > limits.heartbeat_timeout:
                session.close(
                    ByeReason.HEARTBEAT_TIMEOUT, "no answer to a ping", retry_after=RETRY_AFTER
                )
        elif now - session.last_heard > limits.heartbeat_interval * _spread():
            session.pinged = now
            session.outlet.post(_PING)
            session.outlet.flush()
