"""Which names look alike."""

from __future__ import annotations

import sys
from importlib import resources

import pytest

from gochat.chat import names
from gochat.chat.skeletons import of_all, skeleton


def look_alike(one: str, other: str) -> bool:
    return not of_all([one]).isdisjoint(of_all([other]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pɑul", "Paul"),
        ("ɡoogle", "google"),
        ("admın", "admin"),
        ("ᴢoe", "Zoe"),
        ("#Iobby", "#lobby"),
        ("#1obby", "#lobby"),
        ("PAUI", "paul"),
        ("b0b", "Bob"),
        ("rnei", "Mei"),
        ("сор", "cop"),
        ("СОР", "cop"),
        ("раураӏ", "paypal"),
        ("ALlCE", "alice"),
        ("allce", "alice"),
        ("ADMlN", "admin"),
        ("NlCKSERV", "nickserv"),
        ("TAPAC", "тарас"),
        ("#iobby", "#lobby"),
    ],
)
def test_lookalikes_have_the_same_skeleton(one: str, other: str) -> None:
    assert names.fold(one.removeprefix("#")) != names.fold(other.removeprefix("#"))
    assert look_alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jose", "josé"),
        ("paul", "paula"),
        ("user2", "user3"),
        ("lobby", "#lobby"),
        ("Сара", "Sara"),
        ("李雷", "李蕾"),
    ],
)
def test_other_names_have_different_skeletons(one: str, other: str) -> None:
    assert not look_alike(one, other)


def test_skeleton_is_idempotent() -> None:
    """For every character, even one whose capital stands for others."""
    for char in map(chr, (*range(0x21, 0xD800), *range(0xE000, sys.maxunicode + 1))):
        first = skeleton(char)
        assert first == char or skeleton(first) == first, hex(ord(char))


def test_data_has_no_duplicates() -> None:
    text = (resources.files("gochat.chat") / "confusables.txt").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    listed = [char for _, sources in rows for char in sources]
    assert len(listed) == len(set(listed)) > 2000
