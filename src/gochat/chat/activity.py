"""What concerns a person in the logs: mentions, replies and reactions to what they wrote.

The log has it all. What a store keeps besides is an index: for each person and conversation the
seqs of the newest :data:`PER_CONVERSATION` entries that may be such, written in the commit of the
entry. Whether one still is, is decided on reading (by the server's `activity` module): messages are
edited and deleted, people leave rooms and are removed from them. A message that mentions everybody
has one element for its conversation, not one for each person. In private conversations only
reactions are listed: all that is written there is to the person.

What else concerns somebody is kept elsewhere: invitations, and unread private messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from gochat.chat.conversations import ConversationKey

#: Entries of a conversation that are kept for a person.
PER_CONVERSATION: Final = 100
#: Entries that are listed for a person: some weeks of a busy one.
MAX_LISTED: Final = 500


class ActivityRef(NamedTuple):
    """An entry that may concern a person, and when it came to do so: an edit can add a mention.

    They are ordered by time; those of the same time by conversation and seq.
    """

    ts: int
    conversation: ConversationKey
    seq: int


class ActivityIndex(Struct, frozen=True):
    """The newest entries that may concern a person, at most :data:`MAX_LISTED`, the newest first.

    They are of the person's conversations, after their floor in each. `seen`: they have seen those
    up to this time.
    """

    seen: int
    refs: Sequence[ActivityRef]
