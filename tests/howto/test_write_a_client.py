"""docs/how-to/write-a-client.md, as it is printed."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from processes import serve

from howto import PAGES

#: A block of code, and what it prints, where the page says so.
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def test_write_a_client(tmp_path: Path) -> None:
    page = (PAGES / "write-a-client.md").read_text(encoding="utf-8")
    assert "```sh\ngochat serve\n```" in page
    assert set(re.findall(r"^```(\w+)$", page, re.M)) == {"sh", "python", "text"}
    blocks = BLOCK.findall(page)
    assert len(blocks) == page.count("```python") == 7
    assert sum(bool(expected) for _, expected in blocks) == page.count("```text") == 3
    with serve(tmp_path / "chat.db") as server:
        namespace: dict[str, Any] = {}
        for code, expected in blocks:
            printed = io.StringIO()
            with redirect_stdout(printed):
                exec(code.replace("8889", str(server.port)), namespace)
            assert printed.getvalue() == expected
        namespace["bob"].close()
        assert _rejoined(namespace["Client"]) == ["hi", "again"]


def _rejoined(client: Any) -> list[str]:
    """Return what the page's client shows of a room that its person has left and joined again.

    They did so on another device, while it was away, and the history is hidden from who joins.
    """
    shown: list[str] = []

    class Recorder(client):  # type: ignore[misc]  # the class is that of the page
        def show(self, conv: str, entry: dict[str, Any]) -> None:
            if conv == "#den" and entry.get("kind", "text") == "text":
                shown.append(entry["text"])

    mei = client("mei", "a pot of green tea")
    here, there = Recorder("bob", "a cup of coffee"), client("bob", "a cup of coffee")
    mei.connect()
    mei.ask("create_room", room="#den", private=True)
    mei.ask("set_history", room="#den", history="hidden")
    mei.ask("invite", room="#den", name="bob")
    here.connect()
    here.ask("join", room="#den")
    mei.ask("send", to="#den", text="hi")
    here.ask("ping")
    here.connection.close()
    there.connect()
    there.ask("leave", room="#den")
    mei.ask("send", to="#den", text="hidden")
    mei.ask("invite", room="#den", name="bob")
    there.ask("join", room="#den")
    mei.ask("send", to="#den", text="again")
    mei.connection.close()
    here.connect()
    here.connection.close()
    there.connection.close()
    return shown
