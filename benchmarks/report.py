"""What a run found: rows for people, and the same as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeAlias

Cell: TypeAlias = str | float | int | None
Row: TypeAlias = dict[str, Cell]

_PACKAGES: Final = ("gochat", "trio", "msgspec", "argon2-cffi", "redis")


class Report:
    """Collects rows, shows each table when it is complete, and writes all of it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._tables: dict[str, list[Row]] = {}
        self._rounds: dict[str, list[Row]] = {}
        self.environment = environment()

    def table(self, title: str, rows: Sequence[Row], rounds: Sequence[Row] = ()) -> None:
        """Show a table, and keep it with the single rounds that it is made of."""
        self._tables[title] = list(rows)
        if rounds:
            self._rounds[title] = list(rounds)
        print(f"\n## {title}\n")
        print(as_text(rows), flush=True)
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            everything = {
                "environment": self.environment | {"load at the end": load()},
                "tables": self._tables,
                "rounds": self._rounds,
            }
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")


def as_text(rows: Sequence[Row]) -> str:
    """Return a Markdown table that reads well as it is, too."""
    headings = list(dict.fromkeys(name for row in rows for name in row))
    texts = [[_text(row.get(name)) for name in headings] for row in rows]
    widths = [
        max(len(heading), *(len(line[column]) for line in texts))
        for column, heading in enumerate(headings)
    ]
    numeric = [
        all(not isinstance(row.get(heading), str) for row in rows) for heading in headings
    ]  # fmt: skip
    rule = ["-" * (w - 1) + (":" if n else "-") for w, n in zip(widths, numeric, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(cells, widths, numeric, strict=True)
        )
        return "| " + " | ".join(aligned) + " |"

    return "\n".join([line(headings), line(rule), *map(line, texts)])


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case float() if cell >= 100:
            return f"{cell:,.0f}"
        case float() if cell >= 10:
            return f"{cell:.1f}"
        case float():
            return f"{cell:.2f}"
        case int():
            return f"{cell:,}"
        case _:
            return cell


def quantile(values: Iterable[float], part: float) -> float:
    """Return the value that `part` of all are not above; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def environment() -> dict[str, Cell]:
    """Return what the numbers depend on."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _output("git", "describe", "--always", "--dirty", "--abbrev=10"),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in _PACKAGES},
        "arguments": " ".join(sys.argv[1:]),
        "niceness": os.nice(0),
        "load": load(),
    }


def load() -> float:
    """Return how many tasks wanted a processor in the last minute: who else was at work."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def _output(*command: str) -> str:
    try:
        return subprocess.run(
            command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
