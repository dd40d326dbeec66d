"""Puts the garbage collector's long pauses where the person does not notice them.

A full collection looks at every object: 60 to 90 ms with a full log, and while 500 messages a
second arrive Python would make one every 0.7 s, in the middle of a key press as likely as not.
What leaves the log is in no cycle and is freed without it. So full collections wait until no key
was pressed for a moment; after very many young ones they wait no longer.

While the app is loaded nothing is collected at all: of what that creates, hardly anything is
garbage, and looking for it takes a tenth of the time.

A Python that collects in increments (3.14) counts no such collections: there nothing is done here.

Measured in ``docs/explanation/performance.md``.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds without a key or a click after which a pause is not noticed.
IDLE: Final = 2.0
#: Collections of the middle generation, each after some 7,000 objects more, after which a full one
#: is due; and after which it is made whatever is pressed. Python's own value is 10.
DUE: Final = 50
OVERDUE: Final = 2000
_NEVER: Final = 1_000_000_000


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Collect nothing inside the block, or until :func:`is_loaded`."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def is_loaded() -> None:
    """Leave alone what is loaded now, for it stays, and collect from now on."""
    gc.freeze()
    gc.enable()


def prepare() -> None:
    """Begin as :func:`is_loaded`; and make no full collection unasked."""
    is_loaded()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


class IdleCollector:
    """Makes full collections when they are due. :meth:`look` is to be called every second."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        count: Callable[[], tuple[int, int, int]] = gc.get_count,
        collect: Callable[[], object] = gc.collect,
    ) -> None:
        self._clock = clock
        self._count = count
        self._collect = collect
        self._touched_at = clock()

    def touched(self) -> None:
        """Take note that something was pressed."""
        self._touched_at = self._clock()

    def look(self) -> None:
        """Collect, if that is due and no key was pressed for a moment, or if it is overdue."""
        grown = self._count()[2]
        is_idle = self._clock() - self._touched_at >= IDLE
        if grown >= (DUE if is_idle else OVERDUE):
            self._collect()
