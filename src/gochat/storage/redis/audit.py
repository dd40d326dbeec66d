"""The stored form of the audit log."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from gochat.chat.administration import AuditEntry


class AuditRecord(Struct, array_like=True, frozen=True):
    """An entry of the audit log as stored, without its id."""

    at: int
    actor: str
    act: str
    subject: str
    detail: str
    reason: str


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(AuditRecord).decode


def encode_audit(entry: AuditEntry) -> bytes:
    """Return an entry as an element of the list."""
    return b"%d\0%b" % (entry.id, pack(entry))


def pack(entry: AuditEntry) -> bytes:
    """Return an entry in its stored form, without its id."""
    return _encode(
        AuditRecord(entry.at, entry.actor, entry.act, entry.subject, entry.detail, entry.reason)
    )


def decode_audit(element: bytes) -> AuditEntry:
    """Return an entry of the list. Raises msgspec's errors."""
    id_, _, packed = element.partition(b"\0")
    return AuditEntry(id=int(id_), **msgspec.structs.asdict(_decode(packed)))
