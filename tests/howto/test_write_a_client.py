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
