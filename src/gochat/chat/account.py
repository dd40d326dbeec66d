"""Accounts as they are kept."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from gochat.chat.names import NameKey
from gochat.chat.restriction import Restriction
from gochat.chat.server_roles import ServerRole

#: Whether somebody can log in: not while the account is disabled.
AccountState: TypeAlias = Literal["active", "disabled"]


class Account(Struct, frozen=True, kw_only=True):
    """A registered account.

    `name` is the form that is displayed; `generation` counts the changes of its password and of its
    state, and its bans. `bot` says that a program uses it. `ban` and `mute` may have ended.
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
