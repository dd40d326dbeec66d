"""The status of a person: an emoji and a line of text, for some time or until it is taken back.

It belongs to the account, and everybody who may see who is online may read it, also while its
person is offline. So whoever writes nothing in public has none: it goes with a mute, a ban, and the
account (:func:`ends_with`).
"""

from __future__ import annotations

import unicodedata
from typing import Final

from gochat.chat.account import Account
from gochat.chat.emoji import normalise
from gochat.chat.refusals import check_length
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import SetStatus, Status

#: Characters of its text.
MAX_STATUS: Final = 80


def asked_for(request: SetStatus, now: int) -> Status | None:
    """Return the status that a request asks for; None: the person takes theirs back.

    `now` is in milliseconds since the Unix epoch.

    Raises:
        ChatError: ``text_too_long``; ``bad_request`` if the text is more than one line, or has
            control characters, or the emoji is not one.
    """
    text = request.text.strip()
    check_length(text, MAX_STATUS, "a status", "text")
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in text):
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            "invalid status: expected one line without control characters",
            field="text",
            details={"rule": "one_line"},
        )
    emoji = normalise(request.emoji) if request.emoji else ""
    if emoji is None:
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            "invalid status: expected one emoji",
            field="emoji",
            details={"rule": "emoji"},
        )
    if not text and not emoji:
        return None
    until = now + 1000 * request.seconds if request.seconds else 0
    # msgspec leaves a default out only if it is the same object.
    return Status(emoji=emoji or "", text=text or "", until=until)


def current(status: Status | None, now: int) -> Status | None:
    """Return a status if it has not ended at `now`."""
    return status if status is not None and (not status.until or status.until > now) else None


def ends_with(before: Account, after: Account) -> bool:
    """Return whether a change of an account takes the person's status away."""
    is_restricted = any(
        new is not None and new != old
        for old, new in ((before.ban, after.ban), (before.mute, after.mute))
    )
    return is_restricted or after.state != "active"
