"""Full collections wait while the person types, but not for ever."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Iterator

import pytest

from gochat.cli import tui
from gochat.tui import start
from gochat.tui.host import gc_pauses, terminal
from gochat.tui.host.gc_pauses import DUE, IDLE, OVERDUE, IdleCollector


class Heap:
    """A heap whose middle generation was collected `grown` times since the last full collection."""

    def __init__(self) -> None:
        self.now = 100.0
        self.grown = 0
        self.collections = 0
        self.collector = IdleCollector(lambda: self.now, lambda: (0, 0, self.grown), self._collect)

    def _collect(self) -> None:
        self.collections += 1
        self.grown = 0


def test_nothing_is_collected_that_is_not_due() -> None:
    heap = Heap()
    heap.now += 10 * IDLE
    heap.grown = DUE - 1
    heap.collector.look()
    assert heap.collections == 0


def test_what_is_due_waits_until_nobody_types() -> None:
    heap = Heap()
    heap.now += 10 * IDLE
    heap.grown = DUE
    heap.collector.touched()
    heap.now += IDLE / 2
    heap.collector.look()
    assert heap.collections == 0
    heap.now += IDLE / 2
    heap.collector.look()
    heap.collector.look()
    assert heap.collections == 1


def test_what_is_overdue_waits_for_nobody() -> None:
    heap = Heap()
    heap.grown = OVERDUE
    heap.collector.touched()
    heap.collector.look()
    assert heap.collections == 1


@pytest.fixture
def settings_of_python() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # the tests have higher ones
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.parametrize("prepare", [gc_pauses.prepare, gc_pauses.is_loaded])
@pytest.mark.usefixtures("settings_of_python")
def test_nothing_is_collected_while_the_app_is_loaded(prepare: Callable[[], None]) -> None:
    with gc_pauses.nothing_collected():
        before = [generation["collections"] for generation in gc.get_stats()]
        kept: list[list[int]] = [[] for _ in range(100_000)]
        assert [generation["collections"] for generation in gc.get_stats()] == before
        prepare()  # nor to freeze it
        assert [generation["collections"] for generation in gc.get_stats()] == before
        assert gc.isenabled()
        assert gc.get_freeze_count() > len(kept)
    gc.disable()
    with pytest.raises(ZeroDivisionError), gc_pauses.nothing_collected():
        raise ZeroDivisionError
    assert gc.isenabled()


@pytest.mark.parametrize("arguments", [["--demo"], ["--plain"]])
def test_command_loads_the_app_without_collections(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> int:
        return 1 if gc.isenabled() else 0

    monkeypatch.setattr(terminal, "check_terminal", lambda: None)
    monkeypatch.setattr(terminal, "draw_soon", lambda: None)
    monkeypatch.setattr(start, "run_app", run)
    monkeypatch.setattr(start, "run_line_mode", run)
    parser = argparse.ArgumentParser()
    tui.add_arguments(parser)
    assert tui.run(parser.parse_args(arguments)) == 0
    assert gc.isenabled()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it collects a bit at a time by itself")
@pytest.mark.usefixtures("settings_of_python")
def test_no_full_collection_is_made_unasked() -> None:
    gc_pauses.prepare()
    assert gc.get_freeze_count() > 0
    full = gc.get_stats()[2]["collections"]
    kept: list[list[list[int]]] = []
    while gc.get_count()[2] < 2 * DUE:  # ten times of what Python makes one after
        kept.append([[] for _ in range(1000)])
    assert gc.get_stats()[2]["collections"] == full
    IdleCollector(clock=iter([0.0, 10 * IDLE]).__next__).look()
    assert gc.get_stats()[2]["collections"] == full + 1
