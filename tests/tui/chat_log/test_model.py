"""What the log shows: grouping, separators, runs of notices, and which rows are in the window."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gochat.tui.chat_log.items import LogItem, LogMessage, LogNotice, Reaction
from gochat.tui.chat_log.model import LogModel
from gochat.tui.chat_log.rows import Geometry

T0 = datetime(2026, 3, 13, 12, 0, tzinfo=UTC)


def message(number: int, text: str = "", *, sender: str = "mei", minute: float = 0) -> LogMessage:
    return LogMessage(
        f"m{number}", sender, text or f"text {number}", T0 + timedelta(minutes=minute)
    )


def notice(number: int, who: str, verb: str = "joined", minute: float = 0) -> LogNotice:
    return LogNotice(f"n{number}", T0 + timedelta(minutes=minute), f"{who} {verb}", verb, who)


def log(*items: LogItem, width: int = 80, height: int = 100) -> LogModel:
    model = LogModel(UTC)
    model.resize(width, height)
    model.append(items)
    return model


def shown(model: LogModel) -> list[str]:
    """The visible rows as text."""
    return [
        "".join(piece.text for piece in model.layout(node).rows[row].pieces).rstrip()
        for node, row in model.window.rows()
    ]


def texts(model: LogModel) -> list[str]:
    """The visible rows without the column of the time, without blank rows."""
    rows = [row[Geometry(model.geometry.width).left :] for row in shown(model)]
    return [row for row in rows if row]


def test_a_message_has_its_time_name_and_text() -> None:
    assert shown(log(message(1, "hello"))) == [
        " ────── Friday, 13 March 2026 " + "─" * 49,
        "",
        " 12:00  mei",
        "        hello",
    ]


def test_narrow_windows_have_the_time_behind_the_name() -> None:
    assert shown(log(message(1, "hello"), width=40))[1:] == [" mei  12:00", "   hello"]


def test_times_are_those_of_the_reader() -> None:
    model = LogModel(ZoneInfo("Asia/Kolkata"))
    model.resize(80, 100)
    model.append([message(1)])
    assert " 17:30  mei" in shown(model)


def test_messages_of_one_person_within_five_minutes_share_a_header() -> None:
    model = log(message(1), message(2), message(3, minute=4.5), message(4, minute=10))
    assert shown(model)[2:] == [
        " 12:00  mei",
        "        text 1",
        "     ·  text 2",
        " 12:04  text 3",
        "",
        " 12:10  mei",
        "        text 4",
    ]


@pytest.mark.parametrize(
    "second",
    [
        message(2, sender="jonas"),
        replace(message(2), reply=("jonas", "what?")),
        message(2, minute=24 * 60),
    ],
)
def test_others_have_their_own(second: LogMessage) -> None:
    assert texts(log(message(1), second)).count(second.sender) >= (
        2 if second.sender == "mei" else 1
    )


def test_a_new_day_has_a_rule() -> None:
    model = log(message(1), message(2, minute=13 * 60))
    assert sum("Saturday, 14 March 2026" in row for row in shown(model)) == 1


def test_the_day_is_that_of_the_reader() -> None:
    model = LogModel(ZoneInfo("Pacific/Kiritimati"))  # UTC+14
    model.resize(80, 100)
    model.append([message(1)])
    assert "Saturday, 14 March 2026" in shown(model)[0]


def test_the_divider_stands_before_what_is_new() -> None:
    model = log(message(1), message(2), message(3))
    model.set_unread_after("m2")
    rows = texts(model)
    assert rows[rows.index("text 2") + 1].startswith("new messages")
    model.set_unread_after(None)
    assert not any("new messages" in row for row in shown(model))


def test_the_divider_waits_for_its_message() -> None:
    model = log(message(3))
    model.set_unread_after("m2")
    model.prepend([message(1), message(2)])
    rows = texts(model)
    assert rows[rows.index("text 2") + 1].startswith("new messages")


def test_nothing_stands_behind_a_divider_after_the_last() -> None:
    model = log(message(1))
    model.set_unread_after("m1")
    assert not any("new messages" in row for row in shown(model))


def test_people_who_come_and_go_are_told_in_one_line() -> None:
    names = ["anna", "bo", "li", "tom"]
    model = log(*(notice(number, who) for number, who in enumerate(names)), notice(9, "bo", "left"))
    assert texts(model)[1:] == ["4 people joined, bo left"]


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["anna"], "anna joined"),
        (["anna", "bo"], "anna and bo joined"),
        (["anna", "bo", "li"], "anna, bo and li joined"),
        (["anna", "anna", "anna", "anna"], "anna joined"),
    ],
)
def test_few_people_are_named(names: list[str], line: str) -> None:
    assert texts(log(*(notice(number, who) for number, who in enumerate(names))))[1:] == [line]


def test_a_message_between_ends_a_run() -> None:
    model = log(notice(1, "anna"), notice(2, "bo"), message(1), notice(3, "li"))
    assert texts(model)[1:] == ["anna and bo joined", "mei", "text 1", "li joined"]


def test_other_notices_are_told_one_by_one() -> None:
    topics = [LogNotice(f"t{n}", T0, f"topic {n}") for n in range(2)]
    assert texts(log(*topics))[1:] == ["topic 0", "topic 1"]


def test_runs_grow_at_both_ends() -> None:
    model = log(notice(3, "li"), notice(4, "tom"))
    model.prepend([notice(1, "anna"), notice(2, "bo")])
    model.append([notice(5, "eve")])
    assert texts(model)[1:] == ["5 people joined"]


def test_a_run_is_cut_by_what_takes_the_place_of_one_of_it() -> None:
    model = log(*(notice(number, who) for number, who in enumerate(["anna", "bo", "li", "tom"])))
    node = model.get("n1")
    assert node is not None
    model.replace(node, message(1))
    assert texts(model)[1:] == ["anna joined", "mei", "text 1", "li and tom joined"]
    model.remove(node)
    assert texts(model)[1:] == ["anna, li and tom joined"]


def test_the_divider_cuts_a_run() -> None:
    model = log(*(notice(number, who) for number, who in enumerate(["anna", "bo", "li"])))
    model.set_unread_after("n0")
    assert [row for row in texts(model)[1:] if "─" not in row] == [
        "anna joined",
        "bo and li joined",
    ]


def test_states_are_told_by_signs() -> None:
    model = log(
        message(1),
        replace(message(2), state="pending"),
        replace(message(3), state="failed", error="too long"),
        replace(message(4), edited=True),
        replace(message(5), deleted=True),
    )
    assert shown(model)[3:] == [
        "        text 1",
        "     …  text 2",
        "     ✗  text 3",
        "        not sent: too long  retry",
        "     ·  text 4 (edited)",
        "     ·  message deleted",
    ]


def test_blocks_of_code_of_several_messages_have_an_edge_each() -> None:
    model = log(message(1, "```py\nx = 1\ny = 2\n```"), message(2, "```\nls\n```"), width=40)
    assert [row.rstrip() for row in shown(model)[2:]] == [
        "   ╭─ py", "   │ x = 1", "   ╰ y = 2", " · ╭─", "   ╰ ls",
    ]  # fmt: skip


def test_lists_quotes_rules_and_tables_are_drawn() -> None:
    text = "- one two three four\n> > said\n---\n|a|long|\n|-:|-|\n|100|b|"
    assert shown(log(message(1, text), width=19))[2:] == [
        "   • one two three", "     four", "   ▏ ▏ said", "   " + "─" * 15,
        "     a │ long", "   ────┼─────", "   100 │ b",
    ]  # fmt: skip


def test_a_table_that_is_too_wide_is_wrapped() -> None:
    model = log(message(1, "|a|b|\n|-|-|\n|one two|three four|"), width=19)
    assert shown(model)[2:] == ["   a │ b", "   one two │ three", "     four"]


def test_positions_of_rows_ascend() -> None:
    text = "# t\n```py\nx\n```\n|a|b|\n|-|-|\n```\n```\n---\n- x\n> ```\n> y\n> z"
    model = log(replace(message(1, text), edited=True))
    node = model.get("m1")
    assert node is not None
    positions = [row.position for row in model.layout(node).rows]
    assert positions == sorted(set(positions))


def test_a_note_that_does_not_fit_has_a_row_of_its_own() -> None:
    model = log(replace(message(1, "x" * 69), edited=True))
    assert texts(model)[2:] == ["x" * 69, "(edited)"]


def test_reactions_tell_which_are_the_readers() -> None:
    reactions = (Reaction("👍", 3, me=True), Reaction("🎉", 1))
    assert texts(log(replace(message(1), reactions=reactions)))[-1] == "[👍 3]  🎉 1"


def test_reactions_wrap() -> None:
    reactions = tuple(Reaction("👍", number) for number in range(100, 110))
    model = log(replace(message(1), reactions=reactions), width=40)
    assert "".join(texts(model)[3:]).count("👍") == 10
    assert len(texts(model)) > 4


def test_a_reply_quotes_on_one_row() -> None:
    model = log(replace(message(1), reply=("jonas", "a\nlong " * 40)), width=70)
    (quote,) = [row for row in texts(model) if row.startswith("╭")]
    assert quote.startswith("╭ jonas  a long a long")
    assert quote.endswith("…")


def test_names_errors_and_excerpts_of_others_are_made_safe() -> None:
    model = log(
        LogMessage("1", "e\x1bvil", "t\x1bext", T0, reply=("x\u202ey", "\x1b[2J")),
        LogMessage("2", "me", "t", T0, state="failed", error="\x1b]0;x\x07"),
        LogNotice("3", T0, "\x1b[31m", "jo\x1bined", "\u202eanna"),
        LogNotice("4", T0, "", "jo\x1bined", "bo"),
        LogMessage("5", "me", "t", T0, reactions=(Reaction("\x1bc", 1),)),
    )
    text = "\n".join(shown(model))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "␛" in text


def test_a_message_of_a_thousand_lines_is_all_there() -> None:
    model = log(message(1, "\n".join(map(str, range(1000)))), height=2000)
    assert texts(model)[2:] == [str(number) for number in range(1000)]


def test_an_item_with_a_known_key_takes_its_place() -> None:
    model = log(message(1), message(2), message(3))
    model.append([message(2, "new")])
    assert texts(model)[2:] == ["text 1", "new", "text 3"]


def test_a_pending_message_becomes_the_sent_one() -> None:
    model = log(message(1), replace(message(2), key="cid", state="pending"), message(3))
    node = model.get("cid")
    assert node is not None
    model.replace(node, message(2))
    assert texts(model)[2:] == ["text 1", "text 2", "text 3"]
    assert model.get("cid") is None
    assert model.get("m2") is node


def test_what_comes_before_a_pending_message_is_put_there() -> None:
    model = log(message(1), replace(message(9), state="pending"))
    pending = model.get("m9")
    assert pending is not None
    model.insert_before(pending, [message(2), message(3)])
    assert texts(model)[2:] == ["text 1", "text 2", "text 3", "text 9"]


def test_an_insertion_before_the_first_is_first() -> None:
    model = log(message(2))
    first = model.get("m2")
    assert first is not None
    model.insert_before(first, [message(1)])
    assert texts(model)[2:] == ["text 1", "text 2"]


def test_a_removed_message_takes_its_place_in_the_count_of_new_ones() -> None:
    model = log(*many(50), height=5)
    model.window.scroll(-20)
    model.append(many(3, 50))
    node = model.get("m51")
    assert node is not None
    model.remove(node)
    assert model.unseen == 2


# The window


def many(count: int, start: int = 0) -> list[LogMessage]:
    return [message(number) for number in range(start, start + count)]


def test_it_sticks_to_the_end() -> None:
    model = log(*many(50), height=5)
    assert texts(model) == [f"text {number}" for number in range(45, 50)]
    model.append(many(3, 50))
    assert texts(model)[-1] == "text 52"
    assert model.unseen == 0


def test_scrolled_up_it_stays_where_it_is() -> None:
    model = log(*many(50), height=5)
    model.window.scroll(-20)
    before = shown(model)
    model.append(many(30, 50))
    assert shown(model) == before
    assert not model.window.at_end
    assert model.unseen == 30


def test_the_number_of_new_ones_falls_as_they_are_seen() -> None:
    model = log(*many(50), height=5)
    model.window.scroll(-1)
    model.append([*many(10, 50), replace(message(60), own=True)])
    assert model.unseen == 10
    model.window.scroll(5)
    assert texts(model)[-1] == "text 53"
    assert model.unseen == 6
    model.window.to_end()
    assert model.unseen == 0


def test_scrolled_back_to_the_end_it_sticks_again() -> None:
    model = log(*many(50), height=5)
    model.window.scroll(-7)
    model.window.scroll(100)
    model.append(many(1, 50))
    assert texts(model)[-1] == "text 50"


def test_older_ones_come_without_a_jump() -> None:
    model = log(*many(50, 50), height=5)
    model.window.scroll(-1000)
    assert model.window.at_start
    model.window.scroll(3)
    before = shown(model)
    model.prepend(many(50))
    assert shown(model)[1:] == before[1:]
    assert (shown(model)[0], before[0]) == ("     ·  text 50", "        text 50")  # grouped now
    model.window.scroll(-4)
    assert "text 49" in texts(model)


def test_the_day_above_the_first_goes_without_a_jump() -> None:
    model = log(*many(50, 50), height=5)
    model.window.scroll(-1000)
    assert "March" in shown(model)[0]
    model.prepend(many(50))
    # The header and the day above it are gone, all else is where it was.
    assert texts(model) == [f"text {number}" for number in range(50, 55)]


@pytest.mark.parametrize("change", ["replace", "remove", "insert"])
def test_what_happens_above_moves_nothing(change: str) -> None:
    model = log(*many(50), height=5)
    model.window.scroll(-10)
    before = shown(model)
    node = model.get("m5")
    assert node is not None
    if change == "replace":
        model.replace(node, message(5, "longer\n" * 20))
    elif change == "remove":
        model.remove(node)
    else:
        model.insert_before(node, many(5, 100))
    assert shown(model) == before


def test_another_width_keeps_the_text_at_the_top() -> None:
    words = [" ".join(f"w{number}.{word}" for word in range(40)) for number in range(30)]
    model = log(*(message(n, text) for n, text in enumerate(words)), width=100, height=6)
    model.window.scroll(-40)
    for width in (50, 30, 100, 200, 64, 100):
        top = texts(model)[0].split()[0]
        model.resize(width, 6)
        assert top in texts(model)[0]


def test_another_height_keeps_the_top_or_the_end() -> None:
    model = log(*many(50), height=10)
    model.resize(80, 4)
    assert texts(model)[-1] == "text 49"
    model.window.scroll(-20)
    top = shown(model)[0]
    model.resize(80, 10)
    assert shown(model)[0] == top


def test_a_higher_window_than_log_shows_all() -> None:
    model = log(*many(50), height=5)
    model.window.scroll(-1000)
    model.resize(80, 500)
    assert texts(model)[2:] == [f"text {number}" for number in range(50)]
    assert model.window.at_start
    assert model.window.at_end


def test_the_row_at_the_top_may_go() -> None:
    model = log(*many(50), height=5)
    model.window.scroll(-10)
    key = model.window.rows()[0].node.item.key
    node = model.get(key)
    assert node is not None
    following = texts(model)[1]
    model.remove(node)
    assert texts(model)[0] == following


def test_an_end_that_is_not_now_is_not_stuck_to() -> None:
    model = log(*many(50), height=5)
    model.window.live = False
    before = shown(model)
    model.append(many(10, 50))
    assert shown(model) == before
    model.window.live = True
    model.window.to_end()
    assert texts(model)[-1] == "text 59"


def test_dragging_the_scroll_bar_goes_there() -> None:
    model = log(*many(1000), height=10)
    model.window.to_offset(0)
    assert model.window.at_start
    model.window.to_offset(model.total)
    assert model.window.at_end
    model.window.to_offset(model.total // 2)
    (number,) = {int(row.split()[1]) for row in texts(model)[:1]}
    assert 400 < number < 600


def test_all_of_a_message_comes_into_view() -> None:
    model = log(*many(50), height=6)
    for key in ("m10", "m40", "m11"):
        node = model.get(key)
        assert node is not None
        model.window.show(node)
        assert f"text {key[1:]}" in texts(model)


def test_an_empty_log_is_at_both_ends() -> None:
    model = log()
    assert shown(model) == []
    assert model.window.at_end
    assert model.window.at_start
    model.window.scroll(-5)
    model.window.to_offset(3)
    assert model.unseen == 0
