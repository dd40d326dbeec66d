"""Show the progress of a long operation: a bar on a terminal, a line now and then elsewhere.

It goes to standard error, because standard output has results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

#: Called with the name of the step, the count done, and the total.
Advance: TypeAlias = Callable[[str, int, int], None]

#: Percentage between two lines.
STEP: Final = 10


@contextmanager
def shown(unit: str) -> Iterator[Advance]:
    """Show progress inside the block; `unit` names what is counted."""
    if not sys.stderr.isatty():
        yield _Lines(unit)
        return
    # Loaded only here, so that no other command waits for it.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield advance


class _Lines:
    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._said: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        step = done * 100 // total // STEP if total else 100 // STEP
        if step > self._said.get(what, 0):
            self._said[what] = step
            text = f"{what}: {step * STEP} % ({done:,} of {total:,} {self._unit})"
            print(text, file=sys.stderr, flush=True)
