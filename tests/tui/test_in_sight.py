"""What waits is in sight, what the screen says is so, and the past has a way back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pilots import OpenApp, screen_text, settle, type_text, typed, until
from textual.pilot import Pilot
from textual.widgets import Static

from gochat.client import MessagesReported, Report, Sent
from gochat.errors import ChatError, ConnectionLost, ErrorCode
from gochat.tui.chat_log import LogMessage
from gochat.tui.demo.scripted_client import ScriptedClient
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.forms import MuteForm, ResolveForm, RoomForm
from gochat.tui.dialogs.pickers import ListMenu, MemberPicker, PersonMenu
from gochat.tui.dialogs.report_form import ReportForm
from gochat.tui.screens.chat import ChatScreen
from gochat.tui.widgets.past_bar import PastBar

pytestmark = pytest.mark.anyio

SMALL = (80, 24)


def chat(pilot: Pilot[None]) -> ChatScreen:
    screen = next(s for s in pilot.app.screen_stack if isinstance(s, ChatScreen))
    assert isinstance(screen, ChatScreen)
    return screen


def requested(client: ScriptedClient, method: str) -> list[tuple[Any, ...]]:
    return [request[1:] for request in client.requests if request[0] == method]


def pane(pilot: Pilot[None]) -> list[str]:
    """Return the rows of the side pane."""
    width = chat(pilot).side.size.width
    return [line[:width].strip() for line in screen_text(pilot).splitlines()]


def texts(pilot: Pilot[None]) -> list[str]:
    return [i.text for i in chat(pilot).log_view.items.values() if isinstance(i, LogMessage)]


def eleven_rooms(client: ScriptedClient) -> None:
    for n in range(11):
        client.add_room(f"#room-{n:02}", joined=True)


# -- the list --------------------------------------------------------------------------------------


async def test_a_private_message_is_in_sight_with_eleven_rooms_at_80_by_24(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    eleven_rooms(client)
    async with open_app(size=SMALL) as pilot:
        assert "#room-10" in pane(pilot)
        client.say("@mei", "mei", "are you there?")
        await settle(pilot)
        rows = [row for row in pane(pilot) if row]
        # Once: what has a row here is not counted as activity besides.
        assert (rows[0], rows[2]) == ("▾ Unread", "▾ Rooms")
        assert rows[1].startswith("● mei")
        assert rows[1].endswith(" 1")


async def test_unread_is_a_number_and_a_mention_stands_beside_it(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", joined=True)
    async with open_app(size=SMALL) as pilot:
        for mentions in ((), ("ada",), ()):
            client.say("#design", "mei", "hello", mentions=mentions)
        await settle(pilot)
        assert any(row.startswith("#design") and row.endswith("@ 3") for row in pane(pilot))


async def test_badges_fall_when_messages_are_deleted(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", joined=True)
    said = [client.record("#design", "mei", f"m{n}").seq for n in range(2)]
    async with open_app(size=SMALL) as pilot:
        assert any(row.startswith("#design") and row.endswith(" 2") for row in pane(pilot))
        client.say("#design", "mei", "", kind="delete", ref=said[0])  # it is not loaded here
        await until(pilot, lambda: chat(pilot).model.conversations["#design"].unread == 1)
        last = client.say("#design", "mei", "now")
        client.say("#design", "mei", "", kind="delete", ref=last.seq)
        await settle(pilot)
        assert any(row.startswith("#design") and row.endswith(" 1") for row in pane(pilot))


async def test_what_is_unread_below_the_fold_is_said(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    for n in range(30):
        client.add_room(f"#room-{n:02}", joined=True)
    async with open_app(size=SMALL) as pilot:
        for n in range(30):
            client.say(f"#room-{n:02}", "mei", "hello")
        await settle(pilot)
        rows = pane(pilot)
        shown = sum(row.startswith("#room") for row in rows)
        assert f"{30 - shown} unread ↓" in rows
        conversations = chat(pilot).side.conversations
        conversations.scroll_to(y=10, animate=False)
        await settle(pilot)
        above, below = (
            next(int(row.split()[0]) for row in pane(pilot) if row.endswith(f"unread {sign}"))
            for sign in "↑↓"
        )
        assert above + below + sum(row.startswith("#room") for row in pane(pilot)) == 30


async def test_groups_fold_and_favourites_are_kept(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    eleven_rooms(client)
    async with open_app(size=SMALL) as pilot:
        chat(pilot).open_conversation("#room-03")
        await typed(pilot, "/favourite")
        pilot.app.clear_notifications()
        chat(pilot).open_conversation("#lobby")
        await settle(pilot)
        rows = [row for row in pane(pilot) if row]
        assert rows[:3] == ["▾ Favourites", "#room-03", "▾ Rooms"]
        await pilot.press("f2", "home", "down", "down", "enter")
        await settle(pilot)
        rows = [row for row in pane(pilot) if row]
        assert rows[2].startswith("▸ Rooms")
        assert rows[2].endswith("11")
        assert rows[3] == "#lobby"  # the shown one stays
        assert "#room-04" not in rows
    async with open_app(size=SMALL) as pilot:
        rows = [row for row in pane(pilot) if row]
        assert rows[:2] == ["▾ Favourites", "#room-03"]
        assert rows[2].startswith("▸ Rooms")


async def test_unread_messages_of_a_folded_group_are_counted(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", joined=True)
    async with open_app(size=SMALL) as pilot:
        for _ in range(3):
            client.say("#design", "mei", "hello", mentions=("ada",))
        client.say("@mei", "mei", "hello")
        await settle(pilot)
        chat(pilot).model.folded.add("unread")
        chat(pilot).side.refresh_conversations()
        await settle(pilot)
        row = next(row for row in pane(pilot) if row.startswith("▸ Unread"))
        assert row.endswith("@ 4")


# -- what the screen says --------------------------------------------------------------------------


async def test_a_room_that_is_joined_has_its_topic_and_that_it_is_private_in_the_header(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.say("#den", "mei", "private", kind="create")
    client.say("#den", "mei", "Only for us", kind="topic")
    client.say("#den", "mei", "ada", kind="invite")
    async with open_app() as pilot:
        await typed(pilot, "/join den")
        await until(pilot, lambda: chat(pilot).model.current == "#den")
        await until(pilot, lambda: "Only for us" in screen_text(pilot))
        assert "private room" in screen_text(pilot)


async def test_the_lobby_has_the_message_of_the_day_in_the_header(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.motd = "Maintenance on Friday\x1b[31m"
    async with open_app() as pilot:
        await until(pilot, lambda: "Maintenance on Friday" in screen_text(pilot))
        assert "\x1b" not in screen_text(pilot)


async def test_who_is_removed_is_not_typing_any_more(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#design", members=["mei", "tomas"], joined=True)
    async with open_app() as pilot:
        chat(pilot).open_conversation("#design")
        client.type("#design", "tomas")
        await until(pilot, lambda: "tomas is typing" in screen_text(pilot))
        client.say("#design", "mei", "tomas", kind="kick")
        await until(pilot, lambda: "tomas is typing" not in screen_text(pilot))


async def test_who_goes_offline_is_not_typing_any_more(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        client.type("#lobby", "tomas")
        await until(pilot, lambda: "tomas is typing" in screen_text(pilot))
        client.depart("tomas")
        await until(pilot, lambda: "tomas is typing" not in screen_text(pilot))


async def test_nobody_comes_online_after_what_they_said(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        client.say("#lobby", "zoe", "hello all")
        client.arrive("zoe")
        client.arrive("yan")
        await until(pilot, lambda: "yan came online" in screen_text(pilot))
        assert "zoe came online" not in screen_text(pilot)


async def test_names_are_shown_in_their_own_spelling(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.arrive("Zoë")
    client.add_room("#design", members=["Zoë"], joined=True)
    async with open_app() as pilot:
        await typed(pilot, "/msg ZOË hi")
        assert chat(pilot).model.current == "@Zoë"
        assert "@ZOË" not in screen_text(pilot)
        chat(pilot).open_conversation("#design")
        chat(pilot).model.shown.operator = True
        await typed(pilot, "/kick zoë")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "Remove Zoë from #design?" in screen_text(pilot)


@pytest.mark.parametrize("command", ["/kick mei", "/op mei", "/deop mei"])
async def test_rights_are_checked_before_anything_is_asked(
    open_app: OpenApp, client: ScriptedClient, command: str
) -> None:
    client.add_room("#design", members=["mei"], joined=True)
    async with open_app() as pilot:
        chat(pilot).open_conversation("#design")
        await typed(pilot, command)
        await until(pilot, lambda: "Only the operators of #design can" in screen_text(pilot))
        assert not isinstance(pilot.app.screen, Confirm)
        assert not requested(client, "kick")
        assert not requested(client, "set_operator")


def form_text(pilot: Pilot[Any]) -> str:
    """Return what a form says above its fields."""
    return str(pilot.app.screen.query_one("#form-text", Static).content)


async def test_moderator_may_what_operators_may_but_not_choose_them(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "moderator"
    client.add_room("#design", members=["mei"], joined=True)
    async with open_app() as pilot:
        chat(pilot).open_conversation("#design")
        await typed(pilot, "/op mei")
        await until(pilot, lambda: "Only the operators of #design can" in screen_text(pilot))
        await typed(pilot, "/kick mei")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: requested(client, "kick") == [("#design", "mei")])


@pytest.mark.parametrize(
    ("room", "says"),
    [
        ("#design", "/hand-over #design mei"),
        ("#den", "Only the operators of #den can choose operators."),
    ],
)
async def test_op_shows_an_admin_what_does_it_where_they_are_no_operator(
    open_app: OpenApp, client: ScriptedClient, room: str, says: str
) -> None:
    client.role = "admin"
    client.add_room("#design", members=["mei"], joined=True)
    client.add_room("#den", members=["mei"], joined=True, private=True)
    async with open_app() as pilot:
        chat(pilot).open_conversation(room)
        await typed(pilot, "/op mei")
        await until(pilot, lambda: says in screen_text(pilot))
        assert ("hand-over" in screen_text(pilot)) == (room == "#design")
        assert not requested(client, "set_operator")


async def test_moderator_deletes_in_the_lobby_what_others_wrote(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "moderator"
    client.record("#lobby", "mei", "spam")
    async with open_app() as pilot:
        await until(pilot, lambda: texts(pilot) == ["spam"])
        await pilot.press("up", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: len(requested(client, "delete")) == 1)


async def test_moderator_mutes_and_lifts_it_again(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "moderator"
    client.arrive("mei")
    async with open_app() as pilot:
        await typed(pilot, "/mute mei 2h too loud")
        await until(pilot, lambda: "Mute mei for 2 h?" in screen_text(pilot))
        await pilot.press("y")
        await until(pilot, lambda: "mei is muted" in screen_text(pilot))
        [(name, kind, time, reason)] = requested(client, "restrict")
        assert (name, kind, time.total_seconds(), reason) == ("mei", "mute", 7200, "too loud")
        await typed(pilot, "/restrictions")
        await until(pilot, lambda: "by ada: too loud" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: requested(client, "unrestrict") == [("mei", "mute")])


async def test_admin_bans_an_address_and_lifts_it(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "admin"
    async with open_app() as pilot:
        await typed(pilot, "/address-bans")
        await until(pilot, lambda: "No address is banned" in screen_text(pilot))
        await pilot.press("escape")
        await typed(pilot, "/address-ban 203.0.0.0/16 7d spam")
        await until(pilot, lambda: "Ban 203.0.0.0/16 for 7 days?" in screen_text(pilot))
        assert "these 65,536 addresses" in screen_text(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "203.0.0.0/16 is banned" in screen_text(pilot))
        [(network, time, reason)] = requested(client, "ban_address")
        assert (network, time.total_seconds(), reason) == ("203.0.0.0/16", 604_800, "spam")
        await typed(pilot, "/address-bans")
        await until(pilot, lambda: "by ada: spam" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: requested(client, "unban_address") == [("203.0.0.0/16",)])


async def test_admin_hands_over_a_room(open_app: OpenApp, client: ScriptedClient) -> None:
    client.role = "admin"
    client.add_room("#nursery", operators=["tomas"], members=["mei", "bob"], joined=True)
    async with open_app() as pilot:
        await typed(pilot, "/hand-over nursery mei Tomas has left")
        await until(pilot, lambda: "Make mei an operator of #nursery?" in screen_text(pilot))
        await pilot.press("y")
        await until(pilot, lambda: "mei is an operator of #nursery" in screen_text(pilot))
        assert requested(client, "hand_over") == [("#nursery", "mei", "Tomas has left")]
        chat(pilot).open_conversation("#nursery")
        await typed(pilot, "/members")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemberPicker))
        await pilot.press(*"bob", "enter")
        await until(pilot, lambda: "Hand this room over to them" in screen_text(pilot))
        await pilot.press(*"hand", "enter")
        await until(pilot, lambda: "Make bob an operator of #nursery?" in screen_text(pilot))


async def test_moderator_bans_no_address(open_app: OpenApp, client: ScriptedClient) -> None:
    client.role = "moderator"
    async with open_app() as pilot:
        await typed(pilot, "/address-ban 203.0.113.7")
        await until(pilot, lambda: "Only admins of the server" in screen_text(pilot))
        assert not requested(client, "ban_address")


async def test_moderator_restricts_somebody_from_the_list_of_people(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "moderator"
    client.arrive("mei")
    async with open_app() as pilot:
        await typed(pilot, "/who")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemberPicker))
        await pilot.press(*"mei", "enter")
        await until(pilot, lambda: "Ban them from the server" in screen_text(pilot))
        await pilot.press(*"mute", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MuteForm))
        await pilot.press(*["backspace"] * 2, *"soon", "enter", *"loud", "enter")
        await until(pilot, lambda: "a time as 30m, 2h or 7d" in screen_text(pilot))
        assert not requested(client, "restrict")
        await pilot.press(*["backspace"] * 4, *"2h", "enter")
        await until(pilot, lambda: "mei is muted" in screen_text(pilot))
        [(name, kind, time, reason)] = requested(client, "restrict")
        assert (name, kind, time.total_seconds(), reason) == ("mei", "mute", 7200, "loud")


async def test_selected_message_is_reported_and_a_moderator_resolves_it(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "moderator"
    client.arrive("mei")
    client.say("#lobby", "mei", "something rude")
    async with open_app() as pilot:
        await until(pilot, lambda: "something rude" in screen_text(pilot))
        await typed(pilot, "/report")
        await until(pilot, lambda: "Select the message first" in screen_text(pilot))
        await pilot.press("up", "x")
        await until(pilot, lambda: "mei: something rude" in screen_text(pilot))
        await pilot.press(*"spam", "enter")
        await until(pilot, lambda: "The moderators will look into it" in screen_text(pilot))
        [(conv, seqs, reason)] = requested(client, "report")
        assert (conv, len(seqs), reason) == ("#lobby", 1, "spam")
        client.emit(
            MessagesReported(
                id=1, time=datetime.now(UTC), sender="bob", conversation="#lobby", names=("mei",)
            )
        )
        await until(pilot, lambda: "bob reports mei" in screen_text(pilot))
        await typed(pilot, "/reports")
        await until(pilot, lambda: "mei in #lobby, reported by ada: spam" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "A report" in screen_text(pilot))
        assert "something rude" in screen_text(pilot)
        await pilot.press(*"warned", "enter")
        await until(pilot, lambda: requested(client, "resolve_report") == [(1, "warned")])


async def test_new_role_holds_at_once(open_app: OpenApp, client: ScriptedClient) -> None:
    """What it allows is offered, and what it has brought goes with it, without a new login."""
    client.arrive("mei", "bob")
    client.add_room("#design", members=["mei"], joined=True)
    seq = client.say("#design", "mei", "something rude").seq
    client.reported("bob", "#design", seq, "")
    async with open_app() as pilot:
        await typed(pilot, "/address-bans")
        await until(pilot, lambda: "Only admins of the server can do this" in screen_text(pilot))
        client.role = "admin"
        await until(pilot, lambda: "You are now an admin of this server" in screen_text(pilot))
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await typed(pilot, "/address-bans")
        await until(pilot, lambda: "No address is banned" in screen_text(pilot))
        await pilot.press("escape")
        client.role = "moderator"
        await until(pilot, lambda: "You are now a moderator of this server" in screen_text(pilot))
        chat(pilot).open_conversation("#design")
        await typed(pilot, "/kick mei")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("escape")
        client.role = "member"
        await until(pilot, lambda: "no longer a moderator of this server" in screen_text(pilot))
        await until(pilot, lambda: "★ Activity" not in screen_text(pilot))
        await typed(pilot, "/kick mei")
        await until(pilot, lambda: "Only the operators of #design can" in screen_text(pilot))
        assert not isinstance(pilot.app.screen, Confirm)


async def test_open_menu_of_a_person_follows_the_role(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """Enter was meant for what is gone by then, not for the row that is there now."""
    client.role = "moderator"
    client.arrive("mei")
    client.add_room("#design", members=["mei"], joined=True)
    client.say("#design", "mei", "hello")
    async with open_app() as pilot:
        chat(pilot).open_conversation("#design")
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemberPicker))
        await pilot.press(*"mei", "enter")
        await until(pilot, lambda: "Mute them" in screen_text(pilot))
        assert "Hand this room over" not in screen_text(pilot)
        menu = pilot.app.screen
        assert isinstance(menu, PersonMenu)
        client.role = "admin"
        await until(pilot, lambda: "Hand this room over to them" in screen_text(pilot))
        while menu.rows.cursor_key != "mute":
            await pilot.press("down")
        client.role = "moderator"
        await until(pilot, lambda: "Hand this room over" not in screen_text(pilot))
        assert menu.rows.cursor_key == "mute"
        client.role = "member"
        await until(pilot, lambda: "Mute them" not in screen_text(pilot))
        assert "Remove them" not in screen_text(pilot)
        assert (menu.rows.keys, menu.rows.cursor_key) == (["write", "block"], "write")
        await client.block("mei")
        await until(pilot, lambda: "Unblock them" in screen_text(pilot))


async def test_what_only_the_staff_sees_is_not_shown_after_a_role_is_lost(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "admin"
    client.arrive("mei", "bob")
    seq = client.say("#lobby", "mei", "something rude").seq
    client.reported("bob", "#lobby", seq, "")
    async with open_app() as pilot:
        for command, shown, refusal in (
            ("/reports", "mei in #lobby", "Only moderators of the server can do this."),
            ("/restrictions", "Nobody is banned", "Only moderators of the server can do this."),
            ("/address-bans", "No address is banned", "Only admins of the server can do this."),
        ):
            await typed(pilot, command)
            await until(pilot, lambda shown=shown: shown in screen_text(pilot))  # type: ignore[misc]  # a default binds it
            client.role = "member"
            await until(pilot, lambda refusal=refusal: refusal in screen_text(pilot))  # type: ignore[misc]  # a default binds it
            assert shown not in screen_text(pilot)
            client.role = "admin"
            await until(pilot, lambda shown=shown: shown in screen_text(pilot))  # type: ignore[misc]  # a default binds it
            await pilot.press("escape")
        await typed(pilot, "/reports")
        await until(pilot, lambda: "mei in #lobby" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResolveForm))
        client.role = "member"
        await until(pilot, lambda: "is not yours to handle" in screen_text(pilot))


async def test_moderator_mutes_from_a_report_in_the_activity(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """The note that was begun is still there, and what is resolved is gone from the list."""
    client.role = "moderator"
    client.arrive("mei", "bob")
    seq = client.say("#lobby", "mei", "something rude").seq
    async with open_app() as pilot:
        await until(pilot, lambda: "something rude" in screen_text(pilot))
        client.reported("bob", "#lobby", seq, "every day")
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await pilot.press("alt+m")
        await until(pilot, lambda: "reports mei in #lobby: every day" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResolveForm))
        await pilot.press(*"warned", "tab", "tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MuteForm))
        await pilot.press(*["backspace"] * 2, *"2h", "enter", *"rude", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResolveForm))
        [(name, kind, time, reason)] = requested(client, "restrict")
        assert (name, kind, time.total_seconds(), reason) == ("mei", "mute", 7200, "rude")
        await pilot.press("enter")
        await until(pilot, lambda: requested(client, "resolve_report") == [(1, "warned")])
        await until(pilot, lambda: "★ Activity" not in screen_text(pilot))


async def test_report_that_somebody_else_has_resolved_is_not_counted_any_more(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """As the moderator has on another device; Activity need not be opened for that."""
    client.role = "moderator"
    client.arrive("mei", "bob")
    seq = client.say("#lobby", "mei", "something rude").seq
    async with open_app() as pilot:
        await until(pilot, lambda: "something rude" in screen_text(pilot))
        client.reported("bob", "#lobby", seq, "")
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await pilot.press("alt+m")
        await until(pilot, lambda: "reports mei in #lobby" in screen_text(pilot))
        client.close_reports()
        await until(pilot, lambda: "Nothing yet. Here you find" in screen_text(pilot))
        await until(pilot, lambda: "★ Activity" not in screen_text(pilot))


async def test_reports_that_change_while_they_are_asked_for_are_right_in_the_end(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer may be older than the event of a report that was made or resolved."""
    client.role = "moderator"
    client.arrive("mei", "bob")
    seqs = [client.say("#lobby", "mei", text).seq for text in ("rude", "ruder")]
    ask, asked, answer = client.reports, [0], asyncio.Event()

    async def late() -> list[Report]:
        found = await ask()
        asked[0] += 1
        await answer.wait()
        return found

    async with open_app() as pilot:
        await until(pilot, lambda: "ruder" in screen_text(pilot))
        model, controller = chat(pilot).model, chat(pilot).controller
        await until(pilot, lambda: not controller.is_doing("reports"))
        monkeypatch.setattr(client, "reports", late)
        client.reported("bob", "#lobby", seqs[0], "")
        await until(pilot, lambda: asked == [1])
        client.reported("bob", "#lobby", seqs[1], "")
        client.close_report(1)
        client.say("#lobby", "bob", "and then?")
        await until(pilot, lambda: "and then?" in screen_text(pilot))
        answer.set()
        await until(pilot, lambda: not controller.is_doing("reports"))
        assert [*model.reports] == [2]
        answer.clear()
        client.reported("bob", "#lobby", seqs[0], "")
        await until(pilot, lambda: asked == [3])
        client.close_reports()
        client.say("#lobby", "bob", "and in the end?")
        await until(pilot, lambda: "and in the end?" in screen_text(pilot))
        answer.set()
        await until(pilot, lambda: not controller.is_doing("reports"))
        assert not model.reports


