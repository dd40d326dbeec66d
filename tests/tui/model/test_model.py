"""The model turns the client's events into what this person sees."""

from __future__ import annotations

from typing import Any

import pytest

from gochat.client import (
    ChatError,
    ConnectionState,
    Conversation,
    HistoryPage,
    Invitation,
    Invited,
    IsTyping,
    LogEntry,
    Marked,
    Outgoing,
    OutgoingChanged,
    Person,
    Presence,
    ReportClosed,
    Reset,
    Sent,
    StateChanged,
    Synchronised,
    Uninvited,
)
from gochat.client.convert import to_entry
from gochat.client.moments import moment
from gochat.protocol import messages as wire
from gochat.tui.model.attention import FRESH
from gochat.tui.model.chat import ChatModel
from gochat.tui.model.conversations import KEPT
from gochat.tui.model.highlights import Highlights
from gochat.tui.model.views import Attention

NOW = 1_795_435_200.0


def conversation(conv: str, head: int = 0, **fields: Any) -> Conversation:
    return Conversation(name=conv, epoch="e", head=head, time=None, **fields)


def message(seq: int, sender: str = "mei", to: str = "#lobby", **fields: Any) -> LogEntry:
    fields.setdefault("text", f"m{seq}")
    fields.setdefault("ts", int(NOW * 1000))
    if to == "@ada":
        fields.setdefault("conv", f"@{sender}")
    return to_entry(wire.Message(to=to, epoch="e", seq=seq, from_=sender, **fields), "ada")


def invitation(room: str) -> Invitation:
    return Invitation(room=room, sender="mei", time=moment(5), topic="shh")


@pytest.fixture
def model() -> ChatModel:
    model = ChatModel("ada", clock=lambda: NOW, now=lambda: NOW)
    people = tuple(Person(name=name) for name in ("ada", "mei", "tomas"))
    model.apply(
        Synchronised(
            people,
            (
                conversation("#lobby", 10, read=10),
                conversation("#design", 5, read=5, topic="How it looks"),
                conversation("@mei", 3, read=3),
            ),
        )
    )
    model.take_changes()
    return model


def badges(model: ChatModel) -> dict[str, tuple[int, int]]:
    return {
        view.conv: (view.unread, view.mentions)
        for view in model.ordered()
        if view.unread or view.mentions
    }


def test_closed_reports_are_forgotten_but_for_the_last(model: ChatModel) -> None:
    """A server may close as many as it likes."""
    for number in range(3000):
        model.apply(ReportClosed(number))
    assert not model.close_report(2999)
    assert model.take_changes().closed_reports == [*range(3000)]
    assert len(model.closed_reports) <= 1000


def test_the_lobby_is_shown_first_and_heads_the_list(model: ChatModel) -> None:
    assert model.current == "#lobby"
    assert [view.conv for view in model.ordered()] == ["#lobby", "#design", "@mei"]


def test_messages_of_others_are_counted_and_mentions_marked(model: ChatModel) -> None:
    model.apply(message(6, to="#design"))
    model.apply(message(7, to="#design", mentions=("ada",)))
    model.apply(message(4, to="@ada"))
    assert badges(model) == {"#design": (2, 1), "@mei": (1, 0)}


def test_entries_that_are_no_messages_are_not_counted(model: ChatModel) -> None:
    model.apply(message(6, to="#design", kind="join", text=""))
    model.apply(message(7, to="#design", kind="react", ref=5, text="👍"))
    assert badges(model) == {}


def test_what_the_picture_counts_already_is_not_counted_again(model: ChatModel) -> None:
    model.apply(
        Synchronised((), (conversation("#lobby", 10), conversation("#design", 7, unread=2)))
    )
    model.apply(message(6, to="#design"))
    model.apply(message(7, to="#design"))
    model.apply(message(8, to="#design"))
    assert badges(model) == {"#design": (3, 0)}


def test_what_one_says_oneself_is_not_unread_and_hides_nothing_that_is(model: ChatModel) -> None:
    model.apply(message(6, sender="ada", to="#design"))
    assert badges(model) == {}
    assert model.conversations["#design"].read == 6
    model.apply(message(7, to="#design"))
    model.apply(message(8, sender="ada", to="#design"))  # from another device, perhaps
    assert badges(model) == {"#design": (1, 0)}
    assert model.conversations["#design"].read == 6


