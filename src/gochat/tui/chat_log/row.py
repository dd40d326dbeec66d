"""A row of the log: pieces of text and of frame, and where it is in its item."""

from __future__ import annotations

from typing import Final, NamedTuple

#: The parts of an item, top to bottom: the first number of a position.
GAP, DAY, UNREAD, HEADER, REPLY, TEXT, REACTIONS, STATE = range(8)


def edge_above(at: int) -> tuple[int, int]:
    """Return the position of an edge above the row of text that begins at the character `at`."""
    return TEXT, 3 * at


def text_at(at: int) -> tuple[int, int]:
    """Return the position of the row of text that begins at the character `at`."""
    return TEXT, 3 * at + 1


def edge_below(at: int) -> tuple[int, int]:
    """Return the position of an edge below the row of text that ends at the character `at`."""
    return TEXT, 3 * at + 2


#: In the first column: of the selected message, of one that mentions the reader.
BAR: Final = "▎"


class Piece(NamedTuple):
    """A part of a row. `roles` are names of the palette; `at` is where in the text it is."""

    text: str
    roles: str
    at: int | None = None
    link: str = ""
    action: tuple[str, str] | None = None


class Row(NamedTuple):
    """A row: `position` is the same at every width, `at` to `stop` its text, frames at its ends."""

    position: tuple[int, int]
    pieces: tuple[Piece, ...]
    at: int
    stop: int
    backdrop: str = ""

    @property
    def has_text(self) -> bool:
        """Whether it is a row of the item's text, and not an edge around that."""
        return self.position[0] == TEXT and self.position[1] % 3 == 1
