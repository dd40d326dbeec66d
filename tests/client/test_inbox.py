"""All conversations together: where each starts and ends, and what a resume asks for."""

from __future__ import annotations

import pytest

from gochat.client.events import Reset
from gochat.client.inbox import MAX_POSITIONS, Inbox
from gochat.client.timeline import After, Newest
from gochat.protocol.messages import (
    Conversation,
    CreateRoom,
    EntryKind,
    HistoryPage,
    Join,
    Message,
    Position,
    React,
    Send,
    Sent,
)


def entry(
    seq: int, to: str = "#lobby", *, from_: str = "bob", kind: EntryKind = "text", text: str = ""
) -> Message:
    return Message(to=to, epoch="e1", seq=seq, ts=seq, from_=from_, kind=kind, text=text)


def sent(seq: int, to: str) -> Sent:
    return Sent(to=to, epoch="e1", seq=seq, ts=seq)


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
    assert seqs([*inbox.receive(entry(1, "@mei", from_="bob"))]) == [1]
    assert seqs([*inbox.acknowledged(Send(to="@bob", text="hi"), sent(2, "@bob"))]) == [2]
    assert seqs([*inbox.receive(entry(3, "@bob", from_="mei"))]) == [3]
    assert Position(conv="@bob", epoch="e1", seq=3) in inbox.positions()


def test_reply_that_overtakes_the_first_acknowledgement_waits(inbox: Inbox) -> None:
    assert inbox.receive(entry(2, "@mei", from_="bob")) == []
    assert inbox.wants() == {"@bob": After(0)}
    shown = inbox.acknowledged(Send(to="@bob", text="hi"), sent(1, "@bob"))
    assert seqs([*shown]) == [1, 2]
    assert inbox.wants() == {}


@pytest.mark.parametrize("request_", [Join(room="#garden"), CreateRoom(room="#garden")])
def test_entries_that_overtake_the_acknowledgement_of_a_join_wait(
    inbox: Inbox, request_: Join | CreateRoom
) -> None:
    assert inbox.receive(entry(21, "#garden")) == []
    assert seqs([*inbox.acknowledged(request_, sent(20, "#garden"))]) == [20, 21]
    assert inbox.wants() == {}


@pytest.mark.parametrize("is_early", [True, False])
def test_reaction_that_another_device_gave_before_keeps_its_cid(
    inbox: Inbox, is_early: bool
) -> None:
    """Found by a fault run: two devices gave the same reaction, and one showed its own `cid`."""
    react = React(to="#lobby", seq=7, emoji="👍", cid="ours")
    dup = Sent(to="#lobby", epoch="e1", seq=8, ts=8, cid="ours", dup=True)
    other = Message(
        to="#lobby", epoch="e1", seq=8, ts=8, from_="mei", kind="react", text="👍", ref=7, cid="x"
    )
    shown = [] if is_early else inbox.receive(other)
    shown += inbox.acknowledged(react, dup)
    assert ("#lobby" in inbox.wants()) is is_early
    if is_early:
        shown += inbox.receive(other)
    assert shown == [other]
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
    assert inbox.receive(entry(57, "@mei")) == []
    assert inbox.receive(entry(12, "#garden")) == []
    shown = inbox.picture([listed("@bob", 57), listed("#garden", 13), listed("#lobby", 3)], set())
    assert seqs([*shown]) == [12, 57]
    assert inbox.wants() == {"#garden": After(12)}


def test_conversation_begun_while_away_was_missed(inbox: Inbox) -> None:
    inbox.picture([listed("#lobby", 7), listed("@eve", 2), listed("#new", 30, read=28)], set())
    assert inbox.wants() == {"@eve": After(0), "#new": After(28)}


def test_conversation_begun_after_the_list_request_is_kept(inbox: Inbox) -> None:
    known = inbox.known()
    inbox.receive(entry(1, "@mei"))
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
    assert inbox.picture(others, inbox.known()) == []
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
