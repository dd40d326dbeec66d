"""A room of the scripted chat: what its entries make of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from gochat.protocol.messages import EntryKind, HistorySetting, Member, Message


@dataclass(slots=True)
class ScriptedRoom:
    """The state of a room, after the entries that were applied to it."""

    topic: str = ""
    private: bool = False
    history: HistorySetting = "shown"
    members: dict[str, Member] = field(default_factory=dict)  # in the order in which they joined
    modes: dict[str, str] = field(default_factory=dict)  # by the kind of entry
    bans: dict[str, Message] = field(default_factory=dict)  # by what entry
    invited: dict[str, Message] = field(default_factory=dict)  # by what entry

    @property
    def operators(self) -> list[str]:
        """The names of the operators."""
        return [member.name for member in self.members.values() if member.operator]

    @property
    def is_archived(self) -> bool:
        """Whether nobody can write."""
        return self.modes.get("archive") == "on"

    @property
    def is_announcements(self) -> bool:
        """Whether only operators can write."""
        return self.modes.get("announcements") == "on"

    def why_closed(self, name: str, *, is_operator: bool) -> str:
        """Return why a person can't write in the room, which is called `name`; "" if they can."""
        if self.is_archived:
            return f"{name} is archived: it can be read, but not written to"
        if self.is_announcements and not is_operator:
            return f"only operators write in {name}"
        return ""

    def apply(self, entry: Message) -> None:
        """Change what an entry changes."""
        sender, text = entry.from_, entry.text
        match entry.kind:
            case "create" | "join":
                is_first = not self.members
                self.invited.pop(sender, None)
                self.members[sender] = Member(name=sender, since=entry.ts, operator=is_first)
                if entry.kind == "create":
                    self.private = text == "private"
            case "hand_over":
                self.members[sender] = Member(name=sender, since=entry.ts, operator=True)
                self.invited.pop(sender, None)
                self.bans.pop(sender, None)
            case "slow" | "announcements" | "archive":
                self.modes[entry.kind] = text
            case "unban":
                self.bans.pop(text, None)
            case "leave" | "kick" | "ban" | "decline":
                person = text if entry.kind in ("kick", "ban") else sender
                if entry.kind == "ban":
                    self.bans[person] = entry
                self.members.pop(person, None)
                self.invited.pop(person, None)
                if self.private and not self.members:
                    self.invited.clear()
            case "invite" if text not in self.members:
                self.invited.setdefault(text, entry)
            case "topic":
                self.topic = text
            case "access":
                self.private = text == "private"
                self.history = self.history if self.private else "shown"
            case "history":
                self.history = "hidden" if text == "hidden" else "shown"
            case "operator" | "member" if text in self.members:
                is_operator = entry.kind == "operator"
                self.members[text] = replace(self.members[text], operator=is_operator)
            case _:
                pass

    def is_so(self, kind: EntryKind, text: str, person: str) -> bool:
        """Return whether an entry of a person would change nothing."""
        match kind:
            case "join":
                return person in self.members
            case "invite":
                return text in self.invited
            case "slow" | "announcements" | "archive":
                return text == self.modes.get(kind, "0" if kind == "slow" else "off")
            case "unban":
                return text not in self.bans
            case "topic":
                return text == self.topic
            case "operator" | "member":
                return self.members[text].operator == (kind == "operator")
            case "access":
                return self.private == (text == "private")
            case "history":
                return text == self.history
            case _:
                return False
