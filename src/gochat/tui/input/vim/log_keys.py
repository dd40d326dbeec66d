"""Vim's keys in the log, which has no modes: counts, and keys of two letters."""

from __future__ import annotations

from typing import Final

from gochat.tui.input.vim.parsing import Command, IncompleteError, UnknownError, parse

_KEYS: Final = frozenset({*"0123456789jkgGnN/:iaIA", "ctrl+u", "ctrl+d"})


class LogKeys:
    """What is typed of a command of the log."""

    def __init__(self) -> None:
        self._pending: list[str] = []

    @property
    def pending(self) -> str:
        """What was typed of a command that is not whole yet."""
        return "".join(self._pending)

    def takes(self, key: str) -> bool:
        """Return whether a key is part of a command."""
        is_second = self._pending[-1:] == ["g"]
        return is_second or (key in _KEYS and (key != "0" or bool(self._pending)))

    def press(self, key: str) -> Command | None:
        """Return the command that is whole with this key."""
        self._pending.append(key)
        command: Command | None = None
        try:
            command = parse(self._pending, visual=False)
        except IncompleteError:
            return None
        except UnknownError:
            pass
        self._pending.clear()
        return command

    def forget(self) -> None:
        """Begin again."""
        self._pending.clear()
