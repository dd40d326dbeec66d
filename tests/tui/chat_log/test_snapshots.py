"""How the log looks, at two sizes and in two themes. Each picture was looked at by a person.

``pytest tests/tui/chat_log/test_snapshots.py --snapshot-update`` takes new ones; look at them
before they are committed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from gochat.tui.chat_log import ChatLog, LogItem, LogMessage, LogNotice, Reaction

SIZES = [(60, 20), (100, 44)]
THEMES = ["textual-dark", "textual-light"]

pytestmark = [
    pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}"),
    pytest.mark.parametrize("theme", THEMES),
]

T0 = datetime(2026, 3, 13, 22, 58, tzinfo=UTC)
CODE = '''Good morning! @mei, why does this *raise*?
```python
def fold(name: str) -> str:
    """Return the key of a name."""
    return PROFILE.enforce(name)  # raises
```
It should not for `ß`.'''


CHINESE = "很好，谢谢！我明天早上再看一下监控数据，然后把结果写到文档里。"


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def conversation() -> list[LogItem]:
    url = "https://ci.example.org/builds/20260313-rollout-of-the-new-relay/1234/logs?tab=summary"
    people = [("anna", "joined"), ("tomas", "joined"), ("bo", "joined"), ("li", "joined")]
    return [
        LogMessage("1", "jonas", f"The rollout is done. See {url} for the **full** log.", at(0)),
        LogMessage("2", "jonas", "No errors so far.", at(1)),
        LogMessage("3", "mei", CHINESE, at(4)),
        *(
            LogNotice(f"n{number}", at(70 + number), "", verb, who)
            for number, (who, verb) in enumerate([*people, ("tomas", "left")])
        ),
        LogMessage(
            "4",
            "anna",
            CODE,
            at(500),
            mentions=("mei",),
            reactions=(Reaction("👍", 3, me=True), Reaction("🎉", 1)),
        ),
        LogMessage(
            "5",
            "mei",
            "> It should not for `ß`.\nSee [the RFC](https://www.rfc-editor.org/rfc/rfc8265).",
            at(503),
            reply=("anna", CODE),
        ),
        LogMessage("6", "anna", "Ah, thanks", at(504), edited=True),
        LogMessage("7", "boris", "\x1b[31mred\x1b[0m \u202eevil z" + "\u0301" * 9, at(506)),
        LogMessage(
            "8",
            "jonas",
            "@anna the review waits for you",
            at(510),
            mention=True,
            mentions=("anna",),
        ),
        LogMessage("9", "tomas", "oops", at(511), deleted=True),
        LogMessage("10", "anna", "On it", at(513), own=True),
        LogMessage("11", "anna", "Nearly there", at(513), own=True, state="pending"),
        LogMessage("12", "anna", "Too much", at(513), own=True, state="failed", error="too long"),
    ]


class LogApp(App[None]):
    """A log and nothing else."""

    def __init__(self, theme: str) -> None:
        super().__init__()
        self.log_widget = ChatLog(zone=UTC)
        self.log_widget.append(*conversation())
        self.theme = theme

    def compose(self) -> ComposeResult:
        yield self.log_widget


Compare = Callable[..., bool]
Size = tuple[int, int]


def test_the_end_of_a_conversation(snap_compare: Compare, size: Size, theme: str) -> None:
    assert snap_compare(LogApp(theme), terminal_size=size)


def test_reading_further_up(snap_compare: Compare, size: Size, theme: str) -> None:
    async def read(pilot: Pilot[None]) -> None:
        log = pilot.app.query_one(ChatLog)
        log.set_unread_after("3")
        log.scroll_home()
        await pilot.pause()
        log.append(
            *(LogMessage(f"x{number}", "li", "And more", at(600)) for number in range(3)),
            LogNotice("topic", at(601), "li set the topic to “Rollout”"),
        )
        await pilot.pause()

    assert snap_compare(LogApp(theme), terminal_size=size, run_before=read)


def test_a_selected_message_and_selected_text(
    snap_compare: Compare, size: Size, theme: str
) -> None:
    async def select(pilot: Pilot[None]) -> None:
        log = pilot.app.query_one(ChatLog)
        log.focus()
        for _ in range(7):
            log.select_previous()
        await pilot.pause()
        await pilot.press("shift+down", "ctrl+shift+right", "down")
        await pilot.pause()

    assert snap_compare(LogApp(theme), terminal_size=size, run_before=select)
