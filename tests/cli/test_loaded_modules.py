"""What a command loads: only what it needs, so that it starts at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import contextlib, io, json, sys
from gochat.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main(sys.argv[1:])
print(json.dumps(sorted(name for name, module in sys.modules.items() if module)))
"""
#: msgspec loads the other one if it is installed.
_MSGSPEC = {"msgspec", "typing_extensions"}
#: Parts of gochat that ``gochat admin`` may load: the table of the commands, and the configuration.
_ADMIN = {"chat", "cli", "config", "errors", "private", "protocol", "server", "storage"}


def loaded(argv: list[str], folder: Path) -> set[str]:
    """Return the modules that are loaded when a command has ended."""
    run = subprocess.run(
        [sys.executable, "-c", _RUN, *argv],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        cwd=folder,
    )
    return set(json.loads(run.stdout))


@pytest.mark.parametrize(
    ("argv", "packages", "parts"),
    [
        (["--help"], set(), {"cli", "errors"}),
        (["--version"], set(), {"cli", "errors"}),
        *(
            ([command, "--help"], set(), {"cli", "errors"})
            for command in ("chat", "tui", "check", "check-config", "db", "doctor", "serve")
        ),
        (["status", "--port", "1"], _MSGSPEC | {"platformdirs"}, {"cli", "config", "errors"}),
        (["admin", "--help"], _MSGSPEC | {"platformdirs"}, _ADMIN),
        (["admin", "account", "list"], _MSGSPEC | {"platformdirs"}, _ADMIN),
        (["admin", "account", "ban", "mei", "--for", "x"], _MSGSPEC | {"platformdirs"}, _ADMIN),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_loads_only_what_it_needs(
    argv: list[str], packages: set[str], parts: set[str], tmp_path: Path
) -> None:
    modules = loaded(argv, tmp_path)
    tops = {name.partition(".")[0] for name in modules}
    third_party = {
        top for top in tops - sys.stdlib_module_names if not top.startswith(("_", "sitecustom"))
    }
    assert third_party - packages <= {"gochat"}
    found = {name.split(".")[1] for name in modules if name.startswith("gochat.")}
    assert found - parts == set()


def test_admin_commands_load_no_rules_and_no_store(tmp_path: Path) -> None:
    """Of the server only the table of the commands, of the chat only what that names."""
    modules = loaded(["admin", "account", "list"], tmp_path)
    assert {name for name in modules if name.startswith("gochat.chat.")} == {
        *("gochat.chat.bounds", "gochat.chat.server_roles")
    }
    assert "gochat.storage.sqlite" not in modules
    assert {name for name in modules if name.startswith("gochat.server.")} == {
        f"gochat.server.admin{name}"
        for name in ("", ".arguments", ".command", ".commands", ".peer", ".place", ".wire")
    }
    assert not modules & {"asyncio", "ssl", "sqlite3"}


def test_server_does_not_load_what_only_the_app_needs(tmp_path: Path) -> None:
    """structlog would load rich, if the app's packages are there, too. A folder is no store."""
    modules = loaded(["serve", "--port", "0", "--store", f"sqlite:///{tmp_path}"], tmp_path)
    assert {"gochat.server.session", "structlog.dev"} <= modules
    assert not {name for name in modules if name.startswith(("rich", "textual"))}
