"""Scopes: what a token may be allowed to do. Each request needs one of them, or none."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """The permission that a request needs."""

    #: Read conversations, rooms and people, and keep one's place in them.
    READ = "read"
    #: Write, change and react to messages; be seen as typing or away.
    SEND = "send"
    #: Create, join, leave and change rooms.
    ROOMS = "rooms"
    #: Change the account itself.
    ACCOUNT = "account"
