"""Accounts as they are kept."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from gochat.chat.names import NameKey
from gochat.chat.restriction import Restriction
from gochat.chat.server_roles import ServerRole
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Status

#: Whether somebody can log in: only while it is active. ``removing``: it is deleted, and what was
#: written with it is still being removed (:mod:`gochat.chat.deletion`).
AccountState: TypeAlias = Literal["active", "disabled", "removing", "deleted"]


class Account(Struct, frozen=True, kw_only=True):
    """A registered account.

    `name` is the form that is displayed; `generation` counts the changes of its password and of its
    state, and its bans. `bot` says that a program uses it. `ban`, `mute` and `status` may have
    ended.
    """

    key: NameKey
    name: str
    password_hash: str
    created: int
    generation: int = 0
    role: ServerRole = "member"
    bot: bool = False
    state: AccountState = "active"
    ban: Restriction | None = None
    mute: Restriction | None = None
    status: Status | None = None

    @property
    def is_shut(self) -> bool:
        """True if it is disabled, or banned, or was until the ban ended."""
        return self.state == "disabled" or (self.state == "active" and self.ban is not None)

    @property
    def is_deleted(self) -> bool:
        """True if it was deleted, for good."""
        return self.state in ("removing", "deleted")


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Status)


def encode_status(status: Status | None) -> str:
    """Return a status as stores keep it: empty for none."""
    return "" if status is None else _encoder.encode(status).decode()


def decode_status(kept: str | bytes | None) -> Status | None:
    """Return the status that is kept."""
    return _decoder.decode(kept) if kept else None


def require_not_deleted(account: Account) -> None:
    """Require that an account was not deleted.

    Raises:
        ChatError: ``bad_request``.
    """
    if account.is_deleted:
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            f"the account of {account.name} was deleted, which can't be undone",
            field="name",
            details={"rule": "deleted"},
        )
