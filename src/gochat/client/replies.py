"""Interpret the reply to a request. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, TypeVar

from gochat.client.errors import INVALID_REPLY, InvalidReply, chat_error
from gochat.client.options import ClientOptions
from gochat.errors import ChatError, MalformedMessage
from gochat.protocol.messages import Error, HistoryPage, Reply, ServerMessage, Synced

#: The longest retry delay that is obeyed (seconds): a faulty server must not keep a program away
#: for good.
MAX_RETRY_AFTER: Final = 86_400.0

R = TypeVar("R", bound=Reply)


def checked(reply: Reply, *expected: type[R]) -> R:
    """Return `reply` if it is of one of the expected types.

    Raises:
        ChatError: the server refused the request.
        InvalidReply: it sent a reply of another type.
    """
    if isinstance(reply, expected):
        return reply
    if isinstance(reply, Error):
        raise refusal(reply)
    raise InvalidReply(INVALID_REPLY, f"unexpected answer from the server: {reply.msg_type!r}")


def check_order(payload: ServerMessage) -> None:
    """Check that the entries of pages are in order, as all that show them rely on it.

    Raises:
        MalformedMessage: they are not in the order of seq.
    """
    match payload:
        case HistoryPage():
            pages = [payload.entries]
        case Synced():
            pages = [conversation.entries for conversation in payload.conversations]
        case _:
            return
    for page in pages:
        if any(later.seq <= earlier.seq for earlier, later in pairwise(page)):
            raise MalformedMessage("a page is not in order", request_id=payload.request_id)


def refusal(reply: Error) -> ChatError:
    """Return the exception that an ``error`` reply becomes."""
    retry_after = bounded(reply.retry_after)
    return chat_error(
        reply.code,
        reply.text,
        retry_after=retry_after,
        field=reply.field,
        details=reply.args,
    )


def bounded(retry_after: float | None) -> float | None:
    """Return the delay (seconds) that a server asks for, limited to what is obeyed."""
    return None if retry_after is None else min(retry_after, MAX_RETRY_AFTER)


def no_answer(options: ClientOptions) -> str:
    """Return the error text for a server that did not answer in time."""
    return f"the server did not answer within {options.request_timeout:g} s"
