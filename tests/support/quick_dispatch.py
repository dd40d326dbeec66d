"""What Textual finds out about handlers for each message anew, found out once for a test run."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, TypeAlias

import pytest
from textual import _callback
from textual.message import Message
from textual.message_pump import MessagePump

#: The handlers of a class: its own ones, or what the one is called that has the message's name.
_Handlers: TypeAlias = tuple[type, tuple[Any, ...], str]


@contextmanager
def handlers_found_once() -> Iterator[None]:
    """Remember which handlers a class of widgets has for a message; count parameters quickly.

    Most widgets have none for most messages, and to look for them takes longer than to send one.
    """
    known: dict[tuple[type[MessagePump], type[Message], str], tuple[_Handlers, ...] | None] = {}
    get, count = MessagePump._get_dispatch_methods, _callback._count_parameters

    def get_known(
        self: MessagePump, name: str, message: Message
    ) -> Iterable[tuple[type, Callable[[Message], Awaitable[Any]]]]:
        key = type(self), type(message), name
        if key not in known:
            known[key] = _find(*key)
        found = known[key]
        if found is None:
            return get(self, name, message)
        return _bound(self, message, found) if found else ()

    def count_quickly(func: Callable[..., Any]) -> int:
        if type(func) is not FunctionType or func.__dict__:  # it may say that it is another
            return count(func)
        code = func.__code__
        rest = bool(code.co_flags & inspect.CO_VARARGS) + bool(
            code.co_flags & inspect.CO_VARKEYWORDS
        )
        return code.co_argcount + code.co_kwonlyargcount + rest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MessagePump, "_get_dispatch_methods", get_known)
        patch.setattr(_callback, "_count_parameters", count_quickly)
        yield


def _find(
    pump: type[MessagePump], message: type[Message], name: str
) -> tuple[_Handlers, ...] | None:
    """Return the classes with handlers; None if it depends on the message which ones it gets."""
    found: list[_Handlers] = []
    met: set[Any] = set()
    for cls in pump.__mro__:
        own: list[Any] = []
        decorated = cls.__dict__.get("_decorated_handlers") or {}
        for kind in message.__mro__:
            for method, selectors in decorated.get(kind, ()):
                if selectors:
                    return None
                if method not in met:
                    met.add(method)
                    own.append(method)
        called = next((each for each in (f"_{name}", name) if cls.__dict__.get(each)), "")
        if called and getattr(cls.__dict__[called], "_textual_on", None):
            called = ""
        if own or called:
            found.append((cls, tuple(own), called))
    return tuple(found)


def _bound(
    pump: MessagePump, message: Message, found: tuple[_Handlers, ...]
) -> Iterator[tuple[type, Callable[[Message], Awaitable[Any]]]]:
    for cls, own, called in found:
        if message._no_default_action:
            break
        for method in own:
            yield cls, method.__get__(pump, cls)
        if called:
            yield cls, cls.__dict__[called].__get__(pump, cls)  # a test may have replaced it
