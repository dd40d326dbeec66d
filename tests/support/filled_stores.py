"""Stores with something of everything, and what people see of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace
from redis_deployments import ClusterOf3, Watched
from redis_nodes import REDIS_TIMEOUT
from redis_process import RedisServer
from storing import NOON, Chat, Clock, account, draft, key, make_token, person

from gochat.chat import extras
from gochat.chat.administration import AuditEntry
from gochat.chat.admission_store import ServerInvitation
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.log import Appended
from gochat.chat.reports import CopiedMessage, Handling, Report
from gochat.chat.restriction import Restriction
from gochat.chat.retention import Rule
from gochat.chat.saved import SavedRef
from gochat.protocol.messages import Status
from gochat.storage import open_store
from gochat.storage.common.clock import wall_clock

PEOPLE = ("Mei", "Bob", "Eve", "Straße", "李雷")
#: A time at which cids are still stored.
TODAY = wall_clock() - 60_000
LATER = wall_clock() + 3_600_000
SESSION = make_token("Mei", 1, expires=LATER, device="laptop", created=NOON, seen=TODAY)
#: For a new password, from an address.
BOBS = make_token("Bob", 2, expires=LATER, generation=1, address="10.0.0.1")
PROGRAM = make_token(
    "Mei", 3, expires=LATER, scopes=("read", "send"), rooms=(LOBBY_KEY, key("#garden", "Mei"))
)

GARDENERS = ServerInvitation(
    digest=bytes(32),
    maker=person("Mei"),
    room=key("#garden", "Mei"),
    note="class",
    uses=3,
    created=TODAY,
    expires=LATER,
)
REVOKED = ServerInvitation(
    digest=bytes(31) + b"x", maker=None, room=None, note="", uses=1, created=TODAY, expires=LATER
)


#: It keeps nobody from anything: it has ended.
MUTE = Restriction(by="uid 0", role="owner", since=NOON, until=NOON + 1, reason="ü")


async def fill(url: str, more: int = 0) -> None:
    """Make people use a store: something of everything, and `more` messages in the lobby."""
    clock = Clock()
    clock.now = TODAY
    async with open_store(url, clock=clock) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob", "Eve", "Straße")
        await store.change_password(account("Bob"), "another hash")
        await store.add_token(BOBS)
        await store.add_token(SESSION)
        await store.add_token(PROGRAM)
        await store.add_token(make_token("Bob", 4, expires=NOON))
        await store.add_token(make_token("Eve", 5, expires=2 * TODAY))
        await store.change_password(account("Eve"), "her new hash")
        for before, after in (
            (account("Bob"), {"role": "moderator", "bot": True}),
            (account("Mei"), {"mute": MUTE, "ban": replace(MUTE, until=TODAY)}),
            (account("Straße"), {"state": "disabled", "generation": 1}),
        ):
            await store.administration.change_account(before, replace(before, **after))
        for who, said in (("Bob", Status(text="tea")), ("Eve", Status(emoji="🌴", until=LATER))):
            holder = await store.account(person(who))
            assert holder is not None
            assert await store.set_status(holder, said)
        await store.network_bans.change("203.0.113.0/24", None, MUTE)
        report = Report(
            ts=TODAY,
            reporter=person("Mei"),
            name="Mei",
            conv="@Bob",
            messages=(CopiedMessage(seq=1, sender=person("Bob"), name="Bob", ts=1, text="ü"),),
        )
        await store.reports.add(replace(report, reason="open"))
        report = replace(report, conv="#lobby")
        await store.reports.add(report)
        handling = Handling(by="Eve", role="owner", ts=TODAY)
        await store.reports.change(replace(report, id=2), replace(report, id=2, handled=handling))
        await store.network_bans.change("2001:db8::1/128", None, replace(MUTE, until=0))
        for act in ("role set", "account disable"):
            entry = AuditEntry(at=clock.now, actor="uid 0", act=act, subject="who", reason="ü")
            await store.administration.record(entry)
        await chat.append(*(draft("Bob", "#lobby", f"{n}", cid=f"c{n}") for n in range(more)))
        await chat.say("Mei", "#lobby", "hello @Bob", mentions=["Bob"], cid="hello")
        await chat.say("Mei", "#lobby", "to be taken back @Eve", mentions=["Eve"])
        await chat.say("Mei", "#lobby", "@room and @Eve", mentions=["@room", "Eve"])
        await chat.say("Bob", "#lobby", "hello 中文")
        first = more + 1
        await chat.do("Mei", "#lobby", "edit", "hello there", ref=first)
        await chat.do("Mei", "#lobby", "edit", "hello, @Eve", ref=first, mentions=["Eve"])
        await chat.do("Mei", "#lobby", "edit", "secret", ref=first + 1)
        await chat.do("Bob", "#lobby", "react", "👍", ref=first + 1)
        await chat.do("Mei", "#lobby", "delete", ref=first + 1)
        await chat.do("Eve", "#lobby", "react", "👍", ref=first)
        await chat.do("Bob", "#lobby", "react", "🎉", ref=first)
        await chat.do("Bob", "#lobby", "react", "👍", ref=first)
        await chat.do("Bob", "#lobby", "unreact", "🎉", ref=first)
        clock.now += 1000
        await store.admission.add(GARDENERS)
        await store.create_account(account("李雷"), GARDENERS.digest)  # older entries are read
        await chat.do("Mei", "#Garden", "create", "public")
        await chat.do("Mei", "#Garden", "topic", "Roses & 玫瑰")
        await chat.do("Bob", "#Garden", "join")
        await chat.do("Straße", "#Garden", "join")
        await chat.do("Mei", "#Garden", "operator", subject="Bob")
        await chat.do("Straße", "#Garden", "leave")
        await chat.do("Eve", "#Cellar", "create", "private")
        await chat.do("Eve", "#Cellar", "invite", subject="Mei")
        await chat.do("Eve", "#Cellar", "invite", subject="Bob")
        await chat.do("Bob", "#Cellar", "join")
        # Two hidden histories: one is shown again, and public; the other is not.
        for room in ("#Attic", "#Vault"):
            await chat.do("Eve", room, "create", "private")
            await chat.do("Eve", room, "history", "hidden")
            await chat.say("Eve", room, "hidden")
            await chat.do("Eve", room, "invite", subject="Bob")
            await chat.do("Bob", room, "join")
        await chat.do("Eve", "#Attic", "access", "public")
        await chat.do("Mei", "#Attic", "join")
        await chat.do("Eve", "#Cellar", "ban", subject="Straße", extra=extras.of_reason("no"))
        await store.set_blocked(person("Eve"), person("Straße"), on=True)
        await chat.do("Eve", "#Cellar", "slow", "30")
        await chat.do("Eve", "#Cellar", "announcements", "on")
        await chat.do("Eve", "#Cellar", "archive", "on")
        await store.set_blocked(person("Eve"), person("Bob"), on=True)
        await chat.do("Mei", "#Empty", "create", "public")
        await chat.do("Mei", "#Empty", "leave")
        clock.now += 1000
        await chat.say("Bob", "@Mei", "hi")
        await chat.say("Mei", "@Bob", "hi, too", ref=1, cid="reply")
        await chat.say("Eve", "@Eve", "a note")
        await chat.say("Straße", "@李雷", "你好")
        await chat.say("Bob", "#Garden", "weeds", extra=extras.of_message("action", {"a/b": "c"}))
        await chat.say("Mei", "#lobby", "last")
        for who, to, seq in (("Bob", "@Mei", 1), ("Mei", "#Garden", 7), ("Mei", "@Bob", 2)):
            await chat.do(who, to, "pin", ref=seq)
        await chat.do("Bob", "@Mei", "unpin", ref=1)
        await chat.mark_read("Eve", "#lobby", first + 3)
        await chat.mark_read("Mei", "#Garden", 3)
        for who, to, seq in (("Bob", "#Garden", 7), ("Bob", "@Mei", 1), ("Eve", "#lobby", 1)):
            ref = SavedRef(clock.now + seq, key(to, who), seq, clock.now)
            await store.set_saved(person(who), ref, on=True)
        await store.admission.set_mode("invite")
        await store.retention.set_rule("private", Rule(days=30, entries=999))
        await store.admission.add(REVOKED)
        await store.admission.revoke(REVOKED.digest, TODAY)
        await store.set_level(person("Eve"), LOBBY_KEY, "none")
        await store.set_level(person("Bob"), key("#Garden", "Bob"), "mentions")


async def everything(url: str) -> dict[str, Any]:
    """Return what people see of a store, without epochs."""
    found: dict[str, Any] = {}
    async with open_store(url, clock=Clock()) as store:
        chat = Chat(store)
        for who in PEOPLE:
            me = person(who)
            found[f"{who}: account"] = await store.account(me)
            theirs = [await chat.seen(who, address) for address in await chat.addresses(who)]
            found[f"{who}: conversations"] = [
                (
                    *(c.conv, c.head, c.read, c.unread, c.mentions, c.level, c.topic, c.operator),
                    *(c.history, c.floor),
                )
                for c in theirs
            ]
            found[f"{who}: rooms"] = await store.rooms(me, after="", limit=100)
            found[f"{who}: saved"] = await store.saved(me, all_of_them=True)
            found[f"{who}: blocks"] = (
                await store.blocked(me),
                [set(await store.blockers(me, person(other))) for other in PEOPLE],
            )
            found[f"{who}: bans"] = [
                ((await chat.room(who, room)).ban, (await chat.room(who, room)).modes)
                for room in ("#Garden", "#Cellar")
            ]
            found[f"{who}: invitations"] = await store.invitations(me)
            found[f"{who}: keys"] = await store.conversation_keys(me)
            for one in theirs:
                found[f"{who}: {one.conv}"] = [
                    (
                        *(e.to, e.seq, e.ts, e.from_, e.kind, e.text, e.ref, e.cid),
                        *(e.mentions, e.edited, e.deleted, e.reactions, e.form, e.meta, e.reason),
                        e.pinned,
                    )
                    for e in await chat.entries(who, one.conv)
                ]
                found[f"{who}: pins of {one.conv}"] = await store.pins(key(one.conv, who))
            found[f"{who}: search"] = sorted(await chat.find(who, "h"))
            for room in ("#Garden", "#Cellar", "#Empty", "#Attic", "#Vault", "#lobby"):
                found[f"{who}: role in {room}"] = await store.room(key(room, who), me)
        for room in ("#Garden", "#Cellar", "#Empty", "#lobby"):
            found[f"members of {room}"] = await store.members(key(room, "Mei"), after="", limit=9)
        for number in range(1, 6):
            token_id = bytes([number]) * 16
            found[f"session {number}"] = await store.token(token_id, wall_clock())
        found["sessions of Mei"] = list(await store.tokens(person("Mei"), wall_clock()))
        found["acts"] = await store.administration.audit(before=None, limit=9)
        found["admission"] = await store.admission.mode(), await store.admission.invitations()
        found["staff"] = await store.administration.staff()
        found["reports"] = await store.reports.reports(after=0, limit=9, resolved=True)
        found["open reports"] = await store.reports.reports(after=0, limit=9)
        found["network bans"] = await store.network_bans.all()
        found["retention"] = await store.retention.rules()
        found["said"] = [
            isinstance(said, Appended) and (said.entry.seq, said.entry.text)
            for said in (
                await store.find_by_cid(draft("Mei", "#lobby", "hello @Bob", cid="hello")),
                await store.find_by_cid(draft("Mei", "@Bob", "hi, too", ref=1, cid="reply")),
            )
        ]
    return found


class Places:
    """URLs for the stores of a test."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder

    def __call__(self, kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{self._folder / uuid4().hex}.db"
        deployment: RedisServer | Watched | ClusterOf3 = self._request.getfixturevalue(kind)
        return f"{deployment.url}?timeout={REDIS_TIMEOUT}&prefix=t{uuid4().hex}"
