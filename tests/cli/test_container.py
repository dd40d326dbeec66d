"""The Containerfile, checked against the server; no engine builds it in the tests."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from gochat import cli
from gochat.config import load_config

ROOT: Final = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Return the instructions, each with its arguments."""
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def argument(name: str) -> str:
    """Return the arguments of the last instruction of that name: those of the image."""
    return [rest for found, rest in instructions() if found == name][-1]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(argument("ENV")))


def test_image_configures_a_server_that_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        if name.startswith("GOCHAT_"):
            monkeypatch.setenv(name, value)
    config = load_config(None)
    assert config.store == f"sqlite:///{argument('VOLUME')}/gochat.db"
    assert str(config.port) == argument("EXPOSE")
    assert config.metrics.port  # for the health check
    assert config.metrics.host == "127.0.0.1"


def test_image_runs_a_command_that_exists_without_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", argument("USER"))
    command = [*json.loads(argument("ENTRYPOINT")), *json.loads(argument("CMD"))]
    for words in (command, json.loads(argument("HEALTHCHECK").partition("CMD ")[2])):
        assert words[0] == "gochat"
        arguments = cli._build_parser(words[1:]).parse_args(words[1:])
        assert callable(arguments.run)


def test_build_gets_the_files_that_it_copies_and_few_others() -> None:
    context = (ROOT / ".containerignore").read_text().split()
    assert (ROOT / ".dockerignore").read_text().split() == context
    copied = [rest.split() for name, rest in instructions() if name == "COPY"]
    sources = {source for words in copied if "--from" not in words[0] for source in words[:-1]}
    assert {f"!{source}" for source in sources} == {one for one in context if one[0] == "!"}
    assert all((ROOT / source).exists() for source in sources)
