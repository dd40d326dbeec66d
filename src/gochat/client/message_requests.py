"""What a client asks for about single messages besides writing them: which are pinned, or saved."""

from __future__ import annotations

from gochat.client import convert, pages
from gochat.client.entries import MessageRef
from gochat.client.models import PinnedMessage, SavedPage, Sent
from gochat.client.outgoing import new_cid
from gochat.client.requester import Requester
from gochat.client.sync_state import SyncState
from gochat.protocol import messages as wire


class MessageRequests:
    """The requests about pinned and saved messages.

    :class:`~gochat.client.Client` says what each raises.
    """

    _requester: Requester
    _sync_state: SyncState

    async def pin(self, message: MessageRef) -> Sent | None:
        """Pin a message, for everybody in its conversation.

        In a room its operators do, in the lobby moderators, in a private conversation both people.
        A conversation has at most 100. None: it is pinned already.
        """
        return await self._set_pinned(message, on=True)

    async def unpin(self, message: MessageRef) -> Sent | None:
        """Unpin a message; who may is as with :meth:`pin`. None: it is not pinned."""
        return await self._set_pinned(message, on=False)

    async def pins(self, conversation: str) -> list[PinnedMessage]:
        """Return what is pinned in a conversation, what was pinned last first: at most 100.

        Without messages that are hidden from the person.
        """
        found = await pages.pins(self._requester.call, conversation)
        return [convert.to_pinned(one, self._sync_state.name) for one in found]

    async def pinned_seqs(self, conversation: str) -> tuple[int, ...]:
        """Return the seqs of the messages that :meth:`pins` returns, in the same order.

        It costs one request, whatever their number, and keeps them up to date with
        :class:`~gochat.client.MessagePinned`, :class:`~gochat.client.MessageUnpinned` and
        :class:`~gochat.client.MessageDeleted`.
        """
        request = wire.Pins(conv=conversation, limit=1)
        return (await self._requester.call(request, wire.PinList)).seqs

    async def save(self, message: MessageRef) -> None:
        """Save a message in the person's own list, for all their devices; nobody else sees it.

        At most 1,000 are kept. One that is saved already stays where it is in the list.
        """
        request = wire.Save(to=message.conversation, seq=message.seq)
        await self._requester.call(request, wire.Ok)

    async def unsave(self, message: MessageRef) -> None:
        """Take a message from the person's list. Does nothing if it is not there."""
        request = wire.Save(to=message.conversation, seq=message.seq, on=False)
        await self._requester.call(request, wire.Ok)

    async def saved(self, *, cursor: str | None = None, limit: int = 20) -> SavedPage:
        """Return what the person has saved and can still read, what was saved last first.

        `cursor` is that of the previous page; `limit` is at most 50.

        Raises:
            ChatError: ``bad_cursor``: the cursor is not one of these.
        """
        request = wire.Saved(cursor=cursor or "", limit=limit)
        page = await self._requester.call(request, wire.SavedList)
        return convert.to_saved(page, self._sync_state.name)

    async def _set_pinned(self, message: MessageRef, *, on: bool) -> Sent | None:
        request = wire.Pin(to=message.conversation, seq=message.seq, on=on, cid=new_cid())
        reply = await self._requester.write(request, wire.Sent, wire.Ok)
        return convert.to_sent(reply) if isinstance(reply, wire.Sent) else None
