"""In tmux the app says what to set, and copies by tmux."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gochat.tui.host import tmux


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"allow-passthrough": "off", "focus-events": "on"}, "set -g allow-passthrough on"),
        ({"allow-passthrough": "on", "focus-events": "off"}, "set -g focus-events on"),
        ({"allow-passthrough": "all", "focus-events": "on"}, ""),
        ({}, ""),  # of a version that has no such option, or can't be asked
    ],
)
def test_what_is_to_be_set_is_said(options: dict[str, str], said: str) -> None:
    problem = tmux.problem(lambda *arguments: options.get(arguments[-1], ""))
    assert said in problem
    assert bool(problem) == bool(said)


def test_tmux_is_known_by_its_variable() -> None:
    assert tmux.is_inside({"TMUX": "/tmp/tmux-0/default,1,0"})
    assert not tmux.is_inside({"TMUX": ""})
    assert not tmux.is_inside({})


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command `tmux` that notes how it was called."""
    command = tmp_path / "tmux"
    command.write_text(
        f"""#!/bin/sh
case $1 in display-message) echo "$TERMINAL"; exit; esac
echo "$@" > {tmp_path}/called
cat > {tmp_path}/given
exit $CODE
"""
    )
    monkeypatch.setenv("CODE", "0")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(
    ("code", "terminal", "said"),
    [
        ("0", "xterm-256color bpaste,clipboard,title", ""),
        ("0", "", ""),  # it can't be asked
        ("0", "vt220 bpaste", "set -as terminal-features ',vt220:clipboard'"),
        ("1", "", "set -g set-clipboard on"),
    ],
)
def test_tmux_that_keeps_what_is_copied_is_said(
    fake: Path, monkeypatch: pytest.MonkeyPatch, code: str, terminal: str, said: str
) -> None:
    monkeypatch.setenv("CODE", code)
    monkeypatch.setenv("TERMINAL", terminal)
    problem = tmux.copy("text")
    assert said in problem
    assert bool(problem) == bool(said)


def test_tmux_is_asked_to_fill_the_clipboard(fake: Path) -> None:
    tmux.copy("one\ntwo")
    assert (fake / "called").read_text() == "load-buffer -w -\n"
    assert (fake / "given").read_text() == "one\ntwo"


def test_without_the_command_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tmux.copy("text")
    assert tmux.problem() == ""
