"""A crowd on one server, who write to each other by the load generator groupload.c.

They enter here, as everybody does; then a process of its own has their connections, and plays
rounds. Its figures are of what others received: what a server sends back to who wrote it is not a
delivery.
"""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.audience import Audience, NotDelivered
from benchmarks.servers import PATIENCE, Talking, compiled, cpu_exactly, wait

#: What people are called who only receive; their number follows.
NAME: Final = "receiver"
#: Members of a room.
ROOM: Final = 20
#: A server is idle when it uses less of a core than this, looked at so often (seconds).
_IDLE: Final = 0.03
_INTERVAL: Final = 0.1


class Way(NamedTuple):
    """A way of talking. Without a `rate` (messages a second, of all), a person writes the next
    message as soon as fewer than `in_flight` of theirs have not been received by all others.

    `kind` is ``private``, ``room`` or ``lobby``; in the lobby, one person speaks.
    """

    name: str
    kind: str
    messages: int
    rate: float = 0.0
    in_flight: int = 1


class Talked(NamedTuple):
    """What a round of a :class:`Way` found. Times in seconds; `p50` and `p99` are from a message's
    being written to its being read by another.

    `cpu` is the server's until it had nothing left to do. `cpu_generator` is that of the process
    that plays the people, from which it is seen whether it had been too slow.
    """

    messages: int
    deliveries: int
    seconds: float
    p50: float
    p99: float
    cpu: float
    cpu_generator: float


class Crowd:
    """So many people, in rooms of :data:`ROOM` and in the lobby. See :func:`open_crowd`."""

    def __init__(self, server: Talking, people: int, generator: subprocess.Popen[bytes]) -> None:
        self.server: Final = server
        self.people: Final = people
        self._generator = generator
        self._pairing = 1
        self._clocks = (0.0, 0.0)

    def talk(self, way: Way) -> Talked:
        """Play a round. In private, each writes to somebody they have not written to before.

        Raises:
            NotDelivered: a message did not arrive once and in order, or not in time.
        """
        self.begin(way)
        return self.end(way)

    def begin(self, way: Way) -> None:
        """Begin a round; :meth:`end` waits for its end."""
        match way.kind:
            case "private":
                group, to, speakers = self._pairing, f"@{NAME}%PEER%", self.people
                self._pairing = (self._pairing + 2) % self.people
            case "room":
                group, to, speakers = ROOM, "#room%ROOM%", self.people
            case _:
                group, to, speakers = self.people, "#lobby", 1
        kind = "pairs" if way.kind == "private" else "rooms"
        in_flight = way.messages if way.rate else way.in_flight
        template = self.server.template(to, "%TEXT%")
        line = f"{kind} {group} {speakers} {way.messages} {in_flight} {way.rate} {template}\n"
        self._clocks = self.server.cpu_exactly, cpu_exactly(self._generator.pid)
        assert self._generator.stdin is not None
        self._generator.stdin.write(line.encode())
        self._generator.stdin.flush()

    def wait(self) -> None:
        """Wait until what was begun has come to its end, good or bad; :meth:`end` tells which."""
        assert self._generator.stdout is not None
        select.select([self._generator.stdout], [], [])

    def end(self, way: Way) -> Talked:
        """Wait for the end of what was begun, and until the server is idle. As :meth:`talk`."""
        assert self._generator.stdout is not None
        answer = self._generator.stdout.readline()
        if not answer:
            raise NotDelivered(f"{self.server.name}, {way.name}: what was wrong is said above")
        own = cpu_exactly(self._generator.pid) - self._clocks[1]
        self._wait_until_idle()
        found = json.loads(answer)
        hearers = {"private": 1, "room": ROOM - 1}.get(way.kind, self.people - 1)
        return Talked(
            messages=way.messages,
            deliveries=way.messages * hearers,
            seconds=found["seconds"],
            p50=found["p50"],
            p99=found["p99"],
            cpu=self.server.cpu_exactly - self._clocks[0],
            cpu_generator=own,
        )

    def _wait_until_idle(self) -> None:
        deadline, before = time.monotonic() + PATIENCE, -PATIENCE
        while (now := self.server.cpu_exactly) - before > _IDLE * _INTERVAL:
            assert time.monotonic() < deadline, f"{self.server.name} does not become idle"
            before = now
            time.sleep(_INTERVAL)


@contextmanager
def open_crowd(server: Talking, directory: Path, people: int) -> Iterator[Crowd]:
    """Have so many people enter; they leave with the block. `people` is a multiple of
    :data:`ROOM`."""
    with closing(Audience(server, people, speakers=0)) as audience:
        connections = audience.receivers
        for connection in connections:
            connection.settimeout(PATIENCE)
        for number in range(people // ROOM):
            members = connections[number * ROOM :][:ROOM]
            server.fill_room(f"#room{number}", members)
        audience.drop(0.5)
        program = str(compiled("groupload", directory))
        descriptors = [connection.fileno() for connection in connections]
        command = [program, "frames" if server.has_frames else "lines", *map(str, descriptors)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=descriptors) as generator:
            assert generator.stdin is not None
            try:
                yield Crowd(server, people, generator)
            finally:
                generator.stdin.close()
                wait(generator)
