"""The names of all keys, and the partition of each.

The hash tag of every key is its partition's number (``gochat:{3}:…``). So in a Redis Cluster all
keys of a partition are on one server, and one script can use them together. All keys of a
conversation are in one partition, and so are all keys of a person.

==================== ====== ===========================================================
``meta``             hash   version and number of partitions; `copy_of` in an unfinished
                            copy; `claimed`: all names have their claims, see
                            migration.py; only in partition 0
``state``            hash   `epoch`; `run`: the Redis process that it holds for; `pos`: the
                            position of the last entry; `gate`: see epoch_tracker.py; `index`:
                            something may be in the index; `loss`: the last loss of keys,
                            see epoch_tracker.py
``feed``             stream the newest entries of the partition, id = position-0
``probe``            hash   `at`: when a server last tried whether it can write here
``convs``            set    all conversations of the partition
``rooms``            zset   the names of its public rooms, in order
``people``           zset   the keys of its people, in order
``roles``            hash   the role at the server of all people whose role was ever set, the
                            same in each partition: see people.py
``mutes``            hash   until when people are muted, 0 until it is lifted, likewise
``restricted``       zset   the keys of those of its people who are banned or muted
``c:CONVERSATION``   hash   seq, ts, texts of the last entry; name, topic, private; history and
                            floor, see chat/history.py, if they were ever set; slow,
                            announcements, archived, see chat/modes.py, likewise; base:
                            the number of oldest entries that were dropped; `indexed`:
                            up to where entries are in the index, `first`: its first block,
                            `turn`: how often it was written
``l:CONVERSATION``   list   the log: the entry with seq n has the index n - 1 - base
``w:CONVERSATION``   hash   a row for each participant, see records.py
``m:CONVERSATION``   zset   the keys of its members, in order
``n:CONVERSATION``   zset   unread mentions: name, NUL, seq; of everybody: "@room", and
                            "@room", a space and the sender's name
``s:CONVERSATION``   zset   messages that are not deleted, and that their own senders have not
                            read: name, NUL, seq
``d:CONVERSATION``   zset   the seqs of deleted messages
``b:CONVERSATION``   hash   the bans of a room: a row for each person, see records.py; of a private
                            conversation, which of the two block the other
``u:CONVERSATION``   zset   when each person last wrote in a room in slow mode
``e:CONVERSATION``   zset   what concerns people, see chat/activity.py: name, NUL, seq, ":",
                            time; of everybody: "@room" as the name
``j:CONVERSATION``   zset   pinned messages: seq of the message, ":", seq of the pin
``r:CONVERSATION``   zset   reactions: seq of the message, seq of the reaction, emoji, name
``x:CONVERSATION``   zset   seqs of indexed entries that have changed since; the
                            score is the seq of the change
``i:CONVERSATION:N`` hash   the index of a block of entries, see index.py
``k:BUCKET``         hash   the seqs of entries by the digest of their conversation, sender and cid
``q:DIGEST``         string the conversation in which a sender used this cid; expires
``a:PERSON``         hash   the account; `activity`: up to when they have seen theirs; `status`, see
                            chat/status.py, while they have one
``p:PERSON``         set    the conversations that may be theirs: the row in ``w:`` decides
``f:PERSON``         zset   the addresses of their logins, by time; expires
``v:PERSON``         hash   what they have saved: conversation, NUL, seq; when it was, and when
                            that was written
``z:PERSON``         hash   whom they block; ``b:`` decides
``h:PERSON``         hash   their session tokens, by their ids
``t:ID``             string whose hash has the session token with this id; expires
``y:SKELETON``       string the claim on what a name looks like: see claim.lua
``audit``            list   the audit log: id, NUL, entry; only in partition 0
``settings``         hash   `registration`: the mode that was set; `network_bans`: how often
                            those were changed; `reports`: the last id of one; only in partition 0
``reports``          hash   reports of messages, by their ids; `settings` has the last id
``openreports``      zset   the ids of those that are not resolved, by the id
``oldreports``       zset   the ids of those that are, by when they were
``reported``         hash   the ids of open ones, by their digests; all in partition 0
``netbans``          hash   bans of networks, by the network; in partition 0
``retention``        hash   rules of chat/retention.py, by their scopes; in partition 0
``deleted``          set    the accounts that are deleted; only in partition 0
``sweep``            string is there while no node need apply them; expires; in partition 0
``invites``          hash   invitations to the server, by the digest of their code; in partition 0
``revoked``          hash   when each that is revoked was; in partition 0
``g:DIGEST``         hash   the accounts that were made with one, see invitation_take.lua;
                            expires; in partition 0
``nodes``            hash   when each node's lease ends; only in partition 0
``o:NODE``           hash   the people online at a node; expires; in partition 0
``notices``          stream what nodes publish; only in partition 0
==================== ====== ===========================================================

The log is a list, not a stream, because deleted texts must be gone. An element of a list is
overwritten. An entry of a stream is only marked, and its text stays in memory and on disk until all
its neighbours are deleted, too.
"""

from __future__ import annotations

from functools import lru_cache, partial
from hashlib import blake2b
from typing import Final
from zlib import crc32

from gochat.chat.conversations import ConversationKey
from gochat.chat.names import NameKey
from gochat.chat.skeletons import Skeleton

