"""The widget in an app: keys and mouse, its messages, and what it sends to the terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from rich.console import Console
from textual.app import App, ComposeResult
from textual.events import MouseScrollUp
from textual.geometry import Offset
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from gochat.tui.chat_log import ChatLog, LogItem, LogMessage, LogNotice, Reaction
from gochat.tui.chat_log.events import LogEvent
from gochat.tui.text.colours import MIN_CONTRAST, RGB, contrast

pytestmark = pytest.mark.anyio

Event = TypeVar("Event", bound=LogEvent)

T0 = datetime(2026, 3, 13, 12, 0, tzinfo=UTC)


def message(number: int, text: str = "", **more: object) -> LogMessage:
    item = LogMessage(f"m{number}", "mei", text or f"text {number}", T0 + timedelta(seconds=number))
    return replace(item, **more)  # type: ignore[arg-type]  # the test says which fields


def many(count: int, start: int = 0) -> list[LogMessage]:
    return [message(number) for number in range(start, start + count)]


def right(offset: Offset, cells: int) -> Offset:
    return Offset(offset.x + cells, offset.y)


class LogApp(App[None]):
    """A log and an input; collects the log's messages."""

    CSS = "Input { dock: bottom; }"

    def __init__(self, items: list[LogItem], css: str = "") -> None:
        super().__init__()
        self.stylesheet.add_source(css)
        self.log_widget = ChatLog(zone=UTC)
        self.log_widget.append(*items)
        self.posted: list[LogEvent] = []

    def compose(self) -> ComposeResult:
        yield self.log_widget
        yield Input()

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_chat_log_top_reached(self, event: ChatLog.TopReached) -> None:
        self.posted.append(event)

    def on_chat_log_bottom_reached(self, event: ChatLog.BottomReached) -> None:
        self.posted.append(event)

    def on_chat_log_action(self, event: ChatLog.Action) -> None:
        self.posted.append(event)

    def on_chat_log_link_activated(self, event: ChatLog.LinkActivated) -> None:
        self.posted.append(event)

    def on_chat_log_sender_clicked(self, event: ChatLog.SenderClicked) -> None:
        self.posted.append(event)

    def on_chat_log_reaction_clicked(self, event: ChatLog.ReactionClicked) -> None:
        self.posted.append(event)

    def on_chat_log_selection_changed(self, event: ChatLog.SelectionChanged) -> None:
        self.posted.append(event)

    def heard(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.posted if isinstance(event, kind)]

    def acts(self) -> list[tuple[str, str]]:
        return [(event.key, event.action) for event in self.heard(ChatLog.Action)]


