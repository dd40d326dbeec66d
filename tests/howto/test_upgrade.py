"""docs/how-to/upgrade.md, as it is printed, with a store of the first schema."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from peers import PASSWORD

from gochat.chat.passwords import Passwords
from gochat.storage.sqlite import database
from howto import Guide, lobby, say

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="the guide is for systems with a shell"),
]


def first_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a store as the first version did, with a person and a message."""
    path.parent.mkdir(parents=True)
    with monkeypatch.context() as patch:
        first = database.migrations()[:1]
        patch.setattr(database, "migrations", lambda: first)
        database.create(path)
    with closing(sqlite3.connect(path)) as db, db:
        hashed = Passwords().hash(PASSWORD)
        db.execute("INSERT INTO account VALUES ('mei', 'mei', ?, 1700000000000)", (hashed,))
        db.execute(
            "INSERT INTO entry (id, position, ts, sender, kind, text)"
            " VALUES ((1 << 32) + 1, 1, 1700000000000, 'mei', 'text', 'from the first version')"
        )


async def test_upgrade_and_go_back(
    tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = Guide("upgrade.md", tmp_path)
    path = tmp_path / "var/lib/gochat/gochat.db"
    first_store(path, monkeypatch)
    (tmp_path / "var/backups/gochat").mkdir(parents=True)
    config = tmp_path / "etc/gochat/server.toml"
    config.parent.mkdir(parents=True)
    store = guide.here("sqlite:////var/lib/gochat/gochat.db")
    config.write_text(f'store = "{store}"\n')

    guide.run("gochat db backup")
    guide.leave_out("/opt/gochat/bin/pip install", because="this is the new version")
    guide.run("gochat check-config")
    serve = f"gochat serve --config {config}"
    with guide.serving(serve, free_port()) as server:
        assert await lobby(server.port, "mei") == ["from the first version"]
        await say(server.port, "mei", "after the upgrade")
    with closing(sqlite3.connect(path)) as db:
        assert database.user_version(db) == len(database.migrations())

    assert ".replaced-" in guide.run("gochat db restore")
    with closing(sqlite3.connect(path)) as db:
        assert database.user_version(db) == 1
    with guide.serving(serve, free_port()) as server:
        assert await lobby(server.port, "mei") == ["from the first version"]
    guide.finish()
