"""The process that runs the index's turns while much is said.

In a thread, a turn takes the interpreter from the event loop, again and again. Beside private
messages flat out that cost 100 µs a message, twice the processor time of the turns themselves. A
process costs 20 MB of memory, so there is one only while it is needed (indexer.py).
"""

from __future__ import annotations

import json
import os
import site
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import gochat
from gochat.storage.indexing.turns import Overtaken, Progress
from gochat.storage.sqlite.errors import mapped_errors
from gochat.storage.sqlite.files import FileIdentity
from gochat.storage.sqlite.search_index import BUSY_TIMEOUT, SearchIndex, errors

#: Seconds in which the process ends once its input has, unless its disk hangs.
_PATIENCE: Final = 10.0
#: Seconds within which it replies, or is killed: a turn takes a tenth of one.
REPLY_WITHIN: Final = 60.0
#: Characters of what an ended process has written that are passed on.
_MAX_REASON: Final = 500


class ProcessEnded(Exception):
    """The process has ended, or could not be started; the message says why."""


class IndexingProcess:
    """Runs turns in another process; see :class:`gochat.storage.indexing.turns.Turns`.

    One thread uses it. Each method waits for the process, and raises also:

    - ProcessEnded: it may have done the turn before.
    - StoreCorrupt, StoreUnavailable: the log is damaged, or can't be read.
    - IndexDamaged, StoreUnavailable: the index is damaged, or can't be written.
    """

    def __init__(self, path: Path, held: FileIdentity, index: SearchIndex, generation: str) -> None:
        """Start the process for the database at `path`, whose file is `held`.

        Raises:
            ProcessEnded: it can't be started.
        """
        if not sys.executable:
            raise ProcessEnded("it can't be started: Python does not know its own program")
        settings = [str(value) for value in held]
        settings += [str(index.path), generation, index.synchronous, str(BUSY_TIMEOUT)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- our own program
                # -P: the directory in which the server was started has no modules of its own.
                [sys.executable, "-P", "-m", "gochat.storage.indexing", str(path), *settings],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,  # Ctrl+C is for the server
            )
        except OSError as error:
            raise ProcessEnded(f"it can't be started: {error}") from error

    def extend(
        self, before: Progress, positions: Sequence[int], entries: Sequence[int], last: int
    ) -> tuple[Progress, int]:
        """See :meth:`.Turns.extend`."""
        return self._ask("extend", before, positions, entries, last)

    def update(self, before: Progress) -> tuple[Progress, int]:
        """See :meth:`.Turns.update`."""
        return self._ask("update", before)

    def close(self) -> None:
        """End the process, and wait for that. It can be closed twice."""
        with self._process as process:
            with suppress(OSError):  # it has gone, with something unread
                _of(process.stdin).close()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()

    def kill(self) -> None:
        """End the process at once, whatever it does. Any thread may call this."""
        self._process.kill()

    def _ask(self, *request: object) -> tuple[Progress, int]:
        deadline = threading.Timer(REPLY_WITHIN, self._process.kill)  # it was stopped, say
        deadline.daemon = True
        try:
            deadline.start()
            self._send(json.dumps(request).encode() + b"\n")
            line = self._receive()
            reply: Any = json.loads(line)
        except RuntimeError as error:
            self._process.kill()
            raise ProcessEnded(f"nothing can watch it: {error}") from error
        except (OSError, ValueError) as error:  # it has gone, or was killed while it wrote
            reason = self._reason()
            if deadline.finished.is_set():
                reason = f"it did not reply for {REPLY_WITHIN:.0f} seconds"
            raise ProcessEnded(reason) from error
        finally:
            deadline.cancel()
        match reply:
            case None:
                with errors():
                    raise Overtaken
            case [[int(position), int(changed)], int(done)]:
                return Progress(position, changed), done
            case {"file": file, "code": int(code), "text": str(text)}:
                found = sqlite3.OperationalError(text)
                found.sqlite_errorcode = code
                with mapped_errors() if file == "log" else errors():
                    raise found
        raise ProcessEnded(f"it replied {line[:_MAX_REASON]!r}")

    def _send(self, request: bytes) -> None:
        stdin = _of(self._process.stdin)
        stdin.write(request)
        stdin.flush()

    def _receive(self) -> bytes:
        return _of(self._process.stdout).readline()

    def _reason(self) -> str:
        """End the process, and return what it has said about its end."""
        self._process.kill()
        status = self._process.wait()
        said = _of(self._process.stderr).read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(said) if line.strip()), "")
        return f"it ended with status {status}" + (f": {last[:_MAX_REASON]}" if last else "")


def _environment() -> dict[str, str]:
    """Return an environment in which Python finds this gochat, wherever it was imported from."""
    packages = str(Path(gochat.__file__).parents[1])
    found = os.environ.get("PYTHONPATH", "")
    # What it finds anyway must not come before its own library.
    if packages not in (*site.getsitepackages(), site.getusersitepackages()):
        found = os.pathsep.join(filter(None, [packages, found]))
    return {**os.environ, "PYTHONPATH": found} if found else dict(os.environ)


def _of(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
