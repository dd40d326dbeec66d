"""Writing in the person's own editor."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
from pathlib import Path

from textual.app import App, SuspendNotSupported

from gochat.tui.presentation import name


def command() -> list[str]:
    """Return the editor: ``$VISUAL``, ``$EDITOR``, or the one that every system has."""
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    return shlex.split(chosen) if chosen else ["vi"]


async def edit_text(app: App[None], text: str) -> str | None:
    """Have `text` edited; return what it became, or None if nothing was saved or it failed.

    The app lets go of the terminal meanwhile, but lives on: the connection is kept.
    """
    file = _write(text)
    try:
        try:
            # The batch keeps the app from drawing over the editor.
            with app.batch_update(), app.suspend():
                process = await asyncio.create_subprocess_exec(*command(), str(file))
                code = await process.wait()
        except (OSError, ValueError) as error:
            app.notify(
                f"The editor {' '.join(command())!r} can't be run: {name(str(error))}. "
                "Set EDITOR to one that can.",
                severity="error", markup=False,
            )  # fmt: skip
            return None
        except SuspendNotSupported:
            app.notify("This terminal can't be lent to an editor.", severity="error")
            return None
        return _read(file) if code == 0 else None
    finally:
        _remove(file)


# A few hundred bytes, in the system's place for such: not worth a thread.
def _write(text: str) -> Path:
    handle, path = tempfile.mkstemp(prefix="gochat-", suffix=".md")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(path)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").rstrip("\n")


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
