"""Results of ``gochat admin``, for people."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gochat.server.admin.command import TIMES


def show(result: Mapping[str, Any], *, cursor: str | None = None) -> None:
    """Print a result: a line for each value, and tables for lists of objects.

    Of a list that continues, `cursor` is the flag with which it does: that comes last.
    """
    more = result.get("next") if cursor else None
    result = {key: value for key, value in result.items() if value is not None and key != "next"}
    plain = {key: value for key, value in result.items() if not _is_table(value)}
    width = max(map(len, plain), default=0)
    for key, value in plain.items():
        print(f"{_label(key):<{width}}  {_text(key, value)}".rstrip())
    for key, value in result.items():
        if _is_table(value):
            _show_table(key, value)
    if more:
        print(f"there are more: give a greater --limit, or --{cursor} {shlex.quote(str(more))}")


def print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what was done without a server."""
    if as_json:
        print(json.dumps({"ok": True, "result": result}))
    else:
        show(result)


def printable(text: str) -> str:
    """Return a text without what a terminal would obey."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _show_table(key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(rows[0])
    cells = [[_text(column, row[column]) for column in columns] for row in rows]
    widths = [
        max(len(text) for text in column)
        for column in zip([_label(column) for column in columns], *cells, strict=True)
    ]
    print(f"{_label(key)}:")
    for line in ([_label(column) for column in columns], *cells):
        text = "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        print(f"  {text}".rstrip())


def _label(key: str) -> str:
    return key.replace("_", " ")


def _text(key: str, value: Any) -> str:
    if key in TIMES:
        if not value:
            return "-"
        try:
            return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        except (OverflowError, ValueError):  # a five-digit year, of a clock that was wrong
            return f"{value} ms"
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(printable, map(str, value))) or "-"
        case None | "":
            return "-"
        case _:
            return printable(str(value))
