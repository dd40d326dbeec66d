"""docs/how-to/back-up.md, as it is printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from howto import Guide, lobby, say

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="the guide is for systems with a shell"),
]


async def test_back_up_and_restore(tmp_path: Path, free_port: Callable[[], int]) -> None:
    guide = Guide("back-up.md", tmp_path, **{"$(date +%F)": "2026-11-23"})
    guide.run("install -d")
    config = tmp_path / "etc/gochat/server.toml"
    config.parent.mkdir(parents=True)
    store = guide.here("sqlite:////var/lib/gochat/gochat.db")
    # What serving needs is not there: a backup must not need it.
    config.write_text(f'store = "{store}"\n[tls]\nkey = "/missing.pem"\n')
    serve = f"gochat serve --store {store}"

    with guide.serving(serve, free_port()) as server:
        await say(server.port, "mei", "in the backup")
        guide.run("gochat db backup")
        await say(server.port, "mei", "after the backup")
        restore = guide.take("gochat db restore")
        assert "in use" in guide.sh(restore, code=1)

    said = guide.run("gochat db check")
    assert ": a backup, made " in said
    assert said.splitlines()[-1].endswith(": sound")
    assert ".replaced-" in guide.sh(restore)
    with guide.serving(serve, free_port()) as server:
        assert await lobby(server.port, "mei") == ["in the backup"]
        nightly = guide.take("[Service]").replace("%%", "%")
        [backup] = re.findall(r"^ExecStart=(.*)", nightly, re.M)
        [clean_up] = re.findall(r"^ExecStartPost=(.*)", nightly, re.M)
        guide.sh(backup)
        guide.sh(clean_up)
    assert len([*(tmp_path / "var/backups/gochat").iterdir()]) == 2
    guide.leave_out("[Timer]", because="there is no systemd to ask")
    guide.finish()
