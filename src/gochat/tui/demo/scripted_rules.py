"""What the scripted server accepts: its limits, and how it refuses what exceeds them."""

from __future__ import annotations

import re
from typing import Final

from gochat.client import ChatError, Limits
from gochat.client.errors import chat_error
from gochat.errors import ErrorCode

#: What the server allows.
LIMITS: Final = Limits(
    frame_bytes=65536, text_chars=4000, burst=10, per_second=5.0, history_page=200
)
MAX_TOPIC: Final = 200
MAX_STATUS: Final = 80
PASSWORD_MIN: Final = 8
PASSWORD_MAX: Final = 128
#: What a name looks like. A server looks closer.
NAME: Final = re.compile(r"[^\W_]([\w.-]{0,30}[^\W_])?")


def wrong_credentials(field: str = "password") -> ChatError:
    """Return what a wrong name or password is refused with."""
    return chat_error(ErrorCode.BAD_CREDENTIALS, "the name or the password is wrong", field=field)


def check_password(password: str, field: str = "password") -> None:
    """Raise ChatError, ``bad_password``, if an account can't have this password."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise chat_error(
            ErrorCode.BAD_PASSWORD,
            f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters",
            field=field,
        )


def check_topic(topic: str) -> None:
    """Raise ChatError, ``text_too_long``, if a room can't have this topic."""
    if len(topic) > MAX_TOPIC:
        raise chat_error(
            ErrorCode.TEXT_TOO_LONG, f"a topic has at most {MAX_TOPIC} characters", field="topic"
        )


def check_status(text: str) -> None:
    """Raise ChatError, ``text_too_long`` or ``bad_request``, if nobody can say this of
    themselves."""
    if len(text.strip()) > MAX_STATUS:
        raise chat_error(
            ErrorCode.TEXT_TOO_LONG, f"a status has at most {MAX_STATUS} characters", field="text"
        )
    if not text.strip().isprintable():
        raise chat_error(ErrorCode.BAD_REQUEST, "invalid status: expected one line", field="text")


def check_text(text: str) -> None:
    """Raise ChatError, ``text_empty`` or ``text_too_long``, if this can't be said."""
    if not text or text.isspace():
        raise chat_error(ErrorCode.TEXT_EMPTY, "there is nothing to say", field="text")
    if len(text) > LIMITS.text_chars:
        raise chat_error(
            ErrorCode.TEXT_TOO_LONG,
            f"a message has at most {LIMITS.text_chars:,} characters, this one has {len(text):,}",
            field="text",
        )