def test_another_device_reads_and_the_counts_follow(model: ChatModel) -> None:
    model.apply(message(6, to="#design"))
    model.apply(Marked(conversation="#design", read=6, unread=0, mentions=0, level="all"))
    assert badges(model) == {}
    model.apply(Marked(conversation="#design", read=6, unread=0, mentions=0, level="none"))
    assert model.conversations["#design"].level == "none"


def test_a_first_private_message_opens_its_conversation(model: ChatModel) -> None:
    model.apply(message(1, sender="tomas", to="@ada"))
    assert "@tomas" in model.conversations
    assert badges(model) == {"@tomas": (1, 0)}


def test_a_level_hides_counts_but_not_mentions(model: ChatModel) -> None:
    model.set_level("#design", "mentions")
    model.apply(message(6, to="#design"))
    assert model.conversations["#design"].badge == 0
    model.apply(message(7, to="#design", mentions=("ada",)))
    assert model.conversations["#design"].badge == 2  # of all that is unread, once it matters
    model.set_level("#design", "none")
    assert model.conversations["#design"].badge == 0


def test_next_unread_takes_mentions_and_private_messages_first(model: ChatModel) -> None:
    assert model.next_unread() is None
    model.apply(message(6, to="#design"))
    assert model.next_unread() == "#design"
    model.apply(message(4, to="@ada"))
    assert model.next_unread() == "@mei"


def test_the_divider_is_where_one_had_read_to(model: ChatModel) -> None:
    model.apply(message(6, to="#design"))
    view = model.show("#design")
    assert view.divider == 5
    model.mark_read(6)
    assert badges(model) == {}
    assert view.divider == 5  # it stays until one looks elsewhere
    model.show("#lobby")
    assert model.show("#design").divider is None


@pytest.mark.parametrize(("head", "divider"), [(5, None), (9, 5)])
def test_the_divider_is_where_a_cut_had_begun(
    model: ChatModel, head: int, divider: int | None
) -> None:
    """What came meanwhile in the conversation that is shown is seen at once, and yet new."""
    model.show("#design")
    model.mark_read(5)
    there = conversation("#design", head, read=3, unread=head - 3)  # 4 and 5 were read since
    model.apply(Synchronised((), (there,)))
    assert model.shown.divider == divider


def test_arrivals_and_departures_are_told_in_the_lobby_and_in_private(model: ChatModel) -> None:
    model.show("@mei")
    model.apply(message(11))
    model.apply(message(4, sender="ada", to="@mei"))
    model.apply(Presence(online=(Person(name="kofi"),), offline=("mei",)))
    assert model.people.names() == ["ada", "kofi", "tomas"]
    lobby = [(e.sender, e.text) for e in model.conversations["#lobby"].timeline][1:]
    assert lobby == [("kofi", "online"), ("mei", "offline")]
    assert [e.text for e in model.conversations["@mei"].timeline][1:] == ["offline"]


def test_someone_who_left_and_came_back_is_simply_online(model: ChatModel) -> None:
    model.apply(Presence(online=(Person(name="mei", away="lunch"),), offline=("mei",)))
    person = model.people.get("mei")
    assert person is not None
    assert person.away == "lunch"


def test_thousands_arrive_without_a_line_each(model: ChatModel) -> None:
    model.apply(message(11))
    model.apply(Presence(online=tuple(Person(name=f"p{n:04}") for n in range(3000))))
    assert len(model.people) == 3003
    assert len(model.conversations["#lobby"].timeline) == 1
    assert model.people.matching("p29")[:2] == ["p2900", "p2901"]


def test_joining_leaving_and_being_removed_change_the_list(model: ChatModel) -> None:
    model.apply(message(1, sender="ada", to="#music", kind="join", text=""))
    assert model.conversations["#music"].joined
    model.apply(message(2, sender="ada", to="#music", kind="leave", text=""))
    assert "#music" not in model.conversations
    model.show("#design")
    model.apply(message(6, sender="tomas", to="#design", kind="kick", text="ada"))
    assert not model.shown.joined  # it can still be read
    model.show("#lobby")
    assert "#design" not in model.conversations


