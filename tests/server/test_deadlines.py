"""The deadlines of sessions: a frame, a login, a heartbeat."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from gochat.chat.tokens import HeldToken
from gochat.config import Limits
from gochat.protocol.codec import encode
from gochat.protocol.messages import ByeReason, Ping
from gochat.server import deadlines
from gochat.server.session import Session

pytestmark = pytest.mark.trio

LIMITS = Limits(
    frame_timeout=10,
    anonymous_timeout=10,
    heartbeat_interval=25,
    heartbeat_timeout=8,
)


class Login:
    """What the watch sees of a login."""

    token: HeldToken | None = None


class Peer:
    """A session and its outlet, as the watch sees them."""

    def __init__(self, *, logged_in: bool = True, caps: tuple[str, ...] = ("heartbeat",)) -> None:
        now = trio.current_time()
        self.login = Login() if logged_in else None
        self.caps = frozenset(caps)
        self.opened = self.last_heard = now
        self.partial_since: float | None = None
        self.working_since: float | None = None
        self.pinged: float | None = None
        self.outlet = self
        self.closed: list[tuple[ByeReason, float]] = []
        self.retry_after: float | None = None
        self.pings: list[float] = []
        self.has_ended = False
        self._posted: list[bytes] = []

    @property
    def is_ending(self) -> bool:
        return bool(self.closed)

    def close(self, reason: ByeReason, text: str = "", *, retry_after: float | None = None) -> None:
        assert text
        self.closed.append((reason, trio.current_time()))
        self.retry_after = retry_after

    def post(self, frames: bytes) -> None:
        assert frames == encode(Ping())
        self._posted.append(frames)

    def flush(self) -> None:
        self.pings += [trio.current_time()] * len(self._posted)
        self._posted.clear()

    def hear(self) -> None:
        """Do as the reader does when bytes arrive."""
        self.last_heard = trio.current_time()
        self.pinged = None


@pytest.fixture
async def watched(nursery: trio.Nursery) -> set[Peer]:
    """Peers that are watched, by the clock that the test sets."""
    peers: set[Peer] = set()
    nursery.start_soon(deadlines.watch, cast("set[Session]", peers), lambda: LIMITS)
    return peers


def reason_and_time(peer: Peer) -> tuple[ByeReason, float]:
    assert peer.closed, "it was not closed"
    return peer.closed[0]


async def test_session_without_a_login_in_time_is_closed(
    watched: set[Peer], autojump_clock: MockClock
) -> None:
    peer, member = Peer(logged_in=False), Peer(caps=())
    watched |= {peer, member}
    await trio.sleep(9.9)
    assert not peer.closed
    await trio.sleep(2)
    reason, when = reason_and_time(peer)
    assert reason == ByeReason.LOGIN_TIMEOUT
    assert 10 < when <= 11.1
    assert not member.closed


async def test_logout_restarts_the_login_deadline(
    watched: set[Peer], autojump_clock: MockClock
) -> None:
    peer = Peer()
    watched.add(peer)
    await trio.sleep(20)
    peer.login, peer.opened = None, trio.current_time()
    await trio.sleep(9.9)
    assert not peer.closed
    await trio.sleep(2)
    assert reason_and_time(peer)[0] == ByeReason.LOGIN_TIMEOUT


@pytest.mark.parametrize("logged_in", [True, False])
async def test_frame_not_complete_in_time_closes_the_session(
    watched: set[Peer], autojump_clock: MockClock, logged_in: bool
) -> None:
    peer = Peer(logged_in=logged_in, caps=())
    watched.add(peer)
    peer.opened = 1000.0  # so that the login deadline does not close it
    await trio.sleep(5)
    peer.partial_since = trio.current_time()
    await trio.sleep(9.9)
    peer.hear()  # bytes of the frame keep coming, which does not extend its deadline
    assert not peer.closed
    await trio.sleep(2)
    reason, when = reason_and_time(peer)
    assert reason == ByeReason.FRAME_TIMEOUT
    assert 15 < when <= 16.1


async def test_complete_frame_clears_its_deadline(
    watched: set[Peer],
    autojump_clock: MockClock,
) -> None:
    peer = Peer(caps=())
    watched.add(peer)
    peer.partial_since = trio.current_time()
    await trio.sleep(9)
    peer.partial_since = None
    await trio.sleep(100)
    assert not peer.closed


async def test_silent_peer_is_pinged_once_then_closed(
    watched: set[Peer],
    autojump_clock: MockClock,
) -> None:
    peer = Peer()
    watched.add(peer)
    await trio.sleep(60)
    [pinged] = peer.pings
    assert 25 * (1 - deadlines.JITTER) <= pinged <= 26.1
    reason, when = reason_and_time(peer)
    assert reason == ByeReason.HEARTBEAT_TIMEOUT
    assert 8 < when - pinged <= 9.1
    assert when < 35, "a peer that is frozen is cut within 35 s"
    assert peer.retry_after is not None


async def test_any_bytes_answer_a_ping(watched: set[Peer], autojump_clock: MockClock) -> None:
    peer = Peer()
    watched.add(peer)
    for _ in range(10):
        seen = len(peer.pings)
        await trio.sleep(27)
        assert len(peer.pings) == seen + 1
        peer.hear()
    assert not peer.closed
    assert len(peer.pings) == 10


async def test_active_peer_is_not_pinged(watched: set[Peer], autojump_clock: MockClock) -> None:
    peer = Peer()
    watched.add(peer)
    for _ in range(20):
        await trio.sleep(15)
        peer.hear()
    assert peer.pings == []
    assert not peer.closed


@pytest.mark.parametrize("logged_in", [True, False])
async def test_only_peers_with_the_heartbeat_capability_are_pinged(
    watched: set[Peer], autojump_clock: MockClock, logged_in: bool
) -> None:
    peer = Peer(logged_in=logged_in, caps=("log",))
    peer.opened = 1e9
    watched.add(peer)
    await trio.sleep(1000)
    assert peer.pings == []
    assert not peer.closed


async def test_pings_to_many_are_spread(watched: set[Peer], autojump_clock: MockClock) -> None:
    watched |= {Peer() for _ in range(200)}
    await trio.sleep(30)
    moments = [peer.pings[0] for peer in watched]
    busiest = max(moments.count(moment) for moment in moments)
    assert busiest < 150
    assert len(set(moments)) >= 3


@pytest.mark.parametrize("logged_in", [True, False])
async def test_deadlines_pause_while_the_server_handles_a_request(
    watched: set[Peer], autojump_clock: MockClock, logged_in: bool
) -> None:
    peer = Peer(logged_in=logged_in, caps=())
    peer.working_since = peer.partial_since = trio.current_time()
    watched.add(peer)
    await trio.sleep(1000)
    assert not peer.closed
    peer.working_since, peer.opened = None, trio.current_time()
    peer.partial_since = trio.current_time() if logged_in else None
    await trio.sleep(9.9)
    assert not peer.closed
    await trio.sleep(2)
    assert peer.closed


async def test_peer_that_waits_for_a_reply_is_pinged_but_not_closed(
    watched: set[Peer], autojump_clock: MockClock
) -> None:
    peer, other = Peer(logged_in=False), Peer(caps=())
    peer.working_since = other.working_since = trio.current_time()
    watched |= {peer, other}
    await trio.sleep(100)
    assert not peer.closed
    assert 3 <= len(peer.pings) <= 5
    assert max(b - a for a, b in itertools.pairwise([0, *peer.pings])) <= 26.1
    assert other.pings == []


async def test_stopped_server_reads_before_it_closes_sessions(
    watched: set[Peer], mock_clock: MockClock
) -> None:
    """After SIGSTOP, or for want of a processor, data that arrived meanwhile has not been read."""
    talking, silent = Peer(logged_in=False), Peer(logged_in=False)
    watched |= {talking, silent}
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(100)
    await trio.testing.wait_all_tasks_blocked()
    assert not talking.closed
    assert not silent.closed
    talking.opened = trio.current_time()
    mock_clock.jump(deadlines.LOOK_EVERY)
    await trio.testing.wait_all_tasks_blocked()
    assert not talking.closed
    assert silent.closed


async def test_server_that_is_always_late_closes_silent_peers(
    watched: set[Peer], mock_clock: MockClock
) -> None:
    silent = Peer(logged_in=False)
    watched.add(silent)
    for _ in range(2):
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(100)
    await trio.testing.wait_all_tasks_blocked()
    assert silent.closed


async def test_sessions_may_come_and_go_while_they_are_watched(
    watched: set[Peer], autojump_clock: MockClock
) -> None:
    class Leaving(Peer):
        def close(
            self, reason: ByeReason, text: str = "", *, retry_after: float | None = None
        ) -> None:
            super().close(reason, text, retry_after=retry_after)
            watched.discard(self)
            watched.add(Peer(caps=()))

    watched |= {Leaving(logged_in=False) for _ in range(10)}
    await trio.sleep(30)
    assert len(watched) == 10
    assert not any(isinstance(peer, Leaving) for peer in watched)


async def test_short_deadlines_are_checked_more_often(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    frames, login = Peer(caps=()), Peer(logged_in=False)
    frames.partial_since = trio.current_time()
    limits = Limits(frame_timeout=0.4, anonymous_timeout=0.2)
    nursery.start_soon(deadlines.watch, cast("set[Session]", {frames, login}), lambda: limits)
    await trio.sleep(0.6)
    assert reason_and_time(frames)[1] < 0.51
    assert reason_and_time(login)[1] < 0.31


class Passes(trio.abc.Instrument):
    """Counts the passes of the event loop."""

    count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_crowd_that_came_at_once_is_closed_a_few_at_a_time(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them has its end to attend to, and nobody else's turn comes before that."""
    passes, closed = Passes(), list[int]()
    close = Peer.close

    def noted(peer: Peer, *args: Any, **options: Any) -> None:
        closed.append(passes.count)
        close(peer, *args, **options)

    monkeypatch.setattr(Peer, "close", noted)
    crowd = [Peer(logged_in=False) for _ in range(5 * deadlines.MOST_CLOSED)]
    crowd[0].has_ended = True
    trio.lowlevel.add_instrument(passes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.watch, cast("list[Session]", crowd), lambda: LIMITS)
        await trio.sleep(LIMITS.anonymous_timeout + 2 * deadlines.LOOK_EVERY)
        nursery.cancel_scope.cancel()
    trio.lowlevel.remove_instrument(passes)
    assert [bool(peer.closed) for peer in crowd] == [False, *[True] * (len(crowd) - 1)]
    first = closed[: len(crowd) - 1]
    assert max(map(first.count, first)) <= deadlines.MOST_CLOSED
