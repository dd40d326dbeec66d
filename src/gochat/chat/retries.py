"""Find out whether a request that a rule refuses is a retry of one that succeeded.

A client that does not know the outcome of a request sends it again with the same `cid`. By then the
rules may refuse it: because it has happened, such as joining, or because of what has happened
since, such as being removed. So no request with a `cid` is refused before its `cid` has been looked
up in the log. For an allowed request this is unnecessary: the append looks for the `cid` itself.
"""

from __future__ import annotations

from typing import Final, TypeAlias, assert_never

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.directory import Directory
from gochat.chat.store import Appended, Draft, Store
from gochat.errors import ChatError
from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    EntryKind,
    Invite,
    Join,
    Kick,
    Leave,
    React,
    Send,
    SetAccess,
    SetHistory,
    SetOperator,
    SetTopic,
)

#: The requests that append an entry.
RoomRequest: TypeAlias = (
    CreateRoom | Join | Leave | Invite | Kick | SetTopic | SetOperator | SetAccess | SetHistory
)  # fmt: skip
LogRequest: TypeAlias = Send | Edit | Delete | React | RoomRequest


class Retries:
    """Finds earlier tries. May raise :exc:`~gochat.errors.StoreUnavailable`."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store: Final = store
        self._directory: Final = directory

    async def find(self, who: Identity, request: LogRequest) -> Appended | ChatError | None:
        """Return the outcome of an earlier request with this `cid`, or None if there was none.

        A ChatError is ``cid_conflict``: the `cid` was used for something else.
        """
        if request.cid is None:
            return None
        try:
            draft = await self._draft(who, request, request.cid)
        except ChatError:  # invalid address or name: nothing was appended
            return None
        return await self._store.find_by_cid(draft)

    async def _draft(self, who: Identity, request: LogRequest, cid: str) -> Draft:
        """Return the request's draft, whether or not it is allowed."""
        address = request.room if isinstance(request, RoomRequest) else request.to
        kind, text, ref = content(request)
        if isinstance(request, Invite | Kick | SetOperator):
            person = names.fold_person(request.name)
            text = (await self._directory.people((person,))).get(person, text)
        return Draft(
            conversation=conversations.key(address, who.key),
            to=address,
            sender_key=who.key,
            sender=who.name,
            kind=kind,
            text=text,
            ref=ref,
            cid=cid,
        )


def content(request: LogRequest) -> tuple[EntryKind, str, int | None]:
    """Return the kind, text and ref of the entry that a request appends."""
    match request:
        case Send(text=text, reply_to=ref):
            return "text", text, ref
        case Edit(text=text, seq=seq):
            return "edit", text, seq
        case Delete(seq=seq):
            return "delete", "", seq
        case React(emoji=emoji, seq=seq, on=on):
            return ("react" if on else "unreact"), emoji, seq
        case CreateRoom(private=private):
            return "create", "private" if private else "public", None
        case Join():
            return "join", "", None
        case Leave():
            return "leave", "", None
        case Invite(name=name):
            return "invite", name, None
        case Kick(name=name):
            return "kick", name, None
        case SetTopic(topic=topic):
            return "topic", topic, None
        case SetOperator(name=name, on=on):
            return ("operator" if on else "member"), name, None
        case SetAccess(private=private):
            return "access", "private" if private else "public", None
        case SetHistory(history=history):
            return "history", history, None
        case _:
            assert_never(request)
