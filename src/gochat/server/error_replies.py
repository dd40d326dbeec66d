"""The reply for an error."""

from __future__ import annotations

from gochat.errors import ChatError, ErrorCode, ProtocolError, StoreUnavailable
from gochat.protocol.messages import Error, Request


def error_reply(
    error: ProtocolError | ChatError | StoreUnavailable,
    request: Request | None = None,
    *,
    with_args: bool = False,
) -> Error:
    """Return the reply for an error that a request caused; `with_args` with its details."""
    request_id = getattr(request, "request_id", None)
    cid = getattr(request, "cid", None)
    match error:
        case ProtocolError():
            return Error(
                code=error.code,
                text=str(error),
                args=dict(error.details) if with_args else {},
                request_id=error.request_id,
                cid=error.cid,
            )
        case StoreUnavailable():
            return Error(
                code=ErrorCode.UNAVAILABLE,
                text=f"{error.public}: try again",
                retry_after=error.retry_after,
                request_id=request_id,
                cid=cid,
            )
        case ChatError():
            return Error(
                code=error.code,
                text=error.text,
                retry_after=error.retry_after,
                field=error.field,
                args=dict(error.details) if with_args else {},
                request_id=request_id,
                cid=cid,
            )