async def test_report_that_is_being_read_says_that_it_was_resolved(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """What is open then stays, with the note: the person may be about to mute somebody."""
    client.role = "moderator"
    client.arrive("mei", "bob")
    seq = client.say("#lobby", "mei", "something rude").seq
    async with open_app() as pilot:
        await until(pilot, lambda: "something rude" in screen_text(pilot))
        client.reported("bob", "#lobby", seq, "")
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await pilot.press("alt+m", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResolveForm))
        await pilot.press(*"warned")
        client.close_reports()
        resolved = "This report has been resolved meanwhile."
        await until(pilot, lambda: resolved in screen_text(pilot))
        assert "warned" in screen_text(pilot)
        await pilot.press("tab", "tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MuteForm))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResolveForm))
        await until(pilot, lambda: resolved in screen_text(pilot))


async def test_activity_has_no_report_that_the_person_no_longer_handles(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """As one about somebody who became a moderator, too."""
    client.role = "moderator"
    client.arrive("mei", "bob")
    seq = client.say("#lobby", "mei", "something rude").seq
    async with open_app() as pilot:
        await until(pilot, lambda: "something rude" in screen_text(pilot))
        client.reported("bob", "#lobby", seq, "")
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        client.forget_reports()
        await pilot.press("alt+m")
        await until(pilot, lambda: "Nothing yet. Here you find" in screen_text(pilot))


async def test_report_stays_open_when_muting_from_it_is_refused(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "moderator"
    client.arrive("mei", "bob")
    seq = client.say("#lobby", "mei", "something rude").seq
    async with open_app() as pilot:
        await until(pilot, lambda: "something rude" in screen_text(pilot))
        client.reported("bob", "#lobby", seq, "")
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await pilot.press("alt+m", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResolveForm))
        await pilot.press(*"warned", "tab", "tab", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MuteForm))
        client.refusals["restrict"] = ChatError(ErrorCode.NOT_PERMITTED, "an equal")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: "An equal" in screen_text(pilot))
        assert isinstance(pilot.app.screen, ResolveForm)
        await pilot.press("enter")
        await until(pilot, lambda: requested(client, "resolve_report") == [(1, "warned")])


