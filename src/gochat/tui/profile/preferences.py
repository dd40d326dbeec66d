"""How the app looks and behaves, as the person has chosen it.

Three places, the later one wins: the defaults here; what was chosen in the app; ``tui.toml``, to
which the app writes only keys that were chosen by pressing them::

    theme = "gochat-light"

    [keys]
    preset = "readline"
    switcher = "ctrl+t"
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import platformdirs
from msgspec import Meta
from textual.theme import Theme

from gochat.errors import ConfigError
from gochat.tui.chat_log.items import Clock
from gochat.tui.input import keys
from gochat.tui.input.keys import Keymap
from gochat.tui.language import _
from gochat.tui.model.quiet import Quiet
from gochat.tui.profile import own_themes
from gochat.tui.profile.key_file import write_key
from gochat.tui.profile.state import StateDirectory


class Settings(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What can be chosen.

    `language` is the name of a catalogue, as ``zh_CN``; empty: that of the environment.
    `clock` is how the log shows times. `notify` is for mentions and private messages: a bell,
    the desktop, both or neither. `presence` is whether the log has lines for who comes and goes,
    `members` whether a wide terminal lists who is in the conversation.
    `quiet` are hours of the day, as ``22:00-07:00``, at which nothing notifies the person.
    `highlight` are words by which a message counts as one that mentions the person.
    """

    theme: str = "gochat-dark"
    language: Annotated[str, Meta(max_length=64)] = ""
    clock: Clock = "24h"
    bell: bool = True
    desktop: bool = True
    presence: bool = True
    members: bool = True
    animations: bool = True
    quiet: Annotated[tuple[str, ...], Meta(max_length=16)] = ()
    highlight: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=64)] = ()


@dataclass(frozen=True, slots=True)
class Preferences:
    """The settings in force, the keys, which settings the configuration file fixes, and what in
    that file could not be used. `path` is that file, whether it exists or not; `themes` are those
    in the directory beside it."""

    settings: Settings = field(default_factory=Settings)
    keymap: Keymap = field(default_factory=keys.defaults)
    fixed: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    path: Path = field(default_factory=lambda: default_config())
    themes: tuple[Theme, ...] = ()

    def with_key(self, action: str, key: str) -> Preferences:
        """Return the preferences with another key for an action, written to the file.

        Raises:
            ConfigError: the key can't be used, or the file not be read or written.
        """
        table = _read(self.path, must_exist=False).get("keys")
        table = table if isinstance(table, dict) else {}
        before = keys.read(table)
        after = keys.read({**table, action: key})
        for problem in after.problems:
            if problem not in before.problems:
                raise ConfigError(problem)
        write_key(self.path, action, key)
        return replace(self, keymap=after)


def default_config() -> Path:
    """Return the configuration file: ``$GOCHAT_TUI_CONFIG``, or where the system keeps those."""
    if chosen := os.environ.get("GOCHAT_TUI_CONFIG"):
        return Path(chosen).expanduser()
    return platformdirs.user_config_path("gochat", appauthor=False) / "tui.toml"


def own_translations(config: Path | None = None) -> Path:
    """Return the directory with the person's own translations: beside the configuration file."""
    return (config or default_config()).parent / "locale"


def load(state: StateDirectory, config: Path | None = None) -> Preferences:
    """Read the preferences.

    A mistake in a value is a problem that is reported, and the value stays as it was.

    Raises:
        ConfigError: `config` was asked for and can't be read, or the file is not valid TOML.
    """
    chosen = state.load_settings(Settings)
    path = config or default_config()
    tables = _read(path, must_exist=config is not None)
    problems: list[str] = []
    fixed: dict[str, Any] = {}
    wanted = tables.pop("keys", {})
    for name, value in tables.items():
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
            problems.append(
                _("unknown setting {name!r}; did you mean {near!r}?", name=name, near=near[0])
                if near
                else _("unknown setting {name!r}", name=name)
            )
            continue
        try:
            Quiet(msgspec.convert({name: value}, Settings).quiet)
        except ValueError as error:  # also msgspec's
            problems.append(f"{name}: {str(error).partition(' - at')[0].lower()}")
        else:
            fixed[name] = value
    if not isinstance(wanted, dict):
        problems.append(_("keys: must be a table, [keys]"))
        wanted = {}
    keymap = keys.read(wanted)
    themes, wrong_themes = own_themes.load(path.parent / "themes")
    return Preferences(
        msgspec.structs.replace(chosen, **fixed),
        keymap,
        frozenset(fixed),
        (*problems, *keymap.problems, *wrong_themes),
        path,
        tuple(themes),
    )


def _read(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if must_exist:
            raise ConfigError(_("{file}: no such file", file=path)) from error
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
