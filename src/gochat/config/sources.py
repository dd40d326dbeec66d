"""Read the configuration from its sources, and report errors in them."""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, get_origin

import msgspec

from gochat.config.checks import contradictions
from gochat.config.listen import Listen
from gochat.config.schema import KEYS, LISTEN_KEYS, SECRET, SECTIONS, Config, Key, bare_type
from gochat.errors import ConfigError

T = TypeVar("T")

_BY_VARIABLE: Final = {key.variable: key.name for key in KEYS.values()}
#: The keys of the only listener, if there is no `[[listen]]`.
ONE_LISTENER: Final = ("host", "port", "proxy_from")
#: The file's path can't be in the file.
CONFIG_VARIABLE: Final = "GOCHAT_CONFIG"
#: Variables of other parts of gochat, which the server leaves alone.
_FOREIGN: Final = re.compile(r"GOCHAT_(CHECK|CLIENT|TEST|TUI|URL|WORKER)(_|$)")


def default_config_path() -> Path:
    """Return the default path of the configuration file."""
    import platformdirs  # not needed for `Config()` alone

    return platformdirs.user_config_path("gochat", appauthor=False) / "server.toml"


def load_config(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Config:
    """Return the configuration from all its sources: see :func:`load_config_and_sources`."""
    return load_config_and_sources(path, environ=environ, flags=flags, settings=settings)[0]


def load_config_and_sources(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    settings: Mapping[str, str] | None = None,
) -> tuple[Config, Mapping[str, str]]:
    """Return the configuration from all its sources, and the source of each key that is set.

    `path` is the file; without it, the one that GOCHAT_CONFIG names, or the default one if it
    exists. `flags` have dotted keys, and values as text or in the key's type; None means "not
    given". `settings` are those of ``--set``, which override the flags. `environ` defaults to the
    process's. A variable or a flag with an empty value is refused: it was probably meant to come
    from another variable that is not set, and the default may be another database or no encryption.

    Raises:
        ConfigError: with the file and line, variable or flag, and the key.
    """
    values = _gather(_Values(), path, environ, flags or {}, settings or {})
    return values.build(), values.sources


def load_store_url(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    flag: str | None = None,
) -> str:
    """Return the store's URL, from the sources of :func:`load_config`, without checking other keys.

    The other keys are the server's, and may be valid only where it runs: a service manager may hand
    it the path of its private key, for example.

    Raises:
        ConfigError: the file can't be read, or its `store` is not a text.
    """
    values = _gather(_Values(only="store"), path, environ, {"store": flag}, {})
    return values.build().store_url


def _gather(
    values: _Values,
    path: Path | None,
    environ: Mapping[str, str] | None,
    flags: Mapping[str, object],
    settings: Mapping[str, str],
) -> _Values:
    environ = os.environ if environ is None else environ
    if path is None and CONFIG_VARIABLE in environ:
        path = Path(_not_empty(environ[CONFIG_VARIABLE], CONFIG_VARIABLE))
    if path is not None:
        _read_file(path, values)
    elif (default := default_config_path()).is_file():
        _read_file(default, values)
    for variable, text in environ.items():
        if not variable.startswith("GOCHAT_") or variable == CONFIG_VARIABLE:
            continue
        key = _BY_VARIABLE.get(variable)
        if values.only not in (None, key):
            continue
        if key is not None:
            values.set(key, _not_empty(text, variable), variable)
        elif not _FOREIGN.match(variable):
            raise ConfigError(f"{variable}: unknown variable{_near(variable, _BY_VARIABLE)}")
    for name, value in flags.items():
        if value is not None:
            flag = f"--{_dashed(name)}"
            values.set(name, _not_empty(value, flag), flag)
    for name, text in settings.items():
        flag = f"--set {name}"
        values.set(name, _not_empty(text, flag), flag)
    return values


class _Values:
    """The values collected from the sources; a later one overrides an earlier one.

    With `only`, the name of a key, all others are skipped.
    """

    def __init__(self, only: str | None = None) -> None:
        self.only: Final = only
        self._values: dict[str, object] = {}
        self.sources: dict[str, str] = {}  # where each value came from
        self._listen: list[Listen] = []

    def set(self, name: str, value: object, source: str) -> None:
        """Check and store a value.

        Raises:
            ConfigError: the key is unknown, or does not accept this value.
        """
        if self.only not in (None, name):
            return
        key = KEYS.get(name)
        if key is None:
            raise ConfigError(f"{source}: unknown key{_near(name, KEYS)}")
        if name in ONE_LISTENER:
            self._listen.clear()  # what comes later counts
            self.sources.pop("listen", None)
        self._values[name] = _converted(key, value, source)
        self.sources[name] = source

    def listen(self, values: Mapping[str, object], source: Callable[[str], str]) -> None:
        """Check and store a `[[listen]]`; `source` returns where a key of it is.

        Raises:
            ConfigError: a key is unknown, or does not accept its value.
        """
        if self.only is not None:
            return
        for name in ONE_LISTENER:
            if name in self._values:
                raise ConfigError(
                    f"{self.sources[name]}: put it into [[listen]]: together with one, "
                    f"{name} would be of no other listener"
                )
        kinds = {"host": "host", "port": "host", "unix": "unix", "systemd": "systemd"}
        if len({kinds[name] for name in values if name in kinds}) > 1:
            raise ConfigError(
                f"{source('')}: it is one of host with port, unix, or systemd: write a [[listen]] "
                "for each"
            )
        converted = {}
        for name, value in values.items():
            key = LISTEN_KEYS.get(name)
            if key is None:
                raise ConfigError(f"{source(name)}: unknown key{_near(name, LISTEN_KEYS)}")
            converted[name] = _converted(key, value, source(name))
        if "host" in converted:
            converted["host"] = _plain_host(str(converted["host"]))
        self._listen.append(Listen(**converted))
        self.sources["listen"] = source("")

    def build(self) -> Config:
        """Return the configuration.

        Raises:
            ConfigError: some values contradict each other.
        """
        top: dict[str, Any] = {name: v for name, v in self._values.items() if "." not in name}
        for section, struct in SECTIONS.items():
            prefix = f"{section}."
            top[section] = struct(
                **{n.removeprefix(prefix): v for n, v in self._values.items() if prefix in n}
            )
        if "host" in top:
            top["host"] = _plain_host(top["host"])
        config = Config(**top, listen=tuple(self._listen))
        for names, text in contradictions(config):
            source = next(self.sources[name] for name in names if name in self.sources)
            raise ConfigError(f"{source}: {text}")
        return config


def _converted(key: Key, value: object, source: str) -> Any:
    wanted, shown = value, repr(value)
    if isinstance(value, str) and get_origin(bare_type(key.type)) is tuple:
        wanted = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, Path):
        wanted = str(value)
    try:
        # Only text is converted to the key's type: true in a file does not mean 1.
        converted = msgspec.convert(wanted, key.type, strict=not isinstance(value, str))
        if isinstance(converted, float) and not math.isfinite(converted):
            raise msgspec.ValidationError
    except msgspec.ValidationError:
        got = "" if key.name in SECRET else f", got {shown}"
        raise ConfigError(f"{source}: expected {key.expected}{got}") from None
    return converted


