"""What a client asks for about rooms and people: who is where, and who may do what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from gochat.client import convert, pages
from gochat.client.entries import MessageRef
from gochat.client.errors import InvalidRequest
from gochat.client.models import AddressBan, Member, Report, Restriction, Room, RoomBan, Sent
from gochat.client.outgoing import new_cid
from gochat.client.requester import Requester
from gochat.errors import ErrorCode
from gochat.protocol import messages as wire
from gochat.protocol.messages import HistorySetting, RestrictionKind


class RoomRequests:
    """The requests about rooms, and about whom the person blocks.

    :class:`~gochat.client.Client` says what each raises.
    """

    _requester: Requester

    async def rooms(self) -> list[Room]:
        """Return the public rooms and the person's own, by name."""
        return [convert.to_room(room) for room in await pages.rooms(self._requester.call)]

    async def members(self, room: str) -> list[Member]:
        """Return the members of a room, by name."""
        listed = await pages.members(self._requester.call, room)
        return [convert.to_member(member) for member in listed]

    async def create_room(self, room: str, *, topic: str = "", private: bool = False) -> Sent:
        """Create a room, and become its first member and operator."""
        return await self._say(
            wire.CreateRoom(room=room, topic=topic, private=private, cid=new_cid())
        )

    async def join(self, room: str) -> Sent | None:
        """Become a member of a public room, or of one that the person was invited to."""
        return await self._change(wire.Join(room=room, cid=new_cid()))

    async def leave(self, room: str, *, reason: str = "") -> Sent:
        """Leave a room. The others see the `reason`, of at most 200 characters."""
        return await self._say(wire.Leave(room=room, reason=reason, cid=new_cid()))

    async def invite(self, room: str, name: str) -> Sent | None:
        """Invite a person to a room."""
        return await self._change(wire.Invite(room=room, name=name, cid=new_cid()))

    async def decline(self, room: str) -> None:
        """Turn down an invitation. Does nothing if none is pending."""
        await self._requester.write(wire.Decline(room=room, cid=new_cid()), wire.Ok)

    async def kick(self, room: str, name: str, *, reason: str = "") -> Sent:
        """Remove a person from a room (operators).

        They and the others see the `reason`, of at most 200 characters.
        """
        return await self._say(wire.Kick(room=room, name=name, reason=reason, cid=new_cid()))

    async def set_topic(self, room: str, topic: str) -> Sent | None:
        """Set a room's topic (operators)."""
        return await self._change(wire.SetTopic(room=room, topic=topic, cid=new_cid()))

    async def set_operator(self, room: str, name: str, *, on: bool = True) -> Sent | None:
        """Make a member an operator, or with ``on=False`` no longer one (operators)."""
        return await self._change(wire.SetOperator(room=room, name=name, on=on, cid=new_cid()))

    async def set_access(
        self, room: str, *, private: bool, history: HistorySetting | None = None
    ) -> Sent | None:
        """Make a room private (by invitation only) or public (operators).

        `history` is required to make a private room public: whether people who join then can read
        older entries (``shown``) or only new ones (``hidden``). Entries written while the room's
        history was hidden stay hidden.
        """
        return await self._change(
            wire.SetAccess(room=room, private=private, history=history, cid=new_cid())
        )

    async def set_history(self, room: str, history: HistorySetting) -> Sent | None:
        """Choose whether people who join a private room from now on can read older entries
        (operators).

        `history` is ``shown`` or ``hidden``.
        """
        return await self._change(wire.SetHistory(room=room, history=history, cid=new_cid()))

    # -- moderation -------------------------------------------------------------------------------

    async def ban(
        self, room: str, name: str, *, duration: timedelta | None = None, reason: str = ""
    ) -> Sent | None:
        """Ban a person from a room (operators): remove them, and keep them out.

        It holds for `duration`, of whole seconds and at most a year, or until it is lifted; and
        replaces an earlier ban. They and the others see the `reason`, of at most 200 characters.
        """
        seconds = None if duration is None else int(duration.total_seconds())
        return await self._change(
            wire.Ban(room=room, name=name, seconds=seconds, reason=reason, cid=new_cid())
        )

    async def unban(self, room: str, name: str) -> Sent | None:
        """Lift a ban from a room (operators)."""
        return await self._change(wire.Unban(room=room, name=name, cid=new_cid()))

    async def bans(self, room: str) -> list[RoomBan]:
        """Return who is banned from a room, by name (operators)."""
        return [convert.to_ban(ban) for ban in await pages.bans(self._requester.call, room)]

    async def set_slow_mode(self, room: str, interval: timedelta) -> Sent | None:
        """Let each member write only once in an interval, of whole seconds and at most 6 hours;
        zero: as often as they like (operators)."""
        seconds = int(interval.total_seconds())
        return await self._change(wire.SetSlowMode(room=room, seconds=seconds, cid=new_cid()))

    async def set_announcements(self, room: str, *, on: bool) -> Sent | None:
        """Choose whether only operators can write, or all members (operators)."""
        return await self._change(wire.SetAnnouncements(room=room, on=on, cid=new_cid()))

    async def set_archived(self, room: str, *, on: bool) -> Sent | None:
        """Archive a room, in which then nobody writes, or bring it back (operators)."""
        return await self._change(wire.SetArchived(room=room, on=on, cid=new_cid()))

    async def block(self, name: str) -> None:
        """Block a person: no private messages, mentions or invitations from them, on any device.

        They learn of it by the error if they write. Neither can the person write to them.
        """
        await self._requester.call(wire.Block(name=name), wire.Ok)

    async def unblock(self, name: str) -> None:
        """No longer block a person."""
        await self._requester.call(wire.Unblock(name=name), wire.Ok)

    async def blocked(self) -> list[str]:
        """Return the names of those whom the person blocks, in order."""
        return await pages.blocked(self._requester.call)

    # -- at the server ----------------------------------------------------------------------------

    async def restrict(
        self,
        name: str,
        kind: RestrictionKind,
        *,
        duration: timedelta | None = None,
        reason: str = "",
    ) -> None:
        """Ban a person from the server, or mute them in the lobby and public rooms (moderators).

        It holds for `duration`, of whole seconds and at most a year, or until it is lifted; and
        replaces an earlier one of this kind. Moderators may for at most 30 days. The person sees
        the `reason`, of at most 200 characters. A ban ends all their sessions.
        """
        seconds = None if duration is None else int(duration.total_seconds())
        request = wire.Restrict(name=name, kind=kind, seconds=seconds, reason=reason)
        await self._requester.call(request, wire.Ok)

    async def unrestrict(self, name: str, kind: RestrictionKind) -> None:
        """Lift a ban from the server, or a mute (moderators)."""
        await self._requester.call(wire.Unrestrict(name=name, kind=kind), wire.Ok)

    async def restrictions(self) -> list[Restriction]:
        """Return who is banned from the server or muted, by name (moderators)."""
        found = await pages.restrictions(self._requester.call)
        return [convert.to_restriction(one) for one in found]

    async def ban_address(
        self, network: str, *, duration: timedelta | None = None, reason: str = ""
    ) -> None:
        """Ban an address, or a network as ``203.0.113.0/24`` or ``2001:db8::/32`` (admins).

        Connections from there end, and new ones are refused, whoever they are, for `duration`, of
        whole seconds and at most a year, or until it is lifted; it replaces an earlier ban of the
        same network. They see the `reason`, of at most 200 characters. A network that includes the
        person's own address is refused.
        """
        seconds = None if duration is None else int(duration.total_seconds())
        request = wire.BanAddress(network=network, seconds=seconds, reason=reason)
        await self._requester.call(request, wire.Ok)

    async def unban_address(self, network: str) -> None:
        """Lift the ban of an address or a network (admins). Does nothing if there is none."""
        await self._requester.call(wire.UnbanAddress(network=network), wire.Ok)

    async def address_bans(self) -> list[AddressBan]:
        """Return the addresses and networks that are banned, those of IPv4 first (admins)."""
        found = await pages.address_bans(self._requester.call)
        return [convert.to_address_ban(one) for one in found]

    async def hand_over(self, room: str, name: str, *, reason: str = "") -> None:
        """Make a person an operator of a public room, and a member if they are not in it (admins).

        Does nothing if they are one. The `reason`, of at most 200 characters, is for the server's
        audit log.
        """
        await self._requester.call(wire.HandOver(room=room, name=name, reason=reason), wire.Ok)

    async def report(self, messages: Sequence[MessageRef], *, reason: str = "") -> None:
        """Report messages of one conversation to the moderators, who get copies of them.

        At most 10, and together not longer than one message. The moderators see the `reason`, of at
        most 200 characters, and who reports them; those who wrote them don't.
        """
        if not messages or len({message.conversation for message in messages}) > 1:
            raise InvalidRequest(ErrorCode.BAD_REQUEST, "report messages of one conversation")
        request = wire.Report(
            to=messages[0].conversation,
            seqs=tuple(message.seq for message in messages),
            reason=reason,
        )
        await self._requester.call(request, wire.Ok)

    async def reports(self) -> list[Report]:
        """Return the reports that wait for the person, the oldest first (moderators).

        They are about people of a lower role than the person's own.
        """
        return [convert.to_report(one) for one in await pages.reports(self._requester.call)]

    async def resolve_report(self, report: int, *, note: str = "") -> None:
        """Resolve a report, by its id: it was looked into (moderators).

        The `note`, of at most 200 characters, says what came of it, and is in the audit log.
        """
        await self._requester.call(wire.ResolveReport(id=report, note=note), wire.Ok)

    async def _say(self, request: wire.WriteRequest) -> Sent:
        return convert.to_sent(await self._requester.write(request, wire.Sent))

    async def _change(self, request: wire.WriteRequest) -> Sent | None:
        reply = await self._requester.write(request, wire.Sent, wire.Ok)
        return convert.to_sent(reply) if isinstance(reply, wire.Sent) else None
