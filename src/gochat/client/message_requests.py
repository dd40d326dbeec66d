"""What a client asks for about single messages besides writing them: which are pinned."""

from __future__ import annotations

from gochat.client import convert, pages
from gochat.client.entries import MessageRef
from gochat.client.models import PinnedMessage, Sent
from gochat.client.outgoing import new_cid
from gochat.client.requester import Requester
from gochat.client.sync_state import SyncState
from gochat.protocol import messages as wire


class MessageRequests:
    """The requests about pinned messages.

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

    async def _set_pinned(self, message: MessageRef, *, on: bool) -> Sent | None:
        request = wire.Pin(to=message.conversation, seq=message.seq, on=on, cid=new_cid())
        reply = await self._requester.write(request, wire.Sent, wire.Ok)
        return convert.to_sent(reply) if isinstance(reply, wire.Sent) else None