@pytest.mark.parametrize("conv", ["#lobby", "@bob"])
async def test_moderator_goes_from_a_report_to_the_message_and_deletes_it(
    open_app: OpenApp, client: ScriptedClient, conv: str
) -> None:
    """Where they can read it: the name of a private conversation means another one for them."""
    client.role = "moderator"
    client.arrive("mei", "bob")
    sender = "mei" if conv == "#lobby" else "bob"
    seq = client.say(conv, sender, "something rude").seq
    for number in range(3):
        client.say("#lobby", "bob", f"later {number}")
    async with open_app() as pilot:
        await until(pilot, lambda: "later 2" in screen_text(pilot))
        client.reported("zoe", conv, seq, "")
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await typed(pilot, "/reports")
        await until(pilot, lambda: f"{sender} in {conv}, reported by zoe" in screen_text(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResolveForm))
        assert ("Go to it" in screen_text(pilot)) == (conv == "#lobby")
        if conv == "#lobby":
            await pilot.press(*["tab"] * 4, "enter")
            await until(pilot, lambda: not isinstance(pilot.app.screen, ResolveForm))
            await pilot.press(*["up"] * 4, "d")
            await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
            await pilot.press("y")
            await until(pilot, lambda: requested(client, "delete") == [("#lobby", seq)])
            assert not requested(client, "resolve_report")


