"""Logs report what happened, and text from peers can't harm their readers."""

from __future__ import annotations

import errno
import json
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gochat
from gochat.config import load_config_and_sources
from gochat.server import session_log
from gochat.server.logs import configure_logs, log_start

#: Characters on which a terminal would act, and characters that would begin a new line.
HOSTILE = "\x1b[31m\x1b]52;c;x\x07\n\r\x08\x9b1m\u202e\u2028\x00\x7f"


@pytest.fixture(autouse=True)
def _configured_anew() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def log() -> Any:
    return structlog.stdlib.get_logger()


def is_inert(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


class Odd:
    """A value with a malicious representation."""

    def __repr__(self) -> str:
        return HOSTILE


# -- style and level ------------------------------------------------------------------------------


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    log().info("logged in", name="梅", address="::1", sessions=3, tls=False, nobody=None)
    [line] = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", entry.pop("timestamp"))
    assert entry == {
        "event": "logged in",
        "level": "info",
        "name": "梅",
        "address": "::1",
        "sessions": 3,
        "tls": False,
        "nobody": None,
    }


def test_terminal_gets_a_readable_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", "info")
    log().info("logged in", name="梅", sessions=3)
    [line] = capsys.readouterr().err.splitlines()
    assert "[info     ] logged in" in line
    assert "name=梅" in line
    assert "sessions=3" in line


@pytest.mark.parametrize(("tty", "style"), [(True, "console"), (False, "json")])
def test_style_depends_on_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tty: bool, style: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: tty)
    configure_logs("auto", "info")
    log().info("hello")
    [line] = capsys.readouterr().err.splitlines()
    assert (line[0] == "{") is (style == "json")
    assert ("\x1b[" in line) is tty, "colours for terminals only"


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")],
)
def test_less_important_events_are_left_out(
    capsys: pytest.CaptureFixture[str],
    level: Literal["debug", "info", "warning", "error"],
    shown: str,
) -> None:
    configure_logs("json", level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log(), name)(name)
    lines = capsys.readouterr().err.splitlines()
    assert "".join(json.loads(line)["event"][0] for line in lines) == shown


# -- what peers send ------------------------------------------------------------------------------

STYLES: list[Literal["console", "json"]] = ["console", "json"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("value", [HOSTILE, [HOSTILE], {HOSTILE: HOSTILE}, HOSTILE.encode(), Odd()])
def test_text_from_peers_can_neither_draw_nor_forge_a_line(
    capsys: pytest.CaptureFixture[str], style: Literal["console", "json"], value: object
) -> None:
    configure_logs(style, "info")
    log().info("login failed", name=value)
    [line] = capsys.readouterr().err.splitlines()
    assert is_inert(line)
    log().info("login failed " + HOSTILE)
    [line] = capsys.readouterr().err.splitlines()
    assert is_inert(line)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), max_size=30), style=st.sampled_from(STYLES))
def test_any_text_is_one_inert_line(
    capsys: pytest.CaptureFixture[str], text: str, style: Literal["console", "json"]
) -> None:
    configure_logs(style, "info")
    log().info("login failed", name=text)
    output = capsys.readouterr().err
    assert output.endswith("\n")
    assert is_inert(output.removesuffix("\n"))
    assert "\n" not in output[:-1]
    if style == "json":
        assert json.loads(output)["name"] == text


def test_readable_text_is_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", "info")
    log().info("hello", name="梅\x1b", path="C:\\new")
    line = capsys.readouterr().err
    assert "name=梅\\x1b" in line
    assert "path=C:\\new" in line


# -- exceptions -----------------------------------------------------------------------------------


def fail(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        log().exception("session failed", name="mei")


def test_exception_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    fail("oh")
    [line] = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["event"]) == ("error", "session failed")
    assert "in fail" in entry["exception"]
    assert entry["exception"].endswith("ValueError: oh")
    configure_logs("console", "info")
    fail("oh")
    lines = capsys.readouterr().err.splitlines()
    assert "session failed" in lines[0]
    assert lines[-1] == "    ValueError: oh"


@pytest.mark.parametrize("style", STYLES)
def test_text_of_an_exception_can_neither_draw_nor_forge_a_line(
    capsys: pytest.CaptureFixture[str], style: Literal["console", "json"]
) -> None:
    configure_logs(style, "info")
    fail("bad \x1b[31m\n2026-01-01T00:00:00Z [info     ] logged in  name=admin\u202e")
    lines = capsys.readouterr().err.splitlines()
    assert all(is_inert(line) for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])


# -- when it can't be written ---------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "disk full"), BrokenPipeError(), ValueError("closed")]
)
def test_log_that_cant_be_written_disturbs_nobody(
    monkeypatch: pytest.MonkeyPatch, style: Literal["console", "json"], error: Exception
) -> None:
    class Full:
        def isatty(self) -> bool:
            return False

        def write(self, _text: str) -> None:
            raise error

        def flush(self) -> None:
            raise error

    monkeypatch.setattr(sys, "stderr", Full())
    configure_logs(style, "info")
    log().info("hello")
    fail("oh")


# -- the reference --------------------------------------------------------------------------------

#: Calls that log, and their events: f-strings are not fixed events.
_CALL = re.compile(
    r"(?:log\.(?:debug|info|warning|error|exception)|\.note|certificate\.log|self\.log)"
    r"\(\s*\"([^\"]+)\""
)


def test_every_event_is_in_the_reference() -> None:
    root = Path(gochat.__file__).parent
    page = (root.parents[1] / "docs" / "reference" / "log.md").read_text(encoding="utf-8")
    events = {text for _, text in re.findall(r"(``?)(?! )(.+?)\1(?!`)", page)}
    logged: set[str] = set(session_log._REFUSED.values()) | {"request refused", "frame refused"}
    for package in ("server", "chat", "storage", "cli"):
        for module in (root / package).rglob("*.py"):
            logged.update(_CALL.findall(module.read_text(encoding="utf-8")))
    assert len(logged) > 40
    assert logged - events == set()


def test_first_line_has_the_limits_and_the_sources_of_the_configuration(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "server.toml"
    path.write_text('store = "redis://gochat:secret@redis.lan/chat?password=secret"\n')
    loaded = load_config_and_sources(
        path, environ={"GOCHAT_PORT": "1"}, flags={"host": "::1"}, settings={"limits.burst": "9"}
    )
    configure_logs("json", "info")
    log_start(*loaded, workers=2)
    entry = json.loads(capsys.readouterr().err)
    assert entry["event"] == "starting"
    assert entry["version"] == gochat.__version__
    assert entry["python"] == platform.python_version()
    assert entry["store"] == "redis://redis.lan/chat"
    assert entry["configured"] == {
        "store": f"{path}:1: store",
        "port": "GOCHAT_PORT",
        "host": "--host",
        "limits.burst": "--set limits.burst",
    }
    assert entry["limits"]["burst"] == 9
    assert entry["limits"]["max_connections"] > 0, "what 0 means here"