def test_topic_access_and_operators_follow_the_log(model: ChatModel) -> None:
    model.apply(message(6, to="#design", kind="topic", text="New looks"))
    model.apply(message(7, to="#design", kind="access", text="private"))
    model.apply(message(8, to="#design", kind="operator", text="ada"))
    view = model.conversations["#design"]
    assert (view.topic, view.private, view.operator) == ("New looks", True, True)
    model.apply(message(9, to="#design", kind="member", text="ada"))
    assert not view.operator


def test_moderators_operate_in_public_rooms_that_they_are_in(model: ChatModel) -> None:
    model.show("#design")
    model.apply(message(6, to="#design", kind="announcements", text="on"))
    assert not model.shown.operates
    assert model.shown.closed
    model.set_role("moderator")
    design, lobby = model.conversations["#design"], model.conversations["#lobby"]
    assert (design.operates, design.closed, lobby.operates) == (True, "", True)
    model.apply(message(7, to="#design", kind="access", text="private"))
    assert (design.operates, lobby.operates) == (False, True)
    model.set_role("member")
    assert (design.operates, lobby.operates) == (False, False)


def test_whether_history_is_hidden_follows_the_log(model: ChatModel) -> None:
    changes = [
        ("access", "private", "shown"),
        ("history", "hidden", "hidden"),
        ("history", "shown", "shown"),
        ("history", "hidden", "hidden"),
        ("access", "public", "shown"),
    ]
    for seq, (kind, text, history) in enumerate(changes, start=6):
        model.apply(message(seq, to="#design", kind=kind, text=text))
        assert model.conversations["#design"].history == history


def page(*seqs: int, head: int, floor: int = 0, base: int = 0, older: bool = False) -> HistoryPage:
    entries = tuple(message(seq, to="#design", text=f"text {seq}") for seq in seqs)
    return HistoryPage(
        conversation="#design", epoch="e", head=head, entries=entries, older=older, floor=floor,
        base=base,
    )  # fmt: skip


def lines(model: ChatModel) -> list[str]:
    timeline = model.conversations["#design"].timeline
    return [entry.text or entry.kind for entry in timeline]


def test_line_at_the_top_says_that_what_was_before_is_hidden(model: ChatModel) -> None:
    model.add_page(page(8, 9, head=9, floor=6, older=True), "older")
    assert lines(model) == ["text 8", "text 9"]
    model.add_page(page(7, head=9, floor=6), "older")
    assert lines(model) == ["hidden", "text 7", "text 8", "text 9"]
    model.add_page(page(head=9, floor=6), "older")
    assert lines(model) == ["hidden", "text 7", "text 8", "text 9"]


def test_line_at_the_top_says_that_what_was_before_is_no_longer_kept(model: ChatModel) -> None:
    model.add_page(page(8, 9, head=9, base=7), "older")
    model.add_page(page(head=9, base=8), "older")
    assert lines(model) == ["removed", "text 8", "text 9"]


def test_nothing_says_so_of_what_was_loaded_before_it_was_removed(model: ChatModel) -> None:
    model.add_page(page(1, 2, head=2), "older")
    model.add_page(page(3, head=3, base=2), "newer")
    assert lines(model) == ["text 1", "text 2", "text 3"]


def test_nothing_says_so_where_nothing_is_hidden(model: ChatModel) -> None:
    model.add_page(page(1, 2, head=2, floor=0), "older")
    assert lines(model) == ["text 1", "text 2"]


def test_who_has_joined_again_sees_what_follows(model: ChatModel) -> None:
    model.add_page(page(1, 2, head=2, floor=0), "older")
    model.apply(message(9, to="#design", text="text 9"))  # after what is hidden by now
    assert model.conversations["#design"].timeline.newer
    model.add_page(page(8, 9, head=9, floor=7), "newer")
    assert lines(model) == ["hidden", "text 8", "text 9"]
    model.apply(message(10, to="#design", text="text 10"))
    assert lines(model)[-1] == "text 10"


def test_an_invitation_is_told_and_adds_no_room(model: ChatModel) -> None:
    for _ in range(2):
        model.apply(Invited(invitation("#secret")))
    assert model.take_changes().attention == [Attention("#secret", "mei", "", "invite")]
    assert "#secret" not in model.conversations
    assert model.invitation("#SECRET") == invitation("#secret")
    model.apply(Uninvited("#secret"))
    assert model.invitation("#secret") is None


