"""The exact bytes of one payload of each type, so that the wire format only changes on purpose."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from gochat.protocol import messages as m
from gochat.protocol.codec import encode
from gochat.protocol.framing import HEADER_SIZE


def test_golden_bytes_of_a_request() -> None:
    assert encode(m.Send(to="#lobby", text='say "hi"', request_id="7")) == (
        b"\x00\x00\x00\x65"
        rb'{"msg_type":"send","msg_data":'
        rb'"{\"request_id\":\"7\",\"to\":\"#lobby\",\"text\":\"say \\\"hi\\\"\"}"}'
    )


def test_golden_bytes_of_a_reply() -> None:
    assert encode(m.Error(code="bad_name", text="no", field="name")) == (
        b"\x00\x00\x00\x5c"
        rb'{"msg_type":"error","msg_data":'
        rb'"{\"code\":\"bad_name\",\"text\":\"no\",\"field\":\"name\"}"}'
    )


def test_golden_bytes_of_an_event() -> None:
    assert encode(m.IsTyping(to="#lobby", from_="小明")) == (
        b"\x00\x00\x00\x4d"
        rb'{"msg_type":"is_typing","msg_data":'
        b'"{\\"to\\":\\"#lobby\\",\\"from\\":\\"\xe5\xb0\x8f\xe6\x98\x8e\\"}"}'
    )


ENTRY = m.Message(
    to="#garden",
    epoch="e1",
    seq=7,
    ts=1_700_000_000_000,
    from_="mei",
    text="hi @bob",
    ref=3,
    cid="c1",
    mentions=("bob",),
    edited=9,
    pinned=True,
    reactions=(m.Reaction(emoji="👍", count=1, names=("bob",), me=True),),
    form="notice",
    meta={"ci/build": "7"},
    reason="why",
    conv="#garden",
)
ENTRY_DATA = (
    '{"to":"#garden","epoch":"e1","seq":7,"ts":1700000000000,"from":"mei","text":"hi @bob",'
    '"ref":3,"cid":"c1","mentions":["bob"],"edited":9,"pinned":true,'
    '"reactions":[{"emoji":"👍","count":1,"names":["bob"],"me":true}],'
    '"form":"notice","meta":{"ci/build":"7"},"reason":"why","conv":"#garden"}'
)

#: One payload of each type, with its `msg_data`.
GOLDEN: list[tuple[m.Payload, str]] = [
    (m.Hello(request_id="1"), '{"request_id":"1"}'),
    (
        m.Register(name="mei", password="correct horse", invite="i"),
        '{"name":"mei","password":"correct horse","invite":"i"}',
    ),
    (
        m.Login(name="mei", password="correct horse", caps=("log",), device="laptop"),
        '{"name":"mei","password":"correct horse","caps":["log"],"device":"laptop"}',
    ),
    (
        m.Resume(token="t", caps=("log",)),
        '{"token":"t","caps":["log"]}',
    ),
    (m.Logout(), "{}"),
    (
        m.ChangePassword(old="correct horse", new="battery staple"),
        '{"old":"correct horse","new":"battery staple"}',
    ),
    (m.Sessions(), "{}"),
    (m.EndSession(id="0f1e"), '{"id":"0f1e"}'),
    (
        m.CreateToken(device="bot", scopes=("read", "send"), lifetime=60, rooms=("#garden",)),
        '{"device":"bot","scopes":["read","send"],"lifetime":60,"rooms":["#garden"]}',
    ),
    (m.Who(after="bob", limit=10), '{"after":"bob","limit":10}'),
    (m.Away(text="at lunch"), '{"text":"at lunch"}'),
    (
        m.SetStatus(emoji="🌴", text="on holiday", seconds=60),
        '{"emoji":"🌴","text":"on holiday","seconds":60}',
    ),
    (m.SetStatus(), "{}"),
    (m.Statuses(names=("bob", "mei")), '{"names":["bob","mei"]}'),
    (
        m.Send(to="@bob", text="hi", reply_to=3, form="action", meta={"a/b": "c"}, cid="c1"),
        '{"to":"@bob","text":"hi","reply_to":3,"form":"action","meta":{"a/b":"c"},"cid":"c1"}',
    ),
    (
        m.Edit(to="@bob", seq=3, text="hi!", cid="c2"),
        '{"to":"@bob","seq":3,"text":"hi!","cid":"c2"}',
    ),
    (m.Send(to="#lobby", text="hi", n=7), '{"n":7,"to":"#lobby","text":"hi"}'),
    (m.Delete(to="@bob", seq=3), '{"to":"@bob","seq":3}'),
    (
        m.React(to="@bob", seq=3, emoji="👍", on=False),
        '{"to":"@bob","seq":3,"emoji":"👍","on":false}',
    ),
    (m.Pin(to="@bob", seq=3, on=False), '{"to":"@bob","seq":3,"on":false}'),
    (m.Typing(to="@bob"), '{"to":"@bob"}'),
    (m.History(conv="#lobby", at=5), '{"conv":"#lobby","at":5}'),
    (m.History(conv="#lobby", around=5, limit=20), '{"conv":"#lobby","around":5,"limit":20}'),
    (
        m.Search(query="tea", conv="#lobby", cursor="k", limit=5),
        '{"query":"tea","conv":"#lobby","cursor":"k","limit":5}',
    ),
    (
        m.Sync(
            after="#a",
            have=(
                m.Position(conv="#lobby", epoch="e1", seq=5, ts=9, read=4, level="all"),
                m.Position(conv="@bob", epoch="e1", seq=0, ts=0),
            ),
            limit=20,
        ),
        (
            '{"after":"#a","have":[{"conv":"#lobby","epoch":"e1","seq":5,"ts":9,"read":4,'
            '"level":"all"},{"conv":"@bob","epoch":"e1","seq":0,"ts":0}],"limit":20}'
        ),
    ),
    (m.Activity(cursor="9 1 #lobby", limit=5), '{"cursor":"9 1 #lobby","limit":5}'),
    (m.MarkActivity(seen=9), '{"seen":9}'),
    (m.Save(to="@bob", seq=3, on=False), '{"to":"@bob","seq":3,"on":false}'),
    (m.Saved(cursor="k", limit=5), '{"cursor":"k","limit":5}'),
    (m.Pins(conv="@bob", before=7, limit=5), '{"conv":"@bob","before":7,"limit":5}'),
    (m.Mark(conv="#lobby", read=7), '{"conv":"#lobby","read":7}'),
    (m.Mark(conv="#lobby", level="mentions"), '{"conv":"#lobby","level":"mentions"}'),
    (
        m.CreateRoom(room="#garden", topic="plants", private=True),
        '{"room":"#garden","topic":"plants","private":true}',
    ),
    (m.Join(room="#garden"), '{"room":"#garden"}'),
    (m.Leave(room="#garden"), '{"room":"#garden"}'),
    (m.Invite(room="#garden", name="bob"), '{"room":"#garden","name":"bob"}'),
    (m.Kick(room="#garden", name="bob"), '{"room":"#garden","name":"bob"}'),
    (m.Decline(room="#garden"), '{"room":"#garden"}'),
    (m.SetTopic(room="#garden", topic="trees"), '{"room":"#garden","topic":"trees"}'),
    (
        m.SetOperator(room="#garden", name="bob", on=False),
        '{"room":"#garden","name":"bob","on":false}',
    ),
    (m.SetAccess(room="#garden", private=True), '{"room":"#garden","private":true}'),
    (
        m.SetAccess(room="#garden", private=False, history="hidden"),
        '{"room":"#garden","private":false,"history":"hidden"}',
    ),
    (
        m.Ban(room="#garden", name="bob", seconds=3600, reason="spam"),
        '{"room":"#garden","name":"bob","seconds":3600,"reason":"spam"}',
    ),
    (m.SetSlowMode(room="#garden", seconds=30), '{"room":"#garden","seconds":30}'),
    (m.SetAnnouncements(room="#garden", on=True), '{"room":"#garden","on":true}'),
    (m.SetArchived(room="#garden", on=True), '{"room":"#garden","on":true}'),
    (m.Block(name="bob"), '{"name":"bob"}'),
    (m.Unblock(name="bob"), '{"name":"bob"}'),
    (m.Blocks(after="bob"), '{"after":"bob"}'),
    (
        m.Restrict(name="bob", kind="mute", seconds=60, reason="spam"),
        '{"name":"bob","kind":"mute","seconds":60,"reason":"spam"}',
    ),
    (m.Unrestrict(name="bob", kind="ban"), '{"name":"bob","kind":"ban"}'),
    (m.Restrictions(after="bob"), '{"after":"bob"}'),
    (
        m.BanAddress(network="203.0.113.0/24", seconds=60, reason="spam"),
        '{"network":"203.0.113.0/24","seconds":60,"reason":"spam"}',
    ),
    (m.UnbanAddress(network="2001:db8::1"), '{"network":"2001:db8::1"}'),
    (
        m.HandOver(room="#garden", name="mei", reason="eve has left"),
        '{"room":"#garden","name":"mei","reason":"eve has left"}',
    ),
    (m.AddressBans(after="203.0.113.7"), '{"after":"203.0.113.7"}'),
    (
        m.Report(to="#lobby", seqs=(3, 4), reason="spam"),
        '{"to":"#lobby","seqs":[3,4],"reason":"spam"}',
    ),
    (m.Reports(after=3), '{"after":3}'),
    (m.ResolveReport(id=3, note="warned"), '{"id":3,"note":"warned"}'),
    (m.Unban(room="#garden", name="bob"), '{"room":"#garden","name":"bob"}'),
    (m.Bans(room="#garden", after="bob"), '{"room":"#garden","after":"bob"}'),
    (
        m.SetHistory(room="#garden", history="shown"),
        '{"room":"#garden","history":"shown"}',
    ),
    (m.Rooms(after="#a", limit=10), '{"after":"#a","limit":10}'),
    (m.Members(room="#garden"), '{"room":"#garden"}'),
    (m.Ping(request_id="1"), '{"request_id":"1"}'),
    (m.Pong(request_id="1"), '{"request_id":"1"}'),
    (m.Ok(request_id="1"), '{"request_id":"1"}'),
    (
        m.Error(code="rate_limited", text="slower", retry_after=0.5, cid="c1"),
        '{"code":"rate_limited","text":"slower","retry_after":0.5,"cid":"c1"}',
    ),
    (m.Registered(name="mei"), '{"name":"mei"}'),
    (
        m.LoggedIn(
            name="mei",
            token="t",
            expires=1_700_000_000_000,
            heartbeat=25.0,
            server="gochat 1",
            limits=m.Limits(
                frame_bytes=65536, text_chars=4000, burst=10, per_second=5.0, history_page=200
            ),
        ),
        (
            '{"name":"mei","token":"t","expires":1700000000000,"limits":{"frame_bytes":65536,'
            '"text_chars":4000,"burst":10,"per_second":5.0,"history_page":200},"heartbeat":25.0,'
            '"server":"gochat 1"}'
        ),
    ),
    (
        m.ServerInfo(
            name="garden",
            version="gochat 0.1.0",
            protocol=1,
            caps=("heartbeat", "log", "typing"),
            registration="invite",
            login=("password",),
            password_min=8,
            password_max=128,
            limits=m.Limits(
                frame_bytes=65536, text_chars=4000, burst=10, per_second=5.0, history_page=200
            ),
            motd="Water the plants.",
        ),
        (
            '{"name":"garden","version":"gochat 0.1.0","protocol":1,'
            '"caps":["heartbeat","log","typing"],"registration":"invite","login":["password"],'
            '"password_min":8,"password_max":128,"limits":{"frame_bytes":65536,"text_chars":4000,'
            '"burst":10,"per_second":5.0,"history_page":200},"motd":"Water the plants."}'
        ),
    ),
    (m.LoggedOut(), "{}"),
    (
        m.PasswordChanged(token="t", expires=1_700_000_000_000),
        '{"token":"t","expires":1700000000000}',
    ),
    (
        m.SessionList(
            sessions=(
                m.Session(
                    id="0f1e",
                    device="laptop",
                    address="192.0.2.7",
                    created=1,
                    seen=2,
                    online=True,
                    this=True,
                ),
                m.Session(
                    id="1e0f",
                    device="bot",
                    address="192.0.2.8",
                    created=3,
                    seen=4,
                    scopes=("read",),
                    rooms=("#garden",),
                ),
            )
        ),
        (
            '{"sessions":[{"id":"0f1e","device":"laptop","address":"192.0.2.7","created":1,"seen":2,'
            '"online":true,"this":true},{"id":"1e0f","device":"bot","address":"192.0.2.8",'
            '"created":3,"seen":4,"scopes":["read"],"rooms":["#garden"]}]}'
        ),
    ),
    (
        m.CreatedToken(id="0f1e", token="gct_t", expires=5),
        '{"id":"0f1e","token":"gct_t","expires":5}',
    ),
    (
        m.People(
            people=(m.Person(name="bob", away="at lunch"), m.Person(name="mei")), total=3, more=True
        ),
        '{"people":[{"name":"bob","away":"at lunch"},{"name":"mei"}],"total":3,"more":true}',
    ),
    (
        m.StatusList(
            people=(m.Person(name="bob", status=m.Status(emoji="🌴", text="x", until=5)),)
        ),
        '{"people":[{"name":"bob","status":{"emoji":"🌴","text":"x","until":5}}]}',
    ),
    (
        m.Sent(to="@bob", epoch="e1", seq=7, ts=1_700_000_000_000, cid="c1", dup=True),
        '{"to":"@bob","epoch":"e1","seq":7,"ts":1700000000000,"cid":"c1","dup":true}',
    ),
    (
        m.HistoryPage(conv="#garden", epoch="e1", head=7, entries=(ENTRY,), older=True),
        '{"conv":"#garden","epoch":"e1","head":7,"entries":[' + ENTRY_DATA + '],"older":true}',
    ),
    (
        m.ActivityList(
            items=(m.ActivityItem(kind="reply", ts=9, entry=ENTRY, about="hi"),), seen=8, cursor="k"
        ),
        '{"items":[{"kind":"reply","ts":9,"entry":'
        + ENTRY_DATA
        + ',"about":"hi"}],"seen":8,"cursor":"k"}',
    ),
    (m.ActivityChanged(), "{}"),
    (
        m.SavedList(items=(m.SavedItem(ts=5, entry=ENTRY),), cursor="k"),
        '{"items":[{"ts":5,"entry":' + ENTRY_DATA + '}],"cursor":"k"}',
    ),
    (m.SavedChanged(conv="@bob", seq=3, on=False), '{"conv":"@bob","seq":3,"on":false}'),
    (m.RoleChanged(role="admin"), '{"role":"admin"}'),
    (m.RoleChanged(), "{}"),
    (
        m.PinList(
            conv="#garden",
            pins=(m.Pinned(seq=9, by="bob", ts=5, entry=ENTRY),),
            seqs=(7, 3),
            more=True,
        ),
        '{"conv":"#garden","pins":[{"seq":9,"by":"bob","ts":5,"entry":'
        + ENTRY_DATA
        + '}],"seqs":[7,3],"more":true}',
    ),
    (m.Found(hits=(ENTRY,), cursor="k"), '{"hits":[' + ENTRY_DATA + '],"cursor":"k"}'),
    (
        m.Synced(
            conversations=(
                m.Conversation(
                    conv="#garden", epoch="e1", head=7, ts=9, entries=(ENTRY,), reset=True
                ),
            ),
            gone=("#den",),
            invitations=(m.Invitation(room="#attic", from_="bob", ts=5, topic="dust"),),
            next="#garden",
        ),
        (
            '{"conversations":[{"conv":"#garden","epoch":"e1","head":7,"ts":9,"entries":['
            + ENTRY_DATA
            + '],"reset":true}],"gone":["#den"],'
            '"invitations":[{"room":"#attic","from":"bob","ts":5,"topic":"dust"}],"next":"#garden"}'
        ),
    ),
    (
        m.RoomList(
            rooms=(m.Room(room="#garden", topic="plants", members=2, private=True, joined=True),)
        ),
        '{"rooms":[{"room":"#garden","topic":"plants","members":2,"private":true,"joined":true}]}',
    ),
    (
        m.MemberList(
            room="#garden",
            members=(m.Member(name="mei", since=5, operator=True, online=True),),
            total=1,
        ),
        (
            '{"room":"#garden","members":[{"name":"mei","since":5,"operator":true,"online":true}],'
            '"total":1}'
        ),
    ),
    (
        m.BanList(
            room="#garden",
            bans=(m.RoomBan(name="bob", by="mei", ts=5, until=9, reason="spam"),),
        ),
        '{"room":"#garden","bans":[{"name":"bob","by":"mei","ts":5,"until":9,"reason":"spam"}]}',
    ),
    (
        m.AddressBanList(
            bans=(m.AddressBan(network="2001:db8::/32", by="mei", ts=5, until=9, reason="spam"),),
        ),
        '{"bans":[{"network":"2001:db8::/32","by":"mei","ts":5,"until":9,"reason":"spam"}]}',
    ),
    (
        m.RestrictionList(
            restrictions=(
                m.Restriction(name="bob", kind="ban", by="mei", ts=5, until=9, reason="spam"),
            ),
        ),
        '{"restrictions":[{"name":"bob","kind":"ban","by":"mei","ts":5,"until":9,"reason":"spam"}]}',
    ),
    (
        m.ReportList(
            reports=(
                m.OpenReport(
                    id=3,
                    ts=9,
                    from_="mei",
                    conv="#lobby",
                    messages=(m.ReportedMessage(seq=4, from_="bob", ts=5, text="x", edited=True),),
                    reason="spam",
                ),
            ),
        ),
        (
            '{"reports":[{"id":3,"ts":9,"from":"mei","conv":"#lobby","messages":[{"seq":4,'
            '"from":"bob","ts":5,"text":"x","edited":true}],"reason":"spam"}]}'
        ),
    ),
    (
        m.Reported(id=3, ts=9, from_="mei", conv="#lobby", names=("bob",), reason="spam"),
        '{"id":3,"ts":9,"from":"mei","conv":"#lobby","names":["bob"],"reason":"spam"}',
    ),
    (m.ReportClosed(id=3), '{"id":3}'),
    (m.BlockList(names=("bob",), more=True), '{"names":["bob"],"more":true}'),
    (m.Blocked(name="bob"), '{"name":"bob"}'),
    (m.Unblocked(name="bob"), '{"name":"bob"}'),
    (ENTRY, ENTRY_DATA),
    (
        m.Presence(online=(m.Person(name="mei"),), offline=("bob",)),
        '{"online":[{"name":"mei"}],"offline":["bob"]}',
    ),
    (
        m.Marked(conv="#lobby", read=7, unread=2, mentions=1, level="none"),
        '{"conv":"#lobby","read":7,"unread":2,"mentions":1,"level":"none"}',
    ),
    (
        m.Invited(room="#garden", from_="mei", ts=5, topic="trees"),
        '{"room":"#garden","from":"mei","ts":5,"topic":"trees"}',
    ),
    (m.Uninvited(room="#garden"), '{"room":"#garden"}'),
    (m.IsTyping(to="#lobby", from_="mei"), '{"to":"#lobby","from":"mei"}'),
    (m.NewLogin(address="192.0.2.1", by="token"), '{"address":"192.0.2.1","by":"token"}'),
    (
        m.Bye(reason="server_closing", text="see you", retry_after=1.0),
        '{"reason":"server_closing","text":"see you","retry_after":1.0}',
    ),
]


@pytest.mark.parametrize(
    ("payload", "msg_data"), [pytest.param(*row, id=row[0].msg_type) for row in GOLDEN]
)
def test_golden_msg_data(payload: m.Payload, msg_data: str) -> None:
    envelope = json.dumps(
        {"msg_type": payload.msg_type, "msg_data": msg_data},
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    assert encode(payload) == len(envelope).to_bytes(HEADER_SIZE, "big") + envelope


def test_every_payload_type_has_golden_bytes() -> None:
    assert {type(payload) for payload, _ in GOLDEN} == {
        *get_args(m.Request),
        *get_args(m.ServerMessage),
    }
