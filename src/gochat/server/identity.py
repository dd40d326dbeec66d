"""The key that identifies the server to the user's programs: see :mod:`gochat.protocol.proof`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gochat import private
from gochat.errors import ConfigError
from gochat.protocol import proof


class ServerIdentity:
    """A server's key, new at each start. Without a file to keep it in, it proves nothing."""

    def __init__(self, file: str) -> None:
        self._file = Path(file) if file else None
        self._key = proof.new_key()

    def prove(self, challenge: str | None) -> str | None:
        """Return the proof for a challenge; None if there is no challenge or no file."""
        if self._file is None or challenge is None:
            return None
        return proof.prove(self._key, challenge)

    @contextlib.contextmanager
    def published(self) -> Iterator[None]:
        """Keep the key in the file, if there is one, until leaving the block.

        Enter the block once the server has its port, and leave it before giving up the port: then
        no two servers on one port write the same file.

        Raises:
            ConfigError: the file can't be written.
        """
        if self._file is None:
            yield
            return
        try:
            private.make_directories(self._file.parent)
            private.replace_file(self._file, self._key)
        except OSError as error:
            raise ConfigError(
                f"key_file: {self._file} can't be written: {error.strerror}"
            ) from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._file.unlink()
