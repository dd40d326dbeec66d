"""What the other nodes of the deployment tell, done here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from gochat.chat.node_bus import (
    Acknowledged,
    Arrived,
    AwaySet,
    Here,
    Left,
    LoginSeen,
    MarkerMoved,
    Missed,
    Node,
    Notice,
    PersonHere,
    Revoked,
    Typed,
)
from gochat.protocol.messages import Person
from gochat.server.services import Services


class Neighbours:
    """Takes notices of other nodes: see :class:`~gochat.chat.node_bus.Exchange`."""

    def __init__(self, services: Services) -> None:
        self._hub = services.hub
        self._revocations = services.revocations

    def receive(self, node: Node, notices: Sequence[Notice]) -> None:
        """Do what follows here from what a node tells. In the Trio thread; never blocks."""
        for notice in notices:
            self._receive(node, notice)

    def _receive(self, node: Node, notice: Notice) -> None:
        roster = self._hub.roster
        match notice:
            case Here(people):
                roster.replace(node, {person.key: _shown(person) for person in people})
            case Arrived(person):
                roster.arrive(person.key, roster.get(person.key) or _shown(person), node)
            case Left(key):
                roster.leave(key, node)
            case AwaySet(key, away):
                roster.set_away(key, away)
            case Typed(conversation, key, event):
                self._hub.show_typing(conversation, event, besides=key)
            case MarkerMoved(key, marked):
                self._hub.show_marked(key, marked)
            case LoginSeen(key, login):
                self._hub.show_login(key, login)
            case Revoked():
                self._revocations.receive(notice)
            case Missed():
                self._revocations.doubt()
            case Acknowledged():
                pass  # the exchange's own
            case _:
                assert_never(notice)


def _shown(person: PersonHere) -> Person:
    return Person(name=person.name, away=person.away)
