"""The checker reports each violation by its own name, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    Resends,
    Restarted,
    Retried,
    Said,
    Seen,
    Shaken,
    Started,
    open_journal,
    read_history,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

EPOCH = "e1"
PEOPLE = ("ada", "bob", "mei")
CONVERSATIONS = {"#lobby": PEOPLE, "#room": PEOPLE[:2], "@ada,mei": ("ada", "mei")}


def good_history(random: Random, messages: int, *, may_leave: bool = True) -> list[Event]:
    """Generate a run without a violation: acks get lost, readers lag and leave."""
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
        # One in eight was abandoned before its commit, one in eight never got its ack.
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


# By seed: shrinking the thousand choices of a history one by one would take minutes.
randoms = st.builds(Random, st.integers(min_value=0, max_value=2**32))
histories = st.builds(good_history, randoms, st.integers(min_value=0, max_value=40))


@given(histories)
def test_good_history_has_no_violation(history: list[Event]) -> None:
    assert check(history) == []


def test_empty_history_has_no_violation() -> None:
    assert check([]) == []


# Each of these breaks one thing in a history, as its name says. They are given a history in which
# ada and bob both sent much, acknowledged or not, and in the end everyone has seen everything.


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
    """Make ada send one more message to the lobby, and everyone see it; return its cid."""
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


def nobody_says_again_what_was_lost(history: list[Event], random: Random) -> None:
    cid = _say_last(history, is_acknowledged=True, is_logged=False)
    history += [Resends("ada"), Shaken(1, 2, "was put back", since=0)]
    for index in _of(history, Acknowledged, cid=cid):
        event = history[index]
        assert isinstance(event, Acknowledged)
        history[index] = replace(event, epoch="e0")


Break = Callable[[list[Event], Random], None]

#: What breaks the history, the violation's name, and True if no other name is right.
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
    (nobody_says_again_what_was_lost, Rule.NOT_SAID_AGAIN, False),
]


def busy_history(random: Random) -> list[Event]:
    """Return a good history in which everyone stayed to the end, with enough messages to break
    it."""
    history = good_history(random, 24, may_leave=False)
    while not _of(history, Logged, conversation="#lobby"):  # the lobby is empty by chance
        history = good_history(random, 24, may_leave=False)
    _say_last(history, is_acknowledged=True)
    return history


@pytest.mark.parametrize(
    ("break_it", "rule", "is_only_name"), BREAKS, ids=[b.__name__ for b, _, _ in BREAKS]
)
@settings(max_examples=settings().max_examples // 4)
@given(random=randoms)
def test_planted_violation_is_reported_by_its_name(
    break_it: Break, rule: Rule, is_only_name: bool, random: Random
) -> None:
    history = busy_history(random)
    assert check(history) == []
    break_it(history, random)
    found = {violation.rule for violation in check(history)}
    assert rule in found
    if is_only_name:
        assert found == {rule}


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for _, rule, _ in BREAKS} == set(Rule)


def test_reset_after_missing_much_is_not_a_violation() -> None:
    history: list[Event] = [Started(0, "mei.1", "#lobby", EPOCH, 0)]
    entries = [Logged("#lobby", EPOCH, n, "text", "ada", f"{n}", "x") for n in range(1, 601)]
    history += [Said(0, "ada", "ada", "#lobby", f"{n}", "x") for n in range(1, 601)]
    history.append(Restarted(0, "mei.1", "#lobby", EPOCH, 400))
    history += [
        Seen(0, "mei.1", "#lobby", EPOCH, n, "text", "ada", f"{n}", "x") for n in range(401, 601)
    ]
    assert check([*history, *entries]) == []


# -- another history -----------------------------------------------------------------------------

# Ada, whose program keeps running, sends 1 to 5 to bob at these times, acknowledged at once.
SAID = ("1", "2", "3", "4", "5")
EMPTIED = Shaken(10, 11, "was emptied", since=0)


def history_of(
    shaken: Shaken, *kept: str, again: tuple[str, ...] = (), fresh_by: str = "bob"
) -> list[Event]:
    """Return a history in which the store is `shaken`, and has `kept` of the messages.

    Afterwards a person sends something new, and Ada sends `again`; everyone sees all of it.
    """
    history: list[Event] = [Resends("ada"), Started(0, "bob.1", "#lobby", "e1", 0)]
    for seq, cid in enumerate(SAID, 1):
        history += [
            Said(seq, "ada", "ada", "#lobby", cid, cid),
            Acknowledged(seq, "ada", "ada", cid, "e1", seq),
            Seen(seq, "bob.1", "#lobby", "e1", seq, "text", "ada", cid, cid),
        ]
    history += [shaken, Restarted(12, "bob.1", "#lobby", "e2", 0)]
    for seq, cid in enumerate((*kept, "fresh", *again), 1):
        sender = fresh_by if cid == "fresh" else "ada"
        if cid == "fresh":
            history.append(Said(12, sender, sender, "#lobby", cid, cid))
        if cid not in kept:
            history.append(Acknowledged(13, sender, sender, cid, "e2", seq))
        history += [
            Seen(13, "bob.1", "#lobby", "e2", seq, "text", sender, cid, cid),
            Logged("#lobby", "e2", seq, "text", sender, cid, cid),
        ]
    return history


def rules(history: Iterable[Event]) -> set[Rule]:
    return {violation.rule for violation in check(history)}


def test_emptied_store_starts_over_with_resent_messages() -> None:
    assert rules(history_of(EMPTIED, again=SAID)) == set()


def test_renewed_epoch_without_a_loss_keeps_everything() -> None:
    renewed = Shaken(10, 11, "killed")
    assert rules(history_of(renewed, *SAID)) == set()
    assert rules(history_of(renewed, *SAID[:4])) == {Rule.LOST, Rule.UNDONE}
    assert rules(history_of(renewed, "2", "1", *SAID[2:])) >= {Rule.MISPLACED, Rule.UNDONE}


def test_only_messages_that_nobody_knew_of_may_be_lost() -> None:
    rewound = Shaken(10, 11, "was put back", since=3.5)
    assert rules(history_of(rewound, *SAID[:3], again=SAID[3:])) == set()
    assert rules(history_of(rewound, *SAID[:2], again=SAID[2:])) == {Rule.MISPLACED, Rule.UNDONE}
    assert rules(history_of(rewound, *SAID[:2], again=SAID[3:])) == {
        Rule.LOST, Rule.UNDONE, Rule.NOT_SAID_AGAIN,
    }  # fmt: skip


def test_acknowledged_message_on_replicas_may_not_be_lost() -> None:
    promoted = Shaken(10, 11, "promoted", since=3.5, only_unacknowledged=True)
    assert rules(history_of(promoted, *SAID)) == set()
    assert Rule.LOST in rules(history_of(promoted, *SAID[:4]))
    unacknowledged = [
        event
        for event in history_of(promoted, *SAID[:4])
        if not (isinstance(event, Acknowledged) and event.cid == "5")
    ]
    assert rules(unacknowledged) == set(), "seen, and gone all the same"


def test_missing_message_acknowledged_in_the_last_epoch_is_lost() -> None:
    history = history_of(EMPTIED, again=SAID)
    gone = [
        event
        for event in history
        if not (isinstance(event, Logged | Seen) and (event.epoch, event.cid) == ("e2", "5"))
    ]
    assert Rule.LOST in rules(gone)


def test_loss_does_not_excuse_later_messages() -> None:
    history = history_of(EMPTIED, again=SAID)
    history.insert(-4, Said(14, "bob", "bob", "#lobby", "late", "late"))
    history.insert(-4, Acknowledged(15, "bob", "bob", "late", "e1", 6))
    assert rules(history) == {Rule.LOST}


def test_loss_does_not_excuse_messages_resent_after_it() -> None:
    history = history_of(EMPTIED, again=SAID)
    history.insert(-1, Shaken(20, 21, "killed"))
    third = [
        replace(event, epoch="e3") if isinstance(event, Logged) else event
        for event in history
        if not (isinstance(event, Logged) and event.cid == "5")
    ]
    third.append(Restarted(22, "bob.1", "#lobby", "e3", 5))
    assert rules(third) == {Rule.LOST, Rule.UNDONE, Rule.NOT_SAID_AGAIN}


def test_lost_messages_are_resent_by_running_clients() -> None:
    assert rules(history_of(EMPTIED, again=SAID[:4])) == {Rule.NOT_SAID_AGAIN}
    long_ago = Shaken(100, 101, "was emptied", since=0)
    history: list[Event] = [
        replace(event, at=event.at + 90)
        if isinstance(event, Seen | Restarted | Acknowledged) and event.epoch == "e2"
        else event
        for event in history_of(long_ago)
    ]
    assert rules(history) == set(), "long ago is not lately"


def test_message_that_survived_a_loss_may_not_be_missed() -> None:
    history = history_of(EMPTIED, again=SAID)
    history.insert(-1, Shaken(100, 101, "was emptied once more", since=0))
    emptied: list[Event] = [event for event in history if not isinstance(event, Logged)]
    emptied += [
        Restarted(102, "bob.1", "#lobby", "e3", 0),
        Said(103, "ada", "ada", "#lobby", "new", "new"),
        Seen(104, "bob.1", "#lobby", "e3", 1, "text", "ada", "new", "new"),
        Logged("#lobby", "e3", 1, "text", "ada", "new", "new"),
    ]
    assert rules(emptied) == set(), "the second loss took it, long after it was said"
    early = [
        replace(event, began=20, at=21)
        if isinstance(event, Shaken) and event.what.endswith("more")
        else event
        for event in emptied
    ]
    assert rules(early) == {Rule.NOT_SAID_AGAIN}, "and here lately"


def test_lost_messages_keep_their_order_but_may_follow_newer_ones() -> None:
    assert rules(history_of(EMPTIED, again=SAID, fresh_by="ada")) == set()
    swapped = history_of(EMPTIED, again=("2", "1", *SAID[2:]))
    assert rules(swapped) == {Rule.SENDER_DISORDER}


def test_refused_message_that_is_retried_comes_later() -> None:
    history = history_of(EMPTIED, again=("2", "3", "4", "5", "1"))
    assert rules(history) == {Rule.SENDER_DISORDER}
    history.insert(-1, Retried(12.5, "ada", "ada", "1"))
    assert rules(history) == set()


def test_reader_must_be_notified_of_another_epoch() -> None:
    history = history_of(EMPTIED, again=SAID)
    untold = [event for event in history if not isinstance(event, Restarted)]
    assert rules(untold) == {Rule.CHANGED_EPOCH}


def test_reader_that_ends_in_an_old_epoch_missed_the_end() -> None:
    history = [
        event
        for event in history_of(EMPTIED, again=SAID)
        if not (isinstance(event, Restarted | Seen) and event.epoch == "e2")
    ]
    assert rules(history) == {Rule.UNSEEN}


def test_reader_is_not_sent_back_to_an_old_epoch() -> None:
    history = history_of(EMPTIED, again=SAID)
    back = [
        Restarted(14, "bob.1", "#lobby", "e1", 5),
        Restarted(15, "bob.1", "#lobby", "e2", 6),
    ]
    assert rules([*history, *back]) == {Rule.CHANGED_EPOCH}


def test_each_epoch_needs_an_earlier_reason() -> None:
    history = history_of(EMPTIED, again=SAID)
    assert rules([event for event in history if event is not EMPTIED]) >= {Rule.CHANGED_EPOCH}
    late = replace(EMPTIED, began=14, at=15)
    assert Rule.CHANGED_EPOCH in rules([late if event is EMPTIED else event for event in history])


def test_new_reader_may_begin_with_a_page_from_before_its_start() -> None:
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
def test_history_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, history: list[Event]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    with open_journal(path) as journal:
        for event in history:
            journal.add(event)
    assert read_history(path) == history


def test_history_is_written_even_if_the_run_fails(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"

    def fail() -> None:
        with open_journal(path) as journal:
            journal.fault("everything")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(read_history(path)) == 1


def test_message_refused_before_all_was_there_again_may_come_later() -> None:
    """Only where everything was taken away, and before the first acknowledgement there."""

    def swapped(shaken: Shaken, said: float) -> set[Rule]:
        history = history_of(shaken, again=SAID)
        for cid, seq in (("late", 8), ("later", 7)):
            history.append(Said(said, "ada", "ada", "#lobby", cid, cid))
            history.append(Acknowledged(14, "ada", "ada", cid, "e2", seq))
        for seq, cid in ((7, "later"), (8, "late")):
            history.append(Seen(14, "bob.1", "#lobby", "e2", seq, "text", "ada", cid, cid))
            history.append(Logged("#lobby", "e2", seq, "text", "ada", cid, cid))
        return rules(history)

    assert swapped(EMPTIED, 12.5) == set()
    assert swapped(EMPTIED, 13.5) == {Rule.SENDER_DISORDER}, "it was acknowledged something by then"
    assert swapped(replace(EMPTIED, since=0.5), 12.5) == {Rule.SENDER_DISORDER}, "people are there"