async def test_report_is_resolved_by_its_number(open_app: OpenApp, client: ScriptedClient) -> None:
    client.role = "moderator"
    client.arrive("mei", "bob")
    seq = client.say("#lobby", "mei", "something rude").seq
    async with open_app() as pilot:
        await until(pilot, lambda: "something rude" in screen_text(pilot))
        client.reported("bob", "#lobby", seq, "spam")
        await typed(pilot, "/reports")
        await until(pilot, lambda: "1: mei in #lobby, reported by bob: spam" in screen_text(pilot))
        await pilot.press("escape")
        await typed(pilot, "/resolve 1 warned")
        await until(pilot, lambda: "Report 1 is resolved." in screen_text(pilot))
        assert requested(client, "resolve_report") == [(1, "warned")]
        await typed(pilot, "/resolve 1")
        await until(pilot, lambda: "There is no open report" in screen_text(pilot))


async def test_report_that_somebody_else_has_resolved_is_gone(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.role = "moderator"
    client.arrive("mei", "bob")
    seq = client.say("#lobby", "mei", "something rude").seq
    async with open_app() as pilot:
        await until(pilot, lambda: "something rude" in screen_text(pilot))
        client.reported("bob", "#lobby", seq, "")
        await until(pilot, lambda: "★ Activity" in screen_text(pilot))
        await pilot.press("alt+m", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ResolveForm))
        client.forget_reports()
        await pilot.press("enter")
        await until(pilot, lambda: "There is no open report" in screen_text(pilot))
        await until(pilot, lambda: "★ Activity" not in screen_text(pilot))


