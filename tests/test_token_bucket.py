"""The token bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.token_bucket import TokenBucket


def test_burst_goes_through_at_once_and_the_next_must_wait() -> None:
    bucket = TokenBucket(10, 5, now=100.0)
    assert [bucket.take(100.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(100.0) == pytest.approx(0.2)


def test_asking_too_early_takes_nothing() -> None:
    bucket = TokenBucket(1, 2, now=0.0)
    assert bucket.take(0.0) == 0.0
    assert [bucket.take(0.25) for _ in range(100)] == [pytest.approx(0.25)] * 100
    assert bucket.take(0.5) == 0.0


def test_tokens_come_at_the_rate_and_no_more_are_kept_than_the_burst() -> None:
    bucket = TokenBucket(3, 10, now=0.0)
    assert sum(bucket.take(0.0) == 0 for _ in range(9)) == 3
    assert sum(bucket.take(0.2) == 0 for _ in range(9)) == 2
    assert sum(bucket.take(1e9) == 0 for _ in range(9)) == 3


def test_an_error_says_when_to_come_back() -> None:
    bucket = TokenBucket(1, 0.5, now=0.0)
    assert bucket.refused(0.0) is None
    refused = bucket.refused(0.5)
    assert refused is not None
    assert refused.code == "rate_limited"
    assert refused.retry_after == pytest.approx(1.5)
    assert "1.5 s" in refused.text


@given(
    st.integers(1, 3),
    st.floats(0.01, 1000),
    st.floats(0, 1e7),
    st.lists(st.floats(0, 5), min_size=5, max_size=30),
)
def test_who_comes_back_when_told_to_is_let_through(
    burst: int, per_second: float, start: float, pauses: list[float]
) -> None:
    bucket = TokenBucket(burst, per_second, start)
    now = start
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        assert 0 <= wait <= 1.01 / per_second
        if wait:
            now += wait
            assert bucket.take(now) == 0


@given(st.integers(1, 50), st.floats(0.1, 100), st.lists(st.floats(0, 2), max_size=200))
def test_never_more_than_the_burst_and_the_rate_allow(
    burst: int, per_second: float, pauses: list[float]
) -> None:
    bucket = TokenBucket(burst, per_second, 0.0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now) == 0
    assert taken <= burst + now * per_second + 2e-3


def test_it_tells_when_it_will_be_full_again() -> None:
    bucket = TokenBucket(3, 0.5, now=10.0)
    assert bucket.full_at == 10.0
    bucket.take(12.0)
    assert bucket.full_at == 14.0
    bucket.take(12.0)
    assert bucket.full_at == 16.0


@given(
    burst=st.integers(1, 20),
    per_second=st.floats(0.1, 100),
    pauses=st.lists(st.floats(0, 5), max_size=60),
)
def test_who_waits_before_each_never_exceeds_the_limit(
    burst: int, per_second: float, pauses: list[float]
) -> None:
    """In any stretch of time, no more go than the burst and what the rate adds."""
    bucket = TokenBucket(burst, per_second, now=0.0)
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        now += bucket.wait(now)
        bucket.charge(now)
        times.append(now)
    for start, first in enumerate(times):
        for count, last in enumerate(times[start:], start=1):
            assert count <= burst + (last - first) * per_second + 2e-3


def test_what_is_owed_has_a_bound() -> None:
    bucket = TokenBucket(2, 1, now=0.0)
    for _ in range(100):
        bucket.charge(0.0, max_debt=2)
    assert bucket.wait(0.0) == pytest.approx(3.0)


def test_what_costs_more_than_is_left_is_taken_once_and_owed() -> None:
    bucket = TokenBucket(10, 1, now=0.0)
    assert bucket.take(0.0, 25.0) == 0.0
    assert bucket.take(0.0, 1.0) == 16.0
    assert bucket.take(15.9, 100.0) > 0.0, "and none is taken"
    assert bucket.take(16.0, 1.0) == 0.0
    assert bucket.take(16.0, 1.0) == 1.0
