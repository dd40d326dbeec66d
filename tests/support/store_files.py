"""A store in a file, as an administrator sees it: started, killed, inspected from outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from storing import Chat

from gochat.storage import open_store


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Chat]:
    """Open the store at `path`, as a chat."""
    async with open_store(f"sqlite:///{path}") as store:
        yield Chat(store)


async def epoch(path: Path) -> str:
    """Start a server on a store and stop it; return the store's epoch."""
    async with opened(path) as chat:
        return (await chat.page("Mei", "#lobby")).epoch


async def texts(path: Path) -> list[str]:
    """Start a server on a store and stop it; return the messages in the lobby."""
    async with opened(path) as chat:
        return [entry.text for entry in await chat.entries("Mei", "#lobby")]


_RUN_CODE: Final = Path(__file__).with_name("run_code.py")
_SERVE = """
import sys, trio
from gochat.chat.store import Token
from gochat.server.logs import configure_logs
from gochat.storage import open_store

configure_logs("json", "info")

async def main():
    async with open_store(f"sqlite:///{sys.argv[1]}") as store:
        await store.add_token(Token(id=b"i" * 16, digest=b"d" * 32, account="mei", expires=1))
        await store.revoke_token("mei", b"i" * 16)
        print("open", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)

trio.run(main)
"""


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a separate Python process; the tests' fork server does that."""
    return subprocess.Popen(
        [sys.executable, str(_RUN_CODE), code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has Mei's store open, and has written to it; killed at the end."""
    with run_python(_SERVE, path) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def crash(path: Path) -> None:
    """Start a server on a store, and kill it, which leaves a write-ahead log."""
    with serving(path):
        pass


class Crash(BaseException):
    """Stands for a kill: nothing of gochat's catches it."""


def kinds(error: BaseException) -> set[type[BaseException]]:
    """Return the types of what was raised, even if a nursery has wrapped it."""
    if isinstance(error, BaseExceptionGroup):
        return {kind for one in error.exceptions for kind in kinds(one)}
    return {type(error)}
