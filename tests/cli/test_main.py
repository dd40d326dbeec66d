"""The dispatcher: commands, exit codes, and one line for each error."""

from __future__ import annotations

import argparse
import gc
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from patience import PATIENCE

from gochat import __version__, cli
from gochat.cli import serve
from gochat.errors import (
    ChatError,
    ConfigError,
    ErrorCode,
    GochatError,
    StoreCorrupt,
    StoreUnavailable,
)
from gochat.storage.sqlite.pace import LIMIT


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The exceptions that the command ``try`` raises; without any it succeeds."""
    raised: list[BaseException] = []

    def run(_: object) -> int:
        if raised:
            raise raised[0]
        return 7

    module = ModuleType("gochat.cli.try")
    module.add_arguments = lambda parser: None  # type: ignore[attr-defined]  # made by hand
    module.run = run  # type: ignore[attr-defined]  # made by hand
    monkeypatch.setitem(sys.modules, "gochat.cli.try", module)
    monkeypatch.setitem(cli.COMMANDS, "try", "try")
    return raised


def test_exit_code_is_that_of_the_command(outcome: list[BaseException]) -> None:
    assert not outcome
    assert cli.main(["try"]) == 7


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (GochatError("no answer"), 1, "gochat: no answer\n"),
        (StoreUnavailable("locked"), 1, "gochat: locked\n"),
        (ChatError(ErrorCode.BUSY, "busy"), 1, "gochat: busy\n"),
        (OSError(13, "Permission denied", "/x"), 1, "gochat: /x: Permission denied\n"),
        (ConfigError("server.toml:1: x"), 2, "gochat: server.toml:1: x\n"),
        (StoreCorrupt("damaged"), 3, "gochat: damaged\n"),
        (KeyboardInterrupt(), 130, ""),
        (ExceptionGroup("nursery", [StoreCorrupt("damaged")]), 3, "gochat: damaged\n"),
        (
            BaseExceptionGroup("nursery", [GochatError("a"), KeyboardInterrupt()]),
            130,
            "",
        ),
        (
            ExceptionGroup("outer", [ExceptionGroup("inner", [GochatError("a")]), OSError("b")]),
            1,
            "gochat: a\ngochat: b\n",
        ),
        (ChatError("x", "\x1b]52;c;aGk=\x07 \u202e"), 1, "gochat: \\x1b]52;c;aGk=\\x07 \\x202e\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_exception_becomes_an_exit_code_and_a_line(
    error: BaseException,
    code: int,
    text: str,
    outcome: list[BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome.append(error)
    assert cli.main(["try"]) == code
    assert capsys.readouterr().err == text


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), ExceptionGroup("", [GochatError("a"), ValueError("a bug")])]
)
def test_bug_keeps_its_traceback(error: Exception, outcome: list[BaseException]) -> None:
    outcome.append(error)
    with pytest.raises(type(error)) as caught:
        cli.main(["try"])
    assert caught.value is error


@pytest.mark.parametrize("argv", [[], ["dance"], ["--loud"], ["serve", "--loud"]])
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    assert "usage: gochat" in capsys.readouterr().err


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _parsers(inner)


def test_wrong_flag_shows_the_usage_of_the_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    """Of each subcommand of each command, whether or not its arguments are there."""
    for command in cli.COMMANDS:
        for parser in _parsers(cli._build_parser([command])):
            words = parser.prog.split()[1:]
            if not words:
                continue
            needed = [
                action.option_strings[0] if action.option_strings else "1"
                for action in parser._actions
                if action.required and not isinstance(action, argparse._SubParsersAction)
            ]
            assert cli.main([*words, *needed, "--no-such-flag"]) == 2
            assert f"usage: {parser.prog} [" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--store", "--loud"])
def test_wrong_flag_is_named(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["admin", "account", "show", "mei", flag, "x"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("usage: gochat admin account show [")
    assert f"gochat admin account show: error: unrecognized arguments: {flag} x" in shown


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert re.search(rf"^    {command}(?: |$)", text, re.MULTILINE), command


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"usage: gochat {command}" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signal_lets_a_command_clean_up(name: str) -> None:
    """The app restores the terminal, and a backup leaves no partial file."""
    program = (
        "import sys, time\n"
        "from types import ModuleType\n"
        "from gochat import cli\n"
        "def run(args):\n"
        "    try:\n"
        "        print('at work', flush=True)\n"
        # Not signal.pause(): it would wait for ever for a signal that came just before it.
        "        for _ in range(100_000):\n"
        "            time.sleep(0.01)\n"
        "    finally:\n"
        "        print('clean')\n"
        "module = sys.modules['gochat.cli.try'] = ModuleType('gochat.cli.try')\n"
        "module.add_arguments, module.run = (lambda parser: None), run\n"
        "cli.COMMANDS['try'] = 'try'\n"
        "sys.exit(cli.main(['try']))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at work\n"
        process.send_signal(signal.Signals[name])
        assert process.stdout.read() == b"clean\n"
        assert process.wait(PATIENCE) == 128 + signal.Signals[name]


def test_module_and_command_are_the_same() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "gochat", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout == f"gochat {__version__}\n"


def test_server_lets_threads_take_turns_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the event loop waits up to 5 ms whenever it has let go of the interpreter, as each write
    does, and a few rows read or committed seem to come from a slow disk."""
    intervals: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", intervals.append)
    monkeypatch.setattr(serve, "_calm_the_collector", lambda: None)
    serve._set_up_the_interpreter()
    [interval] = intervals
    assert 4 * interval < LIMIT, "a commit waits twice, a read once"


def test_server_looks_for_cycles_in_small_portions_and_seldom_at_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything stops meanwhile, for about a millisecond for each thousand objects."""
    thresholds: list[tuple[int, ...]] = []
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "set_threshold", lambda *given: thresholds.append(given))
    serve._calm_the_collector()
    [(young, middle, full)] = thresholds
    assert young * middle <= 10_000
    assert young * middle * full >= 1_000_000
