"""A connection of the runner, and the schema that its frames are compared with."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "protocol.schema.json"

#: Checks a frame's type and payload; raises `Failed`.
Check = Callable[[str, Any], None]


class Failed(Exception):
    """The server did something else than a case expects; the text says what."""


def schema_check(*, is_exact: bool = False) -> Check | None:
    """Return what compares frames with the schema; None without ``jsonschema``.

    If it `is_exact`, fields that have their default are wrong, too.
    """
    try:
        from jsonschema import Draft202012Validator, ValidationError, validators
    except ImportError:
        return None

    def properties(validator: Any, fields: Any, value: Any, schema: Any) -> Iterator[Any]:
        yield from Draft202012Validator.VALIDATORS["properties"](validator, fields, value, schema)
        for name in fields.keys() & value.keys() if is_exact else ():
            if "default" in fields[name] and repr(fields[name]["default"]) == repr(value[name]):
                yield ValidationError(f"{name} has its default, and is sent")

    validator = validators.extend(Draft202012Validator, {"properties": properties})
    schema = json.loads(SCHEMA.read_bytes())
    frames = {**schema["frames"]["reply"], **schema["frames"]["event"]}
    checks = {
        msg_type: validator({"$defs": schema["$defs"], "$ref": frame["$ref"]})
        for msg_type, frame in frames.items()
    }

    def check(msg_type: str, payload: Any) -> None:
        if msg_type not in checks:
            raise Failed(f"the schema has no reply or event {msg_type!r}")
        for error in checks[msg_type].iter_errors(payload):
            raise Failed(
                f"{msg_type} is not as the schema has it: {error.json_path} {error.message}"
            )

    return check


class Connection:
    """One connection."""

    def __init__(self, address: tuple[str, int], patience: float) -> None:
        self.socket = socket.create_connection(address, timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.body = ""  # of the newest frame

    def write(self, body: str, pad: int = 0, pieces: int = 0) -> None:
        """Send a body in a frame, with blanks after it up to `pad` bytes; in pieces, if asked."""
        encoded = body.encode().ljust(pad)
        data = len(encoded).to_bytes(4, "big") + encoded
        for start in range(0, len(data), pieces or len(data)):
            self.socket.sendall(data[start : start + (pieces or len(data))])

    def receive(self) -> list[Any]:
        """Return the next frame's type and payload, or ``["closed", {}]`` at the end."""
        try:
            length = int.from_bytes(self._read(4), "big")
            if not 1 <= length <= 65536:
                raise Failed(f"a frame of length {length} arrived")
            self.body = self._read(length).decode()
            envelope = json.loads(self.body, parse_constant=_refuse)
            payload = json.loads(envelope["msg_data"], parse_constant=_refuse)
            frame = [envelope["msg_type"], payload]
        except (EOFError, ConnectionError) as error:
            if self.buffer:
                raise Failed(f"the connection ended inside a frame: {self.buffer!r}") from error
            return ["closed", {}]
        except (ValueError, TypeError, KeyError) as error:
            raise Failed(f"not an envelope: {self.body}: {error!r}") from error
        if not isinstance(frame[0], str) or not isinstance(frame[1], dict):
            raise Failed(f"not a type and an object: {self.body}")
        return frame

    def _read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not (data := self.socket.recv(65536)):
                raise EOFError
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def cut(self, how: str) -> None:
        """End the connection: ``close``, ``reset``, or ``half``, only what the client sends."""
        if how == "half":
            self.socket.shutdown(socket.SHUT_WR)
            return
        if how == "reset":
            linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
