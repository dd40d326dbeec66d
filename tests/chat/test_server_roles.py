"""Server roles: who may do what, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gochat.chat.server_roles import Actor, ActorRole, ServerRole, require_over, require_role
from gochat.errors import ChatError

ROLES: tuple[ServerRole, ...] = ("member", "moderator", "admin")
ACTORS: tuple[ActorRole, ...] = (*ROLES, "owner")


def may(check: Callable[[], None], rule: str) -> bool:
    """Return whether a check passes; a refusal names this rule."""
    try:
        check()
    except ChatError as refusal:
        return (refusal.code, refusal.details["rule"]) != ("not_permitted", rule)
    return True


def test_nobody_acts_on_an_equal_or_higher_role() -> None:
    allowed = {
        (role, subject)
        for role in ACTORS
        for subject in ROLES
        if may(partial(require_over, Actor("ann", role), subject), "rank")
    }
    assert allowed == {
        ("moderator", "member"),
        ("admin", "member"),
        ("admin", "moderator"),
        *(("owner", subject) for subject in ROLES),
    }


def test_role_must_be_high_enough() -> None:
    allowed = [
        role for role in ACTORS if may(partial(require_role, Actor("ann", role), "admin"), "role")
    ]
    assert allowed == ["admin", "owner"]
