"""Conversations: which one an address means, and how a person sees it.

People write ``#lobby``, ``#room`` and ``@name``. The log needs one key for each conversation: that
of a private one has both names in it, folded and sorted, so that it is the same for both people.
"""

from __future__ import annotations

from typing import Final, NewType

from msgspec import Struct, structs

from gochat.chat import names
from gochat.chat.names import NameKey
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import LOBBY, Level, Message

#: ``#lobby``, ``#room``, or ``@a,b`` for the private conversation of a and b (a ≤ b).
ConversationKey = NewType("ConversationKey", str)

LOBBY_KEY: Final = ConversationKey(LOBBY)


class Summary(Struct, frozen=True):
    """What can be read of a person's conversation without counting anything.

    `address` is as the person sees it. `head` is the newest seq, 0 without entries, and `ts` the
    time of that entry, or 0. `read` and `level` are the person's.
    """

    key: ConversationKey
    address: str
    epoch: str
    head: int
    ts: int
    read: int
    level: Level


def key(address: str, own: NameKey, field: str = "to") -> ConversationKey:
    """Return the key of the conversation that `own` means by `address`, in the request's `field`.

    Raises:
        ChatError: ``unknown_conversation`` or ``unknown_person``: not a valid address.
    """
    kind, name = address[:1], address[1:]
    try:
        if kind == "#":
            return ConversationKey("#" + names.fold(name))
        if kind == "@":
            return private(own, names.fold(name))
    except ChatError as error:
        if kind == "@" and name:
            raise nobody(name, field) from error
        raise unknown(address, field) from error
    raise unknown(address, field)


def private(one: NameKey, other: NameKey) -> ConversationKey:
    """Return the key of the private conversation of two people (or of one, with themselves)."""
    return ConversationKey("@" + ",".join(sorted((one, other))))


def addressed(entry: Message, reader: NameKey) -> Message:
    """Return an entry as `reader` gets it: a private message of somebody else has its `conv`."""
    if not entry.to.startswith("@") or names.known(entry.from_) == reader:
        return entry
    return structs.replace(entry, conv="@" + entry.from_)


def is_private(conversation: ConversationKey) -> bool:
    """Return True for a conversation of two people, False for the lobby and rooms."""
    return conversation.startswith("@")


def participants(conversation: ConversationKey) -> tuple[NameKey, ...]:
    """Return the people of a private conversation: two keys, or one if it is with oneself."""
    one, _, other = conversation[1:].partition(",")
    return (NameKey(one),) if other in ("", one) else (NameKey(one), NameKey(other))


def peer(conversation: ConversationKey, own: NameKey) -> NameKey:
    """Return the other person of a private conversation of `own`."""
    one, _, other = conversation[1:].partition(",")
    return NameKey(other if one == own else one)


def unknown(address: str, field: str = "to") -> ChatError:
    """Return the error for an address, in the request's `field`, that names nothing.

    Also for a room that is hidden from the person: the two must look the same.
    """
    text = (
        f"unknown room {address[:64]!r}, or it is private and you are not invited"
        if address.startswith("#")
        else f"unknown conversation {address[:64]!r}: expected #lobby, #room or @name"
    )
    details = {"conv": address[:64]}
    return ChatError(ErrorCode.UNKNOWN_CONVERSATION, text, field=field, details=details)


def nobody(name: str, field: str | None = "to") -> ChatError:
    """Return the error for a name, from the request's `field`, that nobody has."""
    return ChatError(
        ErrorCode.UNKNOWN_PERSON,
        f"no account is named {name[:64]!r}",
        field=field,
        details={"name": name[:64]},
    )
