"""The words of a search are marked in a text, whatever their case and accents."""

from __future__ import annotations

import pytest

from gochat.tui.text.finding import ranges


@pytest.mark.parametrize(
    ("text", "terms", "found"),
    [
        ("A Needle, a needle", ["needle"], ["Needle", "needle"]),
        ("Café au lait", ["cafe"], ["Café"]),
        ("cafe\N{COMBINING ACUTE ACCENT} noir", ["café"], ["cafe\N{COMBINING ACUTE ACCENT}"]),
        ("Große Straße", ["STRASSE"], ["Straße"]),
        ("我们喜欢中文", ["中文"], ["中文"]),
        ("aaa", ["aa"], ["aa"]),
        ("nothing", ["hay", ""], []),
    ],
)
def test_ranges(text: str, terms: list[str], found: list[str]) -> None:
    shown = [text[start:end] for start, end in ranges(text, terms)]
    assert [part.rstrip("\N{COMBINING ACUTE ACCENT}") for part in shown] == [
        part.rstrip("\N{COMBINING ACUTE ACCENT}") for part in found
    ]
