"""Take the picture of the app that the README shows, from the app itself: ``make picture``."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from gochat.tui import preferences
from gochat.tui.demo import demo_app
from gochat.tui.state import State

PICTURE = Path(__file__).resolve().parent / "images" / "chat.svg"
#: Columns and rows: what a README shows legibly.
SIZE = (110, 32)


async def main() -> None:
    """Run the demonstration without a terminal, and save what it shows."""
    with TemporaryDirectory() as directory:
        state = State(Path(directory))
        app = demo_app(state, preferences.load(state, None))
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause(1.0)
            picture = app.export_screenshot(title="gochat")
    # The fonts would come from a server of somebody else's; a terminal's font does as well.
    picture = re.sub(r"@font-face\s*\{.*?\}", "", picture, flags=re.DOTALL)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    asyncio.run(main())
