"""What an entry may have besides its text: a form, metadata, a reason, and for how long.

A store keeps all of it as one string, which is empty for most entries; only this module looks
inside. Taking a message back erases its form and metadata with the text; an edit leaves them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct, structs

from gochat.chat.refusals import check_length
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Ban, Delete, Form, Kick, Leave, Message, Payload, Send

#: In bytes of UTF-8, all keys and values together.
MAX_META: Final = 1024
#: In characters.
MAX_REASON: Final = 200

#: Who defines it, and what it is, so that two programs don't take each other's.
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")


class _Extras(Struct, frozen=True, omit_defaults=True):
    form: Form = "text"
    meta: dict[str, str] = {}
    reason: str = ""
    seconds: int = 0


_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder(_Extras).decode


def of(request: Payload) -> str:
    """Return what a store keeps of a request besides the text of its entry.

    Raises:
        ChatError: as the functions below do.
    """
    match request:
        case Send():
            return of_message(request.form, request.meta)
        case Delete() | Kick() | Leave():
            return of_reason(request.reason)
        case Ban():
            return of_reason(request.reason, request.seconds or 0)
        case _:
            return ""


def of_message(form: Form, meta: Mapping[str, str]) -> str:
    """Return what a store keeps of a message's form and metadata.

    Raises:
        ChatError: ``bad_request``: a key is not ``prefix/name``; ``text_too_long``.
    """
    if form == "text" and not meta:
        return ""
    if not all(map(_KEY.fullmatch, meta)):
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            "invalid key in meta: expected prefix/name, in a-z 0-9 . _ -",
            field="meta",
            details={"rule": "key"},
        )
    size = sum(len(text.encode()) for pair in meta.items() for text in pair)
    if size > MAX_META:
        raise ChatError(
            ErrorCode.TEXT_TOO_LONG,
            f"meta has at most {MAX_META:,} bytes, this one has {size:,}",
            field="meta",
            details={"max": MAX_META, "length": size},
        )
    return _encode(_Extras(form, dict(meta))).decode()


def of_reason(reason: str, seconds: int = 0) -> str:
    """Return what a store keeps of a reason, and of for how long it is.

    Raises:
        ChatError: ``text_too_long``.
    """
    check_length(reason, MAX_REASON, "a reason", "reason")
    if not reason and not seconds:
        return ""
    return _encode(_Extras(reason=reason, seconds=seconds)).decode()


def lifetime(extra: str) -> int:
    """Return for how many seconds what an entry says holds; 0: until it is taken back."""
    return _decode(extra).seconds if extra else 0


def reason(extra: str) -> str:
    """Return the reason in what a store keeps."""
    return _decode(extra).reason if extra else ""


def of_entry(entry: Message) -> str:
    """Return what a store keeps of an entry besides its text."""
    if entry.form == "text" and not entry.meta and not entry.reason:
        return ""
    return _encode(_Extras(entry.form, entry.meta, entry.reason)).decode()


def extended(entry: Message, extra: str | None) -> Message:
    """Return an entry with what its store kept besides the text."""
    if not extra:
        return entry
    kept = _decode(extra)
    return structs.replace(
        entry, form=kept.form, meta=kept.meta, reason=kept.reason, seconds=kept.seconds
    )


def plain(entry: Message) -> Message:
    """Return an entry as minimal clients get it."""
    if entry.form == "text" and not (entry.meta or entry.reason or entry.seconds or entry.conv):
        return entry
    return structs.replace(entry, form="text", meta={}, reason="", seconds=0, conv=None)
