"""Run a rule's coroutine without waiting, where everything that it looks up is known already."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar, cast

from gochat.chat.store import Store

T = TypeVar("T")


class WouldWait(Exception):
    """The store would have to be asked."""


class _Unasked:
    """A store that is never asked."""

    def __getattr__(self, name: str) -> NoReturn:
        raise WouldWait(name)


#: Give it to what is to run at once.
UNASKED: Store = cast("Store", _Unasked())


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing but the store, and that was given :data:`UNASKED`.

    Raises:
        WouldWait: it needs the store.
    """
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise AssertionError("it has waited for something else")
