"""Who may ban and mute whom at the server, and for how long."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gochat.chat.account import Account
from gochat.chat.names import NameKey
from gochat.chat.restriction import Restriction
from gochat.chat.restrictions import MOST_BY_MODERATORS, Change
from gochat.chat.server_roles import Actor, ActorRole, ServerRole
from gochat.errors import ChatError

NOW = 1_000_000
DAY = 24 * 3600
BOB = Account(key=NameKey("bob"), name="Bob", password_hash="", created=0)


def made(role: ActorRole, change: Change, account: Account = BOB) -> Account:
    return change.made(Actor("Mei", role), account, NOW)


def refused(role: ActorRole, change: Change, account: Account = BOB) -> object:
    """Make a change that is refused; return by which rule."""
    with pytest.raises(ChatError) as caught:
        made(role, change, account)
    return caught.value.details.get("rule", caught.value.code)


@pytest.mark.parametrize(
    ("actor", "subject", "rule"),
    [
        ("member", "member", "role"),
        ("moderator", "member", None),
        ("moderator", "moderator", "rank"),
        ("moderator", "admin", "rank"),
        ("admin", "moderator", None),
        ("admin", "admin", "rank"),
        ("owner", "admin", None),
    ],
)
@pytest.mark.parametrize("on", [True, False])
def test_only_a_higher_role_restricts(
    actor: ActorRole, subject: ServerRole, rule: str | None, *, on: bool
) -> None:
    change, account = Change(kind="mute", on=on, seconds=60), replace(BOB, role=subject)
    if rule is not None:
        assert refused(actor, change, account) == rule
    else:
        assert (made(actor, change, account).mute is not None) == on


def test_moderators_restrict_for_a_bounded_time() -> None:
    most = Change(kind="ban", on=True, seconds=MOST_BY_MODERATORS)
    assert made("moderator", most).ban is not None
    for seconds in (None, MOST_BY_MODERATORS + 1):
        change = replace(most, seconds=seconds)
        assert refused("moderator", change) == "duration"
        assert made("admin", change).ban is not None


def test_ban_is_another_generation_and_a_mute_is_not() -> None:
    banned = made("admin", Change(kind="ban", on=True, seconds=60, reason="spam"))
    assert banned.generation == BOB.generation + 1
    assert banned.ban == Restriction(
        by="Mei", role="admin", since=NOW, until=NOW + 60_000, reason="spam"
    )
    assert made("admin", Change(kind="ban", on=False), banned).generation == banned.generation
    assert made("admin", Change(kind="mute", on=True)).generation == BOB.generation


def test_what_a_higher_role_imposed_a_lower_one_neither_lifts_nor_replaces() -> None:
    by_admin = made("admin", Change(kind="mute", on=True, seconds=DAY))
    assert refused("moderator", Change(kind="mute", on=False), by_admin) == "rank"
    assert refused("moderator", Change(kind="mute", on=True, seconds=60), by_admin) == "rank"
    assert made("owner", Change(kind="mute", on=False), by_admin) == BOB
    ended = replace(by_admin, mute=Restriction(by="Mei", role="admin", since=0, until=NOW))
    assert made("moderator", Change(kind="mute", on=True, seconds=60), ended).mute is not None


def test_lifting_nothing_changes_nothing() -> None:
    assert made("moderator", Change(kind="ban", on=False)) is BOB


def test_reason_is_bounded() -> None:
    assert refused("admin", Change(kind="ban", on=True, reason="x" * 201)) == "text_too_long"
