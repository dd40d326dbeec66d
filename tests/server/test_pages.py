"""Pages of history, cut so that each fits its frame and the next continues without a gap."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gochat.chat.drafts import MAX_MENTIONS, MAX_REACTIONS, MAX_TEXT
from gochat.chat.emoji import MAX_EMOJI
from gochat.chat.log import Page
from gochat.chat.names import MAX_NAME
from gochat.protocol.codec import decode_server_message, encode
from gochat.protocol.framing import HEADER_SIZE, MAX_FRAME_SIZE
from gochat.protocol.messages import History, HistoryPage, Message, Reaction
from gochat.server.pages import fitting, history_page

NAME = "𐐨" * MAX_NAME
#: The longest message that the rules allow, of the worst characters.
LONGEST = Message(
    to="#" + NAME,
    epoch="e" * 32,
    seq=1,
    ts=2**53 - 1,
    from_=NAME,
    text="\x01" * MAX_TEXT,
    ref=2**53 - 1,
    cid="\x01" * 64,
    mentions=(NAME,) * MAX_MENTIONS,
    edited=2**53 - 1,
    reactions=(Reaction(emoji="😀" * MAX_EMOJI, count=2**53 - 1, names=(NAME,) * 10, me=True),)
    * MAX_REACTIONS,
)


def message(seq: int, size: int = 10) -> Message:
    return Message(to="#lobby", epoch="e", seq=seq, ts=1, from_="mei", text="x" * size)


def log(sizes: Sequence[int]) -> list[Message]:
    return [message(seq, size) for seq, size in enumerate(sizes, 1)]


def ask(
    entries: Sequence[Message], request: History, frame_bytes: int = MAX_FRAME_SIZE
) -> HistoryPage:
    """Read a log with these entries, as the handler and the store do."""
    head = len(entries)
    after, before = request.after, request.before
    if request.around is not None:
        after = max(0, request.around - request.limit // 2 - 1)
    if after is not None:
        found = entries[after : after + request.limit]
    else:
        last = head if before is None else min(head, before - 1)
        found = entries[max(0, last - request.limit) : max(0, last)]
    page = history_page(request, "#lobby", Page("e", head, found), frame_bytes)
    assert len(encode(page)) - HEADER_SIZE <= frame_bytes
    first = page.entries[0].seq if page.entries else 0
    assert seqs(page) == list(range(first, first + len(page.entries))), "without a gap"
    return page


def seqs(page: HistoryPage) -> list[int]:
    return [entry.seq for entry in page.entries]


# -- what fits ------------------------------------------------------------------------------------


def test_page_has_as_many_entries_as_fit_a_frame() -> None:
    entries = log([1000] * 100)
    fit = fitting(entries, MAX_FRAME_SIZE)
    assert 50 < len(fit) < 65
    assert fitting(reversed(entries), MAX_FRAME_SIZE)[0].seq == 100
    assert fitting([], MAX_FRAME_SIZE) == []


def test_longest_message_fits_a_page() -> None:
    for request in (
        History(conv="#lobby", request_id="\x01" * 64),
        History(conv="#lobby", around=1),
        History(conv="#lobby", after=0),
    ):
        page = ask([LONGEST], request)
        assert page.entries == (LONGEST,)


def test_reply_repeats_the_request() -> None:
    page = ask(log([10] * 3), History(conv="#LOBBY", request_id="r1"))
    assert (page.request_id, page.conv, page.epoch, page.head) == ("r1", "#lobby", "e", 3)
    assert decode_server_message(encode(page)[HEADER_SIZE:]) == page


# -- where a page is cut --------------------------------------------------------------------------


def test_newest_page_is_cut_at_its_old_end() -> None:
    page = ask(log([5000] * 40), History(conv="#lobby", limit=40))
    assert seqs(page)[-1] == 40
    assert 1 < len(seqs(page)) < 40
    assert (page.older, page.newer) == (True, False)


def test_page_before_a_message_is_cut_at_its_old_end() -> None:
    page = ask(log([5000] * 40), History(conv="#lobby", before=31, limit=30))
    assert seqs(page)[-1] == 30
    assert (page.older, page.newer) == (True, True)


def test_page_after_a_message_is_cut_at_its_new_end() -> None:
    page = ask(log([5000] * 40), History(conv="#lobby", after=10, limit=30))
    assert seqs(page)[0] == 11
    assert (page.older, page.newer) == (True, True)


@pytest.mark.parametrize("around", [1, 2, 20, 39, 40])
def test_page_around_a_message_is_cut_at_both_ends_and_contains_it(around: int) -> None:
    page = ask(log([5000] * 40), History(conv="#lobby", around=around, limit=30))
    assert around in seqs(page)
    assert len(seqs(page)) > 8, "the frame is used, also when the message is at the edge"


def test_page_around_the_longest_message_contains_it() -> None:
    entries = log([2000] * 20)
    entries[9] = structs.replace(LONGEST, seq=10)
    page = ask(entries, History(conv="#lobby", around=10, limit=20))
    assert 10 in seqs(page)


@pytest.mark.parametrize("beyond", [41, 45, 60])
def test_page_around_a_future_seq_has_the_newest_entries(beyond: int) -> None:
    page = ask(log([5000] * 40), History(conv="#lobby", around=beyond, limit=50))
    assert seqs(page)[-1] == 40
    assert (page.older, page.newer) == (True, False)


def test_page_that_fits_is_not_cut() -> None:
    for request in (
        History(conv="#lobby", limit=200),
        History(conv="#lobby", after=0, limit=200),
        History(conv="#lobby", around=50, limit=200),
    ):
        page = ask(log([10] * 100), request)
        assert seqs(page) == list(range(1, 101))
        assert (page.older, page.newer) == (False, False)


@pytest.mark.parametrize(
    ("request_", "head", "sides"),
    [
        (History(conv="#lobby"), 0, (False, False)),
        (History(conv="#lobby", after=0), 0, (False, False)),
        (History(conv="#lobby", before=5), 0, (False, False)),
        (History(conv="#lobby", around=5), 0, (False, False)),
        (History(conv="#lobby", after=3), 3, (True, False)),
        (History(conv="#lobby", after=99), 3, (True, False)),
        (History(conv="#lobby", around=99), 3, (True, False)),
        (History(conv="#lobby", before=1), 3, (False, True)),
        (History(conv="#lobby", before=0), 3, (False, True)),
    ],
)
def test_empty_page_says_on_which_side_there_are_entries(
    request_: History, head: int, sides: tuple[bool, bool]
) -> None:
    page = ask(log([10] * head), request_)
    assert page.entries == ()
    assert (page.older, page.newer) == sides


# -- going through a log --------------------------------------------------------------------------

_sizes = st.lists(st.sampled_from([1, 100, 1000, 4000]), min_size=1, max_size=60)


@given(_sizes, st.integers(1, 60), st.sampled_from([16 * 1024, MAX_FRAME_SIZE]))
def test_paging_back_shows_everything_once(sizes: list[int], limit: int, frame_bytes: int) -> None:
    entries, seen = log(sizes), list[int]()
    page = ask(entries, History(conv="#lobby", limit=limit), frame_bytes)
    while True:
        seen = seqs(page) + seen
        if not page.older:
            break
        page = ask(entries, History(conv="#lobby", before=seen[0], limit=limit), frame_bytes)
        assert page.entries
    assert seen == list(range(1, len(sizes) + 1))


@given(_sizes, st.integers(1, 60), st.integers(1, 70), st.sampled_from([16 * 1024, MAX_FRAME_SIZE]))
def test_paging_both_ways_from_a_message_shows_everything_once(
    sizes: list[int], limit: int, around: int, frame_bytes: int
) -> None:
    entries = log(sizes)
    page = ask(entries, History(conv="#lobby", around=around, limit=limit), frame_bytes)
    if not page.entries:
        assert around > len(sizes)
        return
    older = newer = page
    seen = seqs(page)
    while older.older:
        older = ask(entries, History(conv="#lobby", before=seen[0], limit=limit), frame_bytes)
        seen = seqs(older) + seen
        assert older.entries
    while newer.newer:
        newer = ask(entries, History(conv="#lobby", after=seen[-1], limit=limit), frame_bytes)
        seen += seqs(newer)
        assert newer.entries
    assert seen == list(range(1, len(sizes) + 1))
