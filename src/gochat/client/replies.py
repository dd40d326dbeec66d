"""What a reply means to the one who asked. Pure."""

from __future__ import annotations

from typing import TypeVar

from gochat.client.options import ClientOptions
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Error, Reply

R = TypeVar("R", bound=Reply)


def checked(reply: Reply, expected: type[R]) -> R:
    """Return `reply` if it is of the expected kind.

    Raises:
        ChatError: the server refused the request, or answered something else.
    """
    if isinstance(reply, expected):
        return reply
    if isinstance(reply, Error):
        raise refusal(reply)
    raise ChatError(
        ErrorCode.MALFORMED, f"the server answered with {reply.msg_type!r}, which is no answer"
    )


def refusal(reply: Error) -> ChatError:
    """Return the exception that an ``error`` reply becomes."""
    return ChatError(reply.code, reply.text, retry_after=reply.retry_after, field=reply.field)


def no_answer(options: ClientOptions) -> str:
    """Return what to say of a server that did not answer in time."""
    return f"the server gave no answer within {options.request_timeout:g} s"
