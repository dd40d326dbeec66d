"""The commands about retention: for how long, and how many, entries are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gochat.chat import conversations
from gochat.chat.names import NameKey
from gochat.chat.retention import DEFAULT, PRIVATE, Rule
from gochat.errors import ChatError, ErrorCode
from gochat.server.admin.arguments import NewRule, Nothing, OfScope
from gochat.server.admin.call import Call, Handler


class ShownRule(Struct, frozen=True, kw_only=True):
    """A rule; 0 means no limit."""

    scope: str
    days: int
    entries: int


class ShownRules(Struct, frozen=True, kw_only=True):
    """All rules that are set."""

    rules: tuple[ShownRule, ...]


async def show(call: Call, _: Nothing) -> ShownRules:
    """Show all rules, the default first."""
    rules = await call.services.store.retention.rules()
    ordered = sorted(rules, key=lambda scope: (scope != DEFAULT, scope != PRIVATE, scope))
    return ShownRules(
        rules=tuple(
            ShownRule(scope=scope, days=rules[scope].days, entries=rules[scope].entries)
            for scope in ordered
        )
    )


async def set_rule(call: Call, new: NewRule) -> ShownRules:
    """Set the rule of a scope."""
    scope = await _scope(call, new.scope)
    rule = Rule(days=new.days, entries=new.entries)
    if rule.keeps_all != new.all:
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            "give --days, --entries, or both (what exceeds either is removed); or --all",
            field="days",
        )
    await call.record(scope, _spoken(rule))
    await call.services.store.retention.set_rule(scope, rule)
    call.services.retention.sweep_soon()
    return await show(call, Nothing())


async def clear(call: Call, of: OfScope) -> ShownRules:
    """Clear the rule of a scope."""
    scope = await _scope(call, of.scope)
    store = call.services.store.retention
    if scope not in await store.rules():
        raise ChatError(
            ErrorCode.BAD_REQUEST, f"{scope} has no rule: see `retention show`", field="scope"
        )
    await call.record(scope)
    await store.set_rule(scope, None)
    call.services.retention.sweep_soon()  # what is more general may keep less
    return await show(call, Nothing())


async def _scope(call: Call, text: str) -> str:
    """Return the scope that somebody means.

    Raises:
        ChatError: ``bad_request``, or ``unknown_conversation``: there is no such room.
    """
    if text in (DEFAULT, PRIVATE):
        return text
    if not text.startswith("#"):
        raise ChatError(
            ErrorCode.BAD_REQUEST,
            f"invalid scope {text[:64]!r}: expected default, private, #lobby or a room",
            field="scope",
        )
    key = conversations.key(text, NameKey(""), "scope")
    if await call.services.store.room(key, NameKey("")) is None:
        raise ChatError(
            ErrorCode.UNKNOWN_CONVERSATION, f"there is no room {text[:64]!r}", field="scope"
        )
    return key


def _spoken(rule: Rule) -> str:
    parts = [f"{rule.days} days"] * bool(rule.days) + [f"{rule.entries} entries"] * bool(
        rule.entries
    )
    return ", ".join(parts) or "everything is kept"


HANDLERS: Final[Mapping[str, Handler]] = {
    "retention show": show,
    "retention set": set_rule,
    "retention clear": clear,
}
