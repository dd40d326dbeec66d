"""What is shown of what the person waits for."""

from __future__ import annotations

from gochat.tui.model.waits import SHOWN_AFTER, Waits


def test_only_a_wait_that_lasts_is_shown_and_of_several_the_newest() -> None:
    waits = Waits()
    first = waits.begin("one", 10.0)
    assert waits.shown(10.0) is None
    assert waits.shown(10.0 + SHOWN_AFTER) == "one"
    second = waits.begin("", 11.0)
    assert waits.shown(11.0) == "one"
    assert waits.shown(12.0) == ""
    waits.end(second)
    assert waits.shown(12.0) == "one"
    waits.end(first)
    assert waits.shown(12.0) is None
