"""The state directory keeps sessions, drafts and settings, for its owner alone."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from gochat.errors import ConfigError
from gochat.tui.profile import addresses, preferences
from gochat.tui.profile.preferences import Settings
from gochat.tui.profile.state import KeptList, SavedSession, StateDirectory, default_directory


def test_the_last_session_comes_first_and_one_is_kept_per_server(state: StateDirectory) -> None:
    state.remember(SavedSession(server="gochat://a:1", name="ada", token="t1"))
    state.remember(SavedSession(server="gochat://b:1", name="bob", token="t2"))
    state.remember(SavedSession(server="gochat://a:1", name="ada", token="t3"))
    assert [(s.server, s.token) for s in state.sessions()] == [
        ("gochat://a:1", "t3"),
        ("gochat://b:1", "t2"),
    ]
    session = state.session("gochat://b:1")
    assert session is not None
    assert session.name == "bob"
    assert state.session("gochat://c:1") is None


def test_nobody_else_can_read_the_token(state: StateDirectory) -> None:
    before = os.umask(0)
    try:
        state.remember(SavedSession(server="gochat://a:1", name="ada", token="secret"))
    finally:
        os.umask(before)
    (file,) = state.directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.directory.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_directory_that_others_could_use_is_tightened_and_reported(state: StateDirectory) -> None:
    assert state.secure() == ""  # there is none yet
    state.remember(SavedSession(server="gochat://a:1", name="ada", token="secret"))
    assert state.secure() == ""
    state.directory.chmod(0o770)
    assert f"{state.directory}, where sessions are kept, was open to other users" in state.secure()
    assert stat.S_IMODE(state.directory.stat().st_mode) == 0o700
    assert state.secure() == ""
    state.directory.chmod(0o755)
    state.remember(SavedSession(server="gochat://b:1"))
    assert stat.S_IMODE(state.directory.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such owners")
def test_what_belongs_to_another_user_is_neither_used_nor_read(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write a session there decides where the app connects."""
    state.remember(SavedSession(server="gochat://a:1", name="ada", token="secret"))
    monkeypatch.setattr("os.geteuid", lambda: state.directory.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to another user: choose another"):
        state.secure()
    assert state.sessions() == []
    problems: list[str] = []
    state.report = problems.append
    state.remember(SavedSession(server="gochat://b:1"))
    assert problems == [f"nothing can be kept in {state.directory}: it belongs to another user"]


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b'{"sessions": 5}', b"[]"])
def test_a_damaged_file_is_as_good_as_none(state: StateDirectory, damage: bytes) -> None:
    state.directory.mkdir(parents=True)
    (state.directory / "sessions.json").write_bytes(damage)
    assert state.sessions() == []
    state.remember(SavedSession(server="gochat://a:1"))
    assert len(state.sessions()) == 1


def test_drafts_are_kept_by_server_and_name(state: StateDirectory) -> None:
    state.keep_drafts("gochat://a:1", "ada", {"#lobby": "half"})
    assert state.drafts("gochat://a:1", "ada") == {"#lobby": "half"}
    assert state.drafts("gochat://a:1", "bob") == {}


def test_drafts_of_apps_that_have_ended_are_those_of_the_next(state: StateDirectory) -> None:
    state.keep_drafts("gochat://a:1", "ada", {"#lobby": "first"})
    state.keep_drafts("gochat://a:1", "ada", {"#lobby": "second", "@mei": "hi"}, 1)
    state.keep_drafts("gochat://a:1", "ada", {"#lobby": "of one that runs"}, 2)
    gathered = state.gather_drafts("gochat://a:1", "ada", 0, (0, 1, 3))
    assert gathered == {"#lobby": "first\nsecond", "@mei": "hi"}
    assert state.drafts("gochat://a:1", "ada") == gathered
    assert state.drafts("gochat://a:1", "ada", 1) == {}
    assert state.drafts("gochat://a:1", "ada", 2) == {"#lobby": "of one that runs"}


