"""Times: ``datetime`` for programs, milliseconds since the Unix epoch on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def moment(milliseconds: int) -> datetime:
    """Return the time that is so many milliseconds after the Unix epoch, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds(time: datetime) -> int:
    """Return how many whole milliseconds a time is after the Unix epoch."""
    return (time - _EPOCH) // _MILLISECOND


def now() -> datetime:
    """Return the present time in UTC, in whole milliseconds."""
    return moment(milliseconds(datetime.now(UTC)))
