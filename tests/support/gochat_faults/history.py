"""The history of a run, as its participants saw it; kept in memory and as JSON lines.

Conversations have the same name for everyone here: ``#room``, and ``@a,b`` for the private one of
two people, in alphabetical order. Times are seconds since the run began. The events of one client,
or of one reader, are in the order in which they happened to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from gochat.client import LogEntry
from gochat.protocol.messages import Message
from gochat.tui.model.entries import described


class Said(Struct, frozen=True, array_like=True, tag="said"):
    """`client` of the account `sender` started to send this message; it may send it many times."""

    at: float
    client: str
    sender: str
    conversation: str
    cid: str
    body: str


class Acknowledged(Struct, frozen=True, array_like=True, tag="acknowledged"):
    """The server acknowledged this message to `client`, at this position.

    It `is_replicated` for certain if the server waits for replicas, and the client for the
    acknowledgement: the library is satisfied when it is shown its own message.
    """

    at: float
    client: str
    sender: str
    cid: str
    epoch: str
    seq: int
    dup: bool = False
    is_replicated: bool = True


class Started(Struct, frozen=True, array_like=True, tag="started"):
    """`reader` must see everything of `conversation` after `seq`; it may see some before it,
    too."""

    at: float
    reader: str
    conversation: str
    epoch: str
    seq: int


class Seen(Struct, frozen=True, array_like=True, tag="seen"):
    """`reader` was shown this entry."""

    at: float
    reader: str
    conversation: str
    epoch: str
    seq: int
    kind: str
    sender: str
    cid: str | None
    body: str


class Restarted(Struct, frozen=True, array_like=True, tag="restarted"):
    """`reader` was reset: entries after `seq` come next, and earlier ones are in the history."""

    at: float
    reader: str
    conversation: str
    epoch: str
    seq: int


class Ended(Struct, frozen=True, array_like=True, tag="ended"):
    """`reader` is gone for good, so it need not see later entries."""

    at: float
    reader: str


class Retried(Struct, frozen=True, array_like=True, tag="retried"):
    """`client` was refused this message, and sends it again, after all its messages so far."""

    at: float
    client: str
    sender: str
    cid: str


class Resends(Struct, frozen=True, array_like=True, tag="resends"):
    """`client` resends recently acknowledged messages if the store loses them."""

    client: str


class Shaken(Struct, frozen=True, array_like=True, tag="shaken"):
    """Between `began` and `at` the store was broken so that its log may get another epoch.

    Entries that nobody knew of before `since` may be lost by it; with `since` None, none. With
    `only_unacknowledged`, acknowledged entries are kept all the same.
    """

    began: float
    at: float
    what: str
    since: float | None = None
    only_unacknowledged: bool = False


class Logged(Struct, frozen=True, array_like=True, tag="logged"):
    """At the end of the run the log has this entry; in the order of reading."""

    conversation: str
    epoch: str
    seq: int
    kind: str
    sender: str
    cid: str | None
    body: str


class Fault(Struct, frozen=True, array_like=True, tag="fault"):
    """Something was broken or repaired: for people who read the history."""

    at: float
    what: str


Event: TypeAlias = (
    Said | Acknowledged | Started | Seen | Restarted | Ended | Retried | Resends | Shaken | Logged
    | Fault
)  # fmt: skip

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)


class Journal:
    """Records the history of a run; see :func:`open_journal`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        #: Whether the store was made to lose data, so that valid requests may now be refused.
        self.has_lost_data = False
        self._began = time.monotonic()

    def now(self) -> float:
        """Return the time of the run in seconds."""
        return round(time.monotonic() - self._began, 4)

    def add(self, event: Event) -> None:
        """Record an event."""
        self.events.append(event)

    def fault(self, what: str) -> None:
        """Record that something was broken or repaired."""
        self.add(Fault(self.now(), what))

    def seen(self, reader: str, me: str, entry: Message | LogEntry) -> str:
        """Record that `reader`, logged in as `me`, was shown `entry`; return its conversation."""
        if isinstance(entry, Message):
            sender, kind, text = entry.from_, str(entry.kind), entry.text
        else:
            sender, (kind, text) = entry.sender, described(entry)
        conversation = common_name(entry.conversation, me)
        self.add(
            Seen(
                self.now(),
                reader,
                conversation,
                entry.epoch,
                entry.seq,
                kind,
                sender,
                entry.cid,
                text,
            )
        )
        return conversation


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open a journal; it is written to `path` at the end, whatever happens."""
    journal = Journal()
    try:
        yield journal
    finally:
        with path.open("wb") as file:
            for event in journal.events:
                file.write(_encoder.encode(event) + b"\n")


def read_history(path: Path) -> list[Event]:
    """Return the history in a journal's file."""
    with path.open("rb") as file:
        return [_decoder.decode(line) for line in file]


def common_name(conversation: str, me: str) -> str:
    """Return the common name of what `me` calls `conversation`."""
    if conversation.startswith("@"):
        return "@" + ",".join(sorted((conversation[1:], me)))
    return conversation
