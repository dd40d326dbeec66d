"""Themes of one's own: a TOML file each, in the directory ``themes`` beside ``tui.toml``.

::

    # themes/harbour.toml
    dark = true
    primary = "#7fb4ca"
    background = "#1f1f28"

Only `primary` is needed; what is left out is made from the others. Colours that could not be read
are adjusted, as in all themes. A file with a mistake is reported, with the line and the key, and is
no theme.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from textual.color import Color, ColorParseError
from textual.theme import Theme

from gochat.tui.language import _
from gochat.tui.text.names import separated

_COLOURS: Final = (
    "primary", "secondary", "accent", "success", "warning", "error", "foreground", "background",
    "surface", "panel",
)  # fmt: skip
#: Files that are read: more than anybody looks through.
_MOST: Final = 100


def load(directory: Path) -> tuple[list[Theme], list[str]]:
    """Return the themes in a directory, which need not exist, and what is wrong with others."""
    themes: list[Theme] = []
    problems: list[str] = []
    for path in sorted(directory.glob("*.toml"))[:_MOST]:
        try:
            text = path.read_text(encoding="utf-8")
            values = tomllib.loads(text)
        except OSError as error:
            problems.append(_("theme {file}: {reason}", file=path, reason=error.strerror))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            problems.append(_("theme {file}: {reason}", file=path, reason=error))
        else:
            if mistakes := [*_mistakes(path, text, values)]:
                problems += mistakes
            else:
                themes.append(Theme(name=path.stem, **values))
    return themes, problems


def _mistakes(path: Path, text: str, values: dict[str, Any]) -> Iterator[str]:
    if "primary" not in values:
        yield _("theme {file}: 'primary' is missing: a colour, as \"#7fb4ca\"", file=path)
    for key, value in values.items():
        where = f"{path}:{_line(text, key)}"
        if key == "dark":
            if not isinstance(value, bool):
                yield _("theme {place}: {key!r} must be true or false", place=where, key=key)
        elif key not in _COLOURS:
            known = separated(["dark", *_COLOURS])
            yield _(
                "theme {place}: {key!r} is not known: there are {known}", place=where, key=key,
                known=known,
            )  # fmt: skip
        elif not _is_colour(value):
            yield _(
                "theme {place}: {key!r} must be a colour, as \"#7fb4ca\", not {value!r}",
                place=where, key=key, value=value,
            )  # fmt: skip


def _is_colour(value: object) -> bool:
    try:
        return isinstance(value, str) and Color.parse(value).a == 1
    except ColorParseError:
        return False


def _line(text: str, key: str) -> int:
    written = re.compile(rf"\s*[\[\"']*{re.escape(key)}\b")
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if written.match(line)), 1)
