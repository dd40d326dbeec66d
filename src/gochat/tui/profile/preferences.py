"""How the app looks and behaves, as the person has chosen it.

Three places, the later one wins: the defaults here; what was chosen in the app; ``tui.toml``, which
the app reads and never writes::

    theme = "gochat-light"

    [keys]
    switcher = "ctrl+t"
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from gochat.errors import ConfigError
from gochat.tui.chat_log.items import Clock
from gochat.tui.input import keys
from gochat.tui.input.keys import Keymap
from gochat.tui.profile.state import StateDirectory


class Settings(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What can be chosen.

    `clock` is how the log shows times. `notify` is for mentions and private messages: a bell,
    the desktop, both or neither. `presence` is whether the log has lines for who comes and goes.
    """

    theme: str = "gochat-dark"
    clock: Clock = "24h"
    bell: bool = True
    desktop: bool = True
    presence: bool = True
    animations: bool = True


@dataclass(frozen=True, slots=True)
class Preferences:
    """The settings in force, the keys, which settings the configuration file fixes, and what in
    that file could not be used."""

    settings: Settings = field(default_factory=Settings)
    keymap: Keymap = field(default_factory=keys.defaults)
    fixed: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()


def default_config() -> Path:
    """Return the configuration file: ``$GOCHAT_TUI_CONFIG``, or where the system keeps those."""
    if chosen := os.environ.get("GOCHAT_TUI_CONFIG"):
        return Path(chosen).expanduser()
    return platformdirs.user_config_path("gochat", appauthor=False) / "tui.toml"


def load(state: StateDirectory, config: Path | None = None) -> Preferences:
    """Read the preferences.

    A mistake in a value is a problem that is reported, and the value stays as it was.

    Raises:
        ConfigError: `config` was asked for and can't be read, or the file is not valid TOML.
    """
    chosen = state.load_settings(Settings)
    tables = _read(config or default_config(), must_exist=config is not None)
    problems: list[str] = []
    fixed: dict[str, Any] = {}
    wanted = tables.pop("keys", {})
    for name, value in tables.items():
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"there is no setting {name!r}{hint}")
            continue
        try:
            msgspec.convert({name: value}, Settings)
        except msgspec.ValidationError as error:
            problems.append(f"{name}: {str(error).partition(' - at')[0].lower()}")
        else:
            fixed[name] = value
    keymap = keys.read(wanted if isinstance(wanted, dict) else {})
    return Preferences(
        msgspec.structs.replace(chosen, **fixed),
        keymap,
        frozenset(fixed),
        (*problems, *keymap.problems),
    )


def _read(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if must_exist:
            raise ConfigError(f"{path}: there is no such file") from error
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
