"""The order of one conversation: each entry once, in the order of seq, whatever arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gochat.client.timeline import MAX_MISSED, After, AsideLimit, Newest, Reset, Timeline, Want
from gochat.protocol.messages import Conversation, HistoryPage, Message, Position

PAGE = 200


def entry(seq: int, epoch: str = "e1") -> Message:
    return Message(to="#lobby", epoch=epoch, seq=seq, ts=seq, from_="mei", text=f"{epoch} {seq}")


def entries(*seqs: int, epoch: str = "e1") -> list[Message]:
    return [entry(seq, epoch) for seq in seqs]


def page(*seqs: int, head: int, epoch: str = "e1") -> HistoryPage:
    return HistoryPage(
        conv="#lobby", epoch=epoch, head=head, entries=tuple(entries(*seqs, epoch=epoch))
    )


def state(
    *seqs: int, head: int, epoch: str = "e1", reset: bool = False, read: int = 0
) -> Conversation:
    """Return what a page of `sync` says."""
    found = tuple(entries(*seqs, epoch=epoch))
    return Conversation(
        conv="#lobby", epoch=epoch, head=head, ts=head, read=read, entries=found, reset=reset
    )


def add(timeline: Timeline, *seqs: int, epoch: str = "e1") -> list[Message | Reset]:
    return [shown for seq in seqs for shown in timeline.add(entry(seq, epoch))]


def want_of(timeline: Timeline) -> Want | None:
    return timeline.want  # a call, so that mypy does not narrow the type


class Log:
    """A server's log that answers as the protocol specifies."""

    def __init__(self, epoch: str, head: int) -> None:
        self.epoch = epoch
        self.head = head

    def answer(self, want: Want) -> HistoryPage:
        first = want.seq + 1 if isinstance(want, After) else max(1, self.head - PAGE + 1)
        seqs = range(first, min(first + PAGE, self.head + 1))
        return page(*seqs, head=self.head, epoch=self.epoch)

    def sync(self, have: Position, limit: int = PAGE) -> Conversation:
        """Return the answer to a sync, as an older or newer page than the entries around it."""
        reset = have.epoch != self.epoch or have.seq > self.head
        last = 0 if reset else have.seq
        first = max(last, self.head - limit) + 1
        return state(*range(first, self.head + 1), head=self.head, epoch=self.epoch, reset=reset)

    def satisfy(self, timeline: Timeline) -> list[Message | Reset]:
        shown = []
        while (want := timeline.want) is not None:
            shown += timeline.fill(self.answer(want))
        return shown


def seqs_of(shown: list[Message | Reset]) -> list[int]:
    """Return what a reader sees in the end: a reset replaces everything before."""
    seen: list[int] = []
    for event in shown:
        if isinstance(event, Reset):
            seen = [one.seq for one in event.entries]
        else:
            seen.append(event.seq)
    return seen


def test_entries_in_order_are_shown_at_once() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    assert add(timeline, 5, 6, 7) == entries(5, 6, 7)
    assert want_of(timeline) is None


def test_shown_entry_is_not_shown_again() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    add(timeline, 5, 6)
    assert add(timeline, 5, 6, 1, 4) == []


def test_entry_after_a_gap_waits() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    assert add(timeline, 7, 6) == []
    assert want_of(timeline) == After(4)
    assert add(timeline, 5) == entries(5, 6, 7)
    assert want_of(timeline) is None


def test_page_fills_the_gap_and_releases_waiting_entries() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    add(timeline, 8)
    assert timeline.fill(page(5, 6, head=8)) == entries(5, 6)
    assert want_of(timeline) == After(6)
    assert timeline.fill(page(7, 8, head=8)) == entries(7, 8)
    assert want_of(timeline) is None


def test_entries_that_are_not_kept_aside_are_fetched() -> None:
    limit = AsideLimit(2)
    one, two = (Timeline("#lobby", "e1", 4, aside_limit=limit) for _ in range(2))
    add(one, 6, 8)
    assert limit.left == 0
    add(two, 6, 7)
    assert add(two, 5) == entries(5)
    assert want_of(two) == After(5)
    assert two.fill(page(6, 7, head=7)) == entries(6, 7)
    assert add(one, 5) == entries(5, 6)
    assert limit.left == 1
    one.doubt()
    assert limit.left == 2


def test_announcement_with_an_empty_page_is_forgotten() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    assert timeline.synced(state(head=5)) == []
    assert want_of(timeline) == After(4)
    assert timeline.fill(page(head=4)) == []
    assert want_of(timeline) is None
    assert add(timeline, 5) == entries(5)


