"""The outbox: each conversation in order, whatever the server refuses and when."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gochat.client.call import Call
from gochat.client.errors import DEFAULT_RETRY_AFTER, NotConnected, OutboxFull
from gochat.client.outbox import (
    MAX_OUTBOX,
    MAX_RATE_WAIT,
    MAX_RECENT,
    RECENT_SECONDS,
    Outbox,
)
from gochat.client.outgoing import Outgoing, OutgoingState
from gochat.client.pipeline import WINDOW
from gochat.errors import ChatError, ConnectionLost, ErrorCode, ProtocolError
from gochat.protocol.messages import (
    Error,
    Leave,
    Limits,
    Message,
    Ok,
    React,
    Reply,
    Send,
    Sent,
    WriteRequest,
)

ME = "mei"
NO_LIMITS = Limits(
    frame_bytes=65536, text_chars=4000, burst=10_000, per_second=10_000.0, history_page=200
)
RATE_LIMITED = Error(code=ErrorCode.RATE_LIMITED, text="slowly", retry_after=2.0)
UNAVAILABLE = Error(code=ErrorCode.UNAVAILABLE, text="later", retry_after=2.0)
BUSY = Error(code=ErrorCode.BUSY, text="busy")
TOO_LONG = Error(code=ErrorCode.TEXT_TOO_LONG, text="too long", field="text")
OUT_OF_ORDER = Error(code=ErrorCode.OUT_OF_ORDER, text="another number", field="n")


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
    messages = [Outgoing(conversation=to, text=text, sender=ME) for text in texts]
    for message in messages:
        outbox.add(message)
    return messages


def sent(seq: int, *, to: str = "#lobby", epoch: str = "e1", dup: bool = False) -> Sent:
    return Sent(to=to, epoch=epoch, seq=seq, ts=seq, dup=dup)


def entry(seq: int, cid: str | None = None) -> Message:
    return Message(to="#lobby", epoch="e2", seq=seq, ts=seq, from_=ME, cid=cid)


def ready(outbox: Outbox) -> list[WriteRequest]:
    """Return what the outbox sends now."""
    requests = []
    while (request := outbox.next(ME)) is not None:
        requests.append(request)
    return requests


def texts(messages: Iterable[Outgoing | WriteRequest]) -> list[str]:
    return [getattr(message, "text", type(message).__name__) for message in messages]


def numbered(requests: Iterable[WriteRequest]) -> list[tuple[int | None, str]]:
    return [(request.n, *texts([request])) for request in requests]  # type: ignore[misc]  # texts() returns as many as it is given


def test_messages_are_sent_without_waiting_and_numbered(outbox: Outbox) -> None:
    put(outbox, "one", "two")
    put(outbox, "three", to="@bob")
    put(outbox, "four")
    requests = ready(outbox)
    assert numbered(requests) == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]
    for seq, request in enumerate(requests, start=1):
        assert outbox.replied(request, sent(seq)) is not None
    put(outbox, "five")
    assert numbered(ready(outbox)) == [(5, "five")]


def test_messages_in_flight_are_bounded_by_the_window(outbox: Outbox) -> None:
    put(outbox, *map(str, range(WINDOW + 5)))
    requests = ready(outbox)
    assert len(requests) == WINDOW
    assert outbox.wait(ME) is None
    outbox.replied(requests[0], sent(1))
    assert numbered(ready(outbox)) == [(WINDOW + 1, f"{WINDOW}")]


@pytest.mark.parametrize("error", [RATE_LIMITED, UNAVAILABLE, BUSY])
def test_after_a_temporary_refusal_it_goes_on_from_the_same_number(
    outbox: Outbox, clock: StoppedClock, error: Error
) -> None:
    first, *_ = put(outbox, "one", "two", "three")
    one, two, three = ready(outbox)
    assert outbox.replied(one, error) is None
    assert first.state is OutgoingState.PENDING
    assert ready(outbox) == []
    assert outbox.wait(ME) == (error.retry_after or DEFAULT_RETRY_AFTER)
    clock.time += error.retry_after or DEFAULT_RETRY_AFTER
    (again,) = ready(outbox)  # alone, until it is taken
    assert (again.n, again.cid) == (1, one.cid)
    # The replies to those that were behind it come only now.
    assert outbox.replied(two, OUT_OF_ORDER) is None
    assert outbox.replied(three, OUT_OF_ORDER) is None
    assert ready(outbox) == []
    assert outbox.replied(again, sent(1)) is first
    assert numbered(ready(outbox)) == [(2, "two"), (3, "three")]


def test_rate_limit_applies_to_all_conversations(outbox: Outbox) -> None:
    put(outbox, "one", "two")
    requests = ready(outbox)
    put(outbox, "three", to="@bob")
    outbox.replied(requests[0], RATE_LIMITED)
    assert ready(outbox) == []


def test_limit_on_new_conversations_delays_no_others(outbox: Outbox, clock: StoppedClock) -> None:
    (first,) = put(outbox, "one", to="@bob")
    (request,) = ready(outbox)
    put(outbox, "two")
    put(outbox, "three", to="@Bob")  # the same conversation, in another spelling
    quota = Error(code=ErrorCode.RATE_LIMITED, text="many", field="to", retry_after=200.0)
    assert outbox.replied(request, quota) is None
    assert first.state is OutgoingState.PENDING
    (two,) = ready(outbox)
    assert numbered([two]) == [(1, "two")]  # no number is left out
    outbox.replied(two, sent(1))
    assert ready(outbox) == []
    clock.time += 200
    assert numbered(ready(outbox)) == [(2, "one"), (3, "three")]


def test_unavailable_store_delays_one_conversation(outbox: Outbox) -> None:
    put(outbox, "one")
    (request,) = ready(outbox)
    put(outbox, "two", to="@bob")
    outbox.replied(request, UNAVAILABLE)
    assert texts(ready(outbox)) == ["two"]


def test_finally_refused_message_fails_and_the_next_ones_go_on(outbox: Outbox) -> None:
    first, second = put(outbox, "one", "two")
    one, two = ready(outbox)
    assert outbox.replied(one, TOO_LONG) is first
    assert first.state is OutgoingState.FAILED
    assert first.error is not None
    assert (first.error.code, first.error.field) == (ErrorCode.TEXT_TOO_LONG, "text")
    assert texts(outbox.of(ME)) == ["one", "two"]
    assert outbox.replied(two, sent(1)) is second
    put(outbox, "three")
    assert numbered(ready(outbox)) == [(3, "three")]


@pytest.mark.parametrize("code", [ErrorCode.FRAME_TOO_LARGE, ErrorCode.MALFORMED])
def test_message_that_was_not_sent_leaves_its_number(outbox: Outbox, code: ErrorCode) -> None:
    first, _ = put(outbox, "one", "two")
    request = outbox.next(ME)
    assert request is not None
    assert outbox.refuse(request, ChatError(code, "too large")) is first
    assert first.state is OutgoingState.FAILED
    assert numbered(ready(outbox)) == [(1, "two")]


def test_server_that_counts_otherwise_is_an_error(outbox: Outbox) -> None:
    put(outbox, "one")
    (request,) = ready(outbox)
    with pytest.raises(ProtocolError, match="another number than 1"):
        outbox.replied(request, OUT_OF_ORDER)


def test_refusal_of_a_message_that_is_known_to_be_committed_counts(outbox: Outbox) -> None:
    """Its entry came first; but the number is still due."""
    first, _ = put(outbox, "one", "two")
    one, two = ready(outbox)
    assert outbox.acknowledge(first.cid, sent(1)) is first
    assert outbox.replied(one, UNAVAILABLE) is None
    assert outbox.replied(two, OUT_OF_ORDER) is None
    assert numbered(ready(outbox)) == [(1, "two")]


def test_messages_in_flight_go_first_after_a_reconnect(outbox: Outbox) -> None:
    put(outbox, "one", "two", "three")
    one, *_ = ready(outbox)
    outbox.replied(one, sent(1))
    outbox.connection_lost()
    put(outbox, "four")
    assert numbered(ready(outbox)) == [(1, "two"), (2, "three"), (3, "four")]


def test_retried_failed_message_goes_last(outbox: Outbox) -> None:
    first, _ = put(outbox, "one", "two")
    one, _ = ready(outbox)
    outbox.replied(one, TOO_LONG)
    put(outbox, "three")
    assert outbox.retry(first)
    assert first.state is OutgoingState.PENDING
    assert numbered(ready(outbox)) == [(3, "three"), (4, "one")]


def test_only_a_failed_message_can_be_retried_or_discarded(outbox: Outbox) -> None:
    (first,) = put(outbox, "one")
    assert not outbox.retry(first)
    assert not outbox.discard(first)
    (one,) = ready(outbox)
    outbox.replied(one, TOO_LONG)
    assert outbox.discard(first)
    assert outbox.of(ME) == ()
    assert not outbox.discard(first)


def test_full_outbox_refuses_messages(outbox: Outbox) -> None:
    put(outbox, *map(str, range(MAX_OUTBOX)))
    with pytest.raises(OutboxFull):
        put(outbox, "one too many")
    assert len(outbox.of(ME)) == MAX_OUTBOX


def test_messages_of_another_account_are_not_sent(clock: StoppedClock) -> None:
    outbox = Outbox(clock)
    outbox.add(Outgoing(conversation="#lobby", text="by bob", sender="bob"))
    outbox.add(Outgoing(conversation="#lobby", text="by whoever comes"))
    outbox.begin(ME, NO_LIMITS)
    assert texts(ready(outbox)) == ["by whoever comes"]
    assert texts(outbox.of(ME)) == ["by whoever comes"]
    assert texts(outbox.of("bob")) == ["by bob"]


def test_pace_follows_the_announced_limits(clock: StoppedClock) -> None:
    outbox = Outbox(clock)
    limits = Limits(frame_bytes=1, text_chars=1, burst=2, per_second=4.0, history_page=1)
    outbox.begin(ME, limits)
    put(outbox, *"0123")
    requests = ready(outbox)
    assert texts(requests) == ["0", "1"]
    assert outbox.wait(ME) == pytest.approx(0.25)
    clock.time += 0.25
    assert texts(ready(outbox)) == ["2"]
    # What the server knows already, or refuses, takes no turn.
    outbox.replied(requests[0], sent(1, dup=True))
    outbox.replied(requests[1], TOO_LONG)
    assert texts(ready(outbox)) == ["3"]


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


# -- calls ----------------------------------------------------------------------------------------


def call(outbox: Outbox, request: WriteRequest) -> Call:
    one = Call(request)
    outbox.call(one)
    return one


def test_calls_are_in_one_sequence_with_messages(outbox: Outbox) -> None:
    put(outbox, "one", to="#club")
    call(outbox, Leave(room="#Club", cid="leave"))
    put(outbox, "two")
    assert numbered(ready(outbox)) == [(1, "one"), (2, "Leave"), (3, "two")]


def test_call_waits_for_messages_of_its_conversation_only(clock: StoppedClock) -> None:
    outbox = Outbox(clock)
    limits = Limits(frame_bytes=1, text_chars=1, burst=1, per_second=1.0, history_page=1)
    outbox.begin(ME, limits)
    put(outbox, "one", "two", to="#club")
    call(outbox, Leave(room="#club", cid="leave"))
    call(outbox, React(to="#lobby", seq=1, emoji="👍", cid="react"))
    assert numbered(ready(outbox)) == [(1, "one"), (2, "React")]
    clock.time += 2
    assert numbered(ready(outbox)) == [(3, "two"), (4, "Leave")]


@pytest.mark.anyio
async def test_call_behind_a_refused_message_is_sent_again_after_it(
    outbox: Outbox, clock: StoppedClock
) -> None:
    put(outbox, "one", to="#club")
    leaving = call(outbox, Leave(room="#club", cid="leave"))
    one, leave = ready(outbox)
    outbox.replied(one, RATE_LIMITED)
    outbox.replied(leave, OUT_OF_ORDER)
    assert ready(outbox) == []
    clock.time += 2
    (one,) = ready(outbox)
    outbox.replied(one, sent(1))
    (leave,) = ready(outbox)
    assert leave.n == 2
    outbox.replied(leave, Ok())
    with anyio.fail_after(1):
        assert await leaving.wait() == Ok()


@pytest.mark.anyio
async def test_refusal_ends_a_call_and_leaves_no_hole(outbox: Outbox) -> None:
    leaving = call(outbox, Leave(room="#club", cid="leave"))
    put(outbox, "one")
    leave, one = ready(outbox)
    outbox.replied(leave, RATE_LIMITED)
    outbox.replied(one, OUT_OF_ORDER)
    with anyio.fail_after(1):
        assert await leaving.wait() == RATE_LIMITED
    assert numbered(ready(outbox)) == [(1, "one")]


def test_withdrawn_call_leaves_no_hole(outbox: Outbox) -> None:
    """Whether it was sent, or not yet, or has to be sent again."""
    waiting = call(outbox, Leave(room="#a", cid="a"))
    outbox.withdraw(waiting)
    put(outbox, "one")
    under_way = call(outbox, Leave(room="#b", cid="b"))
    put(outbox, "two")
    requests = ready(outbox)
    assert numbered(requests) == [(1, "one"), (2, "Leave"), (3, "two")]
    outbox.withdraw(under_way)
    outbox.replied(requests[0], BUSY)
    outbox.connection_lost()
    assert numbered(ready(outbox)) == [(1, "one"), (2, "two")]


@pytest.mark.anyio
async def test_calls_end_when_the_client_goes_offline(outbox: Outbox) -> None:
    leaving = call(outbox, Leave(room="#club", cid="leave"))
    ready(outbox)
    outbox.end_calls(NotConnected, "logged out")
    with anyio.fail_after(1), pytest.raises(ConnectionLost, match="logged out"):
        await leaving.wait()
    outbox.connection_lost()
    assert ready(outbox) == []


# -- messages that the server has lost ------------------------------------------------------------


def test_messages_lost_by_the_server_are_resent_first_in_order(
    outbox: Outbox, clock: StoppedClock
) -> None:
    messages = put(outbox, "old", "kept", "lost one", "lost two")
    for seq, message in enumerate(messages, start=1):
        ready(outbox)
        outbox.acknowledge(message.cid, sent(seq))
        if message.text == "old":
            clock.time += RECENT_SECONDS + 1
    clock.time += RECENT_SECONDS - 1  # until then the connection was good
    put(outbox, "new")
    again = outbox.lost_by_server("#lobby", "e2", [entry(1, messages[1].cid)], clock.time)
    assert texts(again) == ["lost one", "lost two"]
    assert all(message.state is OutgoingState.PENDING for message in again)
    assert texts(outbox.of(ME)) == ["lost one", "lost two", "new"]
    outbox.connection_lost()
    assert texts(ready(outbox)) == ["lost one", "lost two", "new"]


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


class Server:
    """A server that takes numbered messages: in order, each once, and answers later."""

    def __init__(self) -> None:
        self.log: dict[str, list[str]] = defaultdict(list)
        self.refused = set[str]()
        self.arriving: deque[WriteRequest] = deque()
        self.replies: deque[tuple[WriteRequest, Reply]] = deque()
        self._due = 1

    def handle(self, outcome: str) -> None:
        """Handle the next request. `outcome` is what happens if its number is due."""
        request = self.arriving.popleft()
        assert isinstance(request, Send)
        log = self.log[request.to]
        reply: Reply = OUT_OF_ORDER
        if request.n == self._due:
            is_new = request.text not in log
            # Refused again, for its cause stays: see tests/protocol/test_order_model.py.
            if is_new and (outcome == "refuse" or request.text in self.refused):
                self.refused.add(request.text)
                reply = TOO_LONG
            elif outcome in ("rate", "away"):
                reply = RATE_LIMITED if outcome == "rate" else UNAVAILABLE
            else:
                log += [request.text] if is_new else []
                reply = sent(log.index(request.text) + 1, dup=not is_new)
                if outcome == "take, then away":
                    reply = UNAVAILABLE
            self._due += reply not in (RATE_LIMITED, UNAVAILABLE)
        self.replies.append((request, reply))

    def cut(self, arrives: int) -> None:
        """Handle the first of what arrives; all replies, and what is behind, are lost."""
        for _ in range(arrives):
            self.handle("take")
        self.arriving.clear()
        self.replies.clear()
        self._due = 1


@given(st.data())
def test_order_in_each_conversation_survives_any_failures(data: st.DataObject) -> None:
    """A server that accepts, refuses, loses replies and connections at random."""
    clock, server = StoppedClock(), Server()
    outbox = Outbox(clock)
    outbox.begin(ME, NO_LIMITS)
    messages: list[Outgoing] = []

    def read_reply() -> None:
        request, reply = server.replies.popleft()
        outbox.replied(request, reply)

    steps = ["send", "send", "go", "handle", "handle", "read", "read", "cut", "wait"]
    for _ in range(data.draw(st.integers(0, 80))):
        match data.draw(st.sampled_from(steps)):
            case "send":
                to = data.draw(st.sampled_from(["#lobby", "@bob"]))
                messages += put(outbox, str(len(messages)), to=to)
            case "go":
                server.arriving += ready(outbox)
            case "handle" if server.arriving:
                outcomes = ["take", "take", "take, then away", "rate", "away", "refuse"]
                server.handle(data.draw(st.sampled_from(outcomes)))
            case "read" if server.replies:
                read_reply()
            case "cut":
                server.cut(data.draw(st.integers(0, len(server.arriving))))
                outbox.connection_lost()
            case "wait":
                clock.time += 3
    for _ in range(2 * len(messages) + 2):
        server.arriving += ready(outbox)
        while server.arriving:
            server.handle("take")
        while server.replies:
            read_reply()
        clock.time += 3

    for to, taken in server.log.items():
        # In the order of `send`, each once.
        assert taken == sorted(taken, key=int)
        kept = {outgoing.text for outgoing in messages if outgoing.conversation == to}
        assert set(taken) >= kept - server.refused
    assert all(outgoing.state is OutgoingState.FAILED for outgoing in outbox.of(ME))
    assert all(
        outgoing.state is OutgoingState.SENT
        for outgoing in messages
        if outgoing.text in server.log[outgoing.conversation]
    )
