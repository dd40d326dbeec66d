"""The checker finds each violation by its own name, and finds none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from gochat_faults.checker import Rule, check
from gochat_faults.history import (
    Acknowledged,
    Ended,
    Event,
    Fault,
    Logged,
    Restarted,
    Said,
    Seen,
    Started,
    open_journal,
    read_history,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

EPOCH = "e1"
PEOPLE = ("ada", "bob", "mei")
CONVERSATIONS = {"#lobby": PEOPLE, "#room": PEOPLE[:2], "@ada,mei": ("ada", "mei")}


def good_history(random: Random, messages: int, *, may_leave: bool = True) -> list[Event]:
    """Play a run without a violation: acks get lost, readers lag and leave."""
    history: list[Event] = []
    logs: dict[str, list[Logged]] = {conversation: [] for conversation in CONVERSATIONS}
    views: dict[tuple[str, str], int] = {}

    def show(reader: str, conversation: str) -> None:
        seq = views[reader, conversation]
        if seq < len(logs[conversation]):
            entry = logs[conversation][seq]
            history.append(
                Seen(0, reader, conversation, EPOCH, seq + 1, entry.kind, entry.sender, entry.cid,
                     entry.body)
            )  # fmt: skip
            views[reader, conversation] = seq + 1

    def write(conversation: str, kind: str, sender: str, cid: str | None, body: str) -> int:
        log = logs[conversation]
        log.append(Logged(conversation, EPOCH, len(log) + 1, kind, sender, cid, body))
        return len(log)

    write("#room", "create", "ada", "~1", "public")
    write("#room", "join", "bob", None, "")
    for conversation, members in CONVERSATIONS.items():
        for person in members:
            head = len(logs[conversation])
            history.append(Started(0, f"{person}.1", conversation, EPOCH, head))
            views[f"{person}.1", conversation] = random.choice((head, max(0, head - 1)))
    for number in range(messages):
        conversation = random.choice(list(CONVERSATIONS))
        sender = random.choice(CONVERSATIONS[conversation])
        cid = f"{sender}-{number}"
        history.append(Said(0, sender, sender, conversation, cid, f"body {number}"))
        # One in eight was given up before it was committed, one in eight never got its ack.
        if random.randrange(8):
            seq = write(conversation, "text", sender, cid, f"body {number}")
            if random.randrange(8):
                ack = Acknowledged(0, sender, sender, cid, EPOCH, seq)
                history += [ack, replace(ack, dup=True)][: random.choice((1, 1, 2))]
        for _ in range(random.randrange(6)):
            show(*random.choice(list(views)))
    history.append(Fault(0, "healed"))
    if may_leave and random.randrange(2):
        history.append(Ended(0, "bob.1"))
        del views["bob.1", "#lobby"], views["bob.1", "#room"]
    for reader, conversation in views:
        for _ in range(len(logs[conversation])):
            show(reader, conversation)
    for log in logs.values():
        history += log
    return history


# By seeds: shrinking the thousand choices of a history one by one would take minutes.
randoms = st.builds(Random, st.integers(min_value=0, max_value=2**32))
histories = st.builds(good_history, randoms, st.integers(min_value=0, max_value=40))


@given(histories)
def test_a_good_history_has_no_violation(history: list[Event]) -> None:
    assert check(history) == []


def test_an_empty_history_has_no_violation() -> None:
    assert check([]) == []


# Each of these breaks one thing in a history, and says so by its name. They are given a history in
# which ada and bob both said much, ack'd and not, and which ended with everybody having seen all.


def _of(history: list[Event], event_type: type, /, **fields: object) -> list[int]:
    return [
        index
        for index, event in enumerate(history)
        if isinstance(event, event_type)
        and all(getattr(event, name) == value for name, value in fields.items())
    ]


def _last(history: list[Event], conversation: str) -> Logged:
    event = history[_of(history, Logged, conversation=conversation)[-1]]
    assert isinstance(event, Logged)
    return event


def _say_last(history: list[Event], *, is_acknowledged: bool, is_logged: bool = True) -> str:
    """Have ada say one thing more in the lobby, and everybody see it; return its cid."""
    seq = _last(history, "#lobby").seq + 1
    cid, body = f"last-{len(history)}", "the last word"
    history.append(Said(0, "ada", "ada", "#lobby", cid, body))
    if is_acknowledged:
        history.append(Acknowledged(0, "ada", "ada", cid, EPOCH, seq))
    if is_logged:
        _show_last(history, Logged("#lobby", EPOCH, seq, "text", "ada", cid, body))
    return cid


def _show_last(history: list[Event], entry: Logged) -> None:
    history.append(entry)
    history += [
        Seen(0, reader, entry.conversation, EPOCH, entry.seq, entry.kind, entry.sender,
             entry.cid, entry.body)
        for reader in ("ada.1", "bob.1", "mei.1")
    ]  # fmt: skip


def acknowledged_but_not_in_the_log(history: list[Event], random: Random) -> None:
    _say_last(history, is_acknowledged=True, is_logged=False)


def acknowledged_with_another_seq(history: list[Event], random: Random) -> None:
    index = random.choice(_of(history, Acknowledged))
    event = history[index]
    assert isinstance(event, Acknowledged)
    history[index] = replace(event, seq=event.seq + 1000)


def acknowledged_at_two_places(history: list[Event], random: Random) -> None:
    event = history[random.choice(_of(history, Acknowledged))]
    assert isinstance(event, Acknowledged)
    history.append(replace(event, seq=event.seq + 1000, dup=True))


def appended_again_on_a_retry(history: list[Event], random: Random) -> None:
    _say_last(history, is_acknowledged=True)
    _show_last(history, replace(_last(history, "#lobby"), seq=_last(history, "#lobby").seq + 1))


def appended_twice_without_an_ack(history: list[Event], random: Random) -> None:
    _say_last(history, is_acknowledged=False)
    _show_last(history, replace(_last(history, "#lobby"), seq=_last(history, "#lobby").seq + 1))


def one_reader_sees_another_text(history: list[Event], random: Random) -> None:
    index = random.choice(_of(history, Seen, kind="text"))
    event = history[index]
    assert isinstance(event, Seen)
    history[index] = replace(event, body=event.body + "!")


def two_acks_for_one_place(history: list[Event], random: Random) -> None:
    seq = _last(history, "#lobby").seq
    for cid in ("x", "y"):
        history.append(Said(0, "ada", "ada", "#lobby", cid, cid))
        history.append(Acknowledged(0, "ada", "ada", cid, EPOCH, seq + 1))
    _show_last(history, Logged("#lobby", EPOCH, seq + 1, "text", "ada", "x", "x"))


def somebody_appears_to_have_said_it(history: list[Event], random: Random) -> None:
    seq = _last(history, "#lobby").seq + 1
    _show_last(history, Logged("#lobby", EPOCH, seq, "text", "ada", "forged", "words"))


def said_elsewhere(history: list[Event], random: Random) -> None:
    index = random.choice(_of(history, Said, conversation="#lobby"))
    event = history[index]
    assert isinstance(event, Said)
    _say_last(history, is_acknowledged=False)
    [said] = _of(history, Said, cid=_last(history, "#lobby").cid)
    history[said] = replace(event, cid=_last(history, "#lobby").cid, conversation="#room")


def an_ack_for_nothing(history: list[Event], random: Random) -> None:
    history.append(Acknowledged(0, "ada", "ada", "never said", EPOCH, 1))


def delivered_but_not_committed(history: list[Event], random: Random) -> None:
    cid = _say_last(history, is_acknowledged=False, is_logged=False)
    seq = _last(history, "#lobby").seq + 1
    history.append(Seen(0, "mei.1", "#lobby", EPOCH, seq, "text", "ada", cid, "the last word"))


def a_sender_overtakes_itself(history: list[Event], random: Random) -> None:
    one = _say_last(history, is_acknowledged=True)
    other = _say_last(history, is_acknowledged=True)
    [first], [second] = _of(history, Said, cid=one), _of(history, Said, cid=other)
    history[first], history[second] = history[second], history[first]


def an_entry_is_shown_twice(history: list[Event], random: Random) -> None:
    index = random.choice(_of(history, Seen))
    history.insert(index, history[index])


def an_entry_is_shown_again_much_later(history: list[Event], random: Random) -> None:
    _say_last(history, is_acknowledged=True)
    seen = history[_of(history, Seen, reader="ada.1", conversation="#lobby")[0]]
    last = _of(history, Seen, reader="ada.1", conversation="#lobby")[-1]
    history.insert(last, seen)


def an_entry_is_left_out(history: list[Event], random: Random) -> None:
    for _ in range(3):
        _say_last(history, is_acknowledged=True)
    reader = random.choice(("ada.1", "bob.1", "mei.1"))
    del history[_of(history, Seen, reader=reader, conversation="#lobby")[-2]]


def the_first_entries_are_left_out(history: list[Event], random: Random) -> None:
    index = _of(history, Started, reader="mei.1", conversation="#lobby")[0]
    _say_last(history, is_acknowledged=True)
    for seen in reversed(_of(history, Seen, reader="mei.1", conversation="#lobby")[:-1]):
        del history[seen]
    started = history[index]
    assert isinstance(started, Started)
    history[index] = replace(started, seq=max(0, _last(history, "#lobby").seq - 2))


def the_end_is_never_shown(history: list[Event], random: Random) -> None:
    _say_last(history, is_acknowledged=True)
    reader = random.choice(("ada.1", "bob.1", "mei.1"))
    del history[_of(history, Seen, reader=reader, conversation="#lobby")[-1]]


def nothing_is_ever_shown(history: list[Event], random: Random) -> None:
    _say_last(history, is_acknowledged=True)
    history[:] = [
        event for event in history if not (isinstance(event, Seen) and event.reader == "mei.1")
    ]


def a_restart_that_skips_little(history: list[Event], random: Random) -> None:
    _say_last(history, is_acknowledged=True)
    index = _of(history, Seen, reader="mei.1", conversation="#lobby")[-1]
    event = history[index]
    assert isinstance(event, Seen)
    history[index] = Restarted(0, "mei.1", "#lobby", EPOCH, event.seq)


def the_log_has_a_hole(history: list[Event], random: Random) -> None:
    entry = _last(history, "#lobby")
    history.append(Said(0, "bob", "bob", "#lobby", "far", "far"))
    history.append(replace(entry, seq=entry.seq + 2, sender="bob", cid="far", body="far"))
    history[:] = [event for event in history if not isinstance(event, Seen | Started)]


def the_log_repeats_a_number(history: list[Event], random: Random) -> None:
    history.append(_last(history, "#lobby"))


def the_epoch_changes_for_a_reader(history: list[Event], random: Random) -> None:
    index = _of(history, Seen, reader="mei.1", conversation="#lobby")[-1]
    event = history[index]
    assert isinstance(event, Seen)
    history[index] = replace(event, epoch="e2")


def the_epoch_changes_for_a_sender(history: list[Event], random: Random) -> None:
    index = random.choice(_of(history, Acknowledged))
    event = history[index]
    assert isinstance(event, Acknowledged)
    history[index] = replace(event, epoch="e2")


Break = Callable[[list[Event], Random], None]

#: What breaks it, its name, and True if that is the only name it may be called.
BREAKS: list[tuple[Break, Rule, bool]] = [
    (acknowledged_but_not_in_the_log, Rule.LOST, True),
    (acknowledged_with_another_seq, Rule.MISPLACED, True),
    (acknowledged_at_two_places, Rule.MISPLACED, True),
    (appended_again_on_a_retry, Rule.DUPLICATED, True),
    (appended_twice_without_an_ack, Rule.REPEATED_UNACKNOWLEDGED, True),
    (one_reader_sees_another_text, Rule.TWO_BODIES, False),
    (two_acks_for_one_place, Rule.TWO_BODIES, False),
    (somebody_appears_to_have_said_it, Rule.INVENTED, True),
    (said_elsewhere, Rule.INVENTED, False),
    (an_ack_for_nothing, Rule.INVENTED, True),
    (delivered_but_not_committed, Rule.UNDONE, True),
    (a_sender_overtakes_itself, Rule.SENDER_DISORDER, True),
    (an_entry_is_shown_twice, Rule.DISORDER, True),
    (an_entry_is_shown_again_much_later, Rule.DISORDER, False),
    (an_entry_is_left_out, Rule.GAP, True),
    (the_first_entries_are_left_out, Rule.GAP, True),
    (the_end_is_never_shown, Rule.UNSEEN, True),
    (nothing_is_ever_shown, Rule.UNSEEN, True),
    (a_restart_that_skips_little, Rule.NEEDLESS_RESTART, True),
    (the_log_has_a_hole, Rule.HOLE, True),
    (the_log_repeats_a_number, Rule.HOLE, True),
    (the_epoch_changes_for_a_reader, Rule.CHANGED_EPOCH, False),
    (the_epoch_changes_for_a_sender, Rule.CHANGED_EPOCH, True),
]


def busy_history(random: Random) -> list[Event]:
    """A good history in which everybody stayed to the end, and enough was said to break it."""
    history = good_history(random, 24, may_leave=False)
    while not _of(history, Logged, conversation="#lobby"):  # chance left the lobby silent
        history = good_history(random, 24, may_leave=False)
    _say_last(history, is_acknowledged=True)
    return history


@pytest.mark.parametrize(
    ("break_it", "rule", "is_only_name"), BREAKS, ids=[b.__name__ for b, _, _ in BREAKS]
)
@given(random=randoms)
def test_a_planted_violation_is_called_by_its_name(
    break_it: Break, rule: Rule, is_only_name: bool, random: Random
) -> None:
    history = busy_history(random)
    assert check(history) == []
    break_it(history, random)
    found = {violation.rule for violation in check(history)}
    assert rule in found
    if is_only_name:
        assert found == {rule}


def test_every_rule_is_planted() -> None:
    assert {rule for _, rule, _ in BREAKS} == set(Rule)


def test_a_restart_behind_much_that_was_missed_is_none_of_these() -> None:
    history: list[Event] = [Started(0, "mei.1", "#lobby", EPOCH, 0)]
    entries = [Logged("#lobby", EPOCH, n, "text", "ada", f"{n}", "x") for n in range(1, 601)]
    history += [Said(0, "ada", "ada", "#lobby", f"{n}", "x") for n in range(1, 601)]
    history.append(Restarted(0, "mei.1", "#lobby", EPOCH, 400))
    history += [
        Seen(0, "mei.1", "#lobby", EPOCH, n, "text", "ada", f"{n}", "x") for n in range(401, 601)
    ]
    assert check([*history, *entries]) == []


def test_a_store_that_lost_its_data_may_begin_a_new_epoch_with_what_was_acknowledged() -> None:
    history: list[Event] = [
        Said(0, "ada", "ada", "#lobby", "1", "one"),
        Acknowledged(0, "ada", "ada", "1", EPOCH, 1),
        Acknowledged(0, "ada", "ada", "1", "e2", 1),
        Logged("#lobby", "e2", 1, "text", "ada", "1", "one"),
    ]
    assert check(history, may_lose_data=True) == []
    assert {violation.rule for violation in check(history)} == {Rule.CHANGED_EPOCH}
    lost = [*history[:-1], Said(0, "bob", "bob", "#lobby", "2", "two")]
    lost.append(Logged("#lobby", "e2", 1, "text", "bob", "2", "two"))
    assert Rule.LOST in {violation.rule for violation in check(lost, may_lose_data=True)}


def test_a_reader_who_has_seen_nothing_may_begin_with_a_page_from_before_its_start() -> None:
    entries = [Logged("#lobby", EPOCH, n, "text", "ada", f"{n}", "x") for n in range(1, 601)]
    history: list[Event] = [Said(0, "ada", "ada", "#lobby", f"{n}", "x") for n in range(1, 601)]
    history += [
        Started(0, "mei.1", "#lobby", EPOCH, 600),
        Restarted(0, "mei.1", "#lobby", EPOCH, 400),
    ]
    history += [
        Seen(0, "mei.1", "#lobby", EPOCH, n, "text", "ada", f"{n}", "x") for n in range(401, 601)
    ]
    assert check([*history, *entries]) == []


@given(histories)
def test_a_history_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, history: list[Event]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    with open_journal(path) as journal:
        for event in history:
            journal.add(event)
    assert read_history(path) == history


def test_a_history_is_written_also_when_the_run_fails(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"

    def fail() -> None:
        with open_journal(path) as journal:
            journal.fault("everything")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(read_history(path)) == 1
