"""Measure processor time that is spent for a caller in other threads or processes.

The caller waits inside :func:`measured`. Code that runs in a thread counts itself with
:func:`counted`; time that can't be measured is estimated, and added with :func:`spent`. A context
variable connects them, which Trio passes to its threads, so nothing in between has to. Time outside
:func:`measured` is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final


class Effort:
    """Seconds of processor time."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


_CURRENT: Final[ContextVar[Effort | None]] = ContextVar("effort", default=None)


@contextmanager
def measured() -> Iterator[Effort]:
    """Measure what is counted while the block waits for it."""
    effort = Effort()
    token = _CURRENT.set(effort)
    try:
        yield effort
    finally:
        _CURRENT.reset(token)


@contextmanager
def counted() -> Iterator[None]:
    """Count the time that this thread spends in the block."""
    began = time.thread_time()
    try:
        yield
    finally:
        spent(time.thread_time() - began)


def spent(seconds: float) -> None:
    """Add time that was spent elsewhere, as estimated."""
    if (effort := _CURRENT.get()) is not None:
        effort.seconds += seconds
