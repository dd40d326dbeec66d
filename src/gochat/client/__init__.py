"""The client library: a chat for programs on Trio or asyncio.

::

    async with open_client("gochat://127.0.0.1:8889") as client:
        await client.log_in("mei", "a good password")
        outgoing = client.send("#lobby", "hello")
        sent = await outgoing.sent()  # committed, at sent.seq
        async for event in client.events():
            match event:
                case Message(kind="text", from_=name, text=text):
                    print(f"{name}: {text}")
                case StateChanged(state=ConnectionState.RECONNECTING, retry_in=seconds):
                    print("back soon", seconds)

It reconnects, fills gaps, drops duplicates and sends waiting messages by itself; see
:class:`Client`.
"""

from gochat.client.client import Client, open_client
from gochat.client.events import (
    ClientEvent,
    ConnectionState,
    OutgoingChanged,
    Reset,
    StateChanged,
    Synchronised,
)
from gochat.client.options import ClientOptions, Clock
from gochat.client.outgoing import Outgoing, OutgoingState
from gochat.errors import ChatError, ConfigError, ConnectionLost, OutboxInUse
from gochat.protocol.messages import (
    Conversation,
    CreatedToken,
    Form,
    Found,
    HistoryPage,
    HistorySetting,
    Invitation,
    Invited,
    IsTyping,
    Level,
    Limits,
    Marked,
    Member,
    Message,
    NewLogin,
    Person,
    Presence,
    Reaction,
    Room,
    Sent,
    ServerInfo,
    Session,
    TokenScope,
    Uninvited,
)

__all__ = [
    "ChatError",
    "Client",
    "ClientEvent",
    "ClientOptions",
    "Clock",
    "ConfigError",
    "ConnectionLost",
    "ConnectionState",
    "Conversation",
    "CreatedToken",
    "Form",
    "Found",
    "HistoryPage",
    "HistorySetting",
    "Invitation",
    "Invited",
    "IsTyping",
    "Level",
    "Limits",
    "Marked",
    "Member",
    "Message",
    "NewLogin",
    "OutboxInUse",
    "Outgoing",
    "OutgoingChanged",
    "OutgoingState",
    "Person",
    "Presence",
    "Reaction",
    "Reset",
    "Room",
    "Sent",
    "ServerInfo",
    "Session",
    "StateChanged",
    "Synchronised",
    "TokenScope",
    "Uninvited",
    "open_client",
]