class Scene:
    """An app that runs, and its log."""

    def __init__(self, app: LogApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self.log = app.log_widget

    @property
    def strips(self) -> list[Strip]:
        return [self.log.render_line(y) for y in range(self.log.size.height)]

    @property
    def rows(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.strips]

    @property
    def texts(self) -> list[str]:
        return [row.split("  ")[-1].strip() for row in self.rows if row]

    def where(self, text: str, nth: int = 0) -> Offset:
        """Where `text` begins, within the log."""
        found = [Offset(row.index(text), y) for y, row in enumerate(self.rows) if text in row]
        return found[nth]

    async def click(self, text: str, nth: int = 0, times: int = 1) -> None:
        await self.pilot.click(self.log, offset=right(self.where(text, nth), 1), times=times)
        await self.pilot.pause()

    async def drag(self, start: Offset, stop: Offset) -> None:
        await self.pilot.mouse_down(self.log, offset=start)
        await self.pilot.hover(self.log, offset=stop)
        await self.pilot.mouse_up(self.log, offset=stop)
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    def selection(self) -> str | None:
        return self.log.selected_key

    @property
    def copied(self) -> str | None:
        return self.app.screen.get_selected_text()


@asynccontextmanager
async def scene(
    *items: LogItem, size: tuple[int, int] = (80, 13), css: str = ""
) -> AsyncIterator[Scene]:
    app = LogApp(list(items), css)
    async with app.run_test(size=size, tooltips=True) as pilot:
        await pilot.pause()
        yield Scene(app, pilot)


async def test_what_came_before_the_screen_is_shown_at_its_end() -> None:
    async with scene(*many(100)) as it:
        assert it.texts == [f"text {number}" for number in range(90, 100)]
        assert it.log.at_bottom


async def test_every_row_is_as_wide_as_the_log() -> None:
    async with scene(message(1, "好" * 100), message(2, "a" * 300), message(3)) as it:
        width = it.log.scrollable_content_region.width
        assert {strip.cell_length for strip in it.strips} == {width}


async def test_a_short_log_stands_at_the_bottom() -> None:
    async with scene(message(1)) as it:
        assert it.texts[-1] == "text 1"
        assert it.rows[0] == ""


async def test_the_scroll_bar_tells_where_it_is() -> None:
    async with scene(*many(100)) as it:
        bar = it.log.vertical_scrollbar
        assert bar.position + bar.window_size == bar.window_virtual_size
        it.log.scroll_home()
        await it.pilot.pause()
        assert bar.position == 0


async def test_many_changes_in_one_pass_are_one_repaint() -> None:
    async with scene(*many(10)) as it:
        published = 0
        publish = it.log._publish

        def counted() -> None:
            nonlocal published
            published += 1
            publish()

        it.log._publish = counted  # type: ignore[method-assign]  # to count
        for number in range(100, 200):
            it.log.append(message(number))
        await it.pilot.pause()
        assert published == 1
        assert it.texts[-1] == "text 199"


async def test_the_wheel_scrolls_and_new_ones_are_counted_below() -> None:
    async with scene(*many(100)) as it:
        for _ in range(5):
            it.log._on_mouse_scroll_up(_wheel(it.log))
        await it.pilot.pause()
        top = it.rows[0]
        it.log.append(*many(3, 100))
        await it.pilot.pause()
        assert it.rows[0] == top
        assert "3 new ↓" in it.rows[-1]
        assert it.log.new_below == 3
        await it.click("3 new ↓")
        assert it.log.at_bottom
        assert it.texts[-1] == "text 102"
        assert "new" not in it.rows[-1]


def _wheel(log: ChatLog) -> MouseScrollUp:
    return MouseScrollUp(log, 1, 1, 0, -1, 0, False, False, False)


async def test_keys_scroll_by_pages_and_to_the_ends() -> None:
    async with scene(*many(100)) as it:
        it.log.focus()
        await it.press("pageup")
        assert it.texts[-1] == "text 91"  # two rows stay in sight
        await it.press("pagedown")
        assert it.log.at_bottom
        await it.press("home")
        assert "March" in it.rows[0]
        await it.press("end")
        assert it.log.at_bottom


async def test_dragging_the_scroll_bar() -> None:
    async with scene(*many(1000)) as it:
        it.log.scroll_to(y=0)
        await it.pilot.pause()
        assert "March" in it.rows[0]
        it.log.scroll_to(y=500, animate=False)
        await it.pilot.pause()
        assert abs(int(it.texts[0].split()[1]) - 500) < 60
        assert round(it.log.scroll_y) == it.log.vertical_scrollbar.position


async def test_fractions_of_rows_add_up() -> None:
    async with scene(*many(100)) as it:
        before = it.texts[0]
        for _ in range(10):
            it.log.scroll_y -= 0.25  # as a selection dragged to the edge does
            await it.pilot.pause()
        assert int(it.texts[0].split()[1]) in {
            int(before.split()[1]) - 2,
            int(before.split()[1]) - 3,
        }


# Its messages to the app


async def test_the_top_is_told_once_until_older_ones_came() -> None:
    async with scene(*many(100, 100)) as it:
        it.app.posted.clear()
        it.log.scroll_home()
        await it.pilot.pause()
        await it.press("pageup", "pagedown", "pageup")
        assert len(it.app.heard(ChatLog.TopReached)) == 1
        top = it.texts[2]
        it.log.prepend(many(100))
        await it.pilot.pause()
        assert it.texts[0] == top
        it.log.scroll_home()
        await it.pilot.pause()
        assert len(it.app.heard(ChatLog.TopReached)) == 2


async def test_where_nothing_is_older_the_top_is_not_told() -> None:
    async with scene(*many(100)) as it:
        it.log.older_exhausted = True
        it.log.scroll_home()
        await it.pilot.pause()
        assert it.app.heard(ChatLog.TopReached) == []


async def test_a_log_that_fills_no_window_wants_older_ones() -> None:
    async with scene(*many(2)) as it:
        assert len(it.app.heard(ChatLog.TopReached)) == 1


async def test_an_empty_log_wants_nothing() -> None:
    async with scene() as it:
        assert it.app.posted == []


async def test_the_bottom_is_told_when_it_is_reached_again() -> None:
    async with scene(*many(100)) as it:
        await it.pilot.pause()
        assert it.app.heard(ChatLog.BottomReached) == []
        it.log.scroll_home()
        await it.pilot.pause()
        it.log.scroll_end()
        await it.pilot.pause()
        assert len(it.app.heard(ChatLog.BottomReached)) == 1


async def test_an_old_page_asks_for_newer_ones_at_its_end_and_does_not_run_on() -> None:
    async with scene(*many(30)) as it:
        it.log.newer_exhausted = False
        it.log.reset(many(30))
        await it.pilot.pause()
        assert len(it.app.heard(ChatLog.BottomReached)) == 1
        top = it.rows[0]
        it.log.append(*many(30, 30))
        await it.pilot.pause()
        assert it.rows[0] == top
        assert not it.log.at_bottom


async def test_resetting_shows_another_conversation_at_its_end() -> None:
    async with scene(*many(100)) as it:
        it.log.scroll_home()
        it.log.focus()
        it.log.select_previous()
        it.log.reset(many(50, 500))
        await it.pilot.pause()
        assert it.texts[-1] == "text 549"
        assert it.log.selected_key is None
        assert list(it.log.items) == [f"m{number}" for number in range(500, 550)]


async def test_what_comes_before_a_pending_message_is_put_there() -> None:
    async with scene(message(1), message(9, key="cid", own=True, state="pending")) as it:
        it.log.focus()
        await it.press("up")
        it.log.insert_before("cid", message(2), message(3))
        it.log.insert_before("gone", message(10))
        await it.pilot.pause()
        assert it.texts[-5:] == ["text 1", "text 2", "text 3", "text 9", "text 10"]
        assert it.log.selected_key == "cid"


async def test_items_are_read_by_key() -> None:
    async with scene(*many(3)) as it:
        assert it.log.items["m1"] == message(1)
        assert "m9" not in it.log.items
        it.log.remove("m1")
        it.log.remove("m9")
        it.log.replace("m9", message(9))
        assert list(it.log.items) == ["m0", "m2"]


# Jumping


async def test_a_jump_shows_the_message_and_marks_it_for_a_while() -> None:
    async with scene(*many(500)) as it:
        assert it.log.scroll_to_key("m100", highlight=True)
        await it.pilot.pause()
        y = it.where("text 100").y
        assert 0 < y < it.log.size.height / 2
        marked = it.strips[y]._segments[-1].style
        plain = it.strips[y + 1]._segments[-1].style
        assert marked is not None
        assert plain is not None
        assert marked.bgcolor != plain.bgcolor
        it.log._end_highlight()
        style = it.strips[y]._segments[-1].style
        assert style is not None
        assert style.bgcolor == plain.bgcolor


async def test_a_jump_to_what_is_not_there_says_so() -> None:
    async with scene(*many(5)) as it:
        assert not it.log.scroll_to_key("m100")


# The selected message


async def test_up_selects_the_last_and_down_leaves_it() -> None:
    async with scene(*many(100)) as it:
        it.log.focus()
        await it.press("up")
        assert it.selection() == "m99"
        assert it.rows[it.where("text 99").y].startswith("▎")
        await it.press("up", "up")
        assert it.selection() == "m97"
        await it.press("down", "down", "down")
        assert it.selection() is None
        assert it.app.heard(ChatLog.SelectionChanged)[-1].left


async def test_the_selected_message_is_always_in_sight() -> None:
    async with scene(*many(100)) as it:
        it.log.focus()
        for number in range(99, 60, -1):
            await it.press("up")
            assert f"text {number}" in it.texts
        for number in range(62, 99):
            await it.press("down")
            assert f"text {number}" in it.texts


async def test_notices_are_not_selected() -> None:
    async with scene(message(1), LogNotice("n", T0, "topic")) as it:
        it.log.focus()
        await it.press("up")
        assert it.log.selected_key == "m1"


@pytest.mark.parametrize(
    ("key", "action"),
    [
        ("e", "edit"),
        ("d", "delete"),
        ("r", "reply"),
        ("y", "copy"),
        ("plus", "react"),
        ("o", "open"),
        ("R", "retry"),
    ],
)
async def test_keys_act_on_the_selected_message(key: str, action: str) -> None:
    async with scene(*many(3)) as it:
        it.log.focus()
        await it.press(key)
        assert it.app.heard(ChatLog.Action) == []
        await it.press("up", key)
        assert it.app.acts() == [("m2", action)]


async def test_escape_leaves_the_message() -> None:
    async with scene(*many(3)) as it:
        it.log.focus()
        await it.press("up", "escape")
        assert it.log.selected_key is None


async def test_the_selection_follows_a_message_that_is_acknowledged() -> None:
    async with scene(*many(3), message(9, key="cid", own=True, state="pending")) as it:
        it.log.focus()
        await it.press("up")
        it.log.replace("cid", message(9, own=True))
        assert it.log.selected_key == "m9"
        it.log.remove("m9")
        assert it.log.selected_key is None


# The mouse


async def test_a_click_leaves_the_focus_where_it_is() -> None:
    async with scene(*many(3)) as it:
        await it.click("text 1")
        assert isinstance(it.app.focused, Input)


async def test_a_link_opens_from_each_of_its_rows() -> None:
    url = "https://example.org/" + "path/" * 30
    async with scene(message(1, f"see {url} ok")) as it:
        rows = [y for y, row in enumerate(it.rows) if "path/" in row]
        assert len(rows) > 1
        for y in rows:
            await it.pilot.click(it.log, offset=Offset(12, y))
            await it.pilot.pause()
        urls = {event.url for event in it.app.heard(ChatLog.LinkActivated)}
        assert urls == {url}
        links = [
            segment.style.link
            for strip in it.strips
            for segment in strip
            if segment.style is not None and segment.style.link
        ]
        assert links == [url] * len(rows)  # so that a terminal opens all of it


async def test_a_drag_that_ends_on_a_link_does_not_open_it() -> None:
    async with scene(message(1, "see https://example.org/a ok")) as it:
        await it.drag(it.where("see"), right(it.where("see"), 8))
        assert it.copied == "see https"
        assert it.app.heard(ChatLog.LinkActivated) == []


async def test_names_reactions_and_retry_are_clickable() -> None:
    items: list[LogItem] = [
        message(1, reactions=(Reaction("👍", 3, me=True), Reaction("🎉", 1))),
        message(2, own=True, state="failed", error="no"),
    ]
    async with scene(*items) as it:
        await it.click("mei")
        await it.click("🎉 1")
        await it.click("retry")
        (sender,) = it.app.heard(ChatLog.SenderClicked)
        (reaction,) = it.app.heard(ChatLog.ReactionClicked)
        assert sender.name == "mei"
        assert (reaction.key, reaction.emoji) == ("m1", "🎉")
        assert it.app.acts() == [("m2", "retry")]


async def test_a_hovered_message_offers_what_can_be_done_with_it() -> None:
    async with scene(message(1), message(2, own=True), LogNotice("n", T0, "topic")) as it:
        await it.pilot.hover(it.log, offset=it.where("text 1"))
        await it.pilot.pause()
        assert "reply" in it.rows[it.where("mei").y]
        await it.click("reply")
        await it.pilot.hover(it.log, offset=it.where("text 2"))
        await it.pilot.pause()
        await it.click("edit")
        assert it.app.acts() == [("m1", "reply"), ("m2", "edit")]
        await it.pilot.hover(it.log, offset=it.where("topic"))
        await it.pilot.pause()
        assert not any("reply" in row for row in it.rows)


async def test_what_is_not_sent_offers_less() -> None:
    items = (
        message(1, own=True, state="failed"),
        message(2, own=True, state="pending"),
        message(3, deleted=True),
    )
    async with scene(*items) as it:
        offered = []
        for text in ("text 1", "text 2", "deleted"):
            await it.pilot.hover(it.log, offset=it.where(text))
            await it.pilot.pause()
            words = " ".join(it.rows).split()
            offered.append([word for word in ("retry", "copy", "delete") if word in words])
        assert offered == [["retry", "copy", "delete"], ["retry", "copy"], ["retry"]]


async def test_what_can_be_done_goes_with_the_mouse_when_the_log_scrolls() -> None:
    async with scene(*many(100)) as it:
        await it.pilot.hover(it.log, offset=Offset(10, 4))
        for _ in range(3):
            it.log.scroll_relative(y=-2, animate=False)
            await it.pilot.pause()
            assert [y for y, row in enumerate(it.rows) if "reply" in row] == [4]


async def test_hovering_tells_the_full_time_the_people_and_where_a_link_leads() -> None:
    people = [LogNotice(f"n{n}", T0, "", "joined", who) for n, who in enumerate("abcde")]
    items: list[LogItem] = [message(1, "[docs](https://example.org/a) ok"), *people]
    async with scene(*items) as it:
        for text, expected in [
            ("12:00", "Friday, 13 March 2026, 12:00:01 UTC"),
            ("docs", "https://example.org/a"),
            ("5 people", "joined: a, b, c, d, e"),
            ("ok", "None"),
        ]:
            await it.pilot.hover(it.log, offset=it.where(text))
            await it.pilot.pause()
            assert str(it.log.tooltip) == expected


# Selecting text


async def test_dragging_selects_text_without_frames_and_wrapping() -> None:
    words = " ".join(f"word{number}" for number in range(30))
    async with scene(message(1, words), message(2, "second")) as it:
        start, stop = it.where("word3"), it.where("second")
        await it.drag(start, right(stop, 2))
        assert it.copied == words[words.index("word3") :] + "\nsec"


async def test_a_drag_in_the_gutter_takes_whole_rows() -> None:
    async with scene(*many(3)) as it:
        await it.drag(Offset(3, it.where("text 1").y), Offset(3, it.where("text 2").y))
        assert it.copied == "text 1"
        await it.drag(Offset(3, it.where("text 1").y), Offset(70, it.where("text 2").y))
        assert it.copied == "text 1\ntext 2"


async def test_a_drag_from_above_a_short_log_begins_with_it() -> None:
    async with scene(*many(2)) as it:
        await it.drag(Offset(30, 0), right(it.where("text 1"), 3))
        assert it.copied == "text 0\ntext"


async def test_characters_are_selected_whole() -> None:
    async with scene(message(1, "a👨‍👩‍👧b e\u0301x")) as it:
        start = it.where("a👨")
        await it.drag(right(start, 1), right(start, 2))
        assert it.copied == "👨‍👩‍👧"
        await it.drag(right(start, 5), right(start, 6))
        assert it.copied == "e\u0301x"


async def test_a_selection_stays_with_its_text() -> None:
    async with scene(*many(50, 50)) as it:
        await it.drag(it.where("text 95"), right(it.where("text 96"), 3))
        assert it.copied == "text 95\ntext"
        it.log.append(*many(5, 100))
        it.log.prepend(many(50))
        it.log.remove("m97")
        await it.pilot.resize_terminal(60, 20)
        await it.pilot.pause()
        assert it.copied == "text 95\ntext"
        marked = "".join(
            segment.text
            for strip in it.strips
            for segment in strip
            if segment.style is not None and segment.style.bgcolor == it.log.selection_style.bgcolor
        )
        assert marked == "text 95text"


async def test_padding_moves_nothing_for_the_mouse() -> None:
    async with scene(*many(3), css="ChatLog { padding: 1 2 0 4; }") as it:
        corner = Offset(4, 1)
        await it.drag(it.where("text 1") + corner, right(it.where("text 2") + corner, 3))
        assert it.copied == "text 1\ntext"
        await it.drag(Offset(1, it.where("text 1").y + 1), it.where("text 2") + corner)
        assert it.copied == "text 1\nt"
        await it.pilot.click(it.log, offset=it.where("mei") + corner)
        await it.pilot.pause()
        assert len(it.app.heard(ChatLog.SenderClicked)) == 1


async def test_two_clicks_select_a_word_and_three_a_message() -> None:
    async with scene(message(1, "some well-known words\nand a line")) as it:
        await it.click("known", times=2)
        assert it.copied == "well-known"
        await it.click("known", times=3)
        assert it.copied == "some well-known words\nand a line"


async def test_keys_select_text_from_the_selected_message_on() -> None:
    async with scene(message(1, "one two"), message(2, "好e\u0301x three")) as it:
        it.log.focus()
        await it.press("up", "up")
        await it.press("shift+right", "shift+right")
        assert it.copied == "on"
        await it.press("shift+left")
        assert it.copied == "o"
        await it.press("ctrl+shift+right")
        assert it.copied == "one"
        await it.press("shift+down")
        assert it.copied == "one two\n好e\u0301"
        await it.press("shift+end")
        assert it.copied == "one two\n好e\u0301x three"
        await it.press("ctrl+shift+left", "shift+left")
        assert it.copied == "one two\n好e\u0301x"
        await it.press("shift+up", "shift+home")
        assert it.copied == ""
        await it.press("ctrl+a")
        assert it.copied == "one two"
        await it.press("escape")
        assert it.copied is None


async def test_keys_cross_from_one_message_to_the_next_and_stop_at_the_ends() -> None:
    items = (message(1, "ab cd"), LogNotice("n", T0, "topic"), message(2, "x"))
    async with scene(*items) as it:
        it.log.focus()
        await it.press("up", "up", *["shift+right"] * 6)
        assert it.copied == "ab cd"
        await it.press("shift+right", "ctrl+shift+right", "ctrl+shift+right")
        assert it.copied == "ab cd\ntopic"
        await it.press("shift+end", *["shift+right"] * 3, *["shift+down"] * 3)
        assert it.copied == "ab cd\ntopic\nx"
        await it.press(*["shift+up"] * 5, *["shift+left"] * 3)
        assert it.copied == ""
        await it.press("shift+down", "shift+home", "shift+left")
        assert it.copied == "ab cd"
        await it.press("ctrl+shift+left")
        assert it.copied == "ab "


async def test_keys_select_what_is_out_of_sight_and_bring_it_there() -> None:
    async with scene(*many(100)) as it:
        it.log.focus()
        await it.press("up")
        await it.press(*["shift+up"] * 20)
        assert "text 79" in it.texts
        await it.press(*["shift+down"] * 18)
        assert "text 97" in it.texts
        assert it.copied == "text 97\ntext 98"


async def test_the_whole_log_can_be_selected() -> None:
    async with scene(
        message(1, "a"),
        LogNotice("1", T0, "", "joined", "li"),
        LogNotice("2", T0, "", "joined", "bo"),
    ) as it:
        it.app.screen._select_all_in_widget(it.log)
        assert it.copied == "a\nli and bo joined"


async def test_a_drag_goes_on_by_keys() -> None:
    async with scene(message(1, "one two three")) as it:
        await it.drag(it.where("one"), right(it.where("one"), 2))
        it.log.focus()
        await it.press("ctrl+shift+right")
        assert it.copied == "one two"


async def test_copying_goes_to_the_clipboard() -> None:
    async with scene(message(1, "one two three")) as it:
        await it.drag(it.where("two"), right(it.where("two"), 2))
        it.app.screen.action_copy_text()
        assert it.app.clipboard == "two"


# What goes to the terminal


async def test_nothing_of_a_hostile_message_is_obeyed() -> None:
    hostile = (
        "\x1b]0;title\x07\x1b[2J\x9b31m\u202e[bold]x[/bold][@click=app.quit]quit[/]\r\x00\ud800"
    )
    items: list[LogItem] = [
        message(1, hostile, sender=hostile, reply=(hostile, hostile)),
        message(2, hostile, state="failed", error=hostile, reactions=(Reaction(hostile, 1),)),
        LogNotice("n", T0, hostile),
    ]
    async with scene(*items, size=(80, 40)) as it:
        text = "\n".join(it.rows)
        assert "[bold]x[/bold]" in text
        assert not {"\x1b", "\x9b", "\x07", "\r", "\x00", "\u202e", "\ud800"} & set(text)
        assert not any(
            "@click" in segment.style.meta
            for strip in it.strips
            for segment in strip
            if segment.style is not None
        )


async def test_a_link_goes_to_the_terminal_as_one() -> None:
    async with scene(message(1, "see https://münchen.example/a")) as it:
        console = Console(force_terminal=True, color_system="truecolor", legacy_windows=False)
        sent = "".join(strip.render(console) for strip in it.strips)
        assert ";https://xn--mnchen-3ya.example/a\x1b\\" in sent
        assert "https://münchen.example/a" in sent


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "nord", "gruvbox", "dracula"])
async def test_text_is_readable_on_every_theme(theme: str) -> None:
    items: list[LogItem] = [
        message(1, "a **b** `c` https://x.org @mei\n> q\n```py\ndef f(): return 'x' + 1  # y\n```"),
        message(2, mention=True, sender="jonas", edited=True, reply=("a", "b")),
        message(3, state="failed", error="no"),
        message(6, reactions=(Reaction("x", 1), Reaction("y", 2, me=True))),
        message(4, state="pending"),
        message(5, deleted=True),
        LogNotice("n", T0, "topic"),
    ]
    async with scene(*items, size=(80, 40)) as it:
        it.log.set_unread_after("m2")
        dark = [strip.text for strip in it.strips]
        it.app.theme = theme
        await it.pilot.pause()
        it.log.focus()
        it.log.select_previous()
        await it.pilot.pause()
        assert len(it.strips) == len(dark)
        for strip in it.strips:
            for segment in strip:
                style = segment.style
                if style is None or not segment.text.strip(" ─│┼▎▏╭╰[]"):
                    continue
                assert style.color is not None
                assert style.bgcolor is not None
                ratio = contrast(
                    RGB(*style.color.get_truecolor()),
                    RGB(*style.bgcolor.get_truecolor(foreground=False)),
                )
                assert ratio >= MIN_CONTRAST, (segment.text, style)


