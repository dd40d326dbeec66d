"""What Textual finds out about handlers for each message anew, found out once for a test run."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import pytest
from textual import _callback
from textual.message import Message
from textual.message_pump import MessagePump


@contextmanager
def handlers_found_once() -> Iterator[None]:
    """Remember of which messages a class of widgets has no handler; count parameters quickly.

    Most widgets have none for most messages, and to look for them takes longer than to send one.
    """
    known: dict[tuple[type[MessagePump], type[Message], str], bool] = {}
    get, count = MessagePump._get_dispatch_methods, _callback._count_parameters

    def get_if_any(
        self: MessagePump, name: str, message: Message
    ) -> Iterable[tuple[type, Callable[[Message], Awaitable[Any]]]]:
        key = type(self), type(message), name
        if key not in known:
            known[key] = _has_any(*key)
        return get(self, name, message) if known[key] else ()

    def count_quickly(func: Callable[..., Any]) -> int:
        if type(func) is not FunctionType or func.__dict__:  # it may say that it is another
            return count(func)
        code = func.__code__
        rest = bool(code.co_flags & inspect.CO_VARARGS) + bool(
            code.co_flags & inspect.CO_VARKEYWORDS
        )
        return code.co_argcount + code.co_kwonlyargcount + rest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MessagePump, "_get_dispatch_methods", get_if_any)
        patch.setattr(_callback, "_count_parameters", count_quickly)
        yield


def _has_any(pump: type[MessagePump], message: type[Message], name: str) -> bool:
    return any(
        f"_{name}" in cls.__dict__
        or name in cls.__dict__
        or not cls.__dict__.get("_decorated_handlers", {}).keys().isdisjoint(message.__mro__)
        for cls in pump.__mro__
    )
