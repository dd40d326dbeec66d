"""All conversations together: where each starts and ends, and what the client asks for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gochat.client.inbox import Inbox
from gochat.client.timeline import After, Newest, Reset
from gochat.errors import ProtocolError
from gochat.protocol.codec import encode
from gochat.protocol.messages import (
    Conversation,
    EntryKind,
    HistoryPage,
    Message,
    Position,
    Sync,
    Synced,
)

FRAME = 64 * 1024


def entry(
    seq: int, to: str = "#lobby", *, from_: str = "bob", kind: EntryKind = "text", text: str = "",
    conv: str | None = None,
) -> Message:  # fmt: skip
    return Message(to=to, epoch="e1", seq=seq, ts=seq, from_=from_, kind=kind, text=text, conv=conv)


def listed(conv: str, head: int, read: int = 0, *entries: Message) -> Conversation:
    return Conversation(conv=conv, epoch="e1", head=head, ts=head, read=read, entries=entries)


def seqs(shown: Sequence[object]) -> list[int]:
    return [event.seq for event in shown if isinstance(event, Message)]


def ask(inbox: Inbox, max_bytes: int = FRAME) -> Sync:
    request = inbox.next_page(50, max_bytes)
    assert request is not None
    return request


def sync(
    inbox: Inbox, *conversations: Conversation, gone: Sequence[str] = ()
) -> list[Message | Reset]:
    """Log in again, and catch up in one page."""
    inbox.begin("mei")
    page = Synced(conversations=conversations, gone=tuple(gone))
    shown = inbox.synced(ask(inbox), page)
    assert inbox.next_page(50, FRAME) is None
    inbox.conversations()
    return shown


def have(inbox: Inbox) -> dict[str, Position]:
    inbox.begin("mei")
    return {position.conv: position for position in ask(inbox).have}


@pytest.fixture
def inbox() -> Inbox:
    """Mei's inbox when she has caught up: a lobby with seven entries."""
    inbox = Inbox()
    sync(inbox, listed("#lobby", 7))
    return inbox


def test_first_login_asks_for_no_entries_and_later_ones_do() -> None:
    inbox = Inbox()
    inbox.begin("mei")
    assert ask(inbox) == Sync(limit=0)
    sync(inbox, listed("#lobby", 7, 3))
    inbox.begin("mei")
    position = Position(conv="#lobby", epoch="e1", seq=7, ts=7, read=3, level="all")
    assert ask(inbox) == Sync(have=(position,), limit=50)


def test_both_directions_are_one_private_conversation(inbox: Inbox) -> None:
    assert seqs(inbox.receive(entry(1, "@mei", from_="bob", conv="@bob"))) == [1]
    assert seqs(inbox.receive(entry(2, "@bob", from_="mei"))) == [2]
    assert have(inbox)["@bob"].seq == 2


def test_joining_on_another_device_starts_a_room(inbox: Inbox) -> None:
    assert seqs(inbox.receive(entry(20, "#garden", from_="mei", kind="join"))) == [20]
    assert inbox.wants() == {}


def test_entries_before_the_first_page_decide_where_to_start() -> None:
    inbox = Inbox()
    inbox.begin("mei")
    request = ask(inbox)
    shown = inbox.receive(entry(57, "@mei", conv="@bob")) + inbox.receive(entry(12, "#garden"))
    page = Synced(conversations=(listed("#garden", 13), listed("#lobby", 3), listed("@bob", 57)))
    shown += inbox.synced(request, page)
    assert seqs(shown) == [57, 12]
    assert inbox.wants() == {"#garden": After(12)}
    # A page may be ahead of entries that are on their way.
    assert seqs(inbox.receive(entry(3))) == [3]


def test_conversation_begun_while_away_was_missed(inbox: Inbox) -> None:
    eve = listed(
        "@eve",
        2,
        0,
        entry(1, "@mei", from_="eve", conv="@eve"),
        entry(2, "@mei", from_="eve", conv="@eve"),
    )
    shown = sync(inbox, listed("#new", 30, 28), eve)
    assert seqs(shown) == [1, 2]
    assert inbox.wants() == {"#new": After(28)}


def test_live_entry_of_a_conversation_begun_while_away_waits_for_its_page(inbox: Inbox) -> None:
    inbox.begin("mei")
    request = ask(inbox)
    assert inbox.receive(entry(3, "@mei", from_="eve", conv="@eve")) == []
    assert inbox.wants() == {}  # the page is under way
    eve = listed(
        "@eve",
        2,
        0,
        entry(1, "@mei", from_="eve", conv="@eve"),
        entry(2, "@mei", from_="eve", conv="@eve"),
    )
    shown = inbox.synced(request, Synced(conversations=(eve,)))
    assert seqs(shown) == [1, 2, 3]