async def test_without_colours_signs_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    items = (
        message(1),
        message(2, mention=True, sender="jonas"),
        message(3, own=True, state="pending"),
        message(4, own=True, state="failed"),
        message(5, edited=True, reactions=(Reaction("👍", 1, me=True), Reaction("🎉", 2))),
    )
    async with scene(*items, size=(80, 40)) as it:
        assert it.app.no_color
        rows = it.rows
        for row in [row for row in rows if "text 2" in row or "jonas" in row]:
            assert row.startswith("▎")
        assert any("…" in row and "text 3" in row for row in rows)
        assert any("✗" in row and "text 4" in row for row in rows)
        assert any("text 5 (edited)" in row for row in rows)
        assert any("[👍 1]  🎉 2" in row for row in rows)
        grey = {
            color
            for strip in it.app.screen._compositor.render_strips()
            for segment in strip
            if segment.style is not None and segment.style.color is not None
            for color in [segment.style.color.get_truecolor()]
        }
        assert all(color.red == color.green == color.blue for color in grey)


@pytest.mark.parametrize("size", [(2, 1), (3, 2), (5, 3), (12, 4), (300, 100)])
async def test_any_size_works(size: tuple[int, int]) -> None:
    items = [message(1, "好" * 9), message(2, "> a\n```\nb\n```", reply=("x", "y"), own=True)]
    async with scene(*items, size=size, css="Input { display: none; }") as it:
        width = it.log.scrollable_content_region.width
        assert {strip.cell_length for strip in it.strips} <= {width}
        await it.pilot.resize_terminal(80, 24)
        await it.pilot.pause()
        assert any("好" * 9 in row for row in it.rows)


@pytest.mark.parametrize("theme", ["ansi-dark", "ansi-light"])
async def test_where_the_background_is_unknown_names_are_readable_on_all(theme: str) -> None:
    async with scene(message(1, mention=True)) as it:
        it.app.theme = theme
        await it.pilot.pause()
        name = it.strips[it.where("mei").y]
        colours = [
            RGB(*segment.style.color.get_truecolor())
            for segment in name
            if segment.text == "mei" and segment.style is not None and segment.style.color
        ]
        assert colours
        for ground in (RGB(0, 0, 0), RGB(255, 255, 255)):
            assert all(contrast(colour, ground) >= MIN_CONTRAST for colour in colours)


async def test_another_theme_shows_at_once() -> None:
    async with scene(message(1)) as it:
        before = it.strips[-1]._segments[-1].style
        it.app.theme = "textual-light"
        await it.pilot.pause()
        assert it.strips[-1]._segments[-1].style != before


async def test_it_can_be_removed_like_any_widget() -> None:
    async with scene(message(1)) as it:
        await it.log.remove()
        assert not it.app.query(ChatLog)
