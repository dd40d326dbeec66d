"""Run a rule's coroutine without waiting, where all that it looks up can be answered at once."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar, cast

from gochat.chat.store import Store

T = TypeVar("T")


class WouldWait(Exception):
    """The store would have to be waited for."""


class Unasked:
    """A store that is never asked. Override what one can answer without waiting."""

    def __getattr__(self, name: str) -> NoReturn:
        raise WouldWait(name)


#: What a store can answer without waiting, if that is nothing.
UNASKED: Store = cast("Store", Unasked())


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing but the store, and was given :attr:`.Store.at_once`.

    Raises:
        WouldWait: it needs what the store can't answer at once.
    """
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise AssertionError("it has waited for something else")
