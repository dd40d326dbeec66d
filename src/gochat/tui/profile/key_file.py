"""Keys chosen in the app, written to the configuration file, of which all else stays as it is."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Final

from gochat import private
from gochat.errors import ConfigError
from gochat.tui.language import _

_HEADER: Final = re.compile(r"\s*\[\s*keys\s*\]\s*(?:#.*)?")
_ANY_HEADER: Final = re.compile(r"\s*\[")


def write_key(path: Path, action: str, key: str) -> None:
    """Make `key` the key of `action` below ``[keys]`` in a TOML file, which may not exist yet.

    Raises:
        ConfigError: the file can't be read or written, or has this setting in a form that can't be
            changed line by line; then nothing is written.
    """
    path = path.resolve()  # a link to a file elsewhere stays one
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = _with_key(before, action, key)
        if tomllib.loads(after).get("keys", {}).get(action) != key:
            raise ConfigError(
                _(
                    "{file}: write {setting} below [keys] yourself", file=path,
                    setting=f"{action} = {json.dumps(key)}",
                )
            )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        private.replace_file(path, after.encode())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _with_key(text: str, action: str, key: str) -> str:
    setting = f"{action} = {json.dumps(key)}"
    lines = text.splitlines()
    header = next((n for n, line in enumerate(lines) if _HEADER.fullmatch(line)), None)
    if header is None:
        gap = [""] if lines and lines[-1].strip() else []
        return "\n".join([*lines, *gap, "[keys]", setting, ""])
    written = re.compile(rf"\s*{re.escape(action)}\s*=")
    at = header + 1
    while at < len(lines) and not _ANY_HEADER.match(lines[at]):
        if written.match(lines[at]):
            lines[at] = setting
            break
        at += 1
    else:
        lines.insert(header + 1, setting)
    return "\n".join([*lines, ""])
