"""The outbox: each conversation in order, whatever the server refuses and when."""

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
    """A clock that the test advances."""

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


def test_next_message_waits_for_the_previous_acknowledgement(
    outbox: Outbox,
) -> None:
    first, _ = put(outbox, "one", "two")
    assert texts(ready(outbox)) == ["one"]
    outbox.acknowledge(first.cid, sent(1))
    assert texts(ready(outbox)) == ["two"]


def test_different_conversations_are_in_flight_together(outbox: Outbox) -> None:
    put(outbox, "one", "two")
    put(outbox, "three", to="@bob")
    assert texts(ready(outbox)) == ["one", "three"]


def test_spellings_of_a_conversation_are_one(outbox: Outbox) -> None:
    put(outbox, "one", to="@Bob")
    put(outbox, "two", to="@bob")
    assert texts(ready(outbox)) == ["one"]


def test_messages_in_flight_are_bounded_by_the_window(outbox: Outbox) -> None:
    for number in range(WINDOW + 5):
        put(outbox, str(number), to=f"#room{number}")
    assert len(list(ready(outbox))) == WINDOW
    assert outbox.wait(ME) is None


@pytest.mark.parametrize("error", [RATE_LIMITED, UNAVAILABLE, ChatError(ErrorCode.BUSY, "busy")])
def test_temporarily_refused_message_stays_first(
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


def test_rate_limit_applies_to_all_conversations(outbox: Outbox) -> None:
    first, _ = put(outbox, "one", "two")
    list(ready(outbox))
    put(outbox, "three", to="@bob")
    outbox.refuse(first.cid, RATE_LIMITED)
    assert texts(ready(outbox)) == []


def test_limit_on_new_conversations_delays_no_others(outbox: Outbox, clock: StoppedClock) -> None:
    (first,) = put(outbox, "one", to="@bob")
    list(ready(outbox))
    put(outbox, "two")
    quota = ChatError(ErrorCode.RATE_LIMITED, "many today", field="to", retry_after=200.0)
    assert outbox.refuse(first.cid, quota) is None
    assert first.state is OutgoingState.PENDING
    assert texts(ready(outbox)) == ["two"]
    clock.time += 200
    assert texts(ready(outbox)) == ["one"]


def test_unavailable_store_delays_one_conversation(outbox: Outbox) -> None:
    (first,) = put(outbox, "one")
    list(ready(outbox))
    put(outbox, "two", to="@bob")
    outbox.refuse(first.cid, UNAVAILABLE)
    assert texts(ready(outbox)) == ["two"]


def test_finally_refused_message_fails_and_the_next_goes(outbox: Outbox) -> None:
    first, _ = put(outbox, "one", "two")
    list(ready(outbox))
    assert outbox.refuse(first.cid, TOO_LONG) is first
    assert (first.state, first.error) == (OutgoingState.FAILED, TOO_LONG)
    assert texts(ready(outbox)) == ["two"]
    assert texts(outbox.of(ME)) == ["one", "two"]


def test_messages_in_flight_go_first_after_a_reconnect(outbox: Outbox) -> None:
    put(outbox, "one", "two")
    list(ready(outbox))
    outbox.connection_lost()
    assert texts(ready(outbox)) == ["one"]


def test_retried_failed_message_goes_last(outbox: Outbox) -> None:
    first, second = put(outbox, "one", "two")
    list(ready(outbox))
    outbox.refuse(first.cid, TOO_LONG)
    assert outbox.retry(first)
    assert first.state is OutgoingState.PENDING
    assert texts(ready(outbox)) == ["two"]
    outbox.acknowledge(second.cid, sent(1))
    assert texts(ready(outbox)) == ["one"]


def test_only_a_failed_message_can_be_retried_or_discarded(outbox: Outbox) -> None:
    (first,) = put(outbox, "one")
    assert not outbox.retry(first)
    assert not outbox.discard(first)
    list(ready(outbox))
    outbox.refuse(first.cid, TOO_LONG)
    assert outbox.discard(first)
    assert outbox.of(ME) == ()
    assert not outbox.discard(first)


def test_full_outbox_refuses_messages(outbox: Outbox) -> None:
    put(outbox, *map(str, range(MAX_OUTBOX)))
    with pytest.raises(ChatError) as caught:
        put(outbox, "one too many")
    assert caught.value.code == ErrorCode.BUSY
    assert len(outbox.of(ME)) == MAX_OUTBOX


def test_messages_of_another_account_are_not_sent(clock: StoppedClock) -> None:
    outbox = Outbox(clock)
    outbox.add(Outgoing(to="#lobby", text="by bob", sender="bob"))
    outbox.add(Outgoing(to="#lobby", text="by whoever comes"))
    outbox.begin(ME, NO_LIMITS)
    assert texts(ready(outbox)) == ["by whoever comes"]
    assert texts(outbox.of(ME)) == ["by whoever comes"]
    assert texts(outbox.of("bob")) == ["by bob"]


def test_pace_follows_the_announced_limits(clock: StoppedClock) -> None:
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
def test_wait_for_announced_limits_is_bounded(
    per_second: float, wait: float, outbox: Outbox
) -> None:
    limits = Limits(frame_bytes=1, text_chars=1, burst=1, per_second=per_second, history_page=1)
    outbox.begin(ME, limits)
    put(outbox, "one", to="#lobby")
    put(outbox, "two", to="#garden")
    assert outbox.next(ME) is not None
    assert outbox.wait(ME) == wait


def test_messages_lost_by_the_server_are_resent_first_in_order(
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


def test_messages_lost_twice_keep_their_order(outbox: Outbox) -> None:
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


def test_message_acknowledged_in_the_new_history_is_not_resent(outbox: Outbox) -> None:
    (message,) = put(outbox, "one")
    list(ready(outbox))
    outbox.acknowledge(message.cid, sent(1, epoch="e2"))
    assert outbox.lost_by_server("#lobby", "e2", [entry(7)], 1000.0) == []


def test_message_beyond_the_head_of_a_reverted_history_is_resent(outbox: Outbox) -> None:
    first, second = put(outbox, "one", "two")
    for seq, message in enumerate((first, second), start=1):
        list(ready(outbox))
        outbox.acknowledge(message.cid, sent(seq))
    assert outbox.lost_by_server("#lobby", "e1", [entry(1)], 1000.0) == [second]


def test_message_of_one_account_is_not_resent_by_another(outbox: Outbox) -> None:
    (message,) = put(outbox, "one")
    list(ready(outbox))
    outbox.acknowledge(message.cid, sent(1))
    outbox.begin("bob", NO_LIMITS)
    assert outbox.lost_by_server("#lobby", "e2", [], 1000.0) == []


def test_new_history_of_one_conversation_does_not_affect_others(outbox: Outbox) -> None:
    (message,) = put(outbox, "one", to="@bob")
    list(ready(outbox))
    outbox.acknowledge(message.cid, sent(1, to="@bob"))
    assert outbox.lost_by_server("#lobby", "e2", [], 1000.0) == []


def test_recently_acknowledged_messages_are_bounded(outbox: Outbox) -> None:
    for seq, message in enumerate(put(outbox, *map(str, range(MAX_RECENT + 10))), start=1):
        list(ready(outbox))
        outbox.acknowledge(message.cid, sent(seq))
    again = outbox.lost_by_server("#lobby", "e2", [], 1000.0)
    assert texts(again) == [str(number) for number in range(10, MAX_RECENT + 10)]


@given(st.data())
def test_order_in_each_conversation_survives_any_failures(data: st.DataObject) -> None:
    """A server that accepts, refuses, loses the reply and loses the connection at random."""
    clock = StoppedClock()
    outbox = Outbox(clock)
    outbox.begin(ME, NO_LIMITS)
    log: dict[str, list[Outgoing]] = defaultdict(list)
    sent_by_program: list[Outgoing] = []
    in_flight: list[Outgoing] = []

    def answer(outgoing: Outgoing, outcome: str) -> None:
        is_known = outgoing in log[outgoing.to]
        if is_known and outcome == "refuse":
            outcome = "take"  # its cid is known: it is stored already
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
                # Messages in flight arrive or not, in order, and are not answered.
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
        # In the order of `send`, each once, missing only those refused for good.
        assert taken == [
            outgoing
            for outgoing in sent_by_program
            if outgoing.to == to and outgoing.state is not OutgoingState.FAILED
        ]
    assert all(outgoing.state is OutgoingState.FAILED for outgoing in outbox.of(ME))