def test_snapshot_replaces_the_invitations() -> None:
    """Only those that are new after a reconnect are told: the others wait in the list."""
    first, second = map(invitation, ("#one", "#two"))
    model = ChatModel("ada")
    model.apply(Synchronised((), (conversation("#lobby", 10),), (first,)))
    assert model.take_changes().attention == []
    model.apply(Synchronised((), (conversation("#lobby", 10),), (first, second)))
    assert [news.conv for news in model.take_changes().attention] == ["#two"]
    model.apply(Synchronised((), (conversation("#lobby", 10),), (second,)))
    assert [*model.invitations] == ["#two"]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (message(4, to="@ada"), "direct"),
        (message(6, to="#design", mentions=("ada",)), "mention"),
        (message(6, to="#design"), "message"),
    ],
)
def test_what_may_want_attention_is_told(model: ChatModel, event: LogEntry, kind: str) -> None:
    model.apply(event)
    (attention,) = model.take_changes().attention
    assert attention.kind == kind


@pytest.mark.parametrize(("text", "kind"), [("deploy at ten", "mention"), ("hello", None)])
def test_word_of_ones_own_is_a_mention(model: ChatModel, text: str, kind: str | None) -> None:
    model.highlights = Highlights(["deploy"])
    model.conversations["#design"].level = "mentions"
    model.apply(message(6, to="#design", text=text))
    found = [attention.kind for attention in model.take_changes().attention]
    assert found == ([kind] if kind else [])


def test_history_never_wants_attention(model: ChatModel) -> None:
    model.apply(message(4, to="@ada", ts=int(NOW * 1000) - FRESH - 1))
    assert model.take_changes().attention == []


def test_a_muted_conversation_wants_no_attention(model: ChatModel) -> None:
    model.set_level("#design", "none")
    model.apply(message(6, to="#design", mentions=("ada",)))
    assert model.take_changes().attention == []


def test_typing_lapses(model: ChatModel) -> None:
    now = NOW
    model._clock = lambda: now
    model.apply(IsTyping("@mei", "mei"))
    model.apply(IsTyping("#lobby", "tomas"))
    assert model.typists("@mei") == ["mei"]
    assert model.typists("#lobby") == ["tomas"]
    now += 7
    model.lapse_typing()
    assert model.typists("@mei") == []


def test_a_message_ends_the_typing(model: ChatModel) -> None:
    model.apply(IsTyping("@mei", "mei"))
    model.apply(message(4, to="@ada"))
    assert model.typists("@mei") == []


def test_a_message_of_ones_own_is_pending_then_sent(model: ChatModel) -> None:
    outgoing = Outgoing(conversation="#lobby", text="hello")
    model.put_outgoing(outgoing)
    assert model.counts() == (1, 0)
    outgoing.become_sent(Sent(conversation="#lobby", epoch="e", seq=11, time=moment(0)))
    model.apply(OutgoingChanged(outgoing))
    model.apply(message(11, sender="ada", text="hello", cid=outgoing.cid))
    assert model.counts() == (0, 0)
    assert [(e.key, e.state) for e in model.shown.timeline] == [("11", "sent")]


def test_a_refused_message_stays_with_its_reason(model: ChatModel) -> None:
    outgoing = Outgoing(conversation="@nobody", text="hello")
    model.put_outgoing(outgoing)
    outgoing.become_failed(ChatError("unknown_person", "there is no nobody"))
    model.apply(OutgoingChanged(outgoing))
    assert model.counts() == (0, 1)
    (entry,) = model.conversations["@nobody"].timeline
    assert (entry.state, entry.error) == ("failed", "there is no nobody")
    model.drop_outgoing(outgoing.cid)
    assert model.counts() == (0, 0)


def test_what_waits_for_a_room_that_one_was_removed_from_stays_in_sight(model: ChatModel) -> None:
    """It was written before, and the app was left; it is refused, and the person decides."""
    outgoing = Outgoing(conversation="#gone", text="hello")
    model.take_outbox([outgoing])
    outgoing.become_failed(ChatError("not_a_member", "you are not in #gone"))
    model.apply(OutgoingChanged(outgoing))
    for _ in range(2):
        model.apply(Synchronised((), (conversation("#lobby", 10),)))  # after a reconnect, too
        assert not model.show("#gone").joined
        assert [e.state for e in model.shown.timeline] == ["failed"]
        model.show("#lobby")
    model.apply(Invited(invitation("#gone")))
    assert [news.kind for news in model.take_changes().attention] == ["invite"]
    model.show("#gone")
    model.drop_outgoing(outgoing.cid)
    model.show("#lobby")
    assert "#gone" not in model.conversations


