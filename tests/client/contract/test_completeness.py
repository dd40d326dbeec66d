"""Everything that the app uses has a test here."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from gochat.client import ClientEvent, UnknownEntry
from gochat.tui.actions.client import ChatClient

TREES = [
    ast.parse(file.read_text(encoding="utf-8"))
    for file in Path(__file__).parent.glob("test_*.py")
    if file.name != Path(__file__).name
]


def is_ada(node: ast.expr) -> bool:
    """Return whether an expression is ada's client: `ada` or `world.ada`."""
    return (isinstance(node, ast.Name) and node.id == "ada") or (
        isinstance(node, ast.Attribute) and node.attr == "ada"
    )


USED = {
    node.attr
    for tree in TREES
    for node in ast.walk(tree)
    if isinstance(node, ast.Attribute) and is_ada(node.value)
}
#: The types that tests wait for or compare.
LOOKED_AT = {node.id for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Name)}
#: Only a newer server sends the one that is left out: `tests/client/test_events.py`.
EVENTS = [event for event in get_args(ClientEvent) if event is not UnknownEntry]
METHODS = sorted(name for name in vars(ChatClient) if not name.startswith("_"))


@pytest.mark.parametrize("method", METHODS)
def test_each_method_and_property_is_used_by_a_test(method: str) -> None:
    assert method in USED


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_is_covered_by_a_test(event: type) -> None:
    assert event.__name__ in LOOKED_AT
