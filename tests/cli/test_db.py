"""``gochat db``: its functions as commands."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio
from processes import serve

from gochat.chat.account import Account
from gochat.chat.names import fold
from gochat.cli import main
from gochat.storage import open_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one account."""
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


def test_backup_to_a_relative_path_is_in_the_current_directory(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the README: `gochat db backup copy.db`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOCHAT_STORE", f"sqlite:///{store.name}")
    assert main(["db", "backup", "copy.db"]) == 0
    assert main(["db", "check", "--store", "sqlite:///copy.db"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        *("chat.db", "chat.db.lock", "chat.db.generation", "chat.db.index", "copy.db")
    }


def test_store_commands_need_no_other_configuration(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service gets its key by an environment variable; the nightly backup does not."""
    config = tmp_path / "server.toml"
    config.write_text(
        f"store = 'sqlite:///{store.as_posix()}'\nof_a_newer_gochat = 1\n"
        "[limits]\nburst = 'many'\n[tls]\ncert = '/etc/gochat/fullchain.pem'\n[newer]\n"
    )
    monkeypatch.setenv("GOCHAT_PORT", "")
    monkeypatch.setenv("GOCHAT_LIMITS_NONE", "1")
    copy = tmp_path / "copy.db"
    assert main(["db", "backup", str(copy), "--config", str(config)]) == 0
    assert main(["db", "check", "--config", str(config)]) == 0
    assert main(["db", "restore", str(copy), "--replace", "--config", str(config)]) == 0


def test_store_key_is_still_validated(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOCHAT_STORE", "")
    assert main(["db", "check"]) == 2
    assert "GOCHAT_STORE: empty" in capsys.readouterr().err
    assert main(["db", "check", "--store", ""]) == 2
    assert main(["db", "check", "--store", f"sqlite:///{store}"]) == 2, (
        "the variable is still wrong"
    )


def test_restore_needs_a_flag_to_replace_a_store(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    flags = ["--store", f"sqlite:///{store}"]
    assert main(["db", "backup", str(copy), *flags]) == 0
    assert main(["db", "restore", str(copy), *flags]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["db", "restore", str(copy), "--replace", *flags]) == 0
    kept, restored = capsys.readouterr().out.splitlines()
    assert kept.startswith(f"{store}.replaced-")
    assert kept.endswith(": the store that was there before")
    assert restored == f"{store}: a sound copy of {copy}; a server can be started on it"
    assert main(["db", "check", *flags]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{store}: a backup, made 20")


def test_restore_exit_codes_with_a_running_server_or_no_backup(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    flags = ["--replace", "--store", f"sqlite:///{store}"]
    with serve(store) as running:
        assert main(["db", "backup", str(copy), "--store", f"sqlite:///{store}"]) == 0
        assert main(["db", "restore", str(copy), *flags]) == 1
        assert f"pid {running.process.pid}" in capsys.readouterr().err
    assert main(["db", "restore", str(tmp_path / "missing.db"), *flags]) == 2
    (tmp_path / "text").write_text("not a database, but long enough to look into" * 10)
    assert main(["db", "restore", str(tmp_path / "text"), *flags]) == 3


def test_backup_does_not_overwrite_a_file(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "backup", str(store), "--store", f"sqlite:///{store}"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_inconsistent_store_is_reported_with_exit_code_3(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("UPDATE conversation SET members = 7")
    assert main(["db", "check", "--store", f"sqlite:///{store}"]) == 3
    said = capsys.readouterr()
    assert said.out
    assert "is damaged" in said.err


def test_file_that_is_not_a_store_exits_with_3(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(b"not a database, but long enough to look into" * 100)
    assert main(["db", "check", "--store", f"sqlite:///{other}"]) == 3


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "mysql://127.0.0.1", "sqlite:///missing.db"])
def test_store_that_is_not_a_file_exits_with_2(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "check", "--store", url]) == 2
    assert capsys.readouterr().err.startswith("gochat: ")
