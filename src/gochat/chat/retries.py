"""Find out whether a request is a retry of one that succeeded.

A client that does not know the outcome of a request sends it again with the same `cid`, and a known
`cid` is answered before any rule or limit is looked at. By then the rules may refuse the request:
because it has happened, such as joining, or because of what has happened since, such as being
removed. Or they would write more than the entry with the `cid`: the last operator hands over before
leaving.

The append looks for the `cid` itself, before anything else, and in the same commit. So it need not
be looked up for a request that is allowed and becomes one entry, which nearly all are: that saves a
read for each message. It is looked up (:class:`~gochat.server.write_requests.WriteRequests` does)
before a request is refused, before it is answered that nothing is to be done, and before more than
one entry is appended. The answer is the same as if it had been looked up first, for until then
nothing has been written, and an entry with a `cid` never goes away.
"""

from __future__ import annotations

from typing import Final

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.directory import Destination, Directory
from gochat.chat.drafts import draft_of
from gochat.chat.log import Appended, Draft
from gochat.chat.log_requests import LogRequest, RoomRequest
from gochat.chat.store import Store
from gochat.errors import ChatError
from gochat.protocol.messages import Ban, Invite, Kick, SetOperator, Unban


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
            draft = await self._draft(who, request)
        except ChatError:  # invalid address or name: nothing was appended
            return None
        return await self._store.find_by_cid(draft)

    async def _draft(self, who: Identity, request: LogRequest) -> Draft:
        """Return the request's draft, whether or not it is allowed."""
        address = request.room if isinstance(request, RoomRequest) else request.to
        to = Destination(conversations.key(address, who.key), address, who.key)
        text = None
        if isinstance(request, Invite | Kick | SetOperator | Ban | Unban):
            person = names.fold_person(request.name)
            text = (await self._directory.people((person,))).get(person)
        return draft_of(request, who, to, None, text=text)