def test_a_conversation_is_one_however_its_name_is_typed(model: ChatModel) -> None:
    outgoing = Outgoing(conversation="@Mei", text="hello")
    model.put_outgoing(outgoing)
    assert [e.text for e in model.show("@MEI").timeline] == ["hello"]
    assert model.current == "@mei"


def test_a_conversation_takes_the_spelling_of_the_server(model: ChatModel) -> None:
    """The app can't know that the server takes the two for the same: full-width letters."""
    typed, other = (
        Outgoing(conversation="@ｋｏｆｉ", text="hello"),
        Outgoing(conversation="@ｋｏｆｉ", text="again"),
    )
    model.show("@ｋｏｆｉ").draft = "and"
    model.put_outgoing(typed)
    model.put_outgoing(other)
    model.apply(message(1, sender="kofi", to="@ada"))
    typed.become_sent(Sent(conversation="@kofi", epoch="e", seq=2, time=moment(0)))
    model.apply(OutgoingChanged(typed))
    model.apply(message(2, sender="ada", to="@kofi", text="hello", cid=typed.cid))
    assert sorted(model.conversations) == ["#design", "#lobby", "@kofi", "@mei"]
    assert model.current == "@kofi"
    assert [e.text for e in model.shown.timeline] == ["m1", "hello", "again"]
    assert model.shown.draft == "and"
    other.become_failed(ChatError("too_long", "no"))
    model.apply(OutgoingChanged(other))
    assert [e.state for e in model.shown.timeline] == ["sent", "sent", "failed"]


def test_a_reset_replaces_what_is_shown(model: ChatModel) -> None:
    model.apply(message(11))
    model.apply(Reset("#lobby", "e2", (message(700), message(701))))
    view = model.conversations["#lobby"]
    assert (view.epoch, view.head) == ("e2", 701)
    assert [e.key for e in view.timeline] == ["700", "701"]
    model.apply(message(702))
    assert view.timeline.last == 702


def test_a_page_of_another_epoch_is_not_mixed_in(model: ChatModel) -> None:
    model.apply(message(11))
    page = HistoryPage(conversation="#lobby", epoch="old", head=10, entries=(message(10),))
    assert model.add_page(page, "older") == 0
    assert [e.key for e in model.shown.timeline] == ["11"]


def test_the_connection_counts_down(model: ChatModel) -> None:
    model.apply(StateChanged(ConnectionState.RECONNECTING, 4.2, "cut"))
    assert model.retry_in() == 4
    model.apply(StateChanged(ConnectionState.CONNECTED))
    assert model.retry_in() is None


def test_changes_are_told_once_and_only_of_what_changed(model: ChatModel) -> None:
    model.apply(message(11))
    changes = model.take_changes()
    assert list(changes.logs) == ["#lobby"]
    assert changes.conversations
    assert not changes.people
    assert not model.has_changes
    assert not model.take_changes()


def test_a_conversation_that_nobody_looks_at_does_not_grow_without_end(model: ChatModel) -> None:
    for seq in range(6, 6 + 3 * KEPT):
        model.apply(message(seq, to="#design"))
    assert len(model.conversations["#design"].timeline) <= 2 * KEPT
    assert model.conversations["#design"].unread == 3 * KEPT


def test_drafts_come_and_go_by_conversation(model: ChatModel) -> None:
    model.take_drafts({"#design": "half a sent", "#gone": "x", "@new": "hi"})
    assert model.drafts() == {"#design": "half a sent", "@new": "hi"}


def test_a_room_that_went_on_without_the_person_is_shown_up_to_now_again(
    model: ChatModel,
) -> None:
    """It is not the past: what comes next is shown, and what came meanwhile is loaded above."""
    model.apply(message(1, sender="ada", to="#garden", kind="join", text=""))
    model.show("#garden")  # so that it stays
    model.apply(message(2, to="#garden"))
    model.apply(message(3, sender="ada", to="#garden", kind="leave", text=""))
    model.apply(message(7, sender="ada", to="#garden", kind="join", text=""))
    model.apply(message(8, to="#garden"))
    timeline = model.conversations["#garden"].timeline
    assert not timeline.newer
    assert [entry.seq for entry in timeline.entries] == [7, 8]
    assert timeline.older
