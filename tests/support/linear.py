"""Whether something takes time linear in the length of a text."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time


def assert_linear(work: Callable[[str], object], unit: str, before: str = "") -> None:
    """Require that `work` takes time linear in the length of a text of many `unit`.

    In processor time, the least of three. The text begins with `before`.
    """

    def took(size: int) -> float:
        text = before + unit * (size // len(unit))
        times = []
        for _ in range(3):
            start = process_time()
            work(text)
            times.append(process_time() - start)
        return min(times)

    # Quadratic time would be 100 times as long for 10 times the text.
    assert took(40_000) < 40 * max(took(4_000), 0.0002)