#: Version of this layout.
VERSION: Final = 1
#: Field of ``meta`` in an unfinished copy: the fingerprint of its source.
COPY_OF: Final = "copy_of"
#: Field of ``meta`` once all names have their claims (migration.py).
CLAIMED: Final = "claimed"
#: Its value: changes whenever names get other skeletons.
CLAIMS: Final = 2
#: Default number of partitions: enough for a cluster of a dozen masters, few enough to query all of
#: them cheaply.
DEFAULT_PARTITIONS: Final = 16
#: Names whose partitions are kept, in 2 MiB: each is asked for six times for a message.
MAX_CACHED: Final = 16_384
#: Bytes of a cid's digest: one pair in 10^19 collides by chance.
_DIGEST_SIZE: Final = 8
#: Hexadecimal digits of the number of hashes for a partition's cids. Cids are kept for ever, so
#: they must be small: Redis packs a hash of up to some hundred fields, which takes a sixth of the
#: memory of one key per cid.
_BUCKET_DIGITS: Final = 3

#: The letters of a conversation's keys, as in the table above.
META: Final = "c"
LOG: Final = "l"
PARTICIPANTS: Final = "w"
MEMBERS: Final = "m"
MENTIONS: Final = "n"
UNREAD: Final = "s"
DELETED: Final = "d"
REACTIONS: Final = "r"
CHANGED: Final = "x"
BANS: Final = "b"
SLOWED: Final = "u"
ACTIVITY: Final = "e"
PINS: Final = "j"
#: The letters of a person's keys.
ACCOUNT: Final = "a"
CONVERSATIONS: Final = "p"
ADDRESSES: Final = "f"
TOKENS: Final = "h"
BLOCKED: Final = "z"
SAVED: Final = "v"


class Keys:
    """Make the names of keys."""

    def __init__(self, prefix: str, partitions: int) -> None:
        self.partitions: Final = partitions
        #: Returns the partition of a conversation or a person. The same on all nodes, for ever.
        self.partition: Final = lru_cache(MAX_CACHED)(partial(_partition, partitions))
        self._prefixes: Final = tuple(f"{prefix}:{{{n}}}:" for n in range(partitions))
        self.meta: Final = self._prefixes[0] + "meta"
        self.nodes: Final = self._prefixes[0] + "nodes"
        self.audit: Final = self._prefixes[0] + "audit"
        self.settings: Final = self._prefixes[0] + "settings"
        self.network_bans: Final = self._prefixes[0] + "netbans"
        self.reports: Final = self._prefixes[0] + "reports"
        self.open_reports: Final = self._prefixes[0] + "openreports"
        self.resolved_reports: Final = self._prefixes[0] + "oldreports"
        self.reported: Final = self._prefixes[0] + "reported"
        self.retention: Final = self._prefixes[0] + "retention"
        self.deleted: Final = self._prefixes[0] + "deleted"
        self.sweep: Final = self._prefixes[0] + "sweep"
        self.server_invitations: Final = self._prefixes[0] + "invites"
        self.revoked_invitations: Final = self._prefixes[0] + "revoked"
        #: Prefix of the keys of the uses of each, by its digest in hexadecimal digits.
        self.invitation_uses: Final = self._prefixes[0] + "g:"
        self.node_events: Final = self._prefixes[0] + "notices"
        self.states: Final = tuple(prefix + "state" for prefix in self._prefixes)
        #: Prefix of the keys of all blocks of a partition.
        self.blocks: Final = tuple(prefix + "i:" for prefix in self._prefixes)
        self.feeds: Final = tuple(prefix + "feed" for prefix in self._prefixes)

    def common(self, partition: int, what: str) -> str:
        """Return a key that exists once per partition."""
        return self._prefixes[partition] + what

    def conversation(self, key: ConversationKey, *kinds: str) -> tuple[str, ...]:
        """Return keys of a conversation, by their letters: :data:`META`, :data:`LOG` and so on."""
        prefix = self._prefixes[self.partition(key)]
        return tuple(f"{prefix}{kind}:{key}" for kind in kinds)

    def block(self, key: ConversationKey, number: int) -> str:
        """Return the key of an index block of a conversation."""
        return f"{self.blocks[self.partition(key)]}{key}:{number}"

    def person(self, key: NameKey, kind: str) -> str:
        """Return a key of a person, by its letter: :data:`ACCOUNT` and so on."""
        return f"{self._prefixes[self.partition(key)]}{kind}:{key}"

    def token(self, token_id: bytes) -> tuple[int, str]:
        """Return the partition and the key in which a session token is looked up."""
        name = token_id.hex()
        partition = self.partition(name)
        return partition, f"{self._prefixes[partition]}t:{name}"

    def skeleton(self, skeleton: Skeleton) -> tuple[int, str]:
        """Return the partition and the key of the claim on a skeleton."""
        partition = self.partition(skeleton)
        return partition, f"{self._prefixes[partition]}y:{skeleton}"

    def by_cid(self, conversation: ConversationKey, sender: NameKey, cid: str) -> tuple[str, bytes]:
        """Return the key and the field that store a cid in a conversation."""
        prefix = self._prefixes[self.partition(conversation)]
        digest = _digest(conversation, sender, cid)
        bucket = int.from_bytes(digest[-2:], "big") % 16**_BUCKET_DIGITS
        return f"{prefix}k:{bucket:0{_BUCKET_DIGITS}x}", digest[:_DIGEST_SIZE]

    def claim(self, sender: NameKey, cid: str) -> str:
        """Return the key that stores a sender's cid, in whatever conversation."""
        return (
            f"{self._prefixes[self.partition(sender)]}q:{_digest(sender, cid)[:_DIGEST_SIZE].hex()}"
        )


def _partition(partitions: int, name: str) -> int:
    return crc32(name.encode()) % partitions


def _digest(*parts: str) -> bytes:
    """Return a digest, plus two bytes that choose a bucket."""
    return blake2b("\0".join(parts).encode(), digest_size=_DIGEST_SIZE + 2).digest()
