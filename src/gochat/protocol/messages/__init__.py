"""The payloads: one struct per ``msg_type``, in three tagged unions.

:data:`Request` is what a client sends, :data:`Reply` what answers one request, :data:`Event` what
the server sends unasked. The tag is not in the payload but in the envelope; a class has its tag in
``msg_type``. ``docs/reference/protocol.md`` is the normative text, with every bound.

Conventions: times are integers, milliseconds since the Unix epoch. A conversation is named as the
person sees it: ``#lobby``, ``#room``, or ``@name`` for the private one with *name*. Unknown fields
are ignored; a field left out has its default, so a field that has its default need not be sent.
"""

from __future__ import annotations

from typing import TypeAlias

# What the modules define; each name is imported from here.
from gochat.protocol.messages.events import *
from gochat.protocol.messages.parts import *
from gochat.protocol.messages.replies import *
from gochat.protocol.messages.requests import *

Request: TypeAlias = (
    Hello | Register | Login | Resume
    | Logout | ChangePassword | Sessions | EndSession | CreateToken
    | Who | Away | SetStatus | Statuses | Send | Edit | Delete | React | Pin | Typing
    | History | Search | Sync | Mark | Activity | MarkActivity | Pins
    | Save | Saved
    | CreateRoom | Join | Leave | Invite | Kick | Decline
    | SetTopic | SetOperator | SetAccess | SetHistory
    | Ban | Unban | SetSlowMode | SetAnnouncements | SetArchived
    | Rooms | Members | Bans
    | Block | Unblock | Blocks
    | Restrict | Unrestrict | Restrictions
    | BanAddress | UnbanAddress | AddressBans | HandOver
    | Report | Reports | ResolveReport
    | Ping | Pong
)  # fmt: skip

#: The requests that write to the log: those derived from :class:`Write`.
WriteRequest: TypeAlias = (
    Send | Edit | Delete | React | Pin
    | CreateRoom | Join | Leave | Invite | Kick | Decline
    | SetTopic | SetOperator | SetAccess | SetHistory
    | Ban | Unban | SetSlowMode | SetAnnouncements | SetArchived
)  # fmt: skip

Reply: TypeAlias = (
    Ok | Error | ServerInfo | Registered | LoggedIn | LoggedOut | PasswordChanged
    | SessionList | CreatedToken | People | StatusList | Sent
    | HistoryPage | Found | ActivityList | PinList | SavedList | Synced | RoomList | MemberList
    | BanList | BlockList | RestrictionList | AddressBanList | ReportList | Pong
)  # fmt: skip

Event: TypeAlias = (
    Message
    | Presence
    | Marked
    | ActivityChanged
    | SavedChanged
    | RoleChanged
    | Invited
    | Uninvited
    | Blocked
    | Unblocked
    | IsTyping
    | Reported
    | ReportClosed
    | NewLogin
    | Ping
    | Bye
)

#: All that a client may receive.
ServerMessage: TypeAlias = Reply | Event
