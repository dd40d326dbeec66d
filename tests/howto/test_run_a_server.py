"""docs/how-to/run-a-server.md, as it is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from peers import PASSWORD

from howto import Guide, lobby, say

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="the guide is for systems with a shell"),
]


async def test_run_a_server(tmp_path: Path, free_port: Callable[[], int]) -> None:
    guide = Guide("run-a-server.md", tmp_path)
    guide.leave_out("python3 -m venv", because="`make smoke` installs into new environments")
    with guide.serve("gochat serve --host", free_port()) as server:
        await say(server.port, "mei", "hello")
    config = guide.write("# /etc/gochat/server.toml")
    with guide.serve("gochat serve --config", free_port()) as server:
        assert await lobby(server.port, "mei") == ["hello"]
        await say(server.port, "monitor", "registered")
        (config.parent / "monitor.password").write_text(PASSWORD)
        here = f"gochat://127.0.0.1:{server.port}"
        check = guide.take("gochat check").replace("chat.example.org", here)
        assert guide.sh(check).startswith("ok: monitor logged in and wrote at 127.0.0.1:")
    config.write_text(config.read_text().replace("connections_per", "conections_per"))
    said = guide.sh(f"gochat serve --config {config}", code=2)
    assert ":6: limits.conections_per_address: unknown key; did you mean" in said
    guide.finish()
