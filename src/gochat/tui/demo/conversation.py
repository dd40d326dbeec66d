"""A lively conversation without a server: what ``gochat tui --demo`` shows.

Some people have talked before; then they go on, a line every few seconds, and answer
the person. The pictures of the documentation are taken of it, so :func:`furnish` must look like a
good day in a chat.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import cycle
from typing import Final

from gochat.client import ClientEvent, Form, Outgoing, Status
from gochat.protocol.messages import LOBBY
from gochat.tui.actions.session import Credentials
from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.profile import addresses
from gochat.tui.profile.preferences import Preferences
from gochat.tui.profile.state import StateDirectory

_RESTART: Final = (
    "I noticed. My client said *reconnecting*, and by the time I had read it, it was back."
)
_BENCH: Final = """\
```sh
make bench                 # the whole table
make bench ARGS=broadcast  # just this
```"""
_SOAK: Final = """\
> needs a decision
I would wait for the soak test. https://example.org/soak shows it live."""

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR

#: How long ago, who, what.
_LOBBY: Final = (
    (1.2 * DAY, "tomas", "The new server has been up for a week now, without a hiccup."),
    (1.2 * DAY - 60, "mei", "And nobody noticed the restart on Tuesday 🎉"),
    (1.2 * DAY - 90, "kofi", _RESTART),
    (2.1 * HOUR, "zoë", "Good morning from Lisbon! ☀️"),
    (2.0 * HOUR, "田中", "おはようございます。今日もよろしくお願いします。"),
    (1.9 * HOUR, "mei", "Morning! Tanaka-san, did you see the numbers from last night?"),
    (1.8 * HOUR, "田中", "Yes: **1,000 people**, one message each second, p99 under 20 ms."),
    (1.7 * HOUR, "bruno", "How do I measure that here?"),
    (1.6 * HOUR, "田中", _BENCH),
    (1.5 * HOUR, "bruno", "Oh, that was easy. Thank you!"),
    (0.5 * HOUR, "tomas", "@ada are you around? The topic of #release-1.0 needs a decision."),
    (0.4 * HOUR, "mei", _SOAK),
)

#: What goes on while one looks: after how many seconds, and who does what where.
_GOES_ON: Final[tuple[tuple[float, str, str, str], ...]] = (
    (4, "bruno", LOBBY, "The soak test is at 31 hours. Memory is a flat line."),
    (5, "felix", LOBBY, "Hi everybody! I just ran `make chat`. That was it?"),
    (3, "mei", LOBBY, "That was it :) Welcome! ~~Read the manual~~ There is F1."),
    (6, "zoë", "#design", "How about a third theme?"),
    (4, "tomas", "#design", "Ctrl+P, type *theme*, and move: it shows each one as you go."),
    (6, "kofi", "#release-1.0", "@ada the changelog is two pages now. Too long?"),
    (5, "mei", "@mei", "Lunch at one? The place with the noodles 🍜"),
    (7, "田中", LOBBY, "Ctrl+F で日本語も検索できます。"),
    (6, "bruno", LOBBY, "Is the protocol documented somewhere?"),
    (3, "tomas", LOBBY, "`docs/reference/protocol.md`, with one exchange in hex."),
    (8, "niklas", LOBBY, "I wrote a client in Lua from that page alone. Took an evening."),
    (5, "zoë", LOBBY, "🤯"),
)
_ANSWERS: Final = (
    "Good point!",
    "I was about to say the same.",
    "Hm, let me think about it over a coffee ☕",
    "Try `/help`: there is a command for that.",
    "Yes, please!",
)


class DemoClient(ScriptedClient):
    """A scripted client whose people go on talking once the app listens."""

    def __init__(self, *, now: Callable[[], float] | None = None) -> None:
        super().__init__() if now is None else super().__init__(now=now)
        self._answers = cycle(_ANSWERS)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aiter__(self) -> AsyncIterator[ClientEvent]:
        """Yield events, and make people go on talking."""
        self._go(self._go_on())
        try:
            async for event in super().__aiter__():
                yield event
        finally:
            for task in self._tasks:
                task.cancel()

    def _send(self, conversation: str, text: str, reply_to: int | None, form: Form) -> Outgoing:
        """Send a message, which gets an answer."""
        outgoing = super()._send(conversation, text, reply_to, form)
        self._go(self._answer(conversation))
        return outgoing

    def _go(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]  # a coroutine, always
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _go_on(self) -> None:
        for seconds, name, conv, text in _GOES_ON:
            await asyncio.sleep(seconds - 2)
            self.type(conv, name)
            await asyncio.sleep(2)
            mentions = [self.me] if f"@{self.me}" in text else []
            self.say(conv, name, text, mentions=mentions)
        await asyncio.sleep(3)
        self.depart("niklas")
        await asyncio.sleep(2)
        self.arrive("pavel", "sunniva")

    async def _answer(self, to: str) -> None:
        name = to[1:] if to.startswith("@") else "mei"
        await asyncio.sleep(1)
        self.type(to, name)
        await asyncio.sleep(2)
        self.say(to, name, next(self._answers))


def demo_app(state: StateDirectory, preferences: Preferences) -> GochatApp:
    """Return the app on a scripted client that talks by itself."""
    client = DemoClient()
    furnish(client)
    client.describe_person("kofi", Status(emoji="🌴", text="on holiday"))
    return GochatApp(
        state=state,
        open_client=opener(client),
        preferences=preferences,
        server=addresses.DEFAULT,
        credentials=Credentials(addresses.DEFAULT, "ada", "demo"),
    )


def furnish(client: ScriptedClient) -> None:
    """Add people, rooms and earlier messages."""
    client.add_room("#design", "How it looks and feels", members=["mei", "tomas"], joined=True)
    client.add_room("#release-1.0", "Friday, if the soak test holds", members=["kofi"], joined=True)
    client.add_room("#music", "What are you listening to?", members=["zoë", "bruno"])
    for ago, sender, text in _LOBBY:
        mentions = ["ada"] if "@ada" in text else []
        client.record(LOBBY, sender, text, ago=ago, mentions=mentions)
    client.record(LOBBY, "zoë", "🎉", ago=1.1 * DAY, kind="react", ref=2)
    client.record(LOBBY, "kofi", "🎉", ago=1.1 * DAY, kind="react", ref=2)
    client.record(LOBBY, "mei", "👍", ago=1.4 * HOUR, kind="react", ref=9)
    client.record("#design", "mei", "I made the side pane a little calmer.", ago=3 * HOUR)
    client.record("#design", "tomas", "Much better. The badges are easy to find now.", ago=2 * HOUR)
    client.record("#release-1.0", "kofi", "Changelog is written.", ago=5 * HOUR)
    client.record(
        "#release-1.0", "kofi", "@ada can you read it once more?", ago=0.3 * HOUR, mentions=["ada"]
    )
    client.record("@mei", "mei", "Lunch at one?", ago=0.2 * HOUR)
    client.arrive("mei", "tomas", "kofi", "zoë", "田中", "bruno", "felix", "niklas")
    client.read(LOBBY, 10)
    client.read("#design")
