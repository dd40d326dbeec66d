"""What is posted to sessions: entries, each encoded once, in pieces for one audience."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, Protocol

from gochat.chat.conversations import ConversationKey
from gochat.chat.extras import plain
from gochat.chat.grants import Grant
from gochat.protocol.codec import encode
from gochat.protocol.messages import Message, ServerRole

#: Bytes of entries that are posted to a session at once: by default the maximum of a frame. Queued
#: bytes can be written between two posts, so a large commit fills no mailbox whose peer reads.
MAX_POST: Final = 64 * 1024


class Sink(Protocol):
    """Where frames for a session go: its outlet, or a buffer that holds them back for a while."""

    @property
    def is_behind(self) -> bool:
        """True while anything that can wait should not be posted."""

    def post(self, frames: bytes) -> None:
        """Queue whole frames, without blocking."""

    def send(self, frames: bytes) -> None:
        """Queue whole frames that are the last for now: they may be written at once."""


class Subscriber(Protocol):
    """A logged-in session, as the hub sees it."""

    events: Sink
    caps: frozenset[str]
    grant: Grant  # decides what it is sent, besides its person's rooms
    wants_log: bool  # entries of every kind, not only messages
    role: ServerRole | None  # its person's, as it was last sent; None before it is logged in

    def post_private(
        self, conversation: ConversationKey, entries: Sequence[Message], frames: Sequence[bytes]
    ) -> None:
        """Post what others said in a private conversation, to a session without `log`."""


class Frames:
    """The frames of entries, each encoded once."""

    __slots__ = ("_encoded",)

    def __init__(self) -> None:
        self._encoded: dict[
            int, tuple[Message, bytes]
        ] = {}  # by the identity of what is kept in it

    def of(self, entry: Message) -> bytes:
        """Return the frame of an entry."""
        found = self._encoded.get(id(entry))
        if found is None:
            found = self._encoded[id(entry)] = entry, encode(entry)
        return found[1]


class Piece:
    """Entries that are posted to a session at once; `data` is all their frames."""

    __slots__ = ("_is_last", "data", "entries", "frames")

    def __init__(
        self, entries: Sequence[Message], frames: Sequence[bytes], *, is_last: bool
    ) -> None:
        self.entries: Final = entries
        self.frames: Final = frames
        self.data: Final = b"".join(frames)
        self._is_last = is_last  # so it may be written at once

    def post_to(self, session: Subscriber, data: bytes | None = None) -> None:
        """Post the data, or a part of it."""
        post = session.events.send if self._is_last else session.events.post
        post(self.data if data is None else data)


def editions(
    parts: Iterable[tuple[Collection[Subscriber], Sequence[Message]]],
) -> Iterator[tuple[Collection[Subscriber], Sequence[Message]]]:
    """Split parts of an audience where minimal clients get entries without what is new."""
    for audience, entries in parts:
        if all(plain(entry) is entry for entry in entries):
            yield audience, entries
            continue
        yield [session for session in audience if not session.caps], [plain(e) for e in entries]
        yield [session for session in audience if session.caps], entries


def pieces(entries: Sequence[Message], encoded: Frames, *, is_last: bool) -> list[Piece]:
    """Cut entries into pieces whose frames are at most :data:`MAX_POST` bytes, or one frame."""
    frames = [encoded.of(entry) for entry in entries]
    if len(frames) == 1 or sum(map(len, frames)) <= MAX_POST:
        return [Piece(entries, frames, is_last=is_last)]
    found: list[Piece] = []
    start = size = 0
    for number, frame in enumerate(frames):
        size += len(frame)
        if size > MAX_POST and number > start:
            found.append(Piece(entries[start:number], frames[start:number], is_last=False))
            start, size = number, len(frame)
    found.append(Piece(entries[start:], frames[start:], is_last=is_last))
    return found
