"""The program that checks passwords, if `auth.command` names one.

The program is started for each question. It reads a JSON object from its standard input and writes
one to its standard output (``docs/reference/auth-command.md``). Whatever goes wrong with it is
``unavailable``: nobody is let in or turned away for it.

Once started it is not stopped because the peer leaves: its answer counts as a try, so that leaving
early makes guessing, and starting programs, no cheaper.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import structlog
import trio
from msgspec import Meta, Struct

from gochat.chat.external import Answer
from gochat.chat.names import NameKey
from gochat.chat.work_queue import Wait, WorkQueue, wait_patiently
from gochat.config import Auth
from gochat.errors import ChatError, ConfigError, ErrorCode
from gochat.histogram import SECONDS, Histogram
from gochat.server.journal import Journal
from gochat.server.limits import subscriber

log = structlog.stdlib.get_logger()

#: The edition of what the program is sent.
VERSION: Final = 1
#: Bytes of an answer. More is none.
MAX_ANSWER: Final = 64 * 1024
#: Of what the program writes to its standard error, so many bytes reach the log: the last ones,
#: which say why it failed.
MAX_COMPLAINT: Final = 2000
#: Seconds that a program is assumed to take, until one has answered.
GUESS: Final = 0.1
#: Seconds after which to try again when the program has failed, and the most that it may ask for.
RETRY_AFTER: Final = 5.0
LONGEST_RETRY: Final = 3600.0
#: Seconds to wait for a program that was killed.
DIES_WITHIN: Final = 5.0
#: Variables that are for the server only: they may have a password, or the right to speak for it.
_OWN_VARIABLES: Final = ("GOCHAT_", "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_")


class _Written(Struct):
    """What the program writes."""

    result: Literal["allow", "deny", "unavailable"]
    name: Annotated[str, Meta(max_length=256)] | None = None
    reason: Annotated[str, Meta(max_length=1000)] = ""
    retry_after: Annotated[float, Meta(ge=0, le=LONGEST_RETRY)] = RETRY_AFTER


class _Failure(Exception):
    """The program has not answered; the text says why."""


class AuthCommand:
    """Asks the program, a few times at once, with a bounded queue of its own."""

    def __init__(self, auth: Auth, journal: Journal) -> None:
        self._auth = auth
        self._journal = journal
        self._queue = WorkQueue(auth.queue, auth.concurrency, GUESS)
        #: Seconds that the program took, whatever came of it; and how often it gave no answer.
        self.seconds = Histogram(SECONDS)
        self.failures = 0

    def configure(self, auth: Auth) -> None:
        """Change what is asked, and how. Those who wait in line ask the new program."""
        self._auth = auth
        self._queue.configure(auth.queue, auth.concurrency)

    @property
    def is_on(self) -> bool:
        """Whether there is a program."""
        return bool(self._auth.command)

    @property
    def waiting(self) -> int:
        """How many wait for an answer."""
        return self._queue.waiting

    @property
    def recheck(self) -> float:
        """Seconds after which to ask :meth:`is_still_good`; 0: never."""
        return self._auth.recheck if self._auth.command else 0.0

    @property
    def allows_local(self) -> bool:
        """Whether accounts may also have a password here."""
        return self._auth.local

    async def check(self, key: NameKey, password: str, address: str, wait: Wait) -> Answer:
        """Implement :meth:`gochat.chat.external.Directory.check`."""
        return await self._ask("login", key, wait, password=password, address=subscriber(address))

    async def is_still_good(self, key: NameKey) -> bool:
        """Ask whether an account whose person is logged in may go on.

        Raises:
            ChatError: ``busy`` or ``unavailable``: not now.
        """
        return (await self._ask("check", key, wait_patiently)).is_allowed

    async def _ask(
        self, action: str, key: NameKey, wait: Wait, *, password: str = "", address: str = ""
    ) -> Answer:
        question = {"version": VERSION, "action": action, "name": key}
        if action == "login":
            question |= {"password": password, "address": address}
        async with self._queue.slot(wait):
            began = trio.current_time()
            try:
                written = await self._run(json.dumps(question).encode() + b"\n", password)
            except _Failure as failure:
                self._log_failure(str(failure))
                raise _not_now(RETRY_AFTER) from None
            finally:
                self.seconds.observe(trio.current_time() - began)
        if written.result == "unavailable":
            self._log_failure(written.reason or "it says that it is unavailable")
            raise _not_now(written.retry_after)
        if written.result == "deny" and written.reason:
            more = self._journal.admit("authentication denied")
            if more is not None:
                log.info("authentication denied", account=key, reason=written.reason, **more)
        return Answer(written.result == "allow", written.name)

    async def _run(self, question: bytes, password: str) -> _Written:
        auth = self._auth
        try:
            process = await trio.lowlevel.open_process(
                auth.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # its children die with it
                env=environment(os.environ),
            )
        except OSError as error:
            raise _Failure(f"it can't be started: {error.strerror}") from error
        except ValueError as error:  # a null byte in an argument
            raise _Failure(f"it can't be started: {error}") from error
        answer, complaint = bytearray(), bytearray()
        is_over = False
        try:
            with trio.move_on_after(auth.timeout):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_feed, process, question)
                    nursery.start_soon(_keep_last, process, complaint)
                    await _read_answer(process, answer)
                await process.wait()
                is_over = True
        except* _Failure as group:
            raise group.exceptions[0] from None
        finally:
            if not is_over:
                await _kill(process)
            self._log_complaint(bytes(complaint), password)
        if not is_over:
            raise _Failure(f"it took longer than {auth.timeout:g} s, and was killed")
        if process.returncode:
            raise _Failure(_end(process.returncode))
        try:
            return msgspec.json.decode(bytes(answer), type=_Written)
        except msgspec.DecodeError as error:  # the text has no value of it, just types and names
            raise _Failure(f"its answer is not valid: {error}") from None

    def _log_failure(self, reason: str) -> None:
        self.failures += 1
        more = self._journal.admit("authentication program failed")
        if more is not None:
            program = self._auth.command[0]
            log.error("authentication program failed", program=program, reason=reason, **more)

    def _log_complaint(self, complaint: bytes, password: str) -> None:
        if not complaint:
            return
        more = self._journal.admit("authentication program wrote")
        if more is None:
            return
        text = complaint.decode(errors="replace").strip()
        if password and any(form in text for form in _forms(password)):
            text = "(not shown: the password is in it)"
        log.warning("authentication program wrote", text=text, **more)


async def _feed(process: trio.Process, question: bytes) -> None:
    assert process.stdin is not None
    with suppress(trio.BrokenResourceError):  # it may answer without reading
        async with process.stdin:
            await process.stdin.send_all(question)


async def _read_answer(process: trio.Process, answer: bytearray) -> None:
    assert process.stdout is not None
    async with process.stdout:
        async for data in process.stdout:
            answer += data
            if len(answer) > MAX_ANSWER:
                raise _Failure(f"its answer has more than {MAX_ANSWER} bytes")


async def _keep_last(process: trio.Process, kept: bytearray) -> None:
    assert process.stderr is not None
    async with process.stderr:
        async for data in process.stderr:
            kept += data
            del kept[:-MAX_COMPLAINT]


async def _kill(process: trio.Process) -> None:
    """Kill a program, and whatever it has started.

    It has not been waited for, so its number is not another's.
    """
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with trio.move_on_after(DIES_WITHIN, shield=True):
        await process.wait()


def _end(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with exit code {code}"


def _forms(password: str) -> set[str]:
    """Return how a password may be written, by itself and in a traceback."""
    return {password, json.dumps(password)[1:-1], repr(password)[1:-1]}


def _not_now(retry_after: float) -> ChatError:
    return ChatError(
        ErrorCode.UNAVAILABLE,
        f"passwords can't be checked now: try again in {ceil(retry_after)} s",
        retry_after=retry_after,
    )


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the program gets of the server's."""
    return {name: value for name, value in variables.items() if not name.startswith(_OWN_VARIABLES)}


def require_program(auth: Auth, sources: Mapping[str, str]) -> None:
    """Require that the program can be started; `sources` says where each key is set.

    Raises:
        ConfigError: it can't.
    """
    if not auth.command or shutil.which(auth.command[0]) is not None:
        return
    program = Path(auth.command[0])
    if not program.exists():
        reason = "is not there"
    elif not program.is_file():
        reason = "is not a program"
    else:
        reason = "can't be executed by this user: chmod +x"
    source = sources.get("auth.command", "auth.command")
    raise ConfigError(f"{source}: {program} {reason}")
