"""What can be written after /goto."""

from __future__ import annotations

from datetime import date

import pytest

from gochat.tui.input.places import MessageLink, read, read_link

TODAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-12", date(2026, 3, 12)),
        (" 2026-3-2 ", date(2026, 3, 2)),
        ("2025-11", date(2025, 11, 1)),
        ("2025", date(2025, 1, 1)),
        ("today", TODAY),
        ("Yesterday", date(2026, 11, 28)),
        ("2026-02-30", None),
        ("0000-01-01", None),
        ("12 March", None),
        ("２０２６", None),
        ("", None),
    ],
)
def test_days(text: str, day: date | None) -> None:
    assert read(text, TODAY) == day


@pytest.mark.parametrize("conv", ["#garden", "@mei", "#名前", "@a/b c"])
def test_a_link_leads_back_to_its_message(conv: str) -> None:
    link = MessageLink("gochats://chat.example:8889", conv, 17)
    assert read_link(str(link)) == read(str(link), TODAY) == link
    assert " " not in str(link)


@pytest.mark.parametrize(
    "text",
    [
        "https://chat.example/%23garden/17",
        "gochat://chat.example",
        "gochat://chat.example/%23garden/",
        "gochat://chat.example/%23garden/x",
        "gochat://chat.example/garden/17",
        "gochat://chat.example/%23garden/17/18",
    ],
)
def test_other_addresses_are_not_links_to_messages(text: str) -> None:
    assert read_link(text) is None
