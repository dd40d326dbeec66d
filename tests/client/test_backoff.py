"""When to try again, and how fast to go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.client.backoff import Backoff, Pace


def test_the_bound_of_the_delay_doubles_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 30, lambda: 1.0)
    assert [backoff.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_the_whole_delay_is_random() -> None:
    dice = iter([0.0, 0.25, 1.0])
    backoff = Backoff(0.5, 30, lambda: next(dice))
    assert [backoff.next() for _ in range(3)] == [0.0, 0.25, 2.0]


def test_after_a_success_it_starts_over() -> None:
    backoff = Backoff(0.5, 30, lambda: 1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 0.5


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    pace = Pace(burst=3, per_second=5, now=100.0)
    for _ in range(3):
        assert pace.wait(100.0) == 0
        pace.spend(100.0)
    assert pace.wait(100.0) == pytest.approx(0.2)
    assert pace.wait(100.2) == pytest.approx(0)


def test_a_server_without_a_rate_is_not_waited_for() -> None:
    pace = Pace(burst=0, per_second=0, now=0.0)
    pace.spend(0.0)
    assert pace.wait(0.0) == 0


@given(
    burst=st.integers(1, 20),
    per_second=st.floats(0.1, 100),
    pauses=st.lists(st.floats(0, 5), max_size=60),
)
def test_who_waits_as_told_never_exceeds_the_limit(
    burst: int, per_second: float, pauses: list[float]
) -> None:
    """In any stretch of time, no more go than the burst and what the rate adds."""
    pace = Pace(burst, per_second, now=0.0)
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        now += pace.wait(now)
        pace.spend(now)
        times.append(now)
    for start, first in enumerate(times):
        for count, last in enumerate(times[start:], start=1):
            assert count <= burst + (last - first) * per_second + 1e-6
