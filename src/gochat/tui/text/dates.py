"""Dates in words, in the language of the app. Pure.

Only the language matters, not the rest of the system's locale, which knows but one language at a
time and is shared with the libraries.
"""

from __future__ import annotations

from datetime import date, datetime

from gochat.tui.language import _, pgettext


def weekday(day: date) -> str:
    """Return the name of a day's weekday."""
    return (
        _("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"), _("Saturday"),
        _("Sunday"),
    )[day.weekday()]  # fmt: skip


def month(day: date) -> str:
    """Return the name of a day's month."""
    return (
        _("January"), _("February"), _("March"), _("April"), pgettext("full month", "May"),
        _("June"), _("July"), _("August"), _("September"), _("October"), _("November"),
        _("December"),
    )[day.month - 1]  # fmt: skip


def short_month(day: date) -> str:
    """Return the short name of a day's month."""
    return (
        _("Jan"), _("Feb"), _("Mar"), _("Apr"), pgettext("short month", "May"), _("Jun"),
        _("Jul"), _("Aug"), _("Sep"), _("Oct"), _("Nov"), _("Dec"),
    )[day.month - 1]  # fmt: skip


def full_date(day: date) -> str:
    """Return a date as a heading: ``Monday, 30 November 2026``."""
    return pgettext(
        "full date", "{weekday}, {day} {month} {year}",
        weekday=weekday(day), day=day.day, month=month(day), year=str(day.year),
    )  # fmt: skip


def short_date(day: date, *, year: bool) -> str:
    """Return a date in short, with its year or without: ``30 Nov``."""
    if year:
        return pgettext(
            "short date", "{day} {month} {year}",
            day=day.day, month=short_month(day), year=str(day.year),
        )  # fmt: skip
    return pgettext("short date", "{day} {month}", day=day.day, month=short_month(day))


def date_and_time(time: datetime, *, year: bool) -> str:
    """Return a moment in the zone of `time`: ``30 Nov 2026 12:05``."""
    return pgettext(
        "date and time", "{date} {time}", date=short_date(time, year=year), time=f"{time:%H:%M}"
    )
