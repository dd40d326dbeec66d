"""Sending who comes and leaves: to all sessions, at most once in an interval.

Changes are numbered (:mod:`gochat.chat.presence`), and each session has the number of the last one
that it was sent. So a session that is behind gets them later, and a crowd that arrives evicts
nobody. And so they can be sent to a few sessions at a time, with everything else in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NoReturn, TypeAlias

import trio

from gochat.chat.presence import Roster
from gochat.protocol.codec import encode
from gochat.protocol.messages import Capability
from gochat.server.delivery import Delivery
from gochat.server.posting import Subscriber

#: Shortest time, in seconds, for which changes are collected. While some sessions are behind, all
#: are visited again after it.
LEAST_INTERVAL: Final = 0.01
#: Sessions that are sent changes in one step of the event loop: about a millisecond.
AT_ONCE: Final = 100

#: For each number of a change, and whether statuses are wanted: what to send after it, and the
#: number up to which that goes.
_News: TypeAlias = dict[tuple[int, bool], tuple[bytes, int]]


class PresenceUpdates:
    """Sends the changes of a roster to sessions; iterating gives these, in the order of joining."""

    def __init__(self, roster: Roster, delivery: Delivery) -> None:
        self._roster = roster
        self._delivery = delivery
        #: The sessions, with the number of the last change that each was sent.
        self._sent: dict[Subscriber, int] = {}
        self._newest = 0  # the newest change that any session was sent

    def __len__(self) -> int:
        return len(self._sent)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(self._sent)

    def add(self, session: Subscriber) -> None:
        """Send changes to a session from now on: those that others were not sent yet, too."""
        self._sent[session] = self._newest

    def remove(self, session: Subscriber) -> None:
        """Send nothing more to a session."""
        del self._sent[session]

    async def run(self, interval: Callable[[], float]) -> NoReturn:
        """Send changes, at most once in `interval` seconds, for ever."""
        while True:
            await self._roster.wait_for_news()
            await trio.sleep(max(interval(), LEAST_INTERVAL))
            news: _News = {}
            sessions = iter(tuple(self._sent))
            while some := tuple(islice(sessions, AT_ONCE)):
                self._post(some, news)
                self._delivery.flush()
                await trio.lowlevel.checkpoint()
            self._forget()

    def _post(self, sessions: Iterable[Subscriber], news: _News) -> None:
        for session in sessions:
            sent = self._sent.get(session)  # None: it has left
            if sent is None or sent == self._roster.changes or session.events.is_behind:
                continue
            # Most sessions were sent the same changes; those that are behind may differ.
            due = sent, Capability.STATUS in session.caps
            if due not in news:
                events, up_to = self._roster.news(sent, with_status=due[1])
                news[due] = b"".join(encode(event) for event in events), up_to
            frames, up_to = news[due]
            if frames and session.grant.sees_people:
                session.events.post(frames)
            self._sent[session] = up_to
            self._newest = max(self._newest, up_to)

    def _forget(self) -> None:
        self._roster.forget(min(self._sent.values(), default=self._roster.changes))
        if not self._sent:
            self._newest = self._roster.changes
