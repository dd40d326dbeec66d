"""Names: in the order that people expect, and cut where it costs least."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gochat.tui.text.names import natural, shortened


def test_numbers_are_sorted_by_their_size_and_case_does_not_matter() -> None:
    names = ["room10", "Room9", "room010", "room", "room1a", "apple", "room99999999999"]
    assert sorted(names, key=natural) == [
        "apple", "room", "room1a", "Room9", "room10", "room010", "room99999999999",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("release-notes", 13, "release-notes"),
        ("release-notes-2026", 9, "rele…2026"),
        ("release-notes-2026", 2, "r…"),
        ("release-notes-2026", 1, "…"),
        ("你好你好你好", 7, "你…你好"),
        ("👩‍💻👩‍💻👩‍💻", 5, "👩‍💻…👩‍💻"),
    ],
)
def test_names_are_cut_in_their_middle(name: str, width: int, shown: str) -> None:
    assert shortened(name, width) == shown


@given(st.text(), st.integers(1, 20))
def test_what_is_shortened_fits(name: str, width: int) -> None:
    assert cell_len(shortened(name, width)) <= max(width, 0) or cell_len(name) <= width
