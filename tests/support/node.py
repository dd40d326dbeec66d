"""Node, for the example that is written in JavaScript."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "node" / "client.mjs"


def node() -> str:
    """Return the command. A test without it fails: a skipped test tests nothing."""
    found = shutil.which("node")
    assert found is not None, "the tests need Node 20 or later on PATH: apt install nodejs"
    return found
