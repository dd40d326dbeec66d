"""Dates in words, in the language of the app, whatever the locale of the process is."""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from pseudo import speaking

from gochat.tui import language
from gochat.tui.text import dates


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with speaking(gettext.NullTranslations()):
        yield


def test_english_dates() -> None:
    day = date(2026, 11, 30)

    assert dates.full_date(day) == "Monday, 30 November 2026"
    assert dates.short_date(day, year=False) == "30 Nov"
    assert dates.short_date(day, year=True) == "30 Nov 2026"
    assert dates.date_and_time(datetime(2026, 3, 5, 7, 4, tzinfo=UTC), year=True) == (
        "5 Mar 2026 07:04"
    )


def test_chinese_dates() -> None:
    language.use("zh_CN")
    day = date(2026, 11, 30)

    assert dates.full_date(day) == "2026年11月30日 星期一"
    assert dates.short_date(day, year=False) == "11月30日"
    assert dates.short_date(day, year=True) == "2026年11月30日"


def test_each_day_and_month_has_its_name() -> None:
    for month in range(1, 13):
        day = date(2026, month, 1)
        assert dates.month(day) == f"{day:%B}"
        assert dates.short_month(day) == f"{day:%b}"
    for number in range(1, 8):
        assert dates.weekday(date(2026, 6, number)) == f"{date(2026, 6, number):%A}"
