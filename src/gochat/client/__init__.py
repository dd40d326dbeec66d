"""The client library: a chat for programs on Trio or asyncio.

::

    async with open_client("gochat://127.0.0.1:8889") as client:
        await client.log_in("mei", "a good password")
        await client.send("#lobby", "hello")  # without await, it is on its way
        async for event in client:
            match event:
                case Message(is_own=False, text="ping"):
                    client.reply(event, "pong")
                case StateChanged(state=ConnectionState.RECONNECTING, retry_in=seconds):
                    print("back soon", seconds)

It reconnects, fills gaps, drops duplicates and sends waiting messages by itself; see
:class:`Client`. What it raises is in :mod:`gochat.client.errors`.
"""

from gochat.client.client import Client
from gochat.client.entries import (
    AccessChanged,
    Entry,
    HistoryChanged,
    InvitationDeclined,
    LogEntry,
    Message,
    MessageDeleted,
    MessageEdited,
    MessageId,
    MessageRef,
    OperatorAdded,
    OperatorRemoved,
    PersonInvited,
    PersonJoined,
    PersonKicked,
    PersonLeft,
    ReactionAdded,
    ReactionRemoved,
    RoomCreated,
    TopicChanged,
)
from gochat.client.errors import (
    AlreadyExists,
    AlreadyLoggedIn,
    AuthenticationError,
    ClientClosed,
    InvalidReply,
    InvalidRequest,
    LimitReached,
    NotAMember,
    NotConnected,
    NotFound,
    NotPermitted,
    OutboxFull,
    RateLimited,
    TemporaryError,
    Unavailable,
)
from gochat.client.events import (
    ClientEvent,
    ConnectionState,
    Invited,
    IsTyping,
    Marked,
    OutgoingChanged,
    Reset,
    StateChanged,
    Synchronised,
    Uninvited,
)
from gochat.client.models import (
    Conversation,
    CreatedToken,
    Found,
    HistoryPage,
    Invitation,
    Member,
    Room,
    Sent,
    Session,
)
from gochat.client.opening import open_client
from gochat.client.options import ClientOptions
from gochat.client.outgoing import Outgoing, OutgoingState
from gochat.errors import (
    ChatError,
    ConfigError,
    ConnectionLost,
    ErrorCode,
    GochatError,
    OutboxInUse,
)
from gochat.protocol.messages import (
    Form,
    HistorySetting,
    Level,
    Limits,
    NewLogin,
    Person,
    Presence,
    Reaction,
    ServerInfo,
    TokenScope,
)

__all__ = [
    "AccessChanged",
    "AlreadyExists",
    "AlreadyLoggedIn",
    "AuthenticationError",
    "ChatError",
    "Client",
    "ClientClosed",
    "ClientEvent",
    "ClientOptions",
    "ConfigError",
    "ConnectionLost",
    "ConnectionState",
    "Conversation",
    "CreatedToken",
    "Entry",
    "ErrorCode",
    "Form",
    "Found",
    "GochatError",
    "HistoryChanged",
    "HistoryPage",
    "HistorySetting",
    "InvalidReply",
    "InvalidRequest",
    "Invitation",
    "InvitationDeclined",
    "Invited",
    "IsTyping",
    "Level",
    "LimitReached",
    "Limits",
    "LogEntry",
    "Marked",
    "Member",
    "Message",
    "MessageDeleted",
    "MessageEdited",
    "MessageId",
    "MessageRef",
    "NewLogin",
    "NotAMember",
    "NotConnected",
    "NotFound",
    "NotPermitted",
    "OperatorAdded",
    "OperatorRemoved",
    "OutboxFull",
    "OutboxInUse",
    "Outgoing",
    "OutgoingChanged",
    "OutgoingState",
    "Person",
    "PersonInvited",
    "PersonJoined",
    "PersonKicked",
    "PersonLeft",
    "Presence",
    "RateLimited",
    "Reaction",
    "ReactionAdded",
    "ReactionRemoved",
    "Reset",
    "Room",
    "RoomCreated",
    "Sent",
    "ServerInfo",
    "Session",
    "StateChanged",
    "Synchronised",
    "TemporaryError",
    "TokenScope",
    "TopicChanged",
    "Unavailable",
    "Uninvited",
    "open_client",
]
