"""Only actions call the client, so that nothing that is drawn waits for the network."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import gochat.tui

TUI = Path(gochat.tui.__file__).parent
#: What may call it; and the demonstration, which is a client itself.
CALLERS = ("actions", "demo")


def _uses(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that get at a client: as the attribute of what holds it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.lstrip("_") == "client":
            yield node.lineno


def test_only_actions_get_at_the_client() -> None:
    found = [
        f"{path.relative_to(TUI)}:{line}"
        for path in TUI.rglob("*.py")
        if path.relative_to(TUI).parts[0] not in CALLERS
        for line in _uses(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_check_finds_what_gets_at_the_client() -> None:
    actions = TUI / "actions"
    assert all(
        [*_uses(ast.parse((actions / name).read_text(encoding="utf-8")))]
        for name in ("controller.py", "session.py")
    )
