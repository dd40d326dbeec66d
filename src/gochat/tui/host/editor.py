"""Writing in the person's own editor."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
from pathlib import Path
from typing import Final

from textual.app import App, SuspendNotSupported

from gochat.tui.language import _
from gochat.tui.text.sanitise import one_line

#: The one that every system has.
_DEFAULT: Final = "vi"


async def edit_text(app: App[object], text: str) -> str | None:
    """Let the person edit `text`; return what it became, or None if that failed.

    The app lets go of the terminal meanwhile, but lives on: the connection is kept. A failure is
    reported in the app.
    """
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _DEFAULT
    try:
        return await _edit(app, shlex.split(command) or [_DEFAULT], text)
    except SuspendNotSupported:
        problem = _("An editor can't run in this terminal.")
    except (OSError, ValueError) as error:  # ValueError: a quotation mark is missing
        reason = getattr(error, "strerror", None) or str(error)
        problem = _(
            "The editor {command!r} failed: {reason}. Check VISUAL and EDITOR.",
            command=command, reason=one_line(reason),
        )  # fmt: skip
    unchanged = _("The text is as it was.")
    app.notify(f"{problem} {unchanged}", severity="error", markup=False)
    return None


async def _edit(app: App[object], command: list[str], text: str) -> str:
    file = _write(text)
    try:
        failure: OSError | None = None
        # The batch keeps the app from drawing over the editor. Nothing may be raised in it:
        # Textual takes the terminal back only at its regular end.
        with app.batch_update(), app.suspend():
            try:
                process = await asyncio.create_subprocess_exec(*command, str(file))
                if code := await process.wait():
                    failure = OSError(_("it ended with code {code}", code=code))
            except OSError as error:
                failure = error
        if failure is not None:
            raise failure
        return _read(file)
    finally:
        file.unlink(missing_ok=True)


# A few hundred bytes, in the system's place for such: not worth a thread.
def _write(text: str) -> Path:
    handle, path = tempfile.mkstemp(prefix="gochat-", suffix=".md")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(path)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").rstrip("\n")
