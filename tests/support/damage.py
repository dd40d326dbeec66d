"""Damage to a store, as caused by disks and people."""

from __future__ import annotations

from pathlib import Path

from storing import Chat, draft

from gochat.storage import open_store

#: A text on the pages that :func:`overwrite` finds.
MIDDLE = b"page 050 page 050"


async def fill(path: Path) -> None:
    """Create a SQLite store with many pages; close it, so that everything is in the file."""
    async with open_store(f"sqlite:///{path}") as store:
        chat = Chat(store)
        await chat.register("Ann")
        await chat.append(*(draft("Ann", "#lobby", f"page {n:03} " * 300) for n in range(100)))


def overwrite(path: Path, text: bytes = MIDDLE) -> None:
    """Overwrite the pages of a SQLite file that contain a text."""
    data = path.read_bytes()
    size = int.from_bytes(data[16:18], "big")
    with path.open("r+b") as file:
        for number in range(len(data) // size):
            if text in data[number * size : (number + 1) * size]:
                file.seek(number * size)
                file.write(b"\xa5" * size)