def _plain_host(host: str) -> str:
    """Return an address without the brackets that it has in URLs."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _not_empty(value: T, source: str) -> T:
    if isinstance(value, str) and not value.strip():
        raise ConfigError(f"{source}: empty: leave it out for the default, or give a value")
    return value


def _read_file(path: Path, values: _Values) -> None:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors on Windows write a BOM
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        number = re.match(r"line (\d+)", place)  # or "end of document"
        line = number[1] if number else len(text.splitlines())
        raise ConfigError(f"{path}:{line}: {what}") from None

    def source(name: str) -> str:
        line = _find_line(text, name)
        return f"{path}:{line}: {name}" if line else f"{path}: {name}"

    for name, value in content.items():
        if name == "listen":
            _read_listeners(path, text, value, values)
        elif name not in SECTIONS:
            if isinstance(value, dict) and values.only is None:
                raise ConfigError(f"{source(name)}: unknown section{_near(name, SECTIONS)}")
            values.set(name, value, source(name))
        elif isinstance(value, dict):
            for inner, inner_value in value.items():
                full = f"{name}.{inner}"
                values.set(full, inner_value, source(full))
        elif values.only is None:
            raise ConfigError(f"{source(name)}: expected a section, [{name}]")


def _read_listeners(path: Path, text: str, tables: object, values: _Values) -> None:
    if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
        line = _find_line(text, "listen")
        raise ConfigError(f"{path}:{line}: listen: expected a table for each, [[listen]]")
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*listen\s*\]\]", line)]
    for number, table in enumerate(tables):
        start = starts[number] if len(starts) == len(tables) else None

        def source(name: str, start: int | None = start) -> str:
            full = f"listen.{name}" if name else "listen"
            if start is None:  # an inline table
                return f"{path}:{_find_line(text, 'listen')}: {full}"
            part = "\n".join(lines[start - 1 :])
            return f"{path}:{start - 1 + (_find_line(part, full) or 1)}: {full}"

        values.listen(table, source)


def _find_line(text: str, name: str) -> int | None:
    """Return the line that sets `name`, as far as can be found without parsing TOML again.

    tomllib keeps no positions. This finds what people write: ``[section]`` and ``key =``, quoted
    or dotted. For a key inside an inline table it returns the table's line.
    """
    section, fallback = "", None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]#]+?)\s*\]", line)
        if header:
            section = _plain(header[1])
            found = section
        elif setting := re.match(r"\s*([\w\s.\"'-]+?)\s*=", line):
            found = f"{section}.{_plain(setting[1])}".lstrip(".")
        else:
            continue
        if found == name:
            return number
        if fallback is None and name.startswith(f"{found}."):
            fallback = number
    return fallback


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _near(name: str, known: Iterable[str]) -> str:
    """Return a suggestion of known names close to an unknown one, to append to the error."""
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.75)
    # A known key, but in the wrong section or in none.
    near += [k for k in known if k.rpartition(".")[2] == name.rpartition(".")[2] and k not in near]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _dashed(name: str) -> str:
    return name.replace(".", "-").replace("_", "-")
