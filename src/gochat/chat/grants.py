"""What a session may do: everything, or what the token of a program was made for.

A grant is denied by default. Every request has the scope that it needs, and one that is about a
conversation names it in a field; what else it would reveal is revealed only to sessions that are
limited to no rooms. The same decides what a session is sent unasked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from gochat.chat import conversations
from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.scopes import Scope
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import TokenScope


class Grant(NamedTuple):
    """What a session may do, and in which rooms; None means in all conversations."""

    scopes: frozenset[Scope]
    rooms: frozenset[ConversationKey] | None = None

    @classmethod
    def of(cls, scopes: Collection[TokenScope], rooms: Collection[ConversationKey]) -> Grant:
        """Return the grant of a token. Without scopes it is a device's, which may do everything."""
        if not scopes:
            return EVERYTHING
        return cls(frozenset(map(Scope, scopes)), frozenset(rooms) or None)

    def sees(self, conversation: ConversationKey) -> bool:
        """Whether the session may read this conversation, if its person may."""
        return Scope.READ in self.scopes and (self.rooms is None or conversation in self.rooms)

    @property
    def sees_people(self) -> bool:
        """Whether the session may know who is online."""
        return Scope.READ in self.scopes and self.rooms is None

    @property
    def is_person(self) -> bool:
        """Whether the session is the person themselves, and not a program."""
        return Scope.ACCOUNT in self.scopes

    def require(self, scope: Scope | None) -> None:
        """Require a scope.

        Raises:
            ChatError: ``not_permitted``; the text names the scope.
        """
        if scope is None or scope in self.scopes:
            return
        text = (
            "a program's token can't change the account: log in with the password"
            if scope is Scope.ACCOUNT
            else f"this token was made without the scope '{scope}'"
        )
        details = {"rule": "scope", "scope": str(scope)}
        raise ChatError(ErrorCode.NOT_PERMITTED, text, details=details)

    def require_conversation(self, address: str | None, own: NameKey, field: str | None) -> None:
        """Require that the session may be in the conversation that a request's `field` names.

        `address` and `field` are None where the request is about no conversation, or about all.

        Raises:
            ChatError: ``not_permitted``; or, not a valid address, as :func:`.conversations.key`.
        """
        if self.rooms is None:
            return
        if address is None or field is None:
            text = "this token is limited to some rooms: name one of them"
        elif conversations.key(address, own, field) in self.rooms:
            return
        else:
            text = f"this token is limited to rooms other than {address[:64]!r}"
        raise ChatError(ErrorCode.NOT_PERMITTED, text, field=field, details={"rule": "rooms"})


#: What a person may do who has logged in.
EVERYTHING: Final = Grant(frozenset(Scope))
#: What a connection may do on which nobody is logged in.
NOTHING: Final = Grant(frozenset(), frozenset())