def test_gap_is_fetched_once_there_are_no_more_pages(inbox: Inbox) -> None:
    inbox.begin("mei")
    request = ask(inbox)
    inbox.receive(entry(9))
    assert inbox.wants() == {}
    inbox.synced(request, Synced(conversations=(), next="#z"))
    assert inbox.wants() == {}
    assert ask(inbox) == Sync(after="#z", limit=50)
    inbox.synced(ask(inbox), Synced(conversations=()))
    assert inbox.wants() == {"#lobby": After(7)}


def test_unchanged_conversations_are_in_the_snapshot(inbox: Inbox) -> None:
    sync(inbox, listed("@bob", 2, 1))
    assert [(one.conv, one.head) for one in inbox.conversations()] == [("#lobby", 7), ("@bob", 2)]


def test_conversation_begun_after_the_page_is_kept(inbox: Inbox) -> None:
    inbox.begin("mei")
    request = ask(inbox)
    inbox.receive(entry(1, "@mei", conv="@bob"))
    inbox.synced(request, Synced(conversations=()))
    assert inbox.known() == {"#lobby", "@bob"}


def test_room_that_is_gone_is_forgotten(inbox: Inbox) -> None:
    inbox.receive(entry(20, "#garden", from_="mei", kind="join"))
    inbox.receive(entry(23, "#garden"))
    assert inbox.wants() == {"#garden": After(20)}
    inbox.begin("mei")
    request = ask(inbox)
    inbox.receive(entry(40, "#garden", from_="mei", kind="join"))
    shown = inbox.synced(request, Synced(conversations=(), gone=("#garden",)))
    # What came since is of a new membership.
    assert seqs(shown)[-1:] == [40]
    sync(inbox, gone=["#garden"])
    assert inbox.known() == {"#lobby"}
    assert inbox.wants() == {}


def test_page_from_before_leaving_brings_no_room_back(inbox: Inbox) -> None:
    inbox.receive(entry(20, "#garden", from_="mei", kind="join"))
    inbox.begin("mei")
    request = ask(inbox)
    inbox.receive(entry(21, "#garden", from_="mei", kind="leave"))
    inbox.synced(request, Synced(conversations=(listed("#garden", 20),)))
    assert inbox.known() == {"#lobby"}
    # One in which she has joined again does.
    sync(inbox, listed("#garden", 30, 30))
    assert inbox.known() == {"#lobby", "#garden"}


def test_positions_that_do_not_fit_a_frame_are_named_in_the_next_request(inbox: Inbox) -> None:
    convs = [f"@person{number:04}" for number in range(1000)]
    sync(inbox, *(listed(conv, 0) for conv in convs))
    inbox.begin("mei")
    named: list[str] = []
    for _ in range(100):
        request = inbox.next_page(50, FRAME)
        if request is None:
            break
        assert len(encode(request)) < FRAME
        assert all(position.conv > request.after for position in request.have)
        named += [position.conv for position in request.have]
        # The server takes all others for new.
        rest = [conv for conv in convs if conv not in named]
        page = Synced(conversations=tuple(listed(conv, 9) for conv in rest[:5]))
        assert inbox.synced(request, page) == []
    assert named == ["#lobby", *convs]
    assert inbox.wants() == {}


def test_pages_that_do_not_end_are_refused(inbox: Inbox) -> None:
    inbox.begin("mei")
    inbox.synced(ask(inbox), Synced(conversations=(), next="#m"))
    with pytest.raises(ProtocolError):
        inbox.synced(ask(inbox), Synced(conversations=(), next="#m"))


def test_another_account_starts_empty(inbox: Inbox) -> None:
    assert have(inbox)
    inbox.begin("bob")
    assert ask(inbox) == Sync(limit=0)


@pytest.mark.parametrize("conv", ["#lobby", "@bob"])
def test_conversation_that_cannot_be_left_and_is_gone_was_lost(inbox: Inbox, conv: str) -> None:
    sync(inbox, listed("@bob", 3))
    assert sync(inbox, gone=[conv]) == []
    assert conv not in {one.conv for one in inbox.conversations()}
    assert inbox.wants()[conv] == Newest()
    page = HistoryPage(conv=conv, epoch="e2", head=0, entries=())
    assert inbox.fill(conv, page) == [Reset(conv, "e2", ())]


def test_room_that_returns_with_another_history_starts_over(inbox: Inbox) -> None:
    sync(inbox, listed("#room", 3))
    sync(inbox, gone=["#room"])
    assert inbox.wants() == {}
    again = Message(to="#room", epoch="e2", seq=1, ts=1, from_="mei", kind="join")
    assert inbox.receive(again) == []
    assert inbox.wants() == {"#room": Newest()}
    page = HistoryPage(conv="#room", epoch="e2", head=1, entries=(again,))
    assert inbox.fill("#room", page) == [Reset("#room", "e2", (again,))]
