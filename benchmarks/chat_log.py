"""The chat log, with 100 to 100,000 messages in it. ``python -m benchmarks.chat_log``.

Prints a table; times are p50 / p99 in milliseconds, of the processor, so that they hold on a busy
machine. "Painted" means that all rows of the window were laid out and painted as Textual asks for
it, new ones from scratch. The last columns are the whole app while 500 messages a second arrive:
its share of a processor, and by how much a task that wakes each millisecond wakes late, in real
time. So long a key waits, if nothing else runs on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from time import perf_counter, process_time

from textual.app import App, ComposeResult

from gochat.tui.chat_log import ChatLog, LogMessage

T0 = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = (
    "the", "a", "log", "of", "**many**", "words", "`code`", "https://example.org/x", "你好", "👍",
    "and", "@mei", "more",
)  # fmt: skip

HEADINGS = (
    "messages",
    "appended per second",
    "append 1, painted",
    "append 5,000, painted",
    "turn a page, painted",
    "jump, painted",
    "other width, painted",
    "prepend 100, painted",
    "CPU at 500/s",
    "late at 500/s",
)


class LogApp(App[None]):
    """A log and nothing else."""

    def compose(self) -> ComposeResult:
        """Show the log."""
        yield ChatLog(zone=UTC)


class Bench:
    """One log of so many messages."""

    def __init__(self, app: LogApp, count: int) -> None:
        self.log = app.query_one(ChatLog)
        self.count = count
        self.chance = random.Random(count)
        self.pages = [self.make(5000, count + 1000 + 5000 * number) for number in range(5)]

    def make(self, count: int, start: int) -> list[LogMessage]:
        """Return messages as people write them: mostly short, some long."""
        chance = random.Random(start)
        return [
            LogMessage(
                str(number),
                f"person{chance.randrange(20)}",
                " ".join(
                    chance.choices(WORDS, k=min(200, 1 + int(chance.lognormvariate(2.3, 0.8))))
                ),
                T0 + timedelta(seconds=20 * number),
            )
            for number in range(start, start + count)
        ]

    def paint(self) -> None:
        """Do what Textual does for a frame, without the terminal."""
        self.log._publish()
        for y in range(self.log.size.height):
            self.log.render_line(y)

    def fill(self) -> float:
        """Return the messages a second when all are added."""
        items = self.make(self.count, 0)
        start = process_time()
        self.log.append(*items)
        return self.count / (process_time() - start)

    def timed(self, work: Callable[[int], object], times: int) -> str:
        """Return p50 / p99 of the milliseconds that `work` and painting take."""
        taken = []
        for number in range(times):
            start = process_time()
            work(number)
            self.paint()
            taken.append((process_time() - start) * 1000)
        return summary(taken)

    def append(self, number: int) -> None:
        self.log.append(*self.make(1, self.count + number))

    def append_many(self, number: int) -> None:
        self.log.append(*self.pages[number])

    def jump(self, _: int) -> None:
        self.log.scroll_to(y=self.chance.random() * self.log.virtual_size.height)

    def prepend(self, number: int) -> None:
        self.log.prepend(self.make(100, -100 * (number + 1)))

    def change_width(self, number: int) -> None:
        # What a resize does, without the rest of the app.
        model = self.log._model
        model.resize(model.geometry.width - (1 if number % 2 else -1), model.window.height)
        self.log._fitted = self.log.size

    async def lateness(self) -> tuple[str, str]:
        """Return the share of a processor, and p50 / p99 of the lateness, at 500 messages/s."""
        late = []
        start, used = perf_counter(), process_time()
        end = start + 3.0
        number = self.count + 100_000
        due = perf_counter()
        while perf_counter() < end:
            before = perf_counter()
            await asyncio.sleep(0.001)
            late.append((perf_counter() - before - 0.001) * 1000)
            while due < perf_counter():
                self.log.append(*self.make(1, number))
                number += 1
                due += 0.002
        share = (process_time() - used) / (perf_counter() - start)
        return f"{share:.0%}", summary(late)


def summary(times: list[float]) -> str:
    """Return p50 / p99."""
    cuts = quantiles(times, n=100)
    return f"{cuts[49]:.1f} / {cuts[98]:.1f}"


async def measure(count: int, size: tuple[int, int]) -> list[str]:
    """Return a row of the table."""
    app = LogApp()
    async with app.run_test(size=size) as pilot:
        bench = Bench(app, count)
        row = [f"{count:,}", f"{bench.fill():,.0f}"]
        await pilot.pause()
        bench.log.older_exhausted = True
        row.append(bench.timed(bench.append, 300))
        row.append(bench.timed(bench.append_many, 5))
        row.append(bench.timed(lambda _: bench.log.action_page(-1), 200))
        row.append(bench.timed(bench.jump, 200))
        row.append(bench.timed(bench.change_width, 100))
        row.append(bench.timed(bench.prepend, 30))
        bench.log.scroll_to_bottom()
        await pilot.pause()
        row.extend(await bench.lateness())
        return row


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the chat log.")
    parser.add_argument("--counts", default="100,10000,100000", help="messages, with commas")
    parser.add_argument("--size", default="200x50", help="of the terminal, in cells")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + " --- |" * len(HEADINGS))
    for count in map(int, options.counts.split(",")):
        print("| " + " | ".join(asyncio.run(measure(count, (width, height)))) + " |", flush=True)


if __name__ == "__main__":
    main()
