"""Draw what a run found: ``python -m benchmarks.plot build/benchmark.json PICTURE.svg``.

Bars of the deliveries a second of each broadcast that is not paced, as parts of the floor's. SVG
is text, so nothing is needed to draw it; its colours are readable on white and on black.
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.report import Row

WIDTH: Final = 720
LEFT: Final = 170
BAR: Final = 18
COLOURS: Final = {"floor": "#888888", "gochat": "#2f81f7"}
OTHER: Final = "#c08a3e"


def draw(tables: dict[str, list[Row]]) -> str:
    """Return the picture."""
    lines: list[str] = []
    y = 8
    for title, rows in tables.items():
        bars = [(row["server"], row["k deliveries/s"]) for row in _unpaced(title, rows)]
        numbers = [number for _, number in bars if isinstance(number, int | float)]
        if not numbers:
            continue
        y += 20
        lines.append(f'<text x="8" y="{y}" font-weight="bold">{escape(title)}</text>')
        y += 8
        for (server, _), number in zip(bars, numbers, strict=True):
            length = number / max(numbers) * (WIDTH - LEFT - 150)
            colour = COLOURS.get(str(server), OTHER)
            text = f"{number:,.0f} k/s"
            middle = y + BAR - 5
            lines += [
                f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(str(server))}</text>',
                (
                    f'<rect x="{LEFT}" y="{y}" width="{max(1.0, length):.0f}"'
                    f' height="{BAR - 3}" fill="{colour}"/>'
                ),
                f'<text x="{LEFT + length + 8:.0f}" y="{middle}">{text}</text>',
            ]
            y += BAR
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}"'
        f' font-family="sans-serif" font-size="13" fill="#808080">\n{body}\n</svg>\n'
    )


def _unpaced(title: str, rows: list[Row]) -> list[Row]:
    if not title.startswith("Broadcast"):
        return []
    return [row for row in rows if row.get("k deliveries/s") is not None]


def main() -> None:
    """Draw the tables of one file into another."""
    source, picture = map(Path, sys.argv[1:])
    picture.write_text(draw(json.loads(source.read_text())["tables"]))


if __name__ == "__main__":
    main()
