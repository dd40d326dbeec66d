"""Turns what arrives into events for the program: the timelines of all conversations. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gochat.client.events import Reset
from gochat.client.timeline import Timeline, Want
from gochat.errors import ProtocolError
from gochat.protocol.messages import (
    LOBBY,
    CaughtUp,
    Conversation,
    HistoryPage,
    Message,
    Position,
)

#: How many conversations a resume asks for, those with the latest entries; gaps in the others show
#: in their heads and are fetched. 150 positions with the longest names fit in a frame.
MAX_POSITIONS: Final = 150
#: Far more than anyone has, and where lists end, too. A server that names more would fill memory.
MAX_CONVERSATIONS: Final = 100_000
#: How many left rooms are remembered with their last position: far more than anyone leaves.
MAX_GONE: Final = 1000


class Inbox:
    """The timelines of one account's conversations."""

    def __init__(self) -> None:
        self.me = ""
        self._timelines: dict[str, Timeline] = {}  # in the order of their latest entries
        self._behind: set[str] = set()  # those with something to fetch
        # The last position of forgotten conversations, in case they return with another history.
        self._gone: dict[str, tuple[str, int]] = {}
        self._has_picture = False  # whether there has been a snapshot

    def begin(self, me: str) -> None:
        """Become the inbox of `me`; forget what is known of another account."""
        if me != self.me:
            self.forget()
        self.me = me

    def forget(self) -> None:
        """Forget everything."""
        self.me = ""
        self._timelines.clear()
        self._behind.clear()
        self._gone.clear()
        self._has_picture = False

    def positions(self) -> tuple[Position, ...]:
        """Return up to where each conversation has been delivered, for a resume."""
        latest = list(self._timelines.values())[-MAX_POSITIONS:]
        return tuple(
            Position(conv=t.conv, epoch=epoch, seq=seq)
            for t in latest
            for epoch, seq in [t.handed_out]
        )

    def known(self) -> set[str]:
        """Return the conversations that have a timeline."""
        return set(self._timelines)

    def picture(self, conversations: Iterable[Conversation], known: set[str]) -> None:
        """Take in the list of all conversations.

        `known` is the result of :meth:`known` from when the list was requested. Rooms that are not
        in the list were left on another device meanwhile. The lobby and private conversations can't
        be left: if they are missing, the server has lost them.
        """
        listed: set[str] = set()
        for conversation in conversations:
            listed.add(conversation.conv)
            timeline = self._timelines.get(conversation.conv)
            if timeline is None:
                timeline = self._start_listed(conversation)
                self._keep(timeline)
            timeline.announce(conversation.epoch, conversation.head)
            self._shown(timeline, [])
        self._has_picture = True
        for conv in known - listed:
            timeline = self._timelines.get(conv)
            if timeline is not None and (conv == LOBBY or conv.startswith("@")):
                timeline.doubt()
                self._shown(timeline, [])
            else:
                self._forget(conv)

    def receive(self, entry: Message) -> list[Message | Reset]:
        """Take in an entry, and return what can be shown now."""
        conv = entry.conversation
        timeline = self._timelines.pop(conv, None) or self._start(conv, entry)
        self._keep(timeline)  # at the end
        return self._shown(timeline, timeline.add(entry))

    def catch_up(self, event: CaughtUp) -> list[Message | Reset]:
        """Take in the server's report on one conversation after a resume."""
        timeline = self._timelines.get(event.conv)
        if timeline is None:
            timeline = Timeline(event.conv, event.epoch, event.seq)
            self._keep(timeline)
        return self._shown(timeline, timeline.catch_up(event))

    def wants(self) -> dict[str, Want]:
        """Return what must be fetched, by conversation."""
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
        # A private conversation that was not in the snapshot has just begun; a room has just been
        # entered, by this entry.
        has_begun = self._has_picture and conv.startswith("@")
        return Timeline(conv, entry.epoch, 0 if has_begun else entry.seq - 1)

    def _start_listed(self, conversation: Conversation) -> Timeline:
        """Return the timeline of an unknown conversation that is in the snapshot."""
        conv, epoch, head = conversation.conv, conversation.epoch, conversation.head
        if (before := self._before(conv, epoch)) is not None:
            return before
        if not self._has_picture:
            return Timeline(conv, epoch, head, is_estimate=True)
        # It is new since the last snapshot, so its entries were missed. A room was joined on
        # another device; the read marker is the best estimate of where.
        start = 0 if conv.startswith("@") else min(conversation.read, head)
        return Timeline(conv, epoch, start)

    def _shown(self, timeline: Timeline, shown: list[Message | Reset]) -> list[Message | Reset]:
        if timeline.want is None:
            self._behind.discard(timeline.conv)
        else:
            self._behind.add(timeline.conv)
        # After an invitation, and after leaving, the person sees nothing more of a room: its next
        # entry is not a gap but a new start.
        if any(isinstance(entry, Message) and self._is_outside(entry) for entry in shown[-1:]):
            self._forget(timeline.conv)
        return shown

    def _before(self, conv: str, epoch: str) -> Timeline | None:
        """Return the timeline of a conversation that was known with another history, or None."""
        gone = self._gone.pop(conv, None)
        return None if gone is None or gone[0] == epoch else Timeline(conv, *gone)

    def _forget(self, conv: str) -> None:
        timeline = self._timelines.pop(conv, None)
        if timeline is not None:
            self._gone[conv] = timeline.handed_out
            if len(self._gone) > MAX_GONE:
                del self._gone[next(iter(self._gone))]
        self._behind.discard(conv)

    def _is_outside(self, entry: Message) -> bool:
        return (entry.kind == "leave" and entry.from_ == self.me) or (
            entry.kind in ("invite", "kick") and entry.text == self.me
        )
