"""A key that was chosen in the app is written to the file, and nothing else in it changes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gochat.errors import ConfigError
from gochat.tui.profile.key_file import write_key


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[keys]\nquit = "ctrl+d"\n'),
        ('theme = "nord"  # calm\n', 'theme = "nord"  # calm\n\n[keys]\nquit = "ctrl+d"\n'),
        ('[keys] # mine\nhelp = "f2"\n', '[keys] # mine\nquit = "ctrl+d"\nhelp = "f2"\n'),
        (
            '[keys]\nhelp = "f2"\nquit = ["f3"]\n# end\n',
            '[keys]\nhelp = "f2"\nquit = "ctrl+d"\n# end\n',
        ),
    ],
)
def test_the_key_is_written_and_the_other_lines_stay(
    tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / "of" / "tui.toml"
    if before:
        path.parent.mkdir()
        path.write_text(before)
    write_key(path, "quit", "ctrl+d")
    assert path.read_text() == after


@pytest.mark.parametrize("before", ['keys = {quit = "f3"}\n', '[keys]\nquit = [\n"f3"]\n', "theme"])
def test_a_file_that_can_not_be_changed_by_lines_stays_as_it_is(
    tmp_path: Path, before: str
) -> None:
    path = tmp_path / "tui.toml"
    path.write_text(before)
    with pytest.raises(ConfigError, match=r"tui\.toml"):
        write_key(path, "quit", "ctrl+d")
    assert path.read_text() == before


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles.toml").write_text("")
    (tmp_path / "tui.toml").symlink_to(tmp_path / "dotfiles.toml")
    write_key(tmp_path / "tui.toml", "quit", "ctrl+d")
    assert (tmp_path / "tui.toml").is_symlink()
    assert tomllib.loads((tmp_path / "dotfiles.toml").read_text()) == {"keys": {"quit": "ctrl+d"}}