async def test_report_takes_the_messages_before_it_along(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    """All of them, or only what the same person wrote; the form shows which."""
    client.arrive("mei", "bob")
    first, _, third = [
        client.say("#lobby", who, text).seq
        for who, text in (("mei", "first"), ("bob", "second"), ("mei", "third"))
    ]
    async with open_app() as pilot:
        await until(pilot, lambda: texts(pilot)[-1:] == ["third"])
        await pilot.press("up", "x")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReportForm))
        assert "bob: second" not in form_text(pilot)
        await pilot.press(*"spam", "down", "end", "backspace", *"1")
        await until(pilot, lambda: "these 2 messages" in form_text(pilot))
        assert "bob: second" in form_text(pilot)
        await pilot.press("backspace", *"11", "enter")
        await until(pilot, lambda: "a number from 0 to 9" in screen_text(pilot))
        await pilot.press("backspace", "down", "space", "up", "enter")
        await until(pilot, lambda: len(requested(client, "report")) == 1)
        assert requested(client, "report") == [("#lobby", [first, third], "spam")]


async def test_messages_of_which_text_is_selected_are_reported_together(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.arrive("mei", "bob")
    for who, text in (("mei", "first"), ("bob", "second"), ("ada", "mine"), ("mei", "third")):
        client.say("#lobby", who, text)
    async with open_app() as pilot:
        await until(pilot, lambda: texts(pilot)[-1:] == ["third"])
        await pilot.press("up", "up", "x")
        await until(pilot, lambda: "Only what somebody else has written" in screen_text(pilot))
        await pilot.press("up", "shift+down", "shift+down", "x")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReportForm))
        assert [line for line in form_text(pilot).splitlines() if ": " in line] == [
            "bob: second",
            "ada: mine",
        ]
        await pilot.press("enter")
        await until(pilot, lambda: len(requested(client, "report")) == 1)
        assert len(requested(client, "report")[0][1]) == 2


