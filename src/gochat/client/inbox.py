"""What arrives, made into events for the program: all conversations' timelines together. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gochat.client.entries import entry_of
from gochat.client.events import Reset, conversation_of
from gochat.client.timeline import Timeline, Want
from gochat.protocol.messages import (
    CaughtUp,
    Conversation,
    CreateRoom,
    HistoryPage,
    Message,
    Position,
    Request,
    Sent,
)

#: A resume asks for these many conversations, those with the latest entries; what was missed in
#: the others is seen from their heads and fetched. 150 positions with the longest names fit in a
#: frame.
MAX_POSITIONS: Final = 150


class Inbox:
    """The timelines of one account's conversations."""

    def __init__(self) -> None:
        self.me = ""
        self._timelines: dict[str, Timeline] = {}  # in the order of their latest entries
        self._behind: set[str] = set()  # those that want something

    def begin(self, me: str) -> None:
        """Be the inbox of `me` from here on; what is known of another account is forgotten."""
        if me != self.me:
            self.forget()
        self.me = me

    def forget(self) -> None:
        """Know nothing, as at the start."""
        self.me = ""
        self._timelines.clear()
        self._behind.clear()

    def positions(self) -> tuple[Position, ...]:
        """Return how far each conversation has been handed out, for a resume."""
        latest = list(self._timelines.values())[-MAX_POSITIONS:]
        return tuple(Position(conv=t.conv, epoch=t.epoch, seq=t.position) for t in latest)

    def known(self) -> set[str]:
        """Return the conversations that have a timeline."""
        return set(self._timelines)

    def picture(self, conversations: Iterable[Conversation], known: set[str]) -> None:
        """Take in the list of all conversations; `known` is what was known when it was asked for.

        Those that are not in the list were left elsewhere while nobody looked.
        """
        listed: set[str] = set()
        for conversation in conversations:
            listed.add(conversation.conv)
            timeline = self._timelines.get(conversation.conv)
            if timeline is None:
                self._timelines[conversation.conv] = Timeline(
                    conversation.conv, conversation.epoch, conversation.head, is_estimate=True
                )
            else:
                timeline.announce(conversation.epoch, conversation.head)
                self._shown(timeline, [])
        for conv in known - listed:
            self._forget(conv)

    def receive(self, entry: Message) -> list[Message | Reset]:
        """Take in an entry, and return what can be shown now."""
        conv = conversation_of(entry, self.me)
        timeline = self._timelines.pop(conv, None)
        if timeline is None:
            timeline = Timeline(conv, entry.epoch, entry.seq - 1)
        self._timelines[conv] = timeline  # to the end
        return self._shown(timeline, timeline.add(entry))

    def acknowledged(self, request: Request, sent: Sent) -> list[Message | Reset]:
        """Take in the entry that one's own `request` became."""
        entry = entry_of(request, sent, self.me)
        if entry is None:
            return []
        shown = self.receive(entry)
        if isinstance(request, CreateRoom) and request.topic:
            # The topic is the entry after it, which has no acknowledgement of its own.
            timeline = self._timelines[conversation_of(entry, self.me)]
            timeline.announce(entry.epoch, entry.seq + 1)
            shown = self._shown(timeline, shown)
        return shown

    def catch_up(self, event: CaughtUp) -> list[Message | Reset]:
        """Take in what the server says about one conversation after a resume."""
        timeline = self._timelines.get(event.conv)
        if timeline is None:
            timeline = Timeline(event.conv, event.epoch, event.seq)
            self._timelines[event.conv] = timeline
        return self._shown(timeline, timeline.catch_up(event))

    def wants(self) -> dict[str, Want]:
        """Return what has to be fetched, by conversation."""
        return {
            conv: want for conv in self._behind if (want := self._timelines[conv].want) is not None
        }

    def fill(self, conv: str, page: HistoryPage) -> list[Message | Reset]:
        """Take in the page that was fetched for `conv`."""
        timeline = self._timelines.get(conv)
        return [] if timeline is None else self._shown(timeline, timeline.fill(page))

    def skip(self, conv: str) -> list[Message | Reset]:
        """Go on without what is missing in `conv`."""
        timeline = self._timelines.get(conv)
        return [] if timeline is None else self._shown(timeline, timeline.skip())

    def _shown(self, timeline: Timeline, shown: list[Message | Reset]) -> list[Message | Reset]:
        if timeline.want is None:
            self._behind.discard(timeline.conv)
        else:
            self._behind.add(timeline.conv)
        # From an invitation on, and after leaving, one sees no more of a room: its next entry is
        # no gap but a new start.
        if any(isinstance(entry, Message) and self._is_outside(entry) for entry in shown[-1:]):
            self._forget(timeline.conv)
        return shown

    def _forget(self, conv: str) -> None:
        self._timelines.pop(conv, None)
        self._behind.discard(conv)

    def _is_outside(self, entry: Message) -> bool:
        return (entry.kind == "leave" and entry.from_ == self.me) or (
            entry.kind in ("invite", "kick") and entry.text == self.me
        )