def test_entries_dropped_from_the_log_are_skipped() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    add(timeline, 20)
    assert timeline.fill(page(11, 12, head=20)) == entries(11, 12)
    assert want_of(timeline) == After(12)


def test_unreadable_gap_is_skipped() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    add(timeline, 6, 7)
    assert timeline.skip() == entries(6, 7)
    assert want_of(timeline) is None


def test_unreadable_announcement_moves_nothing() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    timeline.synced(state(head=9))
    assert timeline.skip() == []
    assert want_of(timeline) is None
    assert add(timeline, 5) == entries(5)


def test_first_entry_corrects_an_estimated_start() -> None:
    timeline = Timeline("#lobby", "e1", 4, is_estimate=True)
    assert add(timeline, 3, 4, 5) == entries(3, 4, 5)
    assert add(timeline, 2) == []


def test_estimated_start_detects_a_gap_after_it() -> None:
    timeline = Timeline("#lobby", "e1", 4, is_estimate=True)
    assert add(timeline, 6) == []
    assert want_of(timeline) == After(4)


# -- catching up --------------------------------------------------------------------------------


def test_page_of_sync_continues_at_the_position() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    assert timeline.synced(state(5, 6, 7, head=7)) == entries(5, 6, 7)
    assert want_of(timeline) is None
    assert add(timeline, 7, 8) == entries(8)


def test_page_of_sync_may_be_behind_or_ahead_of_entries() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    assert add(timeline, 7, 8) == []
    assert timeline.synced(state(5, 6, head=6)) == entries(5, 6, 7, 8)
    assert timeline.synced(state(5, 6, 7, 8, 9, head=9)) == entries(9)
    assert want_of(timeline) is None


def test_page_of_sync_that_leaves_a_hole_waits_for_history() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    assert timeline.synced(state(8, 9, head=9)) == []
    assert want_of(timeline) == After(4)
    assert timeline.fill(page(5, 6, 7, head=9)) == entries(5, 6, 7, 8, 9)


def test_missing_too_much_resets_to_the_page() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    head = 4 + MAX_MISSED + 1
    reset = Reset("#lobby", "e1", tuple(entries(head - 1, head)))
    assert add(timeline, head - 2, head + 1) == []
    assert timeline.synced(state(head - 1, head, head=head)) == [reset, *entries(head + 1)]
    assert want_of(timeline) is None


def test_as_many_entries_as_may_be_missed_are_fetched() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    timeline.synced(state(head=4 + MAX_MISSED))
    assert want_of(timeline) == After(4)


def test_rewritten_log_resets_to_the_page() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    reset = Reset("#lobby", "e1", tuple(entries(2, 3)))
    assert timeline.synced(state(2, 3, head=3, reset=True)) == [reset]
    assert add(timeline, 3, 4) == entries(4)


def test_empty_new_history_resets_to_nothing() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    assert timeline.synced(state(head=0, epoch="e2", reset=True)) == [Reset("#lobby", "e2", ())]
    assert add(timeline, 1, epoch="e2") == entries(1, epoch="e2")


def test_new_history_of_which_no_entries_were_asked_for_is_fetched() -> None:
    for epoch in ("e1", "e2"):  # rewritten, or another
        timeline = Timeline("#lobby", "e1", 4)
        assert timeline.synced(state(head=3, epoch=epoch, reset=True)) == []
        assert want_of(timeline) == Newest()
        assert add(timeline, 4, epoch=epoch) == []
        reset = Reset("#lobby", epoch, tuple(entries(2, 3, 4, epoch=epoch)))
        assert timeline.fill(page(2, 3, 4, head=4, epoch=epoch)) == [reset]
        assert add(timeline, 5, epoch=epoch) == entries(5, epoch=epoch)


def test_new_history_that_is_hidden_resets_to_nothing() -> None:
    timeline = Timeline("#room", "e1", 4)
    hidden = structs.replace(state(head=3, epoch="e2", reset=True), floor=3)
    assert timeline.synced(hidden) == [Reset("#room", "e2", ())]
    assert add(timeline, 4, epoch="e2") == entries(4, epoch="e2")


def test_position_names_what_the_server_said_only_while_it_is_current() -> None:
    timeline = Timeline("#lobby", "e1", 0)
    assert timeline.have == Position(conv="#lobby", epoch="e1", seq=0, ts=0)
    timeline.synced(state(1, 2, head=2, read=1))
    assert timeline.have == Position(conv="#lobby", epoch="e1", seq=2, ts=2, read=1, level="all")
    add(timeline, 3)
    assert timeline.have == Position(conv="#lobby", epoch="e1", seq=3, ts=3)
    add(timeline, 1, epoch="e2")
    assert timeline.have == Position(conv="#lobby", epoch="e1", seq=0, ts=0)


