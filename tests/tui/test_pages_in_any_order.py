"""Whatever part of a log is asked for, and in whatever order the pages come: what is shown is one
run of the log, and the part that was wished for last."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import Any, Final, cast

from hypothesis import example, given
from hypothesis import strategies as st

from gochat.client import Conversation, HistoryPage, LogEntry, Synchronised
from gochat.client.convert import to_entry
from gochat.protocol import messages as wire
from gochat.tui.actions.client import ChatClient
from gochat.tui.actions.controller import Controller
from gochat.tui.model.chat import ChatModel

#: More than three pages.
LENGTH: Final = 350


def entry(seq: int) -> LogEntry:
    message = wire.Message(to="#lobby", epoch="e", seq=seq, ts=seq, from_="mei", text=f"{seq}")
    return to_entry(message, "ada")


class Reply:
    """A page that the server has not sent yet."""

    def __init__(self, bounds: dict[str, int | None]) -> None:
        self.bounds = bounds

    def __await__(self) -> Generator[Reply, HistoryPage, HistoryPage]:
        return (yield self)


class SlowServer:
    """A client whose pages come when the test says so, with what the log has by then."""

    def __init__(self) -> None:
        self.head = LENGTH

    async def history(self, conv: str, *, limit: int, **bounds: int | None) -> HistoryPage:
        return await Reply(bounds)

    def page(self, before: int | None = None, after: int | None = None,
             around: int | None = None) -> HistoryPage:  # fmt: skip
        if after is not None:
            start = after
        elif around is not None:
            start = max(0, around - 50)
        else:
            start = max(0, (self.head + 1 if before is None else before) - 101)
        end = min(self.head, start + 100)
        if before is not None:
            end = min(end, before - 1)
        return HistoryPage(
            conversation="#lobby", epoch="e", head=self.head, older=start > 0,
            newer=end < self.head, entries=tuple(map(entry, range(start + 1, end + 1))),
        )  # fmt: skip


class Reader:
    """A person who looks at the lobby."""

    def __init__(self) -> None:
        self.server = SlowServer()
        self.model = ChatModel("ada", clock=lambda: 0.0, now=lambda: 0.0)
        lobby = Conversation(name="#lobby", epoch="e", head=LENGTH, time=None)
        self.model.apply(Synchronised((), (lobby,)))
        self.waiting: list[tuple[Coroutine[Any, Any, None], Reply]] = []
        self.controller = Controller(
            cast("ChatClient", self.server), self.model, spawn=lambda work, _: self._go_on(work),
            report=lambda _: None, changed=lambda: None,
        )  # fmt: skip
        self.found: int | None = None
        self.wish: int | None = None
        self.controller.open("#lobby")

    def _go_on(self, work: Coroutine[Any, Any, None], page: HistoryPage | None = None) -> None:
        with suppress(StopIteration):
            self.waiting.append((work, work.send(page)))

    def go_to(self, seq: int) -> None:
        self.wish, self.found = seq, None
        self.controller.go_to("#lobby", seq, self._found)

    def go_to_now(self) -> None:
        self.wish = self.server.head
        self.controller.go_to_now()

    def go_to_first(self) -> None:
        self.wish, self.found = 1, None
        self.controller.go_to_first(self._found)

    def _found(self, _: str, seq: int) -> None:
        self.found = seq

    def hear(self) -> None:
        """Somebody says something."""
        self.server.head += 1
        self.model.apply(entry(self.server.head))

    def receive(self, number: int) -> None:
        """One of the pages comes."""
        if self.waiting:
            work, reply = self.waiting.pop(number % len(self.waiting))
            self._go_on(work, self.server.page(**reply.bounds))

    def check(self) -> None:
        timeline = self.model.shown.timeline
        seqs = [entry.seq for entry in timeline.entries]
        if not seqs:
            return
        assert seqs == list(range(timeline.first or 0, (timeline.last or 0) + 1))
        assert timeline.newer == (timeline.last != self.server.head)
        assert timeline.older == (timeline.first != 1)


_STEPS = st.one_of(
    st.tuples(st.just("go_to"), st.integers(1, LENGTH)),
    st.tuples(st.sampled_from(["go_to_now", "go_to_first", "hear", "load_older", "load_newer"])),
    st.tuples(st.just("receive"), st.integers(0, 5)),
)


_HAS_120: Final = [("receive", 0), ("go_to", 120), ("receive", 0)]


@given(st.lists(_STEPS, max_size=30))
@example([("go_to", 51), ("go_to", 1)])
@example([*_HAS_120, ("load_newer",), ("go_to_now",)])
@example([*_HAS_120, ("load_older",), ("go_to", 300), ("receive", 1)])
@example([*_HAS_120, ("load_newer",), ("go_to_now",), ("receive", 1)])
@example([("receive", 0), ("go_to", 20), ("go_to_now",)])
def test_what_is_shown_is_one_run_of_the_log_with_what_was_wished_for_last(
    steps: list[tuple[Any, ...]],
) -> None:
    reader = Reader()
    for name, *arguments in steps:
        act = getattr(reader, name, None) or getattr(reader.controller, name)
        act(*arguments)
        reader.check()
    while reader.waiting:
        reader.receive(0)
        reader.check()
    timeline = reader.model.shown.timeline
    assert timeline.first is not None and timeline.last is not None  # noqa: PT018 – for types
    if reader.wish is not None:
        assert timeline.first <= reader.wish <= timeline.last


def test_a_second_wish_counts_though_the_first_page_comes_last() -> None:
    reader = Reader()
    reader.receive(0)
    reader.go_to(20)
    reader.go_to(300)  # which is there
    assert reader.found == 300
    reader.receive(0)
    assert reader.found == 300
    assert reader.model.shown.timeline.entry(300) is not None
