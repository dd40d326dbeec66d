"""Reactions to a message: how many people gave which emoji, and who, as far as is known. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from gochat.protocol.messages import Reaction


@dataclass(slots=True)
class Tally:
    """How often one emoji was given, and by whom as far as is known."""

    count: int
    names: set[str]
    me: bool = False
    #: Who is known to have taken it back: of others not in `names` it is not known.
    gone: set[str] = field(default_factory=set)


def tally_of(reaction: Reaction) -> Tally:
    """Return the tally that the server has sent."""
    return Tally(reaction.count, set(reaction.names), reaction.me)


def react(reactions: dict[str, Tally], emoji: str, name: str, me: str) -> None:
    """Count that `name` has given `emoji`, once; `me` is this person."""
    tally = reactions.setdefault(emoji, Tally(0, set()))
    if name in tally.names or (name == me and tally.me):
        return
    tally.names.add(name)
    tally.gone.discard(name)
    tally.count += 1
    tally.me = tally.me or name == me


def unreact(reactions: dict[str, Tally], emoji: str, name: str, me: str) -> None:
    """Count that `name` has taken `emoji` back, if they may have given it."""
    tally = reactions.get(emoji)
    if tally is None or not _may_have_given(tally, name, me):
        return
    tally.names.discard(name)
    tally.gone.add(name)
    tally.count -= 1
    if name == me:
        tally.me = False
    if tally.count <= 0:
        del reactions[emoji]


def _may_have_given(tally: Tally, name: str, me: str) -> bool:
    """Return whether a tally may count this person: it names only the first ten."""
    if name == me:
        return tally.me
    if name in tally.names:
        return True
    unnamed = tally.count - len(tally.names) - (tally.me and me not in tally.names)
    return unnamed > 0 and name not in tally.gone
