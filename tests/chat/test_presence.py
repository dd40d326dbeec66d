"""Who is online, in pages and in events."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from gochat.chat import names, status
from gochat.chat.names import MAX_NAME, NameKey
from gochat.chat.presence import Roster
from gochat.protocol.codec import encode
from gochat.protocol.framing import HEADER_SIZE, MAX_FRAME_SIZE
from gochat.protocol.messages import People, Person, Presence, Status
from gochat.server.signals import MAX_AWAY

#: The longest allowed texts on the wire: four bytes a character; escaped twice, seven.
LONGEST_NAME = "𐐨" * MAX_NAME
LONGEST_AWAY = "\x01" * MAX_AWAY
NOW = 1_792_000_000_000
LONGEST_STATUS = Status(
    emoji="🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    text="𐐨" * status.MAX_STATUS,
    until=NOW + 1,
)


def arrive(
    roster: Roster, *people: str, away: str | None = None, said: Status | None = None
) -> None:
    for name in people:
        roster.arrive(names.fold(name), Person(name=name, away=away, status=said))


def crowd(
    size: int, *, away: str | None = None, said: Status | None = None
) -> tuple[Roster, list[NameKey]]:
    """Many people with the longest names, and their keys."""
    roster = Roster(lambda: NOW)
    letters = {ord("0") + digit: ord(LONGEST_NAME[0]) + digit for digit in range(10)}
    shown = [f"{number:032}".translate(letters) for number in range(size)]
    arrive(roster, *shown, away=away, said=said)
    return roster, [names.fold(name) for name in shown]


def take_news(roster: Roster) -> list[Presence]:
    """Return all events about pending changes, and forget the changes."""
    events: list[Presence] = []
    told = 0
    while told < roster.changes:
        some, told = roster.news(told, with_status=True)
        events += some
        if not some:
            break
    roster.forget(roster.changes)
    return events


def news(roster: Roster) -> tuple[list[str], list[str]]:
    """Return the names that came and those that left, of all events together."""
    events = take_news(roster)
    online = [person.name for event in events for person in event.online]
    return online, [name for event in events for name in event.offline]


# -- pages ----------------------------------------------------------------------------------------


def test_pages_list_everyone_in_the_order_of_keys() -> None:
    roster = Roster(lambda: NOW)
    arrive(roster, "mei", "Bob", "eve", "Zoë", "ann", "梅")
    pages, after, more = [], "", True
    while more:
        page, more = roster.page(after, 2, with_status=True)
        pages.append([person.name for person in page])
        after = names.fold(page[-1].name)
    assert pages == [["ann", "Bob"], ["eve", "mei"], ["Zoë", "梅"]]


def test_page_continues_after_a_person_who_has_left() -> None:
    roster = Roster(lambda: NOW)
    arrive(roster, "ann", "bob", "eve")
    roster.leave(NameKey("bob"))
    page, more = roster.page("bob", 5, with_status=True)
    assert ([person.name for person in page], more) == (["eve"], False)
    assert roster.page("eve", 5, with_status=True) == ((), False)


@given(
    st.sets(st.integers(0, 999), max_size=400),
    st.integers(1, 300),
    st.sampled_from([None, "gone"]),
)
def test_pages_of_any_size_list_everyone_once(
    numbers: set[int], limit: int, away: str | None
) -> None:
    roster = Roster(lambda: NOW)
    arrive(roster, *(f"p{number:03}" for number in numbers), away=away)
    seen: list[str] = []
    after, more = "", True
    while more:
        page, more = roster.page(after, limit, with_status=True)
        assert page or not numbers
        assert len(page) <= limit
        seen += (person.name for person in page)
        after = seen[-1] if seen else ""
    assert seen == [f"p{number:03}" for number in sorted(numbers)]


@pytest.mark.parametrize("away", [None, LONGEST_AWAY])
@pytest.mark.parametrize("said", [None, LONGEST_STATUS])
def test_page_fits_a_frame_whoever_is_in_it(away: str | None, said: Status | None) -> None:
    roster, _ = crowd(1000, away=away, said=said)
    page, more = roster.page("", 1000, with_status=True)
    assert more
    reply = People(people=page, total=2**53 - 1, more=True, request_id="\x01" * 64)
    assert len(encode(reply)) - HEADER_SIZE <= MAX_FRAME_SIZE
    assert len(encode(reply)) > MAX_FRAME_SIZE // 2, "a page is not needlessly short, either"


# -- events ---------------------------------------------------------------------------------------


def test_event_lists_who_came_and_left_since_the_last() -> None:
    roster = Roster(lambda: NOW)
    arrive(roster, "mei", "bob")
    assert news(roster) == (["mei", "bob"], [])
    roster.leave(NameKey("mei"))
    arrive(roster, "eve")
    assert news(roster) == (["eve"], ["mei"])
    assert take_news(roster) == []
    assert len(roster) == 2
    assert NameKey("mei") not in roster


def test_person_who_came_and_left_is_listed_as_they_are_now() -> None:
    roster = Roster(lambda: NOW)
    arrive(roster, "mei", "bob")
    take_news(roster)
    arrive(roster, "eve")
    roster.leave(NameKey("eve"))
    roster.leave(NameKey("bob"))
    arrive(roster, "bob")
    for _ in range(100):
        roster.leave(NameKey("mei"))
        arrive(roster, "mei")
    assert news(roster) == (["bob", "mei"], ["eve"])


def test_changed_away_notice_is_an_event_of_an_online_person() -> None:
    roster = Roster(lambda: NOW)
    arrive(roster, "mei")
    take_news(roster)
    arrive(roster, "mei", away="lunch")
    [event] = take_news(roster)
    assert event == Presence(online=(Person(name="mei", away="lunch"),))
    assert len(roster) == 1
    arrive(roster, "mei")
    assert take_news(roster) == [Presence(online=(Person(name="mei"),))]


def test_status_is_shown_only_to_those_who_ask_for_it_until_it_ends() -> None:
    now = NOW
    roster = Roster(lambda: now)
    arrive(roster, "mei", "bob")
    came = roster.changes
    roster.set_status(NameKey("mei"), LONGEST_STATUS)
    roster.set_status(NameKey("eve"), LONGEST_STATUS)  # is not online
    mei = Person(name="mei", status=LONGEST_STATUS)
    assert roster.news(came, with_status=True) == ([Presence(online=(mei,))], came + 1)
    assert roster.news(came, with_status=False) == ([], came + 1), "no news, but not behind"
    bare = [Presence(online=(Person(name="bob"), Person(name="mei")))]
    assert roster.news(0, with_status=False) == (bare, came + 1)
    roster.set_away(NameKey("mei"), "lunch")
    roster.set_status(NameKey("mei"), Status(text="tea"))
    away = [Presence(online=(Person(name="mei", away="lunch"),))]
    assert roster.news(came, with_status=False) == (away, came + 3), "the notice is news"
    roster.set_status(NameKey("mei"), LONGEST_STATUS)
    assert roster.page("", 9, with_status=False)[0][1] == Person(name="mei", away="lunch")
    assert roster.page("bob", 9, with_status=True)[0][0].status == LONGEST_STATUS
    now += 1
    assert roster.page("bob", 9, with_status=True)[0][0].status is None
    assert roster.news(came, with_status=True)[0] == away
    changes = roster.changes
    roster.set_status(NameKey("mei"), LONGEST_STATUS)
    assert roster.changes == changes, "setting what is set is no news"


def test_leaving_without_coming_is_not_an_event() -> None:
    roster = Roster(lambda: NOW)
    roster.leave(NameKey("mei"))
    assert take_news(roster) == []


@pytest.mark.parametrize("away", [None, LONGEST_AWAY])
@pytest.mark.parametrize("said", [None, LONGEST_STATUS])
def test_event_of_a_crowd_is_split_into_frames(away: str | None, said: Status | None) -> None:
    roster, keys = crowd(1000, away=away, said=said)
    came = take_news(roster)
    for key in keys:
        roster.leave(key)
    left = take_news(roster)
    assert sum(len(event.online) for event in came) == 1000
    assert sum(len(event.offline) for event in left) == 1000
    for event in came + left:
        assert len(encode(event)) - HEADER_SIZE <= MAX_FRAME_SIZE
    assert len(left) <= 4
    assert len(came) <= ((57 if said else 25) if away else (13 if said else 4))


def test_names_and_notices_share_a_frame_if_they_fit() -> None:
    roster = Roster(lambda: NOW)
    for number in range(100):
        key = NameKey(f"{number:03}")
        roster.arrive(key, Person(name=LONGEST_NAME, away=LONGEST_AWAY if number % 2 else None))
    events = take_news(roster)
    assert len(events) == 2
    assert all(len(encode(event)) - HEADER_SIZE <= MAX_FRAME_SIZE for event in events)


def test_changes_are_read_in_parts_from_any_cursor() -> None:
    roster, keys = crowd(1200)
    first, up_to = roster.news(0, with_status=True)
    assert sum(len(event.online) for event in first) == 500
    assert sum(len(encode(event)) for event in first) <= 2 * (MAX_FRAME_SIZE + HEADER_SIZE)
    late = roster.news(900, with_status=True)[0]
    assert [person.name for event in late for person in event.online] == [
        roster._people[key].name for key in keys[900:]
    ]
    roster.leave(keys[0])
    second, _ = roster.news(up_to, with_status=True)
    assert not any(event.offline for event in second), "the latest change comes last"
    roster.forget(up_to)
    assert roster.news(0, with_status=True) == (second, 1000)
    assert roster.news(roster.changes, with_status=True) == ([], roster.changes)


@pytest.mark.trio
async def test_wait_for_changes_ends_when_there_are_some(
    autojump_clock: MockClock,
) -> None:
    roster = Roster(lambda: NOW)
    with trio.move_on_after(10) as nothing_happens:
        await roster.wait_for_news()
    assert nothing_happens.cancelled_caught
    arrive(roster, "mei")
    await roster.wait_for_news()
    await roster.wait_for_news()  # returns until they are taken
    take_news(roster)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(roster.wait_for_news)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        roster.leave(NameKey("mei"))
