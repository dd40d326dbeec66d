"""A lively conversation without a server: what ``gochat tui --demo`` shows."""

from __future__ import annotations

from typing import Final

from gochat.tui.app import GochatApp
from gochat.tui.preferences import Preferences
from gochat.tui.screens.connect import Credentials
from gochat.tui.scripted import ScriptedClient, opener
from gochat.tui.state import State

_RESTART: Final = (
    "I noticed. My client said *reconnecting*, and by the time I had read it, it was back."
)
_BENCH: Final = """\
```sh
make bench                            # the whole table
gochat bench --people 1000 --rate 1   # just this
```"""
_SOAK: Final = """\
> needs a decision
I would wait for the soak test. https://example.org/soak shows it live."""


def demo_app(state: State, preferences: Preferences) -> GochatApp:
    """Return the app on a scripted client that talks by itself."""
    client = ScriptedClient()
    furnish(client)
    return GochatApp(
        state=state,
        open_client=opener(client),
        preferences=preferences,
        server="gochat://demo",
        credentials=Credentials("gochat://demo", "ada", "demo"),
    )


def furnish(client: ScriptedClient) -> None:
    """Have people, rooms and what was said before."""
    hour, day = 3600.0, 86400.0
    client.add_room("#design", "How it looks and feels", members=["mei", "tomas"], joined=True)
    client.add_room("#release-1.0", "Friday, if the soak test holds", members=["kofi"], joined=True)
    client.add_room("#music", "What are you listening to?", members=["zoë", "jonas"])
    lobby = [
        (1.2 * day, "tomas", "The new server has been up for a week now, without a hiccup."),
        (1.2 * day - 60, "mei", "And nobody noticed the restart on Tuesday 🎉"),
        (1.2 * day - 90, "kofi", _RESTART),
        (2.1 * hour, "zoë", "Good morning from Lisbon! ☀️"),
        (2.0 * hour, "小林", "おはようございます。今日もよろしくお願いします。"),
        (1.9 * hour, "mei", "Morning! Kobayashi-san, did you see the numbers from last night?"),
        (1.8 * hour, "小林", "Yes: **1,000 people**, one message each second, p99 under 20 ms."),
        (1.7 * hour, "jonas", "How do I measure that here?"),
        (1.6 * hour, "小林", _BENCH),
        (1.5 * hour, "jonas", "Oh, that was easy. Thank you!"),
        (0.5 * hour, "tomas", "@ada are you around? The topic of #release-1.0 needs a decision."),
        (0.4 * hour, "mei", _SOAK),
    ]
    for ago, sender, text in lobby:
        mentions = ["ada"] if "@ada" in text else []
        client.record("#lobby", sender, text, ago=ago, mentions=mentions)
    client.record("#lobby", "zoë", "🎉", ago=1.1 * day, kind="react", ref=2)
    client.record("#lobby", "kofi", "🎉", ago=1.1 * day, kind="react", ref=2)
    client.record("#lobby", "mei", "👍", ago=1.4 * hour, kind="react", ref=9)
    client.record("#design", "mei", "I made the side pane a little calmer.", ago=3 * hour)
    client.record("#design", "tomas", "Much better. The badges are easy to find now.", ago=2 * hour)
    client.record("#release-1.0", "kofi", "Changelog is written.", ago=5 * hour)
    client.record("#release-1.0", "kofi", "@ada can you read it once more?", ago=0.3 * hour,
                  mentions=["ada"])  # fmt: skip
    client.record("@mei", "mei", "Lunch at one?", ago=0.2 * hour)
    client.arrive("mei", "tomas", "kofi", "zoë", "小林", "jonas", "amara", "niklas")
    client.read("#lobby", 10)
    client.read("#design")
