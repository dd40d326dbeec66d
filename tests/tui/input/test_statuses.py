"""What people write as their status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from gochat.tui.input import statuses
from gochat.tui.input.statuses import NewStatus

NOON = datetime.fromisoformat("2026-11-23T12:00:00+00:00")


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":palm_tree: on holiday", NewStatus("🌴", "on holiday")),
        ("  🌴   on\tholiday ", NewStatus("🌴", "on holiday")),
        (":palm:", NewStatus("🌴", "")),
        ("👩🏽‍💻 at work", NewStatus("👩🏽‍💻", "at work")),
        ("🇩🇪", NewStatus("🇩🇪", "")),
        ("1️⃣ first", NewStatus("1️⃣", "first")),
        ("🌴🌴 two", NewStatus("", "🌴🌴 two")),
        ("1 o'clock", NewStatus("", "1 o'clock")),
        ("on holiday 🌴", NewStatus("", "on holiday 🌴")),
        (":no_such: text", NewStatus("", ":no_such: text")),
        ("out until 18:00", NewStatus("", "out", timedelta(hours=5))),
        ("out until 12:59", NewStatus("", "out", timedelta(hours=23, minutes=59))),
        ("🍵 until 13:01", NewStatus("🍵", "", timedelta(minutes=1))),
        ("out for 2h", NewStatus("", "out", timedelta(hours=2))),
        ("out until 25:00", NewStatus("", "out until 25:00")),
        ("out for 0m", NewStatus("", "out for 0m")),
        ("out for 999999w", NewStatus("", "out for 999999w")),
        ("for 2h", None),
        ("   ", None),
    ],
)
def test_status_begins_with_an_emoji_and_ends_with_a_time(
    text: str, expected: NewStatus | None
) -> None:
    assert statuses.read(text, NOON.astimezone()) == expected


def test_time_on_the_clock_is_right_on_a_day_of_25_hours() -> None:
    evening = datetime.fromisoformat("2026-10-24T20:00:00+00:00").astimezone()  # 22:00
    new = statuses.read("asleep until 8:00", evening)
    assert new is not None
    assert new.duration == timedelta(hours=11)


def test_what_is_typed_is_offered_with_times_unless_it_has_one() -> None:
    now = NOON.astimezone()
    times = [new.duration for new in statuses.with_times(NewStatus("", "x"), now)]
    hour = timedelta(hours=1)
    assert times == [None, hour / 2, hour, 4 * hour, timedelta(hours=10, minutes=59)]
    new = NewStatus("", "x", hour)
    assert statuses.with_times(new, now) == [new]
    assert all(statuses.is_emoji(new.emoji) and new.text for new in statuses.offered(now))
