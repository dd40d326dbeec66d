"""Every two actions of the table of keys, in one chunk: the second finds the first one done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import pytest
from pilots import OpenApp, post_keys, until
from textual import events
from textual.app import App, ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.panel import Panel
from gochat.tui.host.type_ahead import TypeAhead, UserInput
from gochat.tui.input import keys
from gochat.tui.profile.preferences import Preferences

pytestmark = pytest.mark.anyio

T = TypeVar("T")

#: These end the app, or lend the terminal to another; and one of nine is enough.
_APART = ("quit", "editor", *(f"conversation_{number}" for number in range(3, 10)))
#: With Vim's keys: one command of each kind, and what is on keys that the other preset has not.
_VIM = [*"xidwykGv/:nu", "escape", "enter", "ctrl+u", "f2", "f4"]


class Probe(Panel[None]):
    """In the place of every panel, which take tens of milliseconds to open: it takes one key."""

    keys_taken = 0

    def compose(self) -> ComposeResult:
        yield Input(id="probe")

    def on_key(self) -> None:
        Probe.keys_taken += 1
        self.answer(None)


def each_pair(symbols: Sequence[T]) -> Iterator[T]:
    """Yield `symbols` so that each stands once right before each, itself included."""
    for number, one in enumerate(symbols):
        yield one
        for other in symbols[number + 1 :]:
            yield one
            yield other
    yield symbols[0]


def _has(handled: Sequence[str], count: int) -> bool:
    return len(handled) >= count


@pytest.mark.parametrize("preset", ["default", "vim"])
async def test_the_second_key_of_each_pair_finds_the_first_one_done(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    push, handled, pending = App.push_screen, list[str](), list[str]()

    def push_probe(self: App[None], screen: Screen[Any], *rest: Any, **more: Any) -> Any:
        return push(self, Probe() if isinstance(screen, Panel) else screen, *rest, **more)

    def look(self: TypeAhead, event: UserInput) -> None:
        assert isinstance(event, events.Key)
        nodes = [node for screen in self._app.screen_stack for node in screen.walk_children()]
        busy = [str(node) for node in nodes if node.message_queue_size]
        if busy and not event.is_printable:
            pending.append(f"{handled[-1]}, then {event.key}: {busy}")
        handled.append(event.key)

    monkeypatch.setattr(App, "push_screen", push_probe)
    # Nobody looks; and there would be hundreds of notices.
    monkeypatch.setattr(App, "notify", lambda self, message, **how: None)
    monkeypatch.setattr(Screen, "_compositor_refresh", lambda self: self._dirty_widgets.clear())
    Probe.keys_taken = 0
    client.say("#lobby", "mei", "hello")
    client.say("@mei", "mei", "hi")
    actions = [action for action in keys.ACTIONS if action.name not in _APART]
    found = [action.keys[0] for action in actions if action.keys]
    # A letter is an action where a message is chosen, and otherwise text as any other.
    of_messages = [symbol for symbol in found if len(symbol) == 1 or symbol == "plus"]
    symbols = ["x", *(symbol for symbol in found if symbol not in of_messages)]
    if preset == "vim":
        symbols, of_messages = _VIM, []
    sequence = list(each_pair(symbols))
    for symbol in of_messages:
        sequence += ["escape", "up", symbol, "up", symbol, symbol, "escape"]
    preferences = Preferences(keymap=keys.read({"preset": preset}))
    async with open_app(size=(60, 16), preferences=preferences) as pilot:
        assert isinstance(pilot.app, GochatApp)
        ahead = pilot.app._type_ahead
        handle = ahead._handle

        async def noting(event: Any) -> None:
            look(ahead, event)
            await handle(event)

        ahead._handle = noting
        post_keys(pilot, sequence)
        for count in (*range(100, len(sequence), 100), len(sequence)):  # each part has its time
            await until(pilot, partial(_has, handled, count), f"{count} keys")
        # Now and then something that comes by itself reaches all panes at once: the more often the
        # longer a busy machine takes. Keys that do not wait find something pending nearly always.
        assert len(pending) < len(sequence) / 6, (len(pending), len(sequence))
        assert handled == sequence
        assert Probe.keys_taken > (5 if preset == "vim" else len(symbols))
