"""When to retry."""

from __future__ import annotations

from gochat.client.backoff import Backoff


def test_bound_of_the_delay_doubles_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 30, lambda: 1.0)
    assert [backoff.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_whole_delay_is_random() -> None:
    dice = iter([0.0, 0.25, 1.0])
    backoff = Backoff(0.5, 30, lambda: next(dice))
    assert [backoff.next() for _ in range(3)] == [0.0, 0.25, 2.0]


def test_backoff_starts_over_after_a_success() -> None:
    backoff = Backoff(0.5, 30, lambda: 1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 0.5