async def test_report_that_is_too_long_is_not_sent(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.arrive("mei")
    for _ in range(2):
        client.say("#lobby", "mei", "x" * 3000)
    async with open_app() as pilot:
        await until(pilot, lambda: len(texts(pilot)) == 2)
        await pilot.press("up", "x")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReportForm))
        await pilot.press("down", "end", "backspace", *"1", "enter")
        await until(pilot, lambda: "at most 4,000 characters, these have" in screen_text(pilot))
        assert "6,000. Report them in parts." in screen_text(pilot)
        await pilot.press("backspace", "enter")
        await until(pilot, lambda: len(requested(client, "report")) == 1)


async def test_member_is_told_that_only_moderators_can(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await typed(pilot, "/server-ban mei 7d")
        await until(pilot, lambda: "Only moderators of the server" in screen_text(pilot))
        assert not requested(client, "restrict")


async def test_an_operator_is_not_made_one_again(open_app: OpenApp, client: ScriptedClient) -> None:
    client.add_room("#design", operators=["mei"], joined=True)
    async with open_app() as pilot:
        chat(pilot).open_conversation("#design")
        chat(pilot).model.shown.operator = True
        await type_text(pilot, "/op ")
        await until(pilot, lambda: "@mei" in screen_text(pilot))
        completions = chat(pilot).query_one("#completions")
        assert "ada" not in list(getattr(completions, "keys", ()))
        await typed(pilot, "ADA")
        await until(pilot, lambda: "You are an operator of #design already" in screen_text(pilot))
        assert not requested(client, "set_operator")


async def test_joining_a_room_that_is_not_there_offers_to_create_it(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    async with open_app() as pilot:
        await typed(pilot, "/join nope")
        await until(pilot, lambda: isinstance(pilot.app.screen, RoomForm))
        assert "#nope is not a room that you can join" in screen_text(pilot)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: requested(client, "create_room") == [("#nope", "", False)])
        await until(pilot, lambda: chat(pilot).model.current == "#nope")


async def test_a_form_that_the_answer_brings_does_not_take_what_is_being_typed(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, join = asyncio.Event(), client.join

    async def join_slowly(room: str) -> Sent | None:
        await answer.wait()
        return await join(room)

    monkeypatch.setattr(client, "join", join_slowly)
    async with open_app() as pilot:
        await typed(pilot, "/join nope")
        await type_text(pilot, "hello ")
        answer.set()
        await until(pilot, lambda: "#nope is not a room that you can join" in screen_text(pilot))
        assert isinstance(pilot.app.screen, ChatScreen)
        await type_text(pilot, "everybody")
        await until(pilot, lambda: chat(pilot).composer.input.text == "hello everybody")


@pytest.mark.parametrize("command", ["join", "create"])
async def test_an_answer_does_not_move_what_is_being_typed_to_another_room(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    answer = asyncio.Event()
    method = {"join": "join", "create": "create_room"}[command]
    ask = getattr(client, method)

    async def ask_slowly(*args: Any, **how: Any) -> Any:
        await answer.wait()
        return await ask(*args, **how)

    if command == "join":
        client.add_room("#garden", operators=["mei"])
    monkeypatch.setattr(client, method, ask_slowly)
    async with open_app() as pilot:
        await typed(pilot, f"/{command} garden")
        await type_text(pilot, "hello ")
        answer.set()
        await until(pilot, lambda: "You are in #garden now" in screen_text(pilot))
        await typed(pilot, "lobby")
        await until(pilot, lambda: "hello lobby" in texts(pilot))
        assert ("send", "#lobby", "hello lobby", None) in client.requests


@pytest.mark.parametrize(
    ("method", "command", "shown"),
    [
        ("join", "/join garden", "Joining #garden…"),
        ("create_room", "/create attic", "Creating #attic…"),
        ("set_topic", "/topic What grows", "Waiting for the server…"),
    ],
)
async def test_what_is_asked_of_a_slow_server_is_shown_until_the_answer(
    open_app: OpenApp, client: ScriptedClient, clock: Any, monkeypatch: pytest.MonkeyPatch,
    method: str, command: str, shown: str,
) -> None:  # fmt: skip
    answer, ask = asyncio.Event(), getattr(client, method)

    async def ask_slowly(*args: Any, **how: Any) -> Any:
        await answer.wait()
        return await ask(*args, **how)

    client.add_room("#garden", operators=["mei"])
    client.add_room("#design", operators=["ada"])
    monkeypatch.setattr(client, method, ask_slowly)
    async with open_app(SMALL) as pilot:
        chat(pilot).open_conversation("#design")
        await typed(pilot, command)
        assert shown not in screen_text(pilot)  # it may be answered at once
        clock.at += 1
        await until(pilot, lambda: shown in screen_text(pilot).splitlines()[-1])
        await type_text(pilot, "meanwhile")
        answer.set()
        await until(pilot, lambda: shown not in screen_text(pilot))
        assert chat(pilot).composer.input.text == "meanwhile"


#: Lists that the server is asked for: the request, and the command.
LISTS = [
    ("blocked", "/blocked"),
    ("bans", "/bans"),
    ("reports", "/reports"),
    ("restrictions", "/restrictions"),
    ("address_bans", "/address-bans"),
]


@pytest.mark.parametrize(("request_name", "command"), LISTS)
async def test_a_list_that_is_asked_for_is_open_before_the_answer(
    open_app: OpenApp,
    client: ScriptedClient,
    monkeypatch: pytest.MonkeyPatch,
    request_name: str,
    command: str,
) -> None:
    """It takes what is typed from the first letter on, not from the one at which it is answered."""
    answer, ask = asyncio.Event(), getattr(client, request_name)

    async def ask_slowly(*args: Any) -> Any:
        await answer.wait()
        return await ask(*args)

    client.role = "admin"
    client.add_room("#garden", operators=["ada"], joined=True)
    monkeypatch.setattr(client, request_name, ask_slowly)
    async with open_app() as pilot:
        chat(pilot).open_conversation("#garden")
        await typed(pilot, command)
        await until(pilot, lambda: isinstance(pilot.app.screen, ListMenu))
        assert "Loading…" in screen_text(pilot)
        await type_text(pilot, "mei")
        answer.set()
        await until(pilot, lambda: "Loading…" not in screen_text(pilot))
        menu = pilot.app.screen
        assert isinstance(menu, ListMenu)
        assert menu.query_text == "mei"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        assert not chat(pilot).composer.input.text


async def test_a_list_that_the_server_refuses_closes_and_says_why(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    client.add_room("#garden", operators=["ada"], joined=True)
    client.refusals["bans"] = ConnectionLost("nobody answers")
    async with open_app() as pilot:
        chat(pilot).open_conversation("#garden")
        await typed(pilot, "/bans")
        await until(pilot, lambda: "obody answers" in screen_text(pilot))
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))


# -- the past --------------------------------------------------------------------------------------


def is_past(pilot: Pilot[None]) -> bool:
    return chat(pilot).query_one(PastBar).display


def long_log(client: ScriptedClient, days: int = 300) -> None:
    for n in range(days):
        client.record("#lobby", "mei", f"day {n}", ago=(days - n) * 86_400.0)


async def test_an_old_message_has_a_bar_with_its_date_and_the_way_back(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    long_log(client, 400)
    async with open_app(size=SMALL) as pilot:
        assert not is_past(pilot)
        chat(pilot).go_to("#lobby", 20)
        await until(pilot, lambda: "You are in the past · 7 Nov 2025" in screen_text(pilot))
        text = screen_text(pilot)
        assert "  day 19\n" in text
        assert "End: back to now" in text
        await pilot.press("end")
        await until(pilot, lambda: "day 399" in screen_text(pilot) and not is_past(pilot))


async def test_the_bar_goes_where_the_reader_has_scrolled_back_and_a_click_leads_back(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    long_log(client, 60)  # all of it is loaded
    async with open_app(size=SMALL) as pilot:
        await until(pilot, lambda: len(texts(pilot)) == 60)
        chat(pilot).go_to("#lobby", 5)
        await until(pilot, lambda: is_past(pilot))
        await pilot.click(PastBar)
        await until(pilot, lambda: not is_past(pilot) and chat(pilot).log_view.at_bottom)
        chat(pilot).go_to("#lobby", 5)
        await until(pilot, lambda: is_past(pilot))
        for _ in range(20):
            await pilot.press("pagedown")
        await until(pilot, lambda: not is_past(pilot))


async def test_one_key_leads_to_the_first_message(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    long_log(client, 1000)
    async with open_app(size=SMALL) as pilot:
        before = len(requested(client, "history"))
        await pilot.press("ctrl+home")
        await until(pilot, lambda: "day 0" in texts(pilot))
        await until(pilot, lambda: is_past(pilot))
        assert "day 0" in screen_text(pilot)
        assert len(requested(client, "history")) == before + 1


async def test_a_day_is_shown_from_its_first_message_on(
    open_app: OpenApp, client: ScriptedClient
) -> None:
    long_log(client, 500)
    async with open_app(size=SMALL) as pilot:
        await typed(pilot, "/goto 2025-12-24")
        await until(pilot, lambda: "You are in the past · 24 Dec 2025" in screen_text(pilot))
        assert "24 December 2025" in screen_text(pilot)
        await typed(pilot, "/goto someday")
        await until(pilot, lambda: "write a day as 2026-03-12" in screen_text(pilot))


async def test_the_link_to_a_message_is_copied_and_leads_to_it(
    open_app: OpenApp, client: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_log(client, 300)
    copied: list[str] = []
    async with open_app(size=SMALL) as pilot:
        monkeypatch.setattr(pilot.app, "copy_to_clipboard", copied.append)
        await until(pilot, lambda: "day 299" in texts(pilot))
        await pilot.press("up", "l")
        await until(pilot, lambda: bool(copied))
        assert copied == ["gochat://127.0.0.1:8889/%23lobby/300"]
        await pilot.press("escape")
        await typed(pilot, f"see {copied[0].replace('/300', '/7')}")
        await pilot.press("up", "o")
        await until(pilot, lambda: "day 6" in texts(pilot))
        assert is_past(pilot)
        await typed(pilot, "/goto gochat://elsewhere:1/%23lobby/3")
        await until(pilot, lambda: "on another server" in screen_text(pilot))
