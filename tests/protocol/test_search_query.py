"""What can be written into a search."""

from __future__ import annotations

import pytest

from gochat.protocol.search_query import SearchQuery, parse


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tea  time", SearchQuery(("tea", "time"))),
        ('"good morning" tea', SearchQuery(("good morning", "tea"))),
        ('from:mei tea IN:#garden "a b"', SearchQuery(("tea", "a b"), "mei", "#garden")),
        ("in:garden", SearchQuery(place="#garden")),
        ("in:@mei tea", SearchQuery(("tea",), place="@mei")),
        ("from:mei from:@bob", SearchQuery((), "@bob")),
        ('5" pipe', SearchQuery(('5"', "pipe"))),
        ('say"good morning"now', SearchQuery(("say", "good morning", "now"))),
        ('""', SearchQuery(('""',))),
        ("from: in:", SearchQuery(("from:", "in:"))),
        ("login:x", SearchQuery(("login:x",))),
        ('"from:mei"', SearchQuery(("from:mei",))),
        ("中文 from:梅", SearchQuery(("中文",), "梅")),
        ("  ", SearchQuery()),
        ("", SearchQuery()),
    ],
)
def test_a_query_is_taken_apart(query: str, expected: SearchQuery) -> None:
    assert parse(query) == expected
