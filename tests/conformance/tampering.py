"""Servers with a fault each: a proxy before a right server that changes what passes.

Each fault names the case that must catch it. It knows frames and nothing else, so it works with any
server that conforms.
"""

from __future__ import annotations

import json
import socket
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, TypeAlias

Frame: TypeAlias = tuple[str, dict[str, Any]]


class Wire:
    """One connection through the proxy: who is logged in on it, and with which capabilities."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.name = ""
        self.caps: list[str] = []
        self.held: list[Frame] = []  # for a fault that changes the order
        self._lock = threading.Lock()

    def down(self, data: bytes) -> None:
        """Send bytes to the client."""
        with self._lock:
            self.client.sendall(data)


class Fault:
    """What a wrong server does. A subclass changes requests, or what answers them."""

    #: The name of the case that catches it.
    case: ClassVar[str]

    def __init__(self) -> None:
        self.wires: list[Wire] = []

    def up(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        """Yield the requests that reach the server in place of this one."""
        yield frame

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        """Yield what reaches the client in place of this reply or event."""
        yield frame

    def encode(self, frame: Frame) -> bytes:
        """Return the bytes of a frame to the client."""
        return encode(frame)


class Echoes(Fault):
    """Sends a client without capabilities what it has said itself."""

    case = "minimal/say something to everyone"

    def up(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "send" and not wire.caps:
            echo = {"to": frame[1]["to"], "epoch": "e", "seq": 1, "ts": 1, "from": wire.name,
                    "text": frame[1]["text"]}  # fmt: skip
            wire.down(encode(("message", echo)))
        yield frame


class AcknowledgesFirst(Fault):
    """Sends `sent`, and then the entry."""

    case = "messages/a session with log is sent its own entry, and then the reply"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "message" and frame[1]["from"] == wire.name:
            wire.held.append(frame)
            return
        yield frame
        if frame[0] == "sent":
            yield from wire.held
            wire.held.clear()


class SkipsNumber(Fault):
    """Leaves one number of a log out."""

    case = "messages/what is sent on one connection has rising numbers"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "message" and frame[1]["seq"] >= 3:
            frame[1]["seq"] += 1
        yield frame


class CommitsTwice(Fault):
    """Does not know a `cid` again."""

    case = "messages/a second try with the same cid is answered by the first"

    def __init__(self) -> None:
        super().__init__()
        self.known: set[str] = set()

    def up(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if (cid := frame[1].get("cid")) in self.known:
            frame[1]["cid"] = f"{cid}-again"
        elif cid is not None:
            self.known.add(cid)
        yield frame


class MiscountsBytes(Fault):
    """Gives a frame's length wrong by one."""

    case = "minimal/register"

    def encode(self, frame: Frame) -> bytes:
        data = encode(frame)
        return (len(data) - 3).to_bytes(4, "big") + data[4:]


class SendsDefaults(Fault):
    """Sends fields that have their default."""

    case = "minimal/say something to everyone"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "message":
            frame[1].setdefault("kind", "text")
        yield frame


class SaysNoGoodbye(Fault):
    """Closes without `bye`."""

    case = "framing/a length of 0"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] != "bye":
            yield frame


class SyncsTooLittle(Fault):
    """Leaves the oldest of what was missed out of `sync`."""

    case = "sync/resume and sync behind it leave nothing out"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        for conversation in frame[1].get("conversations", ()) if frame[0] == "synced" else ():
            del conversation.get("entries", [])[:1]
        yield frame


class IgnoresNumbers(Fault):
    """Takes writes whatever their number is."""

    case = "messages/only the number that is due is taken"

    def up(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        frame[1].pop("n", None)
        yield frame


class TellsOthers(Fault):
    """Sends a private message to everybody."""

    case = "minimal/say something to one person"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "message" and frame[1]["to"].startswith("@"):
            for other in self.wires:
                if other.name not in ("", wire.name, frame[1]["from"]):
                    other.down(encode(frame))
        yield frame


class KnowsNoPresence(Fault):
    """Never sends `presence`."""

    case = "events/one is online from the first session to the end of the last"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] != "presence":
            yield frame


class ForgetsIds(Fault):
    """Leaves `request_id` out of errors."""

    case = "minimal/replies come in the order of the requests"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "error":
            frame[1].pop("request_id", None)
        yield frame


class AnswersOutOfOrder(Fault):
    """Answers what is quick before what came first."""

    case = "minimal/replies come in the order of the requests"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "people":
            wire.held.append(frame)
            return
        yield frame
        if frame[0] != "presence":
            yield from wire.held
            wire.held.clear()


