"""What is to be sent: each conversation in its order, whatever the server refuses when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.client.outbox import (
    DEFAULT_RETRY_AFTER,
    MAX_OUTBOX,
    MAX_RATE_WAIT,
    MAX_RECENT,
    RECENT_SECONDS,
    WINDOW,
    Outbox,
)
from gochat.client.outgoing import Outgoing, OutgoingState
from gochat.errors import ChatError, ErrorCode
from gochat.protocol.messages import Limits, Message, Sent

ME = "mei"
NO_LIMITS = Limits(
    frame_bytes=65536, text_chars=4000, burst=10_000, per_second=10_000.0, history_page=200
)
RATE_LIMITED = ChatError(ErrorCode.RATE_LIMITED, "slowly", retry_after=2.0)
UNAVAILABLE = ChatError(ErrorCode.UNAVAILABLE, "later", retry_after=2.0)
TOO_LONG = ChatError(ErrorCode.TEXT_TOO_LONG, "too long", field="text")


class StoppedClock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the outbox waits for nothing")


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def outbox(clock: StoppedClock) -> Outbox:
    outbox = Outbox(clock)
    outbox.begin(ME, NO_LIMITS)
    return outbox


def put(outbox: Outbox, *texts: str, to: str = "#lobby") -> list[Outgoing]:
    messages = [Outgoing(to=to, text=text, sender=ME) for text in texts]
    for message in messages:
        outbox.add(message)
    return messages


def sent(seq: int, *, to: str = "#lobby", epoch: str = "e1") -> Sent:
    return Sent(to=to, epoch=epoch, seq=seq, ts=seq)


def entry(seq: int, cid: str | None = None) -> Message:
    return Message(to="#lobby", epoch="e2", seq=seq, ts=seq, from_=ME, cid=cid)


def ready(outbox: Outbox) -> Iterator[Outgoing]:
    while (outgoing := outbox.next(ME)) is not None:
        yield outgoing


def texts(messages: Iterator[Outgoing] | tuple[Outgoing, ...] | list[Outgoing]) -> list[str]:
    return [message.text for message in messages]


def test_the_next_of_a_conversation_waits_until_the_one_before_is_acknowledged(
    outbox: Outbox,
) -> None:
    first, _ = put(outbox, "one", "two")
    assert texts(ready(outbox)) == ["one"]
    outbox.acknowledge(first.cid, sent(1))
    assert texts(ready(outbox)) == ["two"]


def test_different_conversations_are_on_their_way_together(outbox: Outbox) -> None:
    put(outbox, "one", "two")
    put(outbox, "three", to="@bob")
    assert texts(ready(outbox)) == ["one", "three"]


def test_two_spellings_of_a_conversation_are_one(outbox: Outbox) -> None:
    put(outbox, "one", to="@Bob")
    put(outbox, "two", to="@bob")
    assert texts(ready(outbox)) == ["one"]


def test_no_more_than_the_window_is_on_its_way(outbox: Outbox) -> None:
    for number in range(WINDOW + 5):
        put(outbox, str(number), to=f"#room{number}")
    assert len(list(ready(outbox))) == WINDOW
    assert outbox.wait(ME) is None


@pytest.mark.parametrize("error", [RATE_LIMITED, UNAVAILABLE, ChatError(ErrorCode.BUSY, "busy")])
def test_what_is_refused_for_a_while_stays_first(
    outbox: Outbox, clock: StoppedClock, error: ChatError
) -> None:
    first, _ = put(outbox, "one", "two")
    list(ready(outbox))
    assert outbox.refuse(first.cid, error) is None
    assert first.state is OutgoingState.PENDING
    assert texts(ready(outbox)) == []
    assert outbox.wait(ME) == (error.retry_after or DEFAULT_RETRY_AFTER)
    clock.time += error.retry_after or DEFAULT_RETRY_AFTER
    assert texts(ready(outbox)) == ["one"]


def test_a_rate_limit_is_for_all_conversations(outbox: Outbox) -> None:
    first, _ = put(outbox, "one", "two")
    list(ready(outbox))
    put(outbox, "three", to="@bob")
    outbox.refuse(first.cid, RATE_LIMITED)
    assert texts(ready(outbox)) == []


def test_limit_on_new_conversations_holds_up_no_others(outbox: Outbox, clock: StoppedClock) -> None:
    (first,) = put(outbox, "one", to="@bob")
    list(ready(outbox))
    put(outbox, "two")
    quota = ChatError(ErrorCode.RATE_LIMITED, "many today", field="to", retry_after=200.0)
    assert outbox.refuse(first.cid, quota) is None
    assert first.state is OutgoingState.PENDING
    assert texts(ready(outbox)) == ["two"]
    clock.time += 200
    assert texts(ready(outbox)) == ["one"]


def test_a_store_that_is_away_is_for_one_conversation(outbox: Outbox) -> None:
    (first,) = put(outbox, "one")
    list(ready(outbox))
    put(outbox, "two", to="@bob")
    outbox.refuse(first.cid, UNAVAILABLE)
    assert texts(ready(outbox)) == ["two"]


def test_what_is_refused_for_good_fails_and_the_next_goes(outbox: Outbox) -> None:
    first, _ = put(outbox, "one", "two")
    list(ready(outbox))
    assert outbox.refuse(first.cid, TOO_LONG) is first
    assert (first.state, first.error) == (OutgoingState.FAILED, TOO_LONG)
    assert texts(ready(outbox)) == ["two"]
    assert texts(outbox.of(ME)) == ["one", "two"]


def test_after_a_cut_what_was_on_its_way_goes_again_first(outbox: Outbox) -> None:
    put(outbox, "one", "two")
    list(ready(outbox))
    outbox.connection_lost()
    assert texts(ready(outbox)) == ["one"]


def test_a_failed_one_that_is_tried_again_goes_last(outbox: Outbox) -> None:
    first, second = put(outbox, "one", "two")
    list(ready(outbox))
    outbox.refuse(first.cid, TOO_LONG)
    assert outbox.retry(first)
    assert first.state is OutgoingState.PENDING
    assert texts(ready(outbox)) == ["two"]
    outbox.acknowledge(second.cid, sent(1))
    assert texts(ready(outbox)) == ["one"]


def test_only_a_failed_one_can_be_tried_again_or_discarded(outbox: Outbox) -> None:
    (first,) = put(outbox, "one")
    assert not outbox.retry(first)
    assert not outbox.discard(first)
    list(ready(outbox))
    outbox.refuse(first.cid, TOO_LONG)
    assert outbox.discard(first)
    assert outbox.of(ME) == ()
    assert not outbox.discard(first)


def test_it_takes_no_more_than_its_bound(outbox: Outbox) -> None:
    put(outbox, *map(str, range(MAX_OUTBOX)))
    with pytest.raises(ChatError) as caught:
        put(outbox, "one too many")
    assert caught.value.code == ErrorCode.BUSY
    assert len(outbox.of(ME)) == MAX_OUTBOX


def test_what_another_account_left_behind_is_not_sent(clock: StoppedClock) -> None:
    outbox = Outbox(clock)
    outbox.add(Outgoing(to="#lobby", text="by bob", sender="bob"))
    outbox.add(Outgoing(to="#lobby", text="by whoever comes"))
    outbox.begin(ME, NO_LIMITS)
    assert texts(ready(outbox)) == ["by whoever comes"]
    assert texts(outbox.of(ME)) == ["by whoever comes"]
    assert texts(outbox.of("bob")) == ["by bob"]


def test_it_keeps_to_the_limits_that_the_server_announced(clock: StoppedClock) -> None:
    outbox = Outbox(clock)
    limits = Limits(frame_bytes=1, text_chars=1, burst=2, per_second=4.0, history_page=1)
    outbox.begin(ME, limits)
    for number in range(4):
        put(outbox, str(number), to=f"#room{number}")
    assert texts(ready(outbox)) == ["0", "1"]
    assert outbox.wait(ME) == pytest.approx(0.25)
    clock.time += 0.25
    assert texts(ready(outbox)) == ["2"]


@pytest.mark.parametrize(("per_second", "wait"), [(5e-324, MAX_RATE_WAIT), (0.0, 0.0)])
def test_no_limit_of_a_server_is_waited_for_for_ever(
    per_second: float, wait: float, outbox: Outbox
) -> None:
    limits = Limits(frame_bytes=1, text_chars=1, burst=1, per_second=per_second, history_page=1)
    outbox.begin(ME, limits)
    put(outbox, "one", to="#lobby")
    put(outbox, "two", to="#garden")
    assert outbox.next(ME) is not None
    assert outbox.wait(ME) == wait


def test_what_the_server_lost_is_sent_again_first_and_in_order(
    outbox: Outbox, clock: StoppedClock
) -> None:
    messages = put(outbox, "old", "kept", "lost one", "lost two")
    for seq, message in enumerate(messages, start=1):
        assert texts(ready(outbox)) == [message.text]
        outbox.acknowledge(message.cid, sent(seq))
        if message.text == "old":
            clock.time += RECENT_SECONDS + 1
    put(outbox, "new")
    again = outbox.lost_by_server("#lobby", "e2", [entry(1, messages[1].cid)], clock.time)
    assert texts(again) == ["lost one", "lost two"]
    assert all(message.state is OutgoingState.PENDING for message in again)
    assert texts(outbox.of(ME)) == ["lost one", "lost two", "new"]
    assert texts(ready(outbox)) == ["lost one"]


def test_what_is_lost_twice_keeps_the_order_in_which_it_was_said(outbox: Outbox) -> None:
    messages = put(outbox, "one", "two", "three")
    for seq, message in enumerate(messages, start=1):
        list(ready(outbox))
        outbox.acknowledge(message.cid, sent(seq))
    lost = outbox.lost_by_server("#lobby", "e2", [entry(2, messages[1].cid)], 1000.0)
    assert texts(lost) == ["one", "three"]
    list(ready(outbox))
    outbox.acknowledge(messages[0].cid, sent(3, epoch="e2"))
    put(outbox, "new")
    lost = outbox.lost_by_server("#lobby", "e3", [], 1000.0)
    assert set(texts(lost)) == {"one", "two"}
    assert texts(outbox.of(ME)) == ["one", "two", "three", "new"]


def test_what_was_acknowledged_in_the_new_history_is_not_sent_again(outbox: Outbox) -> None:
    (message,) = put(outbox, "one")
    list(ready(outbox))
    outbox.acknowledge(message.cid, sent(1, epoch="e2"))
    assert outbox.lost_by_server("#lobby", "e2", [entry(7)], 1000.0) == []


def test_what_a_history_that_went_back_does_not_reach_is_sent_again(outbox: Outbox) -> None:
    first, second = put(outbox, "one", "two")
    for seq, message in enumerate((first, second), start=1):
        list(ready(outbox))
        outbox.acknowledge(message.cid, sent(seq))
    assert outbox.lost_by_server("#lobby", "e1", [entry(1)], 1000.0) == [second]


def test_what_one_account_sent_is_not_sent_again_by_another(outbox: Outbox) -> None:
    (message,) = put(outbox, "one")
    list(ready(outbox))
    outbox.acknowledge(message.cid, sent(1))
    outbox.begin("bob", NO_LIMITS)
    assert outbox.lost_by_server("#lobby", "e2", [], 1000.0) == []


def test_a_new_history_of_one_conversation_is_not_that_of_another(outbox: Outbox) -> None:
    (message,) = put(outbox, "one", to="@bob")
    list(ready(outbox))
    outbox.acknowledge(message.cid, sent(1, to="@bob"))
    assert outbox.lost_by_server("#lobby", "e2", [], 1000.0) == []


def test_no_more_than_its_bound_is_remembered_as_recent(outbox: Outbox) -> None:
    for seq, message in enumerate(put(outbox, *map(str, range(MAX_RECENT + 10))), start=1):
        list(ready(outbox))
        outbox.acknowledge(message.cid, sent(seq))
    again = outbox.lost_by_server("#lobby", "e2", [], 1000.0)
    assert texts(again) == [str(number) for number in range(10, MAX_RECENT + 10)]


@given(st.data())
def test_each_conversation_gets_its_messages_in_order_whatever_happens(data: st.DataObject) -> None:
    """A server that takes, refuses, loses the answer and loses the connection at random."""
    clock = StoppedClock()
    outbox = Outbox(clock)
    outbox.begin(ME, NO_LIMITS)
    log: dict[str, list[Outgoing]] = defaultdict(list)
    sent_by_program: list[Outgoing] = []
    in_flight: list[Outgoing] = []

    def answer(outgoing: Outgoing, outcome: str) -> None:
        is_known = outgoing in log[outgoing.to]
        if is_known and outcome == "refuse":
            outcome = "take"  # its cid is known: it is there already
        match outcome:
            case "take" | "take, answer lost":
                if not is_known:
                    log[outgoing.to].append(outgoing)
                if outcome == "take":
                    outbox.acknowledge(outgoing.cid, sent(len(log[outgoing.to])))
            case "rate":
                outbox.refuse(outgoing.cid, RATE_LIMITED)
            case "away":
                outbox.refuse(outgoing.cid, UNAVAILABLE)
            case "refuse":
                outbox.refuse(outgoing.cid, TOO_LONG)

    for _ in range(data.draw(st.integers(0, 60))):
        match data.draw(st.sampled_from(["send", "send", "go", "answer", "answer", "cut", "wait"])):
            case "send":
                to = data.draw(st.sampled_from(["#lobby", "@bob"]))
                sent_by_program += put(outbox, str(len(sent_by_program)), to=to)
            case "go":
                in_flight += ready(outbox)
            case "answer" if in_flight:
                outcomes = ["take", "rate", "away", "refuse"]
                answer(in_flight.pop(0), data.draw(st.sampled_from(outcomes)))
            case "cut":
                # What was under way arrives or not, in order, and is not answered.
                arrived = data.draw(st.integers(0, len(in_flight)))
                for outgoing in in_flight[:arrived]:
                    answer(outgoing, "take, answer lost")
                in_flight.clear()
                outbox.connection_lost()
            case "wait":
                clock.time += 3
    for _ in range(len(sent_by_program) + 1):
        while in_flight:
            answer(in_flight.pop(0), "take")
        clock.time += 3
        in_flight += ready(outbox)

    for to, taken in log.items():
        # In the order of `send`, each once, and nothing missing but what was refused for good.
        assert taken == [
            outgoing
            for outgoing in sent_by_program
            if outgoing.to == to and outgoing.state is not OutgoingState.FAILED
        ]
    assert all(outgoing.state is OutgoingState.FAILED for outgoing in outbox.of(ME))
