"""The timeline folds a log into what is seen of it."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gochat.client import LogEntry
from gochat.client.convert import to_entry
from gochat.protocol.messages import Message, Reaction
from gochat.tui.model.entries import Change, Inserted, Prepended, Removed, Renewed, Replaced
from gochat.tui.model.timeline import Timeline


def entry(seq: int, text: str = "", sender: str = "mei", **fields: Any) -> LogEntry:
    message = Message(
        to="#lobby", epoch="e", seq=seq, ts=seq * 1000, from_=sender, text=text or f"m{seq}",
        **fields,
    )  # fmt: skip
    return to_entry(message, "ada")


def texts(timeline: Timeline) -> list[str]:
    return [e.text for e in timeline]


def replay(keys: list[str], timeline: Timeline, changes: list[Change]) -> list[str]:
    """Apply changes to a list of keys, as a widget would."""
    for change in changes:
        match change:
            case Renewed():
                keys = [e.key for e in timeline]
            case Inserted(entries, before):
                at = len(keys) if before is None else keys.index(before)
                keys[at:at] = [e.key for e in entries]
            case Prepended(entries):
                keys[:0] = [e.key for e in entries]
            case Replaced(key, new):
                keys[keys.index(key)] = new.key
            case Removed(key):
                keys.remove(key)
    return keys


def test_messages_are_seen_in_the_order_of_the_log() -> None:
    timeline = Timeline("ada")
    for seq in (7, 8, 9):
        timeline.add(entry(seq))
    assert texts(timeline) == ["m7", "m8", "m9"]
    assert (timeline.first, timeline.last, timeline.older) == (7, 9, True)


def test_an_entry_of_an_unknown_kind_is_counted_and_not_shown() -> None:
    timeline = Timeline("ada")
    for number in (1, 2, 3):
        timeline.add(entry(number, kind="poll" if number == 2 else "text"))
    assert texts(timeline) == ["m1", "m3"]
    assert timeline.last == 3
    again = Timeline("ada")
    again.add(entry(3))
    again.add_older([entry(1), entry(2, kind="poll")], as_of=3, older=False)
    assert texts(again) == ["m1", "m3"]
    assert again.first == 1


def test_a_message_that_is_there_already_is_ignored() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(1))
    assert timeline.add(entry(1, "again")) is None
    assert texts(timeline) == ["m1"]


def test_a_gap_is_left_to_history_and_said() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(1))
    timeline.add(entry(3))
    assert texts(timeline) == ["m1"]
    assert timeline.newer
    timeline.add_newer([entry(2), entry(3)], as_of=3, newer=False)
    assert texts(timeline) == ["m1", "m2", "m3"]
    timeline.add(entry(4))
    assert timeline.last == 4


def test_edits_reactions_and_deletions_change_what_is_further_up() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(1, "helo"))
    timeline.add(entry(2, "hello", kind="edit", ref=1))
    timeline.add(entry(3, "👍", "tomas", kind="react", ref=1))
    timeline.add(entry(4, "👍", "ada", kind="react", ref=1))
    timeline.add(entry(5, "👍", "tomas", kind="unreact", ref=1))
    (seen,) = timeline
    assert (seen.text, seen.edited) == ("hello", 2)
    assert {e: (t.count, t.me) for e, t in seen.reactions.items()} == {"👍": (1, True)}
    timeline.add(entry(6, kind="delete", ref=1))
    assert seen.deleted
    assert seen.text == ""
    assert not seen.reactions


def test_only_who_may_have_reacted_is_taken_off_a_count() -> None:
    """Of twelve reactions ten names are known; the reader's own is not among them."""
    timeline = Timeline("ada")
    names = tuple(f"p{number}" for number in range(10))
    given = Reaction(emoji="👍", count=12, names=names, me=True)
    timeline.add_newer([entry(1, reactions=(given,))], as_of=1, newer=False)
    (seen,) = timeline
    for seq, who in enumerate(("tomas", "tomas", "mei", "p1", "p1", "ada", "ada"), start=2):
        timeline.add(entry(seq, "👍", who, kind="unreact", ref=1))
    assert (seen.reactions["👍"].count, seen.reactions["👍"].me) == (9, False)


def test_an_edit_that_was_erased_changes_nothing() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(1, "helo"))
    timeline.add_newer([entry(2, "", kind="edit", ref=1, deleted=True)], as_of=3, newer=True)
    (seen,) = timeline
    assert (seen.text, seen.edited) == ("helo", None)
    timeline.add_newer([entry(3, "hello", kind="edit", ref=1)], as_of=3, newer=False)
    assert (seen.text, seen.edited) == ("hello", 3)


