"""Type-ahead: each key is handled after the one before has had its whole effect.

Textual passes a key to the widget that has the focus, and then takes the next one from the
terminal. What a key does follows in messages: a binding of the widget, a focus that moves, a panel
that opens. So of keys that come together (on a link with jitter, from mosh, from a text expander)
later ones would overtake earlier ones: in "Ctrl+U abc" the letters are inserted first, and then
deleted.

So the app passes its input through :class:`TypeAhead`. After each key it looks at the way that
messages take, from what has the focus to the app, until nothing is under way there any more; only
then the next key is handled. Letters for one field do not wait for each other: the field takes
them in their order anyway.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.errors import NoWidget
from textual.widget import Widget

#: What a person does at the terminal.
UserInput: TypeAlias = events.InputEvent | events.Paste

#: Rounds in a row that must find nothing under way: a task that was woken meanwhile (a panel's
#: answer that arrives) runs within one.
_QUIET_ROUNDS: Final = 2
#: Seconds after which the next key is handled in any case: far more than opening a large panel
#: takes on a busy machine; a handler that waits for something else must not take the keyboard.
_LIMIT: Final = 10.0


class TypeAhead:
    """Calls `handle` with each input of `app`, one after the other, and `on_idle` after the last.

    All methods are to be called in the app's own task, except where they say otherwise.
    """

    def __init__(
        self,
        app: App[Any],
        handle: Callable[[events.Event], Awaitable[None]],
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._app, self._handle, self._on_idle = app, handle, on_idle
        self._waiting: deque[UserInput] = deque()
        self._holds: list[frozenset[str]] = []  # the keys that pass through each
        self._settling: _Settling | None = None
        self._field: Widget | None = None  # all that is under way is text for it

    @property
    def is_idle(self) -> bool:
        """True if everything that was typed has had its effect."""
        return not self._waiting and self._settling is None

    async def take(self, event: UserInput) -> None:
        """Handle `event`, now or when everything before it is done."""
        if self._holds and self._passes(event):
            await self._handle(event)
            return
        self._waiting.append(event)
        await self._go_on()

    @contextmanager
    def held(self, passing: Iterable[str] = ()) -> Iterator[None]:
        """Hold back what is typed. Can be called in any task.

        With keys in `passing`, these are handled all the same, and what the mouse does.
        """
        hold = frozenset(passing)
        self._holds.append(hold)
        try:
            yield
        finally:
            self._holds.remove(hold)
            self._app.call_later(self._go_on)

    def _passes(self, event: UserInput) -> bool:
        if isinstance(event, events.Key):
            return all(event.key in passing for passing in self._holds)
        return not isinstance(event, events.Paste) and all(self._holds)

    def forget(self) -> None:
        """Drop what is held back: it was typed for something that does not come."""
        self._waiting.clear()

    async def _go_on(self) -> None:
        while self._waiting and not self._holds:
            event = self._waiting[0]
            field = self._field_for(event)
            if self._settling is not None and (field is None or field is not self._field):
                return
            self._waiting.popleft()
            under = self._under(event)
            await self._handle(event)
            if isinstance(event, events.MouseMove):
                continue
            self._field = field
            if self._settling is None:
                self._settling = _Settling(self._app, under, self._settled)
            else:
                self._settling.start_over()

    async def _settled(self) -> None:
        self._settling = None
        await self._go_on()
        if self.is_idle:
            self._on_idle()

    def _field_for(self, event: UserInput) -> Widget | None:
        """Return the field that takes `event` as text."""
        field = self._app.focused
        if field is None or not isinstance(event, events.Key) or not event.is_printable:
            return None
        return field if field.check_consume_key(event.key, event.character) else None

    def _under(self, event: UserInput) -> Widget | None:
        """Return what the mouse is on."""
        if not isinstance(event, events.MouseEvent):
            return None
        try:
            return self._app.get_widget_at(event.x, event.y)[0]
        except NoWidget:
            return None


class _Settling:
    """Waits until an input has had its whole effect, and calls `then` in the app's task."""

    def __init__(
        self, app: App[Any], touched: Widget | None, then: Callable[[], Awaitable[None]]
    ) -> None:
        self._app, self._touched, self._then = app, touched, then
        self._path: set[DOMNode] = set()  # the way that messages take
        self._round: Iterator[Widget] = iter(())
        self._quiet_rounds = 0
        self._is_over = False
        self._limit = asyncio.get_running_loop().call_later(_LIMIT, app.call_later, self._end)
        self._begin_round()

    def start_over(self) -> None:
        """Wait for the effect of another input, too."""
        self._quiet_rounds = 0

    def _begin_round(self) -> None:
        """Pass once by those that may be at work: what has the focus, the screen, and the app."""
        app = self._app
        screen = app.screen
        ends = [end for end in (self._touched, app.focused) if end is not None and end.is_attached]
        self._path = {node for end in ends for node in end.ancestors_with_self} | {screen, app}
        self._round = iter([*ends, screen])
        self._quiet_rounds += 1
        self._visit_next()

    def _visit_next(self) -> None:
        if any(node.message_queue_size for node in self._path):
            self._quiet_rounds = 0
        for node in self._round:
            # Not call_later: for what it wraps, Textual looks up the parameters each time.
            if node.post_message(events.Callback(callback=self._visit_next)):
                return  # and go on when it has handled what it had
        self._app.post_message(events.Callback(callback=self._end_round))

    async def _end_round(self) -> None:
        if self._quiet_rounds < _QUIET_ROUNDS:
            self._begin_round()
        else:
            await self._end()

    async def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._limit.cancel()
            await self._then()
