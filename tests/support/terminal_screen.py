"""What a terminal shows of what is written to it: as much as the app needs."""

from __future__ import annotations

import re
from typing import Final

from gochat.tui.text.wrap import clusters

_TOKEN: Final = re.compile(
    r"\x1b\[(\d*);?(\d*)H|\x1b(?:\[[0-9:;<=>?]*[ !\"$']?[@-~]|\][^\x1b\x07]*(?:\x1b\\|\x07)|[78=>])"
    r"|[^\x1b]+"
)


class TerminalScreen:
    """Rows of cells; colours and modes are not kept."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], str] = {}
        self._at = (0, 0)
        self._incomplete = ""

    def feed(self, data: bytes) -> None:
        """Take what was written."""
        text = self._incomplete + data.decode(errors="ignore")
        end = 0
        for found in _TOKEN.finditer(text):
            if found.start() != end:
                break
            end = found.end()
            if not found.group().startswith("\x1b"):
                self._put(found.group())
            elif found.group(1) is not None:
                self._at = int(found.group(1) or 1) - 1, int(found.group(2) or 1) - 1
        self._incomplete = text[end:]

    def _put(self, text: str) -> None:
        row, column = self._at
        for start, stop, width in clusters(text):
            self._cells[row, column] = text[start:stop]
            for more in range(1, width):
                self._cells[row, column + more] = ""
            column += width
        self._at = row, column

    @property
    def text(self) -> str:
        """The rows."""
        rows = max((row for row, _ in self._cells), default=-1) + 1
        width = max((column for _, column in self._cells), default=-1) + 1
        return "\n".join(
            "".join(self._cells.get((row, column), " ") for column in range(width))
            for row in range(rows)
        )