def test_a_reaction_that_is_in_the_page_already_is_not_counted_twice() -> None:
    timeline = Timeline("ada")
    thumbs = (Reaction(emoji="👍", count=12, names=tuple(f"p{i}" for i in range(10))),)
    timeline.add_older([entry(1, reactions=thumbs)], as_of=20, older=False)
    timeline.last = 18
    timeline.add(entry(19, "👍", "p11", kind="react", ref=1))  # the twelfth, whose name is cut off
    assert timeline.entry(1).reactions["👍"].count == 12  # type: ignore[union-attr]  # it is there
    timeline.add(entry(20, "👍", "p12", kind="react", ref=1))
    timeline.add(entry(21, "👍", "p13", kind="react", ref=1))
    assert timeline.entry(1).reactions["👍"].count == 13  # type: ignore[union-attr]  # it is there


def test_older_history_goes_before_and_its_changes_are_not_applied_again() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(4))
    seen = timeline.add_older(
        [entry(1, "as it reads now", edited=2), entry(2, "x", kind="edit", ref=1), entry(3)],
        as_of=4, older=False,
    )  # fmt: skip
    assert seen == 2
    assert texts(timeline) == ["as it reads now", "m3", "m4"]
    assert not timeline.older


def test_a_reply_quotes_the_current_text_once_that_is_loaded() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(5, "yes", "tomas", ref=2))
    reply = timeline.entry(5)
    assert reply is not None
    assert reply.reply == ("", "")
    timeline.add_older([entry(2, "lunch?"), entry(3), entry(4)], as_of=5, older=True)
    assert reply.reply == ("mei", "lunch?")
    timeline.add(entry(6, "lunch at one?", kind="edit", ref=2))
    assert reply.reply == ("mei", "lunch at one?")


def test_a_pending_message_stays_at_the_end_until_the_log_has_it() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(1))
    timeline.put("c1", "mine", 2000)
    timeline.add(entry(2, "theirs"))
    assert texts(timeline) == ["m1", "theirs", "mine"]
    timeline.add(entry(3, "mine", "ada", cid="c1"))
    assert texts(timeline) == ["m1", "theirs", "mine"]
    assert [e.key for e in timeline] == ["1", "2", "3"]
    assert not timeline.pending


def test_a_refused_message_stays_and_moves_to_the_end_when_retried() -> None:
    timeline = Timeline("ada")
    timeline.put("c1", "mine", 1000)
    timeline.put("c1", "mine", 1000, state="failed", error="too long")
    timeline.add(entry(1, "later"))
    assert texts(timeline) == ["mine", "later"]
    assert timeline.find("c1").error == "too long"  # type: ignore[union-attr]  # it is there
    timeline.put("c1", "mine", 1000)
    assert texts(timeline) == ["later", "mine"]
    timeline.put("c1", "mine", 1000, state="failed", error="still")
    timeline.drop("c1")
    assert texts(timeline) == ["later"]


def test_news_of_a_message_that_is_in_the_log_already_is_ignored() -> None:
    timeline = Timeline("ada")
    timeline.put("c1", "mine", 1000)
    timeline.add(entry(1, "mine", "ada", cid="c1"))
    timeline.put("c1", "mine", 1000, state="sent")
    assert texts(timeline) == ["mine"]


def test_a_page_that_holds_what_is_pending_or_refused_settles_it() -> None:
    mine = [entry(1), entry(2, "mine", "ada", cid="c1"), entry(3, "too", "ada", cid="c2")]
    for take in ("older", "newer", "instead", "event"):
        timeline = Timeline("ada")
        timeline.put("c1", "mine", 1000)
        timeline.put("c2", "too", 1000, state="failed", error="no")
        match take:
            case "older":
                timeline.add_older(mine, as_of=3, older=False)
            case "newer":
                timeline.add_newer(mine, as_of=3, newer=False)
            case "instead":
                timeline.reset(mine, as_of=3, older=False)
            case _:
                for one in mine:
                    timeline.add(one)
        for state in ("pending", "sent", "failed"):  # news that the page has overtaken
            timeline.put("c1", "mine", 1000, state=state, seq=2 if state == "sent" else None)
        assert texts(timeline) == ["m1", "mine", "too"], take
        assert [e.key for e in timeline] == ["1", "2", "3"]
        timeline.trim(1)
        assert timeline.unsent == set()


def test_a_cid_of_somebody_else_is_not_ones_own() -> None:
    timeline = Timeline("ada")
    timeline.put("c1", "mine", 1000)
    timeline.add_older([entry(1, cid="c1")], as_of=1, older=False)
    assert texts(timeline) == ["m1", "mine"]


