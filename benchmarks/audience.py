"""The load generator: many receivers in one process that only reads, and checks what it reads.

Everybody who hears a broadcast must hear the very same bytes. So whoever reads first lays down
what all others must have, each later read is compared with it in one `memcmp`, and only that one
stream is decoded, when the clock has stopped: each message once, in order, for every receiver.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import time
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from benchmarks.servers import Server
from gochat.protocol.framing import HEADER_SIZE, FrameDecoder

#: Bytes of one read: what a socket's buffer holds at most, so that the generator is not the one
#: who reads too little.
READ_SIZE: Final = 1 << 20
#: How many of the receivers have each of their messages timed, when there is no pause between.
SAMPLE: Final = 16
TIMEOUT: Final = 30.0
#: Logins at once.
WAVE: Final = 200
_TEXT: Final = "and this is what somebody has to say"

_NUMBER: Final = re.compile(rb"message (\d{7}) ")
_MESSAGE: Final = b'{"msg_type":"message"'
_SENT: Final = b'{"msg_type":"sent"'


class NotDelivered(Exception):
    """A server did not deliver each message once and in order to everybody."""


@dataclass
class Measured:
    """One broadcast; times in seconds. With several speakers, whose messages the server puts into
    an order of its own, a latency is that of the n-th heard after the n-th was said."""

    receivers: int
    messages: int
    seconds: float
    cpu: float
    generator_cpu: float
    reads: int
    latencies: list[float] = field(repr=False)
    acks: list[float] = field(repr=False)

    @property
    def deliveries(self) -> int:
        return self.receivers * self.messages


class Audience:
    """Receivers and speakers on one server. The speakers are not among the receivers."""

    def __init__(self, server: Server, receivers: int, speakers: int = 1) -> None:
        self.server = server
        self._said = 0
        self._buffer = bytearray(READ_SIZE)
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self.speakers = self._enter([f"speaker{number}" for number in range(speakers)])
        self.receivers: list[socket.socket] = []
        self.admit(receivers)

    def admit(self, receivers: int) -> None:
        """Have so many more receivers."""
        end = len(self.receivers) + receivers
        for first in range(len(self.receivers), end, WAVE):
            names = [f"receiver{number}" for number in range(first, min(first + WAVE, end))]
            self.receivers += self._enter(names)
            self.drop(0)  # who doesn't read who else arrives is cut
        self.drop(0.5)

    def _enter(self, names: list[str]) -> list[socket.socket]:
        connections = self.server.enter(names)
        for connection in connections:
            connection.settimeout(0)
            self._sockets[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.EPOLLIN)
        return connections

    def close(self) -> None:
        self._poll.close()
        for connection in self._sockets.values():
            connection.close()

    def drop(self, quiet: float) -> None:
        """Read and drop until nothing has come for so long: who arrived, and old messages."""
        while events := self._poll.poll(quiet):
            for fd, _ in events:
                with contextlib.suppress(ssl.SSLWantReadError):
                    if not self._sockets[fd].recv_into(self._buffer):
                        raise NotDelivered(f"{self.server.name} has closed a connection")

    def broadcast(
        self, messages: int, *, in_flight: int = 1, rate: float = 0.0, speaking: int = 1
    ) -> Measured:
        """Say `messages` things, `rate` a second; or, if that is 0, whenever fewer than
        `in_flight` have not been heard by everybody yet.

        Raises:
            NotDelivered: somebody heard something else, or nothing in time.
        """
        heard = _Heard(has_frames=self.server.has_frames)
        numbers = range(self._said, self._said + messages)
        self._said += messages
        frames = deque(self.server.say(n, f"message {n:07} {_TEXT}") for n in numbers)
        sockets, poll, buffer = self._sockets, self._poll, self._buffer
        view = memoryview(buffer)
        speakers = {speaker.fileno(): deque[float]() for speaker in self.speakers}
        order = list(speakers)[:speaking]
        rests: dict[int, bytes] = {}
        sampled = {s.fileno() for s in (self.receivers if rate else self.receivers[::SAMPLE])}
        position = dict.fromkeys(s.fileno() for s in self.receivers)
        at: dict[int, int] = dict.fromkeys(position, 0)
        count: dict[int, int] = dict.fromkeys(position, 0)
        #: How many receivers have heard so many messages; `slowest` is the least of these.
        levels = [0] * (messages + 1)
        levels[0] = len(at)
        slowest = said = reads = 0
        said_at: list[float] = []
        latencies: list[float] = []
        acks: list[float] = []
        clock = time.perf_counter
        cpu, own = self.server.cpu_exactly, time.process_time()
        begun = last = clock()
        while slowest < messages or (self.server.acknowledges and len(acks) < messages):
            now = clock()
            if now - last > TIMEOUT:
                raise NotDelivered(f"{self.server.name}: {slowest} of {messages} in time")
            if rate:
                due = min(messages, int((now - begun) * rate) + 1)
            else:
                due = min(messages, slowest + in_flight)
            batch = due - said
            for number, speaker in enumerate(order[:batch]):
                share = batch // len(order) + (number < batch % len(order))
                sockets[speaker].sendall(b"".join(frames.popleft() for _ in range(share)))
                speakers[speaker].extend([now] * share)
                said_at += [now] * share
                said += share
            pause = begun + said / rate - now if rate and said < messages else 1.0
            for fd, _ in poll.poll(max(0.0, pause)):
                try:
                    size = sockets[fd].recv_into(buffer)
                except ssl.SSLWantReadError:  # a part of a record
                    continue
                last = clock()
                if not size:
                    raise NotDelivered(f"{self.server.name} has closed a connection")
                if fd in speakers:
                    data = rests.get(fd, b"") + view[:size]
                    rests[fd] = data[1 - len(_SENT) :]
                    acks += [last - speakers[fd].popleft() for _ in range(data.count(_SENT))]
                    continue
                reads += 1
                heard.compare(at[fd], view[:size])
                at[fd] += size
                before, after = count[fd], heard.count(at[fd])
                if before == after:
                    continue
                count[fd] = after
                levels[before] -= 1
                levels[after] += 1
                while not levels[slowest]:
                    slowest += 1
                if fd in sampled:
                    latencies += [last - moment for moment in said_at[before:after]]
        seconds = clock() - begun
        heard.check(numbers)
        return Measured(
            receivers=len(at),
            messages=messages,
            seconds=seconds,
            cpu=self.server.cpu_exactly - cpu,
            generator_cpu=time.process_time() - own,
            reads=reads,
            latencies=latencies,
            acks=acks,
        )


class _Heard:
    """The stream that all receivers must have in common."""

    def __init__(self, *, has_frames: bool) -> None:
        self._bytes = bytearray()
        self._frames = FrameDecoder() if has_frames else None
        self._ends: list[int] = []
        self._cut = 0

    def compare(self, start: int, piece: memoryview) -> None:
        missing = start + len(piece) - len(self._bytes)
        if missing > 0:
            new = bytes(piece[len(piece) - missing :])
            self._bytes += new
            self._find_ends(new)
        if not self._bytes.startswith(piece, start):
            raise NotDelivered("two receivers heard different things")

    def count(self, position: int) -> int:
        """How many messages end before a position."""
        return bisect_right(self._ends, position)

    def _find_ends(self, new: bytes) -> None:
        if self._frames is None:
            while (end := self._bytes.find(b"\r\n", self._cut)) >= 0:
                self._cut = end + 2
                self._ends.append(self._cut)
            return
        self._frames.receive_data(new)
        while (body := self._frames.next_frame()) is not None:
            self._cut += HEADER_SIZE + len(body)
            if body.startswith(_MESSAGE):  # and not that somebody has left
                self._ends.append(self._cut)

    def check(self, expected: range) -> None:
        numbers = [int(number) for number in _NUMBER.findall(self._bytes)]
        if sorted(numbers) != list(expected) or len(self._ends) != len(expected):
            raise NotDelivered(f"{len(numbers)} messages were heard, not each of {len(expected)}")
