"""Passwords that somebody else checks, as an organisation's directory.

The account is gochat's: it is created at the first login, under the rules for names, and has no
password of its own. Whether a name and a password belong together, and whether the account is still
good, is the directory's to say.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from gochat.chat.names import NameKey
from gochat.chat.work_queue import Wait
from gochat.errors import ChatError, ErrorCode

#: The hash of an account without a password of its own. No password has it.
NO_PASSWORD: Final = ""


class Answer(NamedTuple):
    """What the directory says. `name`: how it writes the name, if it says so."""

    is_allowed: bool
    name: str | None = None


class Directory(Protocol):
    """Checks passwords: see :class:`gochat.server.auth_command.AuthCommand`."""

    @property
    def is_on(self) -> bool:
        """Whether there is one."""

    @property
    def allows_local(self) -> bool:
        """Whether accounts may also have a password here, which then is the one that counts."""

    async def check(self, key: NameKey, password: str, address: str, wait: Wait) -> Answer:
        """Check the password of a person who logs in from `address`.

        `wait` runs the waiting in line.

        Raises:
            ChatError: ``busy`` or ``unavailable``: not now.
        """


class NoDirectory:
    """All passwords are checked here."""

    is_on: Final = False
    allows_local: Final = True

    async def check(self, key: NameKey, password: str, address: str, wait: Wait) -> Answer:
        """Never called."""
        raise AssertionError("there is no directory")


def kept_elsewhere() -> ChatError:
    """Return the error for changing a password that is not kept here."""
    return ChatError(
        ErrorCode.NOT_PERMITTED,
        "this server doesn't keep your password: change it in your organisation's directory",
        details={"rule": "directory"},
    )


def reset_elsewhere(name: str) -> ChatError:
    """Return the error for resetting a password that is not kept here."""
    return ChatError(
        ErrorCode.NOT_PERMITTED,
        f"this server doesn't keep the password of {name}: reset it in your organisation's "
        "directory",
        details={"rule": "directory"},
    )


def registered_elsewhere() -> ChatError:
    """Return the error for registering where accounts come from a directory."""
    return ChatError(
        ErrorCode.REGISTRATION_CLOSED,
        "accounts come from your organisation's directory: log in with the name and the password "
        "that you have there",
    )