def test_what_is_in_the_log_beyond_what_is_loaded_is_not_pending_any_more() -> None:
    """By an event while an old place is shown; by an acknowledgement of what has gone by."""
    timeline = Timeline("ada")
    timeline.put("c1", "mine", 1000)
    timeline.reset([entry(1), entry(2)], as_of=9, older=False, newer=True)
    timeline.add(entry(9, "mine", "ada", cid="c1"))
    assert texts(timeline) == ["m1", "m2"]
    timeline.put("c2", "long ago", 1000)
    timeline.reset([entry(8)], as_of=9, older=True)
    timeline.put("c2", "long ago", 1000, state="sent", seq=3)
    assert texts(timeline) == ["m8"]


def test_what_the_server_has_lost_waits_before_what_is_new() -> None:
    timeline = Timeline("ada")
    timeline.put("c2", "new", 2000, outbox_index=2)
    timeline.put("c1", "lost", 1000, outbox_index=1)
    timeline.put("c3", "newer", 2000, outbox_index=3)
    assert texts(timeline) == ["lost", "new", "newer"]


def test_a_new_epoch_forgets_the_log_but_not_what_was_not_sent() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(1))
    timeline.put("c1", "pending", 1000)
    timeline.put("c2", "refused", 1000, state="failed")
    timeline.reset([entry(40), entry(41)], as_of=41, older=True)
    assert texts(timeline) == ["m40", "m41", "refused", "pending"]


def test_trimming_keeps_the_newest_and_what_history_cannot_bring_back() -> None:
    timeline = Timeline("ada")
    timeline.put("c1", "refused", 0, state="failed")
    for seq in range(1, 101):
        timeline.add(entry(seq))
    timeline.trim(10)
    assert texts(timeline) == ["refused", *(f"m{seq}" for seq in range(91, 101))]
    assert (timeline.first, timeline.older) == (91, True)
    timeline.add_older([entry(90)], as_of=100, older=True)
    assert texts(timeline)[0] == "m90"


def test_unread_counts_what_others_said_after_the_marker() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(1))
    timeline.add(entry(2, mentions=("ada",)))
    timeline.add(entry(3, sender="ada"))
    timeline.add(entry(4, kind="join"))
    timeline.add(entry(5))
    assert timeline.unread_after(1) == (2, 1)
    assert timeline.unread_after(4) == (1, 0)
    assert timeline.key_at(4) == "4"


def test_the_key_at_a_seq_is_that_of_the_last_entry_which_is_seen() -> None:
    timeline = Timeline("ada")
    timeline.add(entry(1))
    timeline.add(entry(2, "👍", kind="react", ref=1))
    assert timeline.key_at(2) == "1"
    assert timeline.key_at(0) is None


_STEPS = st.lists(
    st.sampled_from(
        ["say", "edit", "react", "put", "ack", "fail", "retry", "note", "older", "drop"]
    ),
    max_size=60,
)


@given(_STEPS, st.randoms(use_true_random=False))
def test_the_changes_lead_to_what_the_timeline_holds(steps: list[str], random: Any) -> None:
    timeline = Timeline("ada")
    seqs, cids = count(51), count(1)
    keys: list[str] = []
    for step in steps:
        last = timeline.last or 0
        match step:
            case "say":
                timeline.add(entry(next(seqs)))
            case "edit" | "react" if last:
                seq = next(seqs)
                kind: Any = step
                timeline.add(entry(seq, "x", kind=kind, ref=random.randint(51, seq)))
            case "put":
                timeline.put(f"c{next(cids)}", "mine", 0)
            case "ack" if timeline.pending:
                cid = random.choice(list(timeline.pending))
                timeline.add(entry(next(seqs), "mine", "ada", cid=cid))
            case "fail" if timeline.pending:
                timeline.put(random.choice(list(timeline.pending)), "mine", 0, state="failed")
            case "retry" if timeline.refused:
                timeline.put(random.choice(list(timeline.refused)), "mine", 0)
            case "drop" if timeline.refused:
                timeline.drop(random.choice(list(timeline.refused)))
            case "note":
                timeline.note("presence", "mei", "online", 0)
            case "older" if timeline.first and timeline.first > 10:
                first = timeline.first
                page = [entry(s, ref=s + 20) for s in range(first - 5, first)]
                timeline.add_older(page, as_of=last, older=True)
            case _:
                pass
        if random.random() < 0.5:
            keys = replay(keys, timeline, timeline.take_changes())
    keys = replay(keys, timeline, timeline.take_changes())
    assert keys == [e.key for e in timeline]
    assert len(set(keys)) == len(keys)
