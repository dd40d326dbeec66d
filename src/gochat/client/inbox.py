"""Puts what arrives into the order in which programs get it: all conversations' timelines. Pure.

After each login the client catches up: it asks for pages of `sync` until there are no more, and
each names what it has. Live entries come meanwhile. A page may be ahead of them, and they may be
ahead of a page; whatever comes twice is dropped, and what is after a gap waits for the page, or is
fetched when there are no more pages.
"""

from __future__ import annotations

from typing import Final

from gochat.client.timeline import AsideLimit, Reset, Timeline, Want
from gochat.errors import ProtocolError
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    LOBBY,
    Conversation,
    HistoryPage,
    Message,
    Position,
    Sync,
    Synced,
)

#: Far more than anyone has, and where lists end, too. A server that names more would fill memory.
MAX_CONVERSATIONS: Final = 100_000
#: How many left rooms are remembered with their last position: far more than anyone leaves.
MAX_GONE: Final = 1000
#: Bytes of a `sync` for everything but the positions.
ENVELOPE: Final = 4096


class Inbox:
    """The timelines of one account's conversations."""

    def __init__(self) -> None:
        self.me = ""
        self._timelines: dict[str, Timeline] = {}
        self._behind: set[str] = set()  # those with something to fetch
        # The last position of forgotten conversations, in case they return with another history.
        self._gone: dict[str, tuple[str, int]] = {}
        self._aside_limit = AsideLimit()
        self._has_synced = False  # whether it has caught up once
        self._after: str | None = None  # of the next page; None: there is none to ask for
        self._is_cut = False  # whether the last request named only some of the positions

    def begin(self, me: str, *, without_limit: bool = False) -> None:
        """Become the inbox of `me`, who has logged in; forget what is known of another account.

        `without_limit` has all that was missed fetched, however much it is.
        """
        if me != self.me:
            self.forget()
        self.me = me
        self._after = ""
        for timeline in self._timelines.values():
            timeline.expect_missed(without_limit=without_limit)
        for conv in self._behind:
            self._timelines[conv].take_aside()  # it comes again

    def forget(self) -> None:
        """Forget everything."""
        self.me = ""
        self._timelines.clear()
        self._behind.clear()
        self._gone.clear()
        self._aside_limit = AsideLimit()
        self._has_synced = False
        self._after = None

    # -- catching up ----------------------------------------------------------------------------

    def next_page(self, limit: int, max_bytes: int) -> Sync | None:
        """Return the request for the next page, in a frame of `max_bytes`; None after the last.

        `limit` is the number of entries of each conversation that it brings. The first login asks
        for none: nothing was missed.
        """
        if self._after is None:
            return None
        have: list[Position] = []
        room = max_bytes - ENVELOPE
        self._is_cut = False
        for conv in sorted(conv for conv in self._timelines if conv > self._after):
            position = self._timelines[conv].have
            room -= len(encode(Sync(have=(position,))))
            if room < 0 and have:
                self._is_cut = True
                break
            have.append(position)
        return Sync(after=self._after, have=tuple(have), limit=limit if self._has_synced else 0)

    @property
    def has_pages_to_come(self) -> bool:
        """Whether what was missed is being asked for."""
        return self._after is not None

    def synced(self, request: Sync, page: Synced) -> list[Message | Reset]:
        """Take in a page, and return what can be shown now."""
        if page.next is not None and page.next <= request.after:
            raise ProtocolError("the server's list of conversations does not end")
        # Nothing can be said about what comes after the positions that fitted.
        end = request.have[-1].conv if self._is_cut else None
        shown: list[Message | Reset] = []
        for state in page.conversations:
            if end is None or state.conv <= end:
                shown += self._list(state)
        for conv in page.gone:
            shown += self._lose(conv)
        self._after = page.next
        if end is not None and (page.next is None or page.next > end):
            self._after = end
        return shown

    def conversations(self) -> list[Conversation]:
        """Return what is known of all conversations, by address, and regard it as complete."""
        self._has_synced = True
        listed = (timeline.listed for timeline in self._timelines.values())
        return sorted(
            (conversation for conversation in listed if conversation is not None),
            key=lambda conversation: conversation.conv,
        )

    def _list(self, state: Conversation) -> list[Message | Reset]:
        timeline = self._timelines.get(state.conv)
        if timeline is None:
            epoch, seq = self._gone.get(state.conv, ("", 0))
            if epoch == state.epoch and state.head <= seq:
                return []  # it was left after the page was read
            timeline = self._start_listed(state)
            self._keep(timeline)
        return self._shown(timeline, timeline.synced(state))

    def _lose(self, conv: str) -> list[Message | Reset]:
        """Forget a room that is not the person's, and begin again with what came since.

        The lobby and private conversations can't be left: if one is gone, the server has lost it.
        """
        timeline = self._timelines.get(conv)
        if timeline is None:
            return []
        if conv == LOBBY or conv.startswith("@"):
            timeline.listed = None
            timeline.doubt()
            return self._shown(timeline, [])
        since = timeline.take_aside()
        self._forget(conv)
        return [out for entry in since for out in self.receive(entry)]

    # -- following ------------------------------------------------------------------------------

    def known(self) -> set[str]:
        """Return the conversations that have a timeline."""
        return set(self._timelines)

    def receive(self, entry: Message) -> list[Message | Reset]:
        """Take in an entry, and return what can be shown now."""
        conv = entry.conversation
        timeline = self._timelines.get(conv)
        if timeline is None:
            timeline = self._start(conv, entry)
            self._keep(timeline)
        return self._shown(timeline, timeline.add(entry))

    def wants(self) -> dict[str, Want]:
        """Return what must be fetched, by conversation; nothing while there are pages to come."""
        if self.has_pages_to_come:
            return {}
        return {
            conv: want for conv in self._behind if (want := self._timelines[conv].want) is not None
        }

    def fill(self, conv: str, page: HistoryPage) -> list[Message | Reset]:
        """Take in the page that was fetched for `conv`."""
        timeline = self._timelines.get(conv)
        return [] if timeline is None else self._shown(timeline, timeline.fill(page))

    def skip(self, conv: str) -> list[Message | Reset]:
        """Go on without the missing entries of `conv`."""
        timeline = self._timelines.get(conv)
        return [] if timeline is None else self._shown(timeline, timeline.skip())

    def _keep(self, timeline: Timeline) -> None:
        if len(self._timelines) >= MAX_CONVERSATIONS and timeline.conv not in self._timelines:
            raise ProtocolError(f"the server named more than {MAX_CONVERSATIONS:,} conversations")
        self._timelines[timeline.conv] = timeline

    def _start(self, conv: str, entry: Message) -> Timeline:
        """Return the timeline of an unknown conversation of which `entry` arrived."""
        if (before := self._before(conv, entry.epoch)) is not None:
            return before
        # A private conversation that was never listed has begun since; a room has just been
        # entered, by this entry.
        has_begun = self._has_synced and conv.startswith("@")
        return self._timeline(conv, entry.epoch, 0 if has_begun else entry.seq - 1)

    def _start_listed(self, state: Conversation) -> Timeline:
        """Return the timeline of an unknown conversation that is listed."""
        conv, epoch, head = state.conv, state.epoch, state.head
        if (before := self._before(conv, epoch)) is not None:
            return before
        if not self._has_synced:
            return self._timeline(conv, epoch, head, state.ts, is_estimate=True)
        # It is new since the last time, so its entries were missed. A room was joined on another
        # device; the read marker is the best estimate of where.
        return self._timeline(conv, epoch, 0 if conv.startswith("@") else min(state.read, head))

    def _shown(self, timeline: Timeline, shown: list[Message | Reset]) -> list[Message | Reset]:
        if timeline.want is None:
            self._behind.discard(timeline.conv)
        else:
            self._behind.add(timeline.conv)
        # After leaving, the person sees nothing more of a room: its next entry is not a gap but a
        # new start.
        if any(isinstance(entry, Message) and self._is_outside(entry) for entry in shown[-1:]):
            self._forget(timeline.conv)
        return shown

    def _before(self, conv: str, epoch: str) -> Timeline | None:
        """Return the timeline of a conversation that was known with another history, or None."""
        gone = self._gone.pop(conv, None)
        return None if gone is None or gone[0] == epoch else self._timeline(conv, *gone)

    def _timeline(
        self, conv: str, epoch: str, seq: int, ts: int | None = None, *, is_estimate: bool = False
    ) -> Timeline:
        return Timeline(
            conv, epoch, seq, ts, is_estimate=is_estimate, aside_limit=self._aside_limit
        )

    def _forget(self, conv: str) -> None:
        timeline = self._timelines.pop(conv, None)
        if timeline is not None:
            timeline.take_aside()
            self._gone[conv] = timeline.epoch, timeline.position
            if len(self._gone) > MAX_GONE:
                del self._gone[next(iter(self._gone))]
        self._behind.discard(conv)

    def _is_outside(self, entry: Message) -> bool:
        return (entry.kind == "leave" and entry.from_ == self.me) or (
            entry.kind in ("kick", "ban") and entry.text == self.me
        )
