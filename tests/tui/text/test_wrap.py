"""Lines break where readers expect it, never within a character, never wider than the window."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gochat.tui.text import wrap as wrapping
from gochat.tui.text.sanitise import sanitise
from gochat.tui.text.wrap import Cluster, clusters, snap, wrap

_CLUSTERS = [
    "a",
    "b",
    " ",
    "-",
    "好",
    "。",
    "「",
    "é",
    "e\u0301",
    "👨‍👩‍👧",
    "🇩🇪",
    "👍🏽",
    "❤️",
    "ก็",
    "한",
]
_TEXTS = st.one_of(
    st.text(st.sampled_from("ab -"), max_size=60),
    st.lists(st.sampled_from(_CLUSTERS), max_size=40).map("".join),
    st.text(max_size=40).map(sanitise).map(lambda text: text.replace("\n", " ")),
)


def _rows(text: str, width: int) -> list[str]:
    return [text[start:stop] for start, stop in wrap(text, 0, len(text), width)]


@pytest.mark.parametrize(
    ("text", "width", "rows"),
    [
        ("", 10, [""]),
        ("one two three", 8, ["one two", "three"]),
        ("one two", 7, ["one two"]),
        ("one  two   three", 5, ["one", "two", "three"]),
        ("incomprehensible", 6, ["incomp", "rehens", "ible"]),
        ("a incomprehensible", 6, ["a", "incomp", "rehens", "ible"]),
        ("well-known names", 7, ["well-", "known", "names"]),
        ("a --option", 5, ["a", "--opt", "ion"]),
        ("   indented", 11, ["   indented"]),
        ("      x", 4, ["    ", "  x"]),
        ("      好", 4, ["    ", "好"]),
        ("你好世界", 4, ["你好", "世界"]),
        ("你好，世界。", 6, ["你好，", "世界。"]),
        ("你好吗，世界", 6, ["你好", "吗，世", "界"]),
        ("你好＠mei", 6, ["你好", "＠mei"]),
        ("他说「你好」", 6, ["他说", "「你", "好」"]),
        ("see 你好", 6, ["see 你", "好"]),
        ("🇩🇪🇫🇷🇩🇪", 5, ["🇩🇪🇫🇷", "🇩🇪"]),
        ("👨‍👩‍👧👨‍👩‍👧", 3, ["👨‍👩‍👧", "👨‍👩‍👧"]),
    ],
)
def test_rows(text: str, width: int, rows: list[str]) -> None:
    assert _rows(text, width) == rows


@given(_TEXTS, st.integers(2, 30))
def test_no_row_is_wider_than_the_window(text: str, width: int) -> None:
    assert all(cell_len(row) <= width for row in _rows(text, width))


@given(_TEXTS, st.integers(2, 30))
def test_only_spaces_are_between_rows(text: str, width: int) -> None:
    rows = wrap(text, 0, len(text), width)
    assert rows[0][0] == 0
    assert text[rows[-1][1] :].strip(" ") == ""
    for (_, stop), (start, _) in pairwise(rows):
        assert stop <= start
        assert text[stop:start].strip(" ") == ""


@given(_TEXTS, st.integers(2, 30))
def test_no_character_is_broken(text: str, width: int) -> None:
    edges = {0, len(text)} | {cluster.start for cluster in clusters(text)}
    assert all(start in edges and stop in edges for start, stop in wrap(text, 0, len(text), width))


@given(_TEXTS)
def test_clusters_are_the_text_without_gaps(text: str) -> None:
    parts = clusters(text)
    assert "".join(text[part.start : part.end] for part in parts) == text
    assert sum(part.cells for part in parts) == cell_len(text)


@given(_TEXTS, st.integers(0, 60))
def test_snapping_goes_to_the_edge_on_its_side(text: str, index: int) -> None:
    edges = {0, len(text)} | {cluster.start for cluster in clusters(text)}
    low, high = snap(text, index, up=False), snap(text, index, up=True)
    assert {low, high} <= edges
    assert low <= min(index, len(text)) <= high


@pytest.mark.parametrize("unit", ["a", "好", "é", "👩‍💻"])
def test_snapping_looks_only_at_what_is_near(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked at each key, and a line may be as long as what was pasted."""
    seen = []

    def spy(text: str, start: int, end: int) -> list[Cluster]:
        seen.append(end - start)
        return clusters(text, start, end)

    monkeypatch.setattr(wrapping, "clusters", spy)
    text = unit * 1000
    for index in range(len(text) - 10, len(text)):
        low, high = snap(text, index, up=False), snap(text, index, up=True)
        assert (low, high - index) == (index // len(unit) * len(unit), -index % len(unit))
    assert max(seen, default=0) <= len(unit)


def test_a_range_within_a_text_wraps_like_a_text_of_its_own() -> None:
    text = "first line\nsecond line"
    assert wrap(text, 11, 22, 7) == [(11, 17), (18, 22)]
