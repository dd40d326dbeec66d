"""The how-to guides, run as printed, in a sandbox.

The machine is not touched: the directories that the guides name are below a root that belongs to
the test, ports are free ones of the loopback, and `gochat` on PATH is this one. Nothing else is
replaced. Every block of commands or configuration of a page must be run, written to its file, or
left out with a reason: :meth:`Guide.finish` fails if one was not.
"""

from __future__ import annotations

import getpass
import grp
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import trio
from peers import Peer

from gochat.protocol.messages import History, HistoryPage, Send, Sent

PAGES: Final = Path(__file__).parents[2] / "docs" / "how-to"

#: Where the guides put things.
_PLACES: Final = re.compile(
    r"(?<![\w/.])/(?=(?:opt/gochat|etc/(?:gochat|letsencrypt)|var/(?:lib|backups)/gochat|backup)\b)"
    r"|(?<=sqlite:///)/(?=var/|backup)"
)
#: Languages whose blocks must be taken; samples of output are `text` and `console`.
_TAKEN: Final = {"sh", "toml", "ini"}
#: Seconds for a command on a busy machine.
PATIENCE: Final = 120.0


def _gochat() -> str:
    """Return how a shell starts gochat: hundreds of them take long to load it."""
    if sys.platform != "linux":
        return f"{sys.executable} -m gochat"
    from fork_server import shell_command

    return shell_command()


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


class Guide:
    """A page, whose blocks are taken one after the other."""

    def __init__(
        self, page: str, root: Path, languages: Collection[str] = _TAKEN, **replaced: str
    ) -> None:
        self.root: Final = root
        self._replaced = replaced
        found = re.findall(r"^( *)```(\w+)\n(.*?)^ *```$", (PAGES / page).read_text(), re.M | re.S)
        self._blocks = [
            Block(language, re.sub(f"^{indent}", "", text, flags=re.M))
            for indent, language, text in found
            if language in languages
        ]
        for command in ("bin", "opt/gochat/bin"):
            self._install(self.root / command / "gochat", f'exec {_gochat()} "$@"')
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GOCHAT_")},
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
        }

    @property
    def remaining(self) -> list[str]:
        """The blocks that were not used yet, with the paths and ports of the test."""
        return [self.here(block.text) for block in self._blocks]

    def here(self, text: str) -> str:
        """Return a text of the page with the paths and ports of the test."""
        text = _PLACES.sub(f"{self.root}/", text)
        text = text.replace("'*'", "127.0.0.1").replace('"*"', '"127.0.0.1"')
        group = grp.getgrgid(os.getegid()).gr_name
        text = text.replace("-o gochat -g gochat", f"-o {getpass.getuser()} -g {group}")
        text = text.replace("-o root -g gochat", f"-o {getpass.getuser()} -g {group}")
        for old, new in self._replaced.items():
            text = text.replace(old, new)
        return text

    def take(self, beginning: str) -> str:
        """Return the first block that begins with the text, for this test, and count it as used."""
        for block in self._blocks:
            if block.text.startswith(beginning):
                self._blocks.remove(block)
                return self.here(block.text)
        raise AssertionError(f"no block begins with {beginning!r}: {self._blocks}")

    def leave_out(self, beginning: str, *, because: str) -> None:
        """Skip a block, with a reason."""
        assert because
        self.take(beginning)

    def finish(self) -> None:
        """Fail if a block was not used."""
        assert self._blocks == []

    # -- running --------------------------------------------------------------------------------

    def run(self, beginning: str, *, code: int = 0) -> str:
        """Run a block in a shell that stops at the first error; return what it printed."""
        return self.sh(self.take(beginning), code=code)

    def sh(self, commands: str, *, code: int = 0) -> str:
        """Run commands that already have the paths and ports of the test."""
        done = subprocess.run(
            ["sh", "-eu", "-c", commands],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, f"{commands}\n{done.stdout}"
        return done.stdout

    def write(self, beginning: str, path: str = "", *, mode: int = 0o600) -> Path:
        """Write a block to the file that its first line names in a comment, or to `path`."""
        text = self.take(beginning)
        named = re.search(r"^# (/[^\s,]+)", text, re.M)
        target = Path((path and self.here(path)) or (named and named[1]) or "")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    @contextmanager
    def serve(self, beginning: str, port: int) -> Iterator[Server]:
        """Run a block that is a server until the end of the ``with``, on a port of the test."""
        with self.serving(self.take(beginning), port) as server:
            yield server

    @contextmanager
    def serving(self, command: str, port: int) -> Iterator[Server]:
        """Run a server's command that already has the paths and ports of the test."""
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command.strip()}"],
            cwd=self.root,
            # The command stays as on the page; this goes into its environment.
            env={**self.environment, "GOCHAT_PORT": str(port), "GOCHAT_LOG_FORMAT": "json"},
            stderr=subprocess.PIPE,
            text=True,
        )
        server = Server(process, port)
        try:
            server.wait_for("listening")
            yield server
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.communicate()

    def _install(self, path: Path, script: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def stand_in_for_systemctl(self, process: subprocess.Popen[str] | None) -> None:
        """Make ``systemctl`` send the signal of the unit's ``ExecReload`` to a running service: no
        test machine has systemd."""
        script = "exit 0" if process is None else f"kill -HUP {process.pid}"
        self._install(self.root / "bin" / "systemctl", script)


class Server:
    """A server that a guide has started."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process: Final = process
        self.port: Final = port

    def wait_for(self, event: str) -> dict[str, object]:
        """Return the next line of the log with this event."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if line.startswith("{") and (entry := json.loads(line))["event"] == event:
                return dict(entry)
        raise AssertionError(f"it ended without {event!r}:\n" + "".join(seen))


async def say(port: int, name: str, text: str, context: ssl.SSLContext | None = None) -> None:
    """Log in, send a message to the lobby, and leave."""
    async with await _connect(port, context) as stream:
        peer = Peer(stream)
        await peer.log_in(name)
        await peer.ask(Send(to="#lobby", text=text), Sent)


async def lobby(port: int, name: str) -> list[str]:
    """Log in, and return the messages in the lobby."""
    async with await _connect(port, None) as stream:
        peer = Peer(stream)
        await peer.log_in(name)
        page = await peer.ask(History(conv="#lobby"), HistoryPage)
        return [entry.text for entry in page.entries]


async def _connect(port: int, context: ssl.SSLContext | None) -> trio.abc.Stream:
    if context is None:
        return await trio.open_tcp_stream("127.0.0.1", port)
    return await trio.open_ssl_over_tcp_stream(
        "127.0.0.1", port, ssl_context=context, https_compatible=True
    )