def test_what_two_apps_change_in_the_list_is_kept_of_both() -> None:
    before = KeptList(("#a", "#b"), ("rooms",), {"#a": 5.0, "#b": 5.0}, 1.0)
    here = KeptList(("#b", "#c"), ("rooms", "private"), {"#b": 9.0}, 1.0)
    other = KeptList(("#a", "#b", "#d"), (), {"#a": 5.0, "#b": 5.0, "#d": 2.0}, 7.0)
    both = KeptList(("#b", "#c", "#d"), ("private",), {"#b": 9.0, "#d": 2.0}, 7.0)
    assert here.changed_from(before, other) == both


def test_the_directory_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOCHAT_TUI_STATE", str(tmp_path))
    assert default_directory() == tmp_path


@pytest.mark.parametrize(
    ("written", "url", "shown"),
    [
        ("chat.example", "gochats://chat.example:8889", "chat.example:8889"),
        ("gochats://chat.example/", "gochats://chat.example:8889", "chat.example:8889"),
        ("gochat://chat.example", "gochat://chat.example:8889", "gochat://chat.example:8889"),
        ("::1", "gochat://[::1]:8889", "[::1]:8889"),
        ("127.0.0.1:1", "gochat://127.0.0.1:1", "127.0.0.1:1"),
        ("gochats://localhost:1", "gochats://localhost:1", "gochats://localhost:1"),
    ],
)
def test_server_is_written_in_short_and_what_is_shown_means_the_same(
    written: str, url: str, shown: str
) -> None:
    assert addresses.complete(written) == url
    assert addresses.shorten(url) == shown
    assert addresses.complete(shown) == url


def test_sessions_from_when_a_bare_name_meant_plain_text_are_forgotten(
    state: StateDirectory,
) -> None:
    """It isn't known whether plain text was chosen: its token must not be sent that way again."""
    state.directory.mkdir(mode=0o700)
    (state.directory / "sessions.json").write_text(
        """{"sessions": [
            {"server": "gochat://chat.example:8889", "name": "ada", "token": "t1"},
            {"server": "gochats://chat.example:8889", "name": "ada", "token": "t2"}
        ]}"""
    )
    assert [session.token for session in state.sessions()] == ["t2"]
    state.remember(SavedSession(server="gochat://chat.example:8889", name="ada", token="t3"))
    assert [session.token for session in StateDirectory(state.directory).sessions()] == ["t3", "t2"]


def test_the_file_wins_over_what_was_chosen_in_the_app(
    state: StateDirectory, tmp_path: Path
) -> None:
    state.save_settings(Settings(theme="nord", clock="12h"))
    config = tmp_path / "tui.toml"
    config.write_text('theme = "gochat-light"\n[keys]\nsearch = "ctrl+t"\n')
    loaded = preferences.load(state, config)
    assert loaded.settings.theme == "gochat-light"
    assert loaded.settings.clock == "12h"
    assert loaded.fixed == {"theme"}
    assert loaded.keymap.keys["search"] == ("ctrl+t",)
    assert not loaded.problems


def test_mistakes_in_the_file_are_reported_and_change_nothing(
    state: StateDirectory, tmp_path: Path
) -> None:
    config = tmp_path / "tui.toml"
    config.write_text('them = "x"\nclock = "13h"\nbell = "loud"\n[keys]\nserch = "f9"\n')
    loaded = preferences.load(state, config)
    assert loaded.settings == Settings()
    assert [problem.partition(":")[0] for problem in loaded.problems] == [
        "unknown setting 'them'; did you mean 'theme'?",
        "clock",
        "bell",
        "keys",
    ]


def test_a_file_that_is_no_toml_stops_the_start(state: StateDirectory, tmp_path: Path) -> None:
    config = tmp_path / "tui.toml"
    config.write_text("theme = ")
    with pytest.raises(ConfigError, match=r"tui\.toml"):
        preferences.load(state, config)
    with pytest.raises(ConfigError, match="no such file"):
        preferences.load(state, tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("127.0.0.1:8889", True),
        ("localhost", True),
        ("gochats://localhost:9000", True),
        ("[::1]:8889", True),
        ("chat.example.org", False),
        ("10.0.0.1:8889", False),
        ("127.example.org:1", False),
    ],
)
def test_a_server_of_this_machine_only_is_known_by_its_address(
    address: str, is_local: bool
) -> None:
    assert addresses.is_local(address) is is_local
