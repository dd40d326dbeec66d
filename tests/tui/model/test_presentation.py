"""Times as people read them: of other years with the year, and of a day in that day's offset."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from gochat.tui.model.presentation import ago, moment

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_times_have_the_offset_that_their_day_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Europe/Berlin")
        time.tzset()
        summer, winter = (
            moment(int(datetime(2026, month, 1, 12, tzinfo=UTC).timestamp() * 1000))
            for month in (7, 12)
        )
        assert (f"{summer:%H:%M}", summer.utcoffset()) == ("14:00", timedelta(hours=2))
        assert (f"{winter:%H:%M}", winter.utcoffset()) == ("13:00", timedelta(hours=1))
    time.tzset()


@pytest.mark.parametrize(
    ("then", "shown"),
    [
        (NOW - timedelta(seconds=20), "now"),
        (NOW - timedelta(hours=3), "3 h"),
        (datetime(2026, 3, 2, tzinfo=UTC), "2 Mar"),
        (datetime(2025, 11, 29, tzinfo=UTC), "29 Nov 2025"),
    ],
)
def test_a_date_of_another_year_has_the_year(then: datetime, shown: str) -> None:
    assert ago(then, NOW.timestamp()) == shown