def test_position_whose_time_is_not_known_names_nothing() -> None:
    """Else the server would take it for one in another log."""
    timeline = Timeline("#lobby", "e1", 4)
    assert timeline.have == Position(conv="#lobby", epoch="e1", seq=0, ts=0)
    add(timeline, 5)
    assert timeline.have.ts == 5


# -- other histories ----------------------------------------------------------------------------


def test_another_epoch_is_accepted_only_with_the_newest_page() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    assert add(timeline, 3, epoch="e2") == []
    assert want_of(timeline) == Newest()
    assert add(timeline, 4, epoch="e2") == []
    reset = Reset("#lobby", "e2", tuple(entries(1, 2, 3, epoch="e2")))
    shown = timeline.fill(page(1, 2, 3, head=3, epoch="e2"))
    assert shown == [reset, *entries(4, epoch="e2")]
    assert want_of(timeline) is None
    # Without room to keep it aside, the entry is fetched.
    timeline = Timeline("#lobby", "e1", 4, aside_limit=AsideLimit(0))
    assert add(timeline, 4, epoch="e2") == []
    assert timeline.fill(page(1, 2, 3, head=3, epoch="e2")) == [reset]
    assert want_of(timeline) == After(3)


def test_stray_entry_of_another_epoch_is_ignored() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    add(timeline, 9, epoch="e0")
    assert add(timeline, 5) == []
    assert timeline.fill(page(3, 4, 5, 6, head=6)) == entries(5, 6)
    assert want_of(timeline) is None


def test_doubt_is_settled_by_a_page_of_sync() -> None:
    timeline = Timeline("#lobby", "e1", 4)
    timeline.doubt()
    assert timeline.synced(state(3, 4, 5, head=5)) == entries(5)
    assert want_of(timeline) is None


@given(st.data())
def test_any_order_of_arrival_shows_every_entry_once_in_order(data: st.DataObject) -> None:
    """Duplicates, disorder, losses and pages at any moment: the result is the log."""
    log = Log("e1", data.draw(st.integers(0, 40)))
    start = data.draw(st.integers(0, log.head))
    limit = AsideLimit(data.draw(st.integers(0, 10)))
    timeline = Timeline("#lobby", "e1", start, aside_limit=limit)
    shown: list[Message | Reset] = []
    for _ in range(data.draw(st.integers(0, 60))):
        match data.draw(st.sampled_from(["entry", "sync", "page"])):
            case "entry" if log.head:
                shown += timeline.add(entry(data.draw(st.integers(1, log.head))))
            case "sync":  # of any moment, after a position that it has passed since
                then = Log("e1", data.draw(st.integers(0, log.head)))
                seq = data.draw(st.integers(0, min(timeline.position, then.head)))
                have = Position(conv="#lobby", epoch="e1", seq=seq, ts=seq)
                shown += timeline.synced(then.sync(have, data.draw(st.integers(0, 5))))
            case "page":
                want = After(data.draw(st.integers(0, log.head)))
                if want.seq <= timeline.position:  # entries after a gap are not requested
                    shown += timeline.fill(log.answer(want))
    shown += timeline.synced(log.sync(timeline.have))
    shown += log.satisfy(timeline)
    assert shown == entries(*range(start + 1, log.head + 1))


@given(st.data())
def test_any_change_of_history_ends_in_the_new_history(data: st.DataObject) -> None:
    """However the entries of the two histories are mixed, the new one is shown in the end."""
    old, new = Log("e1", 30), Log("e2", data.draw(st.integers(0, 30)))
    timeline = Timeline("#lobby", "e1", 0)
    shown: list[Message | Reset] = []
    for _ in range(data.draw(st.integers(0, 40))):
        log = data.draw(st.sampled_from([old, new]))
        if log.head:
            shown += timeline.add(entry(data.draw(st.integers(1, log.head)), log.epoch))
        if data.draw(st.booleans()) and (want := timeline.want) is not None:
            shown += timeline.fill(new.answer(want))
    shown += timeline.synced(new.sync(timeline.have))
    shown += new.satisfy(timeline)
    seen = seqs_of(shown)
    assert timeline.epoch == "e2"
    assert seen == list(range(1, new.head + 1))
    last_reset = max(i for i, event in enumerate(shown) if isinstance(event, Reset))
    assert all(isinstance(m, Message) and m.epoch == "e2" for m in shown[last_reset + 1 :])
