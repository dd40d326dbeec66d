"""How much of the processor was spent for somebody in other threads, or other processes.

Whoever waits for it says so by :func:`measured`. What runs in a thread counts itself by
:func:`counted`; what can't be measured is estimated, and added by :func:`spent`. They find each
other by a context variable, which Trio takes along into its threads; so nothing in between has to
hand it on. What nobody measures is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final


class Effort:
    """Seconds of the processor."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


_CURRENT: Final[ContextVar[Effort | None]] = ContextVar("effort", default=None)


@contextmanager
def measured() -> Iterator[Effort]:
    """Measure what is counted while the body waits for it."""
    effort = Effort()
    token = _CURRENT.set(effort)
    try:
        yield effort
    finally:
        _CURRENT.reset(token)


@contextmanager
def counted() -> Iterator[None]:
    """Count what this thread spends on the body."""
    began = time.thread_time()
    try:
        yield
    finally:
        spent(time.thread_time() - began)


def spent(seconds: float) -> None:
    """Count what was spent elsewhere, by an estimate."""
    if (effort := _CURRENT.get()) is not None:
        effort.seconds += seconds
