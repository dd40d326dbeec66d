"""All conversations together: where each starts and ends, and what a resume asks for."""

from __future__ import annotations

import pytest

from gochat.client.events import Reset
from gochat.client.inbox import MAX_POSITIONS, Inbox
from gochat.client.timeline import After, Newest
from gochat.protocol.messages import (
    Conversation,
    EntryKind,
    HistoryPage,
    Message,
    Position,
)


def entry(
    seq: int, to: str = "#lobby", *, from_: str = "bob", kind: EntryKind = "text", text: str = "",
    conv: str | None = None,
) -> Message:  # fmt: skip
    return Message(to=to, epoch="e1", seq=seq, ts=seq, from_=from_, kind=kind, text=text, conv=conv)


def listed(conv: str, head: int, read: int = 0) -> Conversation:
    return Conversation(conv=conv, epoch="e1", head=head, read=read)


def seqs(shown: list[object]) -> list[int]:
    return [event.seq for event in shown if isinstance(event, Message)]


@pytest.fixture
def inbox() -> Inbox:
    """Mei's inbox after the snapshot: a lobby with seven entries."""
    inbox = Inbox()
    inbox.begin("mei")
    inbox.picture([listed("#lobby", 7)], set())
    return inbox


def test_both_directions_are_one_private_conversation(inbox: Inbox) -> None:
    assert seqs([*inbox.receive(entry(1, "@mei", from_="bob", conv="@bob"))]) == [1]
    assert seqs([*inbox.receive(entry(2, "@bob", from_="mei"))]) == [2]
    assert Position(conv="@bob", epoch="e1", seq=2) in inbox.positions()


def test_gap_in_a_new_private_conversation_is_fetched_from_its_beginning(inbox: Inbox) -> None:
    assert inbox.receive(entry(2, "@mei", from_="bob", conv="@bob")) == []
    assert inbox.wants() == {"@bob": After(0)}


@pytest.mark.parametrize("kind", ["join", "create"])
def test_room_begins_with_the_entry_by_which_it_is_entered(inbox: Inbox, kind: EntryKind) -> None:
    assert seqs([*inbox.receive(entry(20, "#garden", from_="mei", kind=kind))]) == [20]
    assert seqs([*inbox.receive(entry(21, "#garden"))]) == [21]
    assert inbox.wants() == {}


def test_joining_on_another_device_starts_a_room(inbox: Inbox) -> None:
    assert seqs([*inbox.receive(entry(20, "#garden", from_="mei", kind="join"))]) == [20]
    assert inbox.wants() == {}


def test_invitation_starts_no_timeline(inbox: Inbox) -> None:
    assert seqs([*inbox.receive(entry(5, "#garden", kind="invite", text="mei"))]) == [5]
    assert inbox.wants() == {}
    assert {position.conv for position in inbox.positions()} == {"#lobby"}


def test_entries_before_the_snapshot_decide_where_to_start() -> None:
    inbox = Inbox()
    inbox.begin("mei")
    assert seqs([*inbox.receive(entry(57, "@mei", conv="@bob"))]) == [57]
    assert seqs([*inbox.receive(entry(12, "#garden"))]) == [12]
    inbox.picture([listed("@bob", 57), listed("#garden", 13), listed("#lobby", 3)], set())
    assert inbox.wants() == {"#garden": After(12)}


def test_entry_that_the_snapshot_counts_already_is_shown() -> None:
    """A list that was read from the store can be ahead of what the server's node delivers."""
    inbox = Inbox()
    inbox.begin("mei")
    inbox.picture([listed("#lobby", 3)], set())
    assert seqs([*inbox.receive(entry(3)), *inbox.receive(entry(4))]) == [3, 4]
    assert inbox.wants() == {}


def test_conversation_begun_while_away_was_missed(inbox: Inbox) -> None:
    inbox.picture([listed("#lobby", 7), listed("@eve", 2), listed("#new", 30, read=28)], set())
    assert inbox.wants() == {"@eve": After(0), "#new": After(28)}


def test_conversation_begun_after_the_list_request_is_kept(inbox: Inbox) -> None:
    known = inbox.known()
    inbox.receive(entry(1, "@mei", conv="@bob"))
    inbox.picture([listed("#lobby", 7)], known)
    assert "@bob" in inbox.known()


def test_conversation_no_longer_listed_is_forgotten(inbox: Inbox) -> None:
    inbox.receive(entry(20, "#garden", from_="mei", kind="join"))
    inbox.receive(entry(23, "#garden"))
    assert inbox.wants() == {"#garden": After(20)}
    inbox.picture([listed("#lobby", 7)], inbox.known())
    assert inbox.known() == {"#lobby"}
    assert inbox.wants() == {}


def test_resume_asks_for_the_most_recent_conversations(inbox: Inbox) -> None:
    for number in range(MAX_POSITIONS):
        inbox.receive(entry(1, f"@person{number}", from_="mei"))
    assert "#lobby" not in {position.conv for position in inbox.positions()}
    inbox.receive(entry(8))
    positions = inbox.positions()
    assert len(positions) == MAX_POSITIONS
    assert positions[-1] == Position(conv="#lobby", epoch="e1", seq=8)


def test_another_account_starts_empty(inbox: Inbox) -> None:
    inbox.begin("mei")
    assert inbox.positions()
    inbox.begin("bob")
    assert inbox.positions() == ()


@pytest.mark.parametrize("conv", ["#lobby", "@bob"])
def test_unlisted_conversation_that_cannot_be_left_was_lost(inbox: Inbox, conv: str) -> None:
    inbox.picture([listed("#lobby", 7), listed("@bob", 3)], {"#lobby"})
    others = [one for one in (listed("#lobby", 7), listed("@bob", 3)) if one.conv != conv]
    inbox.picture(others, inbox.known())
    assert inbox.wants()[conv] == Newest()
    page = HistoryPage(conv=conv, epoch="e2", head=0, entries=())
    assert inbox.fill(conv, page) == [Reset(conv, "e2", ())]


def test_room_that_returns_with_another_history_starts_over(inbox: Inbox) -> None:
    inbox.picture([listed("#lobby", 7), listed("#room", 3)], {"#lobby"})
    inbox.picture([listed("#lobby", 7)], inbox.known())
    assert inbox.wants() == {}
    again = Message(to="#room", epoch="e2", seq=1, ts=1, from_="mei", kind="join")
    assert inbox.receive(again) == []
    assert inbox.wants() == {"#room": Newest()}
    page = HistoryPage(conv="#room", epoch="e2", head=1, entries=(again,))
    assert inbox.fill("#room", page) == [Reset("#room", "e2", (again,))]
