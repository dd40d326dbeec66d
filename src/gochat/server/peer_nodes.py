"""Handle the events that other nodes of the deployment publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from gochat.chat.node_bus import (
    Acknowledged,
    ActivitySeen,
    Arrived,
    AwaySet,
    BlockSet,
    Here,
    InUse,
    Left,
    LoginSeen,
    MarkerMoved,
    Missed,
    NetworkBansChanged,
    Node,
    NodeEvent,
    PersonHere,
    ReportGone,
    ReportMade,
    Revoked,
    RoleSet,
    SavedSet,
    StatusSet,
    Typed,
)
from gochat.protocol.messages import Person
from gochat.server.services import Services


class PeerNodes:
    """Receives events of other nodes: see :class:`~gochat.chat.node_bus.NodeBus`."""

    def __init__(self, services: Services) -> None:
        self._hub = services.hub
        self._revocations = services.revocations
        self._address_bans = services.address_bans
        self._roles = services.roles

    def receive(self, node: Node, events: Sequence[NodeEvent]) -> None:
        """Apply a node's events. Called in the Trio thread; never blocks."""
        for event in events:
            self._receive(node, event)

    def _receive(self, node: Node, event: NodeEvent) -> None:
        roster = self._hub.roster
        match event:
            case Here(people):
                roster.replace(node, {person.key: _shown(person) for person in people})
            case Arrived(person):
                roster.arrive(person.key, roster.get(person.key) or _shown(person), node)
            case Left(key):
                roster.leave(key, node)
            case AwaySet(key, away):
                roster.set_away(key, away)
            case StatusSet(key, status):
                roster.set_status(key, status)
            case Typed(conversation, key, typing):
                self._hub.deliver_typing(conversation, typing, besides=key)
            case MarkerMoved(key, marked):
                self._hub.deliver_marked(key, marked)
            case ActivitySeen(key):
                self._hub.deliver_activity(key)
            case SavedSet(key, saved):
                self._hub.deliver_saved(key, saved)
            case RoleSet(key):
                self._roles.look_soon(key)
            case BlockSet(key, name, on):
                self._hub.deliver_block(key, name, on=on)
            case LoginSeen(key, login):
                self._hub.deliver_login(key, login)
            case ReportMade(people, report) | ReportGone(people, report):
                self._hub.deliver_report(people, report)
            case Revoked():
                self._revocations.receive(event)
            case NetworkBansChanged():
                self._address_bans.look_soon()
            case InUse(key, receipt):
                self._hub.publish(Acknowledged(receipt, self._revocations.tokens_in_use(key)))
            case Missed():
                self._revocations.doubt()
                self._address_bans.look_soon()
                self._roles.doubt()
            case Acknowledged():
                pass  # handled by the bus itself
            case _:
                assert_never(event)


def _shown(person: PersonHere) -> Person:
    return Person(name=person.name, away=person.away, status=person.status)