class Normalises(Fault):
    """Changes texts that are passed on."""

    case = "messages/any character is passed on as it is"

    def up(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "send":
            frame[1]["text"] = unicodedata.normalize("NFC", frame[1]["text"])
        yield frame


class RevealsRooms(Fault):
    """Says of a private room that one may not, instead of that there is none."""

    case = "rooms/a private room that one can't see is unknown, to every request"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "error" and frame[1]["code"] == "unknown_conversation":
            frame[1]["code"] = "not_permitted"
        yield frame


class RefusesUnknownFields(Fault):
    """Refuses a request with a field that it doesn't know."""

    case = "envelope/order, white space, doubled and unknown members"

    def up(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if "colour" in frame[1]:
            error = {"request_id": frame[1]["request_id"], "code": "malformed", "text": "colour?"}
            wire.down(encode(("error", error)))
        else:
            yield frame


class StopsOneShort(Fault):
    """Refuses a text of just the length that is allowed."""

    case = "messages/a text of the greatest length, and one character more"

    def up(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if len(frame[1].get("text", "")) == 4000:
            frame[1]["text"] += "!"
        yield frame


class GivesEverybodyConv(Fault):
    """Sends a client without capabilities fields that it has not asked for."""

    case = "minimal/say something to one person"

    def down(self, wire: Wire, frame: Frame) -> Iterator[Frame]:
        if frame[0] == "message" and frame[1]["to"].startswith("@"):
            frame[1]["conv"] = f"@{frame[1]['from']}"
        yield frame


FAULTS: list[type[Fault]] = Fault.__subclasses__()


def encode(frame: Frame) -> bytes:
    """Return a frame's bytes."""
    text = json.dumps(frame[1], ensure_ascii=False, separators=(",", ":"))
    envelope = {"msg_type": frame[0], "msg_data": text}
    body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    return len(body).to_bytes(4, "big") + body


def decode(body: bytes) -> Frame | None:
    """Return the frame with this body; None if that isn't for a proxy to judge."""
    try:
        envelope = json.loads(body)
        msg_type, payload = envelope["msg_type"], json.loads(envelope["msg_data"])
    except (ValueError, TypeError, KeyError):
        return None
    is_whole = isinstance(msg_type, str) and isinstance(payload, dict)
    return (msg_type, payload) if is_whole else None


@contextmanager
def tampering(server: tuple[str, int], fault: Fault) -> Iterator[tuple[str, int]]:
    """Put a proxy with a fault before a server, and return its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=[listener, server, fault], daemon=True).start()
        try:
            yield listener.getsockname()
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, server: tuple[str, int], fault: Fault) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            wire, upstream = Wire(client), socket.create_connection(server)
            fault.wires.append(wire)
            for pump in (_pump_up, _pump_down):
                threading.Thread(target=pump, args=[wire, upstream, fault], daemon=True).start()


def _pump_up(wire: Wire, upstream: socket.socket, fault: Fault) -> None:
    buffer = b""
    with suppress(OSError):
        while data := wire.client.recv(65536):
            buffer += data
            while len(buffer) >= 4 + (length := int.from_bytes(buffer[:4], "big")) > 4:
                body, buffer = buffer[4 : 4 + length], buffer[4 + length :]
                frame = decode(body)
                if frame is None:
                    upstream.sendall(length.to_bytes(4, "big") + body)
                    continue
                if frame[0] in ("login", "resume"):
                    wire.caps = frame[1].get("caps") or []
                for changed in fault.up(wire, frame):
                    upstream.sendall(encode(changed))
            if buffer[:4] == bytes(4) or int.from_bytes(buffer[:4], "big") > 65536:
                upstream.sendall(buffer)  # for the server to refuse
                buffer = b""
    with suppress(OSError):
        upstream.shutdown(socket.SHUT_WR)


def _pump_down(wire: Wire, upstream: socket.socket, fault: Fault) -> None:
    buffer = b""
    with suppress(OSError), upstream:
        while data := upstream.recv(65536):
            buffer += data
            while len(buffer) >= 4 + (length := int.from_bytes(buffer[:4], "big")) > 4:
                body, buffer = buffer[4 : 4 + length], buffer[4 + length :]
                frame = decode(body)
                assert frame is not None
                if frame[0] == "logged_in":
                    wire.name = frame[1]["name"]
                for changed in fault.down(wire, frame):
                    wire.down(fault.encode(changed))
    with suppress(OSError), wire.client:
        wire.client.shutdown(socket.SHUT_RDWR)  # closing alone waits for who reads from it
