"""`gochat tui` with a scripted client, as a separate process: run as a script on a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn
from unittest.mock import Mock, patch

from textual._xterm_parser import XTermParser

from gochat import cli
from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.profile.state import SavedSession, StateDirectory

SERVER = "gochat://127.0.0.1:8889"


class BrokenClient(ScriptedClient):
    """A client with a bug in one method."""

    async def rooms(self) -> NoReturn:
        """Fail as no client should."""
        raise RuntimeError("a bug in the client")


def main() -> int:
    """Run the app as ada, who is logged in, with a state directory; return its exit code."""
    directory = Path(sys.argv[1])
    StateDirectory(directory).remember(SavedSession(server=SERVER, name="ada", token="token"))
    if "GOCHAT_TEST_BROKEN_KEYS" in os.environ:
        XTermParser.tick = Mock(side_effect=RuntimeError("a bug in the parser"))  # type: ignore[method-assign]  # on purpose
    with patch("gochat.tui.start.open_client", opener(BrokenClient())):
        return cli.main(["tui", "--state-dir", str(directory)])


if __name__ == "__main__":
    sys.exit(main())
