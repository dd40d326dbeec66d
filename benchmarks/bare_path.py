"""The bare path: what a message costs in Python where it is made durable, and nothing else is done.

A server on Trio that reads, decodes, numbers, commits to SQLite and delivers what its people write
to each other, to rooms and to the lobby. It asks nobody for a password, checks no rule, sends no
acknowledgement, indexes nothing and forgets who is in which room at its end. So it is what a
complete server on the same machine, in the same run, is compared with.

``python -m benchmarks.bare_path FILE`` prints its port, and ends with its standard input.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from typing import Final, NamedTuple

import msgspec
import trio

from gochat.protocol.codec import encode
from gochat.protocol.messages import Limits, LoggedIn, Registered, Sent

_READ_SIZE: Final = 65536
_SCHEMA: Final = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table entry(
    id integer primary key, position int unique, ts int, sender text, kind text, text text, ref int,
    cid text, mentions text
);
create unique index by_cid on entry(sender, cid) where cid is not null;
"""
_INSERT: Final = """
insert into entry(id, position, ts, sender, kind, text, ref, cid, mentions)
values(?, ?, ?, ?, 'text', ?, null, ?, null)
"""
_Row = tuple[int, int, int, str, str, str]


# Not those of gochat, whose rules are not in what is compared with them.
class _Envelope(msgspec.Struct):
    msg_type: str
    msg_data: str


class _Send(msgspec.Struct):
    to: str
    text: str


class _Login(msgspec.Struct):
    name: str


class _Room(msgspec.Struct):
    room: str


class _Message(msgspec.Struct, rename={"from_": "from"}):
    to: str
    epoch: str
    seq: int
    ts: int
    from_: str
    kind: str
    text: str
    cid: str


class _Pending(NamedTuple):
    """A message that is to be committed, and the descriptors of those who receive it then."""

    row: _Row
    receivers: list[int]
    frame: bytes


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_send: Final = msgspec.json.Decoder(_Send).decode
_encode: Final = msgspec.json.Encoder().encode


class BarePath:
    """The people, what they are in, and what waits for the next commit."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._people: dict[str, int] = {}
        self._rooms: dict[str, dict[str, int]] = {"#lobby": {}}
        self._seqs: dict[tuple[str, str], int] = {}
        self._position = 0
        self._pending: list[_Pending] = []
        self._has_pending = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Read what a person sends until they hang up."""
        descriptor, buffer, name = stream.socket.fileno(), bytearray(), ""
        while True:
            try:
                data = os.read(descriptor, _READ_SIZE)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(descriptor)
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                break
            buffer += data
            start = 0
            while len(buffer) - start >= 4:
                end = start + 4 + int.from_bytes(buffer[start : start + 4], "big")
                if len(buffer) < end:
                    break
                envelope = _decode_envelope(bytes(buffer[start + 4 : end]))
                start = end
                if envelope.msg_type == "send":
                    self._take(name, _decode_send(envelope.msg_data))
                elif envelope.msg_type == "login":
                    name = msgspec.json.decode(envelope.msg_data, type=_Login).name
                    self._people[name] = self._rooms["#lobby"][name] = descriptor
                    _write(descriptor, encode(_logged_in(name)))
                elif envelope.msg_type == "register":
                    _write(descriptor, encode(Registered(name=name)))
                else:
                    room = msgspec.json.decode(envelope.msg_data, type=_Room).room
                    self._rooms.setdefault(room, {})[name] = descriptor
                    _write(descriptor, encode(Sent(to=room, epoch="e", seq=1, ts=1)))
            del buffer[:start]
        for members in (self._people, *self._rooms.values()):
            members.pop(name, None)

    def _take(self, sender: str, send: _Send) -> None:
        if send.to.startswith("#"):
            key = ("", send.to)
            receivers = [fd for name, fd in self._rooms[send.to].items() if name != sender]
        else:
            peer = send.to[1:]
            key = (sender, peer) if sender < peer else (peer, sender)
            receivers = [self._people[peer]]
        seq = self._seqs[key] = self._seqs.get(key, 0) + 1
        self._position = position = self._position + 1
        ts, cid = int(time.time() * 1000), f"~{position:x}"
        message = _Message(send.to, "e", seq, ts, sender, "text", send.text, cid)
        body = _encode(_Envelope("message", _encode(message).decode()))
        row = (position, position, ts, sender, send.text, cid)
        frame = len(body).to_bytes(4, "big") + body
        self._pending.append(_Pending(row, receivers, frame))
        self._has_pending.set()

    async def commit(self) -> None:
        """Commit and deliver, again and again, what was read in one pass."""
        execute = self._database.execute
        while True:
            await self._has_pending.wait()
            await trio.lowlevel.checkpoint()  # all who can be read in this pass are
            self._has_pending = trio.Event()
            pending, self._pending = self._pending, []
            execute("begin immediate")
            self._database.executemany(_INSERT, [one.row for one in pending])
            execute("commit")
            frames: dict[int, list[bytes]] = {}
            for one in pending:
                for receiver in one.receivers:
                    frames.setdefault(receiver, []).append(one.frame)
            for receiver, theirs in frames.items():
                _write(receiver, b"".join(theirs))


def _write(descriptor: int, data: bytes) -> None:
    # Nobody has more in flight than a socket takes; else the figures would be of something else.
    assert os.write(descriptor, data) == len(data), "a receiver is too slow for the bare path"


def _logged_in(name: str) -> LoggedIn:
    limits = Limits(frame_bytes=1, text_chars=1, burst=1, per_second=1.0, history_page=1)
    return LoggedIn(name=name, token="-", expires=1, limits=limits, heartbeat=1.0, server="bare")


async def _run(file: str) -> None:
    database = sqlite3.connect(file, isolation_level=None)
    database.executescript(_SCHEMA)
    path = BarePath(database)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=4096)
    print(listener.socket.getsockname()[1], flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(path.commit)
        nursery.start_soon(trio.serve_listeners, path.serve, [listener])
        os.set_blocking(sys.stdin.fileno(), False)
        await trio.lowlevel.wait_readable(sys.stdin.fileno())
        nursery.cancel_scope.cancel()
    database.close()


if __name__ == "__main__":
    trio.run(_run, sys.argv[1])
