"""``gochat db``: the same as its functions, for people."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from gochat.chat.names import fold
from gochat.chat.store import Account
from gochat.cli import main
from gochat.storage import open_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one account in it."""
    path = tmp_path / "chat.db"

    async def fill() -> None:
        async with open_store(f"sqlite:///{path}") as store:
            await store.create_account(
                Account(key=fold("mei"), name="mei", password_hash="", created=1)
            )

    trio.run(fill)
    return path


def test_backup_is_a_sound_store(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    assert main(["db", "backup", str(copy), "--store", f"sqlite:///{store}"]) == 0
    assert main(["db", "check", "--store", f"sqlite:///{copy}"]) == 0
    backed_up, state, sound = capsys.readouterr().out.splitlines()
    assert backed_up == f"{copy}: a sound copy of {store}"
    assert state.startswith(f"{copy}: a backup, made 20")
    assert state.endswith("UTC; the first server that starts on it begins a new epoch")
    assert sound == f"{copy}: sound"


def test_store_is_the_configured_one(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "server.toml"
    config.write_text(f"store = 'sqlite:///{store.as_posix()}'\n")
    assert main(["db", "check", "--config", str(config)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{store}: sound"


def test_backup_overwrites_nothing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "backup", str(store), "--store", f"sqlite:///{store}"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_store_that_contradicts_itself_is_said_to_be_and_is_3(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("UPDATE conversation SET members = 7")
    assert main(["db", "check", "--store", f"sqlite:///{store}"]) == 3
    said = capsys.readouterr()
    assert said.out
    assert "not sound" in said.err


def test_file_that_is_no_store_is_3(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(b"not a database, but long enough to look into" * 100)
    assert main(["db", "check", "--store", f"sqlite:///{other}"]) == 3


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "redis://127.0.0.1", "sqlite:///missing.db"])
def test_store_that_is_no_file_is_2(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "check", "--store", url]) == 2
    assert capsys.readouterr().err.startswith("gochat: ")
