"""A bounded queue of frames on which nobody ever waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gochat.server.mailbox import OVERHEAD, Mailbox, MailboxFull

JOINED = 4
WHOLE = b"0" * JOINED  # nothing is joined to it


@pytest.fixture(autouse=True)
def _little_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gochat.server.mailbox.JOINED", JOINED)


def test_puts_are_taken_together_in_order() -> None:
    mailbox = Mailbox()
    for frame in (WHOLE, b"one", b"two"):
        mailbox.put(frame)
    assert (mailbox.length, mailbox.size) == (JOINED + 6, JOINED + 6 + 2 * OVERHEAD)
    assert mailbox.take() == WHOLE + b"onetwo"
    assert mailbox.size == 0
    assert mailbox.take() == b""


def test_the_first_little_is_one_piece() -> None:
    mailbox = Mailbox()
    for frame in (b"1", b"23", b"45", b"6"):
        mailbox.put(frame)
    assert mailbox.length == 6
    assert mailbox.size == 6 + 2 * OVERHEAD
    assert mailbox.take(1) == b"123"
    assert mailbox.take() == b"456"


def test_what_is_joined_is_bounded_too() -> None:
    mailbox = Mailbox(max_bytes=2)
    mailbox.put(b"x")
    mailbox.put(b"y")
    with pytest.raises(MailboxFull):
        mailbox.put(b"z")


def test_single_frame_is_taken_without_a_copy() -> None:
    mailbox, frame = Mailbox(), b"x" * 1000
    mailbox.put(frame)
    assert mailbox.take() is frame


def test_bytes_are_accepted_exactly_up_to_the_bound() -> None:
    mailbox = Mailbox(max_bytes=JOINED + 5 + OVERHEAD)
    mailbox.put(WHOLE)
    with pytest.raises(MailboxFull):
        mailbox.put(b"123456")
    mailbox.put(b"67890")
    with pytest.raises(MailboxFull):
        mailbox.put(b"x")
    assert mailbox.take() == WHOLE + b"67890"


def test_tiny_frames_count_with_their_overhead() -> None:
    mailbox = Mailbox(max_bytes=JOINED + 99 * OVERHEAD)
    mailbox.put(WHOLE)
    for _ in range(97):
        mailbox.put(b"x")
    with pytest.raises(MailboxFull):
        mailbox.put(b"x")
    assert mailbox.take(JOINED + 2) == WHOLE + b"xx"
    mailbox.put(b"y")
    assert mailbox.take() == b"x" * 95 + b"y"
    assert mailbox.size == 0


def test_put_into_an_empty_mailbox_fits_whatever_its_size() -> None:
    mailbox = Mailbox(max_bytes=1000)
    mailbox.put(b"x" * 5000)
    with pytest.raises(MailboxFull):
        mailbox.put(b"x")
    assert mailbox.take() == b"x" * 5000


def test_put_beyond_the_bound_raises_it_until_less_waits() -> None:
    mailbox = Mailbox(max_bytes=10 * OVERHEAD)
    mailbox.put(b"a" * 4 * OVERHEAD)
    mailbox.put(b"b" * 29 * OVERHEAD, beyond=True)
    mailbox.put(b"c" * 9 * OVERHEAD)
    with pytest.raises(MailboxFull):
        mailbox.put(b"d")
    mailbox.put_back(mailbox.take(1)[2 * OVERHEAD :])
    mailbox.put(b"d" * OVERHEAD)
    with pytest.raises(MailboxFull):
        mailbox.put(b"e")
    assert len(mailbox.take()) == (2 + 29 + 9 + 1) * OVERHEAD
    mailbox.put(b"f" * 5 * OVERHEAD)
    with pytest.raises(MailboxFull):
        mailbox.put(b"g" * 5 * OVERHEAD)


def test_pieces_beyond_the_bound_are_bounded_too() -> None:
    mailbox = Mailbox(max_bytes=10 * OVERHEAD)
    for _ in range(11):
        mailbox.put(b"x" * 1000, beyond=True)
    with pytest.raises(MailboxFull):
        mailbox.put(b"x", beyond=True)
    assert len(mailbox.take()) == 11_000


def test_frames_put_back_come_first_and_count() -> None:
    mailbox = Mailbox(max_bytes=10 + OVERHEAD)
    mailbox.put(b"1234567")
    mailbox.put_back(mailbox.take()[3:])
    mailbox.put(b"89")
    with pytest.raises(MailboxFull):
        mailbox.put(b"12345")
    assert (mailbox.length, mailbox.size) == (6, 6 + OVERHEAD)
    assert mailbox.take() == b"456789"
    mailbox.put_back(b"2")
    mailbox.put_back(b"1")
    assert mailbox.take() == b"12"


def test_taking_enough_takes_whole_puts_and_leaves_the_others() -> None:
    mailbox = Mailbox()
    for frame in (b"123", b"45", b"678", b"9"):
        mailbox.put(frame)
    assert mailbox.take(4) == b"12345"
    assert mailbox.take(1) == b"678"
    assert mailbox.take(100) == b"9"
    assert mailbox.take(100) == b""


#: Five pieces, if they are small.
MACHINE_BYTES = 30 + 4 * OVERHEAD


class MailboxMachine(RuleBasedStateMachine):
    """A mailbox is a bounded queue of bytes, in any order of operations."""

    def __init__(self) -> None:
        super().__init__()
        self.mailbox = Mailbox(max_bytes=MACHINE_BYTES)
        self.waiting: list[bytes] = []  # in the channel
        self.front = b""
        self.number = 0

    @property
    def size(self) -> int:
        return len(self.all) + OVERHEAD * len(self.waiting)

    @property
    def all(self) -> bytes:
        return self.front + b"".join(self.waiting)

    @rule(size=st.integers(1, 12))
    def put(self, size: int) -> None:
        self.number += 1
        frame = bytes([self.number % 256]) * size
        if not self.all or (not self.waiting and len(self.front) + size <= JOINED):
            self.mailbox.put(frame)
            self.front += frame
        elif self.size + size + OVERHEAD <= MACHINE_BYTES:
            self.mailbox.put(frame)
            self.waiting.append(frame)
        else:
            with pytest.raises(MailboxFull):
                self.mailbox.put(frame)

    @rule(written=st.integers(0, 30))
    def write_some(self, written: int) -> None:
        taken = self.mailbox.take()
        assert taken == self.all
        self.front, self.waiting = taken[written:], []
        if self.front:
            self.mailbox.put_back(self.front)

    @precondition(lambda self: self.all)
    @rule(enough=st.integers(1, 30))
    def take_enough(self, enough: int) -> None:
        taken = self.mailbox.take(enough)
        assert self.all.startswith(taken)
        rest = self.all[len(taken) :]
        assert len(taken) >= min(enough, len(self.all))
        self.front = b""
        while len(b"".join(self.waiting)) > len(rest):
            del self.waiting[0]
        assert b"".join(self.waiting) == rest, "what is taken are whole puts"

    @invariant()
    def knows_its_size(self) -> None:
        assert self.mailbox.size == self.size <= MACHINE_BYTES
        assert self.mailbox.length == len(self.all)


TestMailboxMachine = MailboxMachine.TestCase


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=20), st.integers(1, 30))
def test_everything_is_taken_once_piece_by_piece(frames: list[bytes], enough: int) -> None:
    mailbox = Mailbox()
    for frame in frames:
        mailbox.put(frame)
    taken = []
    while piece := mailbox.take(enough):
        taken.append(piece)
    assert b"".join(taken) == b"".join(frames)
    assert all(len(piece) >= enough for piece in taken[:-1])
