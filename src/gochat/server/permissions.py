"""Whether a session may send a request: by its scopes, and the rooms that it is limited to.

Denied by default: a request that names a conversation does so in one of :data:`PLACES`, by which a
token limited to rooms is judged. Of the others such a token may send those that need no scope, and
:data:`FILTERED`, whose handlers leave out or refuse what it may not see.
"""

from __future__ import annotations

from typing import Final

from gochat.chat.grants import Grant
from gochat.chat.names import NameKey
from gochat.chat.scopes import Scope
from gochat.protocol.messages import Activity, Request, Saved, Search, Sync

#: Fields that name a conversation.
PLACES: Final = ("to", "conv", "room")
#: Requests about all conversations, and those whose handler asks the grant: the text of a search
#: may name the conversation.
FILTERED: Final = frozenset({Activity, Saved, Search, Sync})


def require_permission(grant: Grant, own: NameKey, request: Request, scope: Scope | None) -> None:
    """Require that a session of `own` with this grant may send a request, which needs `scope`.

    Raises:
        ChatError: ``not_permitted``; or the request's conversation is not a valid address.
    """
    grant.require(scope)
    if grant.rooms is None or scope is None or type(request) in FILTERED:
        return
    field = next((place for place in PLACES if place in request.__struct_fields__), None)
    address = getattr(request, field) if field is not None else None
    grant.require_conversation(address, own, field)
