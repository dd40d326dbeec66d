"""What a scripted client does about rooms and their people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from gochat.client import (
    AddressBan,
    MessageRef,
    PersonBlocked,
    PersonUnblocked,
    Report,
    Restriction,
    RestrictionKind,
    RoomBan,
    Sent,
    convert,
)
from gochat.client.errors import chat_error
from gochat.client.events import Invited, MessagesReported, ReportClosed, Uninvited
from gochat.client.moments import moment
from gochat.errors import ErrorCode
from gochat.protocol import messages as wire
from gochat.protocol.messages import EntryKind, HistorySetting, ServerRole
from gochat.tui.demo.scripted_connection import ScriptedConnection
from gochat.tui.demo.scripted_outbox import sent
from gochat.tui.demo.scripted_rules import NAME, check_topic

#: The roles, the lowest first, as texts have them.
_ROLES: Final[dict[ServerRole, str]] = {
    "member": "a member", "moderator": "a moderator", "admin": "an admin",
}  # fmt: skip


class ScriptedRooms(ScriptedConnection):
    """The requests about rooms."""

    async def create_room(self, room: str, *, topic: str = "", private: bool = False) -> Sent:
        """Create a room."""
        await self._request("create_room", room, topic, private)
        if not room.startswith("#") or not NAME.fullmatch(room[1:]):
            raise chat_error(ErrorCode.BAD_NAME, "a room's name begins with #", field="room")
        if self._chat.has_room(room):
            raise chat_error(ErrorCode.ROOM_EXISTS, f"{room} already exists", field="room")
        check_topic(topic)
        created = self._commit(room, "create", "private" if private else "public")
        if topic:
            self._commit(room, "topic", topic)
        return created

    async def join(self, room: str) -> Sent | None:
        """Join a room."""
        await self._request("join", room)
        name = self._chat.room(room)
        if (entry := self._chat.bans(name).get(self.me)) is not None:
            raise chat_error(
                ErrorCode.BANNED, f"you are banned from {name}: {entry.reason}", field="room"
            )
        return self._change(name, "join")

    async def leave(self, room: str, *, reason: str = "") -> Sent:
        """Leave a room; its last operator hands over first."""
        await self._request("leave", room)
        name = self._chat.own_room(room)
        if heir := self._chat.heir(name):
            self._commit(name, "operator", heir)
        return self._commit(name, "leave", reason=reason)

    async def invite(self, room: str, name: str) -> Sent | None:
        """Invite somebody."""
        await self._request("invite", room, name)
        own = self._chat.own_room(room)
        if self._chat.is_private(own):
            self._chat.own_room(room, to="invite to a private room")
        person = self._chat.person(name)
        if self._chat.is_member(own, person):
            raise chat_error(ErrorCode.BAD_REQUEST, f"{person} is in {own} already", field="name")
        if person in self._chat.bans(own):
            raise chat_error(
                ErrorCode.NOT_PERMITTED, f"{person} is banned from {own}", field="name"
            )
        return self._change(own, "invite", person)

    async def kick(self, room: str, name: str, *, reason: str = "") -> Sent:
        """Remove somebody, or take an invitation back."""
        await self._request("kick", room, name)
        own = self._chat.own_room(room, to="remove people")
        person = self._chat.member(own, name, or_invited=True)
        if person == self.me:
            raise chat_error(ErrorCode.BAD_REQUEST, f"to go yourself, leave {own}", field="name")
        return self._commit(own, "kick", person, reason=reason)

    async def decline(self, room: str) -> None:
        """Turn down an invitation."""
        await self._request("decline", room)
        for invitation in self._chat.invitations():
            if invitation.room.casefold() == room.casefold():
                self._commit(invitation.room, "decline")

    async def set_topic(self, room: str, topic: str) -> Sent | None:
        """Set the topic."""
        await self._request("set_topic", room, topic)
        check_topic(topic)
        return self._change(self._chat.own_room(room, to="set the topic"), "topic", topic)

    async def set_operator(self, room: str, name: str, *, on: bool = True) -> Sent | None:
        """Make somebody an operator, or no longer one."""
        await self._request("set_operator", room, name, on)
        own = self._chat.own_room(room, to="choose operators")
        person = self._chat.member(own, name)
        if not on and person == self.me and self._chat.is_only_operator(own):
            raise chat_error(
                ErrorCode.BAD_REQUEST,
                f"{own} needs an operator: choose another one first",
                field="name",
            )
        return self._change(own, "operator" if on else "member", person)

    async def set_access(
        self, room: str, *, private: bool, history: HistorySetting | None = None
    ) -> Sent | None:
        """Make a room private or public."""
        await self._request("set_access", room, private, history)
        own = self._chat.own_room(room, to="change who may join")
        if history is None and not private and self._chat.is_private(own):
            raise chat_error(
                ErrorCode.BAD_REQUEST,
                f"{own} becomes public: say whether those who join read what was written before",
                field="history",
            )
        return self._change(own, "access", "private" if private else "public")

    async def set_history(self, room: str, history: HistorySetting) -> Sent | None:
        """Hide a room's history from those who join, or show it."""
        await self._request("set_history", room, history)
        own = self._chat.own_room(room, to="choose what those who join read")
        return self._change(own, "history", history)

    async def ban(
        self, room: str, name: str, *, duration: timedelta | None = None, reason: str = ""
    ) -> Sent | None:
        """Ban somebody."""
        await self._request("ban", room, name)
        own = self._chat.own_room(room, to="ban people")
        person = self._chat.person(name)
        if person == self.me:
            raise chat_error(ErrorCode.BAD_REQUEST, f"to go yourself, leave {own}", field="name")
        seconds = int(duration.total_seconds()) if duration is not None else 0
        before = self._chat.bans(own).get(person)
        if before is not None and (before.seconds, seconds, reason) == (0, 0, before.reason):
            return None
        return self._commit(own, "ban", person, reason=reason, seconds=seconds)

    async def unban(self, room: str, name: str) -> Sent | None:
        """Lift a ban."""
        await self._request("unban", room, name)
        own = self._chat.own_room(room, to="lift bans")
        return self._change(own, "unban", self._chat.person(name))

    async def restrict(
        self,
        name: str,
        kind: RestrictionKind,
        *,
        duration: timedelta | None = None,
        reason: str = "",
    ) -> None:
        """Ban or mute somebody. Nothing ever ends."""
        await self._request("restrict", name, kind, duration, reason)
        self._require("moderator")
        person = self._chat.person(name)
        until = (
            None if duration is None else self._chat.time() + 1000 * int(duration.total_seconds())
        )
        self._chat.restrictions[person, kind] = wire.Restriction(
            name=person,
            kind=kind,
            by=self.me,
            ts=self._chat.time(),
            until=until or 0,
            reason=reason,
        )

    async def unrestrict(self, name: str, kind: RestrictionKind) -> None:
        """Lift that."""
        await self._request("unrestrict", name, kind)
        self._require("moderator")
        self._chat.restrictions.pop((self._chat.person(name), kind), None)

    async def restrictions(self) -> list[Restriction]:
        """Return who is banned or muted."""
        await self._request("restrictions")
        self._require("moderator")
        return [convert.to_restriction(one) for _, one in sorted(self._chat.restrictions.items())]

    async def ban_address(
        self, network: str, *, duration: timedelta | None = None, reason: str = ""
    ) -> None:
        """Ban a network, of which only its text is looked at."""
        await self._request("ban_address", network, duration, reason)
        self._require("admin")
        now = self._chat.time()
        until = 0 if duration is None else now + 1000 * int(duration.total_seconds())
        self._chat.address_bans[network] = wire.AddressBan(
            network=network, by=self.me, ts=now, until=until, reason=reason
        )

    async def unban_address(self, network: str) -> None:
        """Lift that."""
        await self._request("unban_address", network)
        self._require("admin")
        self._chat.address_bans.pop(network, None)

    async def address_bans(self) -> list[AddressBan]:
        """Return the banned networks."""
        await self._request("address_bans")
        self._require("admin")
        bans = self._chat.address_bans
        in_order = sorted(bans, key=lambda network: (":" in network, network))
        return [convert.to_address_ban(bans[network]) for network in in_order]

    async def hand_over(self, room: str, name: str, *, reason: str = "") -> None:
        """Make a person an operator of a room."""
        await self._request("hand_over", room, name, reason)
        self._require("admin")
        shown, person = self._chat.room(room), self._chat.person(name)
        if self._chat.is_private(shown):
            raise chat_error(ErrorCode.NOT_PERMITTED, f"{shown} is private", field="room")
        if person not in self._chat.operators(shown):
            before = self._chat.invitations()
            entry = self._chat.append(shown, person, "hand_over")
            if self._chat.sees(shown):
                self.emit_entry(entry)
            self._tell_invitations(before)

    async def report(self, messages: Sequence[MessageRef], *, reason: str = "") -> None:
        """Report messages. Whether somebody else wrote them is not looked at."""
        conv, seqs = messages[0].conversation, sorted({message.seq for message in messages})
        await self._request("report", conv, seqs, reason)
        self._reported(self.me, conv, seqs, reason)

    def reported(self, name: str, conv: str, seq: int, reason: str) -> None:
        """Let another person report a message, and the person be notified as a moderator is."""
        report = self._reported(name, conv, [seq], reason)
        self.emit(
            MessagesReported(
                id=report.id,
                time=moment(report.ts),
                sender=name,
                conversation=conv,
                names=tuple(dict.fromkeys(one.from_ for one in report.messages)),
                reason=reason,
            )
        )

    def close_reports(self) -> None:
        """Let another moderator resolve all reports."""
        while self._chat.reports:
            self.close_report(min(self._chat.reports))

    def forget_reports(self) -> None:
        """Let the person no longer handle the reports; nobody is notified of that."""
        self._chat.reports.clear()

    def close_report(self, report: int) -> None:
        """Let another moderator resolve a report."""
        del self._chat.reports[report]
        self.emit(ReportClosed(report))

    def _reported(self, name: str, conv: str, seqs: Sequence[int], reason: str) -> wire.OpenReport:
        key = self._chat.address(conv)
        found = [self._chat.message(key, seq, "seqs") for seq in seqs]
        id_ = self._chat.new_report_id()
        report = self._chat.reports[id_] = wire.OpenReport(
            id=id_,
            ts=self._chat.time(),
            from_=name,
            conv=conv,
            messages=tuple(
                wire.ReportedMessage(seq=one.seq, from_=one.from_, ts=one.ts, text=one.text)
                for one in found
            ),
            reason=reason,
        )
        return report

    async def reports(self) -> list[Report]:
        """Return the reports."""
        await self._request("reports")
        self._require("moderator")
        return [convert.to_report(one) for _, one in sorted(self._chat.reports.items())]

    async def resolve_report(self, report: int, *, note: str = "") -> None:
        """Resolve one."""
        await self._request("resolve_report", report, note)
        self._require("moderator")
        if report not in self._chat.reports:
            raise chat_error(ErrorCode.BAD_REQUEST, f"there is no open report {report}", field="id")
        self.close_report(report)

    def _require(self, least: ServerRole) -> None:
        ranks, role = [*_ROLES], self._chat.role
        if ranks.index(role) < ranks.index(least):
            raise chat_error(
                ErrorCode.NOT_PERMITTED,
                f"only {_ROLES[least]} may do this, and {self.me} is {_ROLES[role]}",
            )

    async def set_slow_mode(self, room: str, interval: timedelta) -> Sent | None:
        """Set slow mode, which slows nobody here."""
        await self._request("set_slow_mode", room, interval)
        own = self._chat.own_room(room, to="set slow mode")
        return self._change(own, "slow", str(int(interval.total_seconds())))

    async def set_announcements(self, room: str, *, on: bool) -> Sent | None:
        """Choose whether only operators can write."""
        await self._request("set_announcements", room, on)
        own = self._chat.own_room(room, to="choose who writes")
        return self._change(own, "announcements", "on" if on else "off")

    async def set_archived(self, room: str, *, on: bool) -> Sent | None:
        """Archive a room, or bring it back."""
        await self._request("set_archived", room, on)
        own = self._chat.own_room(room, to="archive a room, or bring it back")
        return self._change(own, "archive", "on" if on else "off")

    async def block(self, name: str) -> None:
        """Block somebody."""
        await self._request("block", name)
        person = self._chat.person(name)
        if person == self.me:
            raise chat_error(ErrorCode.BAD_REQUEST, "you can't block yourself", field="name")
        if person not in self._chat.blocked:
            self._chat.blocked.add(person)
            self.emit(PersonBlocked(person))

    async def unblock(self, name: str) -> None:
        """No longer block somebody."""
        await self._request("unblock", name)
        person = self._chat.person(name)
        if person in self._chat.blocked:
            self._chat.blocked.remove(person)
            self.emit(PersonUnblocked(person))

    async def blocked(self) -> list[str]:
        """Return whom the person blocks."""
        await self._request("blocked")
        return sorted(self._chat.blocked)

    async def bans(self, room: str) -> list[RoomBan]:
        """Return who is banned."""
        await self._request("bans", room)
        own = self._chat.own_room(room, to="see who is banned")
        return [
            convert.to_ban(
                wire.RoomBan(
                    name=name, by=entry.from_, ts=entry.ts, reason=entry.reason,
                    until=entry.ts + 1000 * entry.seconds if entry.seconds else 0,
                )
            )
            for name, entry in sorted(self._chat.bans(own).items())
        ]  # fmt: skip

    def _change(
        self, conv: str, kind: EntryKind, text: str = "", *, ref: int | None = None
    ) -> Sent | None:
        if self._chat.is_so(conv, kind, text, ref):
            return None
        return self._commit(conv, kind, text, ref=ref)

    def _commit(
        self, conv: str, kind: EntryKind, text: str = "", *, ref: int | None = None,
        reason: str = "", seconds: int = 0,
    ) -> Sent:  # fmt: skip
        mentions = self._chat.mentioned(conv, text) if kind == "edit" else ()
        before = self._chat.invitations()
        message = self._chat.append(
            conv,
            self.me,
            kind,
            text,
            ref=ref,
            cid=self._new_cid(),
            mentions=mentions,
            reason=reason,
            seconds=seconds,
        )
        if kind != "decline":  # who declines is not in the room
            self.emit_entry(message)
        self._tell_invitations(before)
        return sent(message)

    def _tell_invitations(self, before: Iterable[wire.Invitation]) -> None:
        was, now = (
            {invitation.room: invitation for invitation in some}
            for some in (before, self._chat.invitations())
        )
        for room in was.keys() - now.keys():
            self.emit(Uninvited(room))
        for room in now.keys() - was.keys():
            self.emit(Invited(convert.to_invitation(now[room])))
