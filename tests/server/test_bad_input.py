"""Bad input gets a clear error; the connection survives where the protocol allows it."""

from __future__ import annotations

import json
import struct

import pytest
import trio
from patience import PATIENCE
from peers import PASSWORD, Peer, RunningServer, config, running_server
from trio.testing import MockClock

from gochat.protocol.messages import (
    Bye,
    Error,
    LoggedIn,
    Login,
    Ping,
    Pong,
    Register,
    Request,
    Send,
    Sent,
)

pytestmark = pytest.mark.trio


def envelope(msg_type: object, msg_data: object) -> bytes:
    return framed(json.dumps({"msg_type": msg_type, "msg_data": msg_data}).encode())


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


async def is_alive(server: RunningServer) -> bool:
    async with server.connect() as other:
        await other.ask(Ping(), Pong)
    return True


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0\0\0\0", "frame_empty"),
        (b"\xff\xff\xff\xff", "frame_too_large"),
        (struct.pack(">I", 65537), "frame_too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "frame_too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), "frame_too_large"),
    ],
    ids=["zero", "2^32-1", "max+1", "http", "tls"],
)
async def test_lost_framing_gets_an_error_and_a_bye(data: bytes, code: str) -> None:
    async with running_server() as server:
        async with server.connect() as peer:
            await peer.stream.send_all(data)
            error, bye = await peer.at_end()
            assert isinstance(error, Error)
            assert error.code == code
            assert isinstance(bye, Bye)
            assert bye.reason == "protocol_error"
        assert await is_alive(server)


async def test_frame_of_exactly_the_limit_is_accepted() -> None:
    async with running_server() as server, server.connect() as peer:
        empty = len(json.dumps({"msg_type": "ping", "msg_data": "{}", "pad": ""}))
        body = json.dumps({"msg_type": "ping", "msg_data": "{}", "pad": "x" * (65536 - empty)})
        assert len(body) == 65536
        await peer.stream.send_all(framed(body.encode()))
        await peer.expect(Pong)


async def test_frames_before_a_bad_length_are_answered() -> None:
    async with running_server() as server, server.connect() as peer:
        await peer.stream.send_all(envelope("ping", '{"request_id":"1"}') + b"\0\0\0\0")
        pong, error, _bye = await peer.at_end()
        assert isinstance(pong, Pong)
        assert isinstance(error, Error)


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"\xff\xfe\xfd",
        b"[]",
        b"{}",
        b"null",
        b'{"msg_type":"ping"}',
        b'{"msg_type":"ping","msg_data":{}}',
        b'{"msg_type":7,"msg_data":"{}"}',
        b'{"msg_type":"ping","msg_data":"{"}',
        b'{"msg_type":"ping","msg_data":"\\ud800"}',
        b'{"msg_type":"ping","msg_data":NaN}',
        b'{"msg_type":"send","msg_data":"{\\"to\\":1,\\"text\\":\\"x\\"}"}',
        b'{"msg_type":"send","msg_data":"{\\"to\\":\\"#lobby\\"}"}',
        b'{"msg_type":"history","msg_data":"{\\"conv\\":\\"#lobby\\",\\"limit\\":1e999}"}',
        b'{"msg_type":"x","msg_data":' + b"[" * 30000 + b"]" * 30000 + b"}",
    ],
    ids=lambda body: body[:48].decode("ascii", "replace"),
)
async def test_malformed_frame_is_refused_and_the_connection_survives(body: bytes) -> None:
    async with running_server() as server, server.connect() as peer:
        await peer.stream.send_all(framed(body))
        assert (await peer.expect(Error)).code == "malformed"
        await peer.ask(Ping(), Pong)


async def test_unknown_type_is_refused_with_its_request_id() -> None:
    async with running_server() as server, server.peer("mei") as peer:
        for _ in range(50):
            await peer.stream.send_all(envelope("dance", '{"request_id":"7"}'))
            error = await peer.expect(Error)
            assert (error.code, error.request_id) == ("unknown_type", "7")
        await peer.ask(Ping(), Pong)


async def test_peer_that_sends_only_garbage_is_disconnected() -> None:
    async with running_server(config(malformed_frames=16)) as server, server.connect() as peer:
        await peer.stream.send_all(framed(b"garbage") * 100)
        *errors, bye = await peer.at_end()
        assert len(errors) == 16
        assert isinstance(bye, Bye)
        assert bye.reason == "protocol_error"


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (Register(name="a b", password=PASSWORD), "bad_name", "name"),
        (Register(name="", password=PASSWORD), "bad_name", "name"),
        (Register(name="аpple", password=PASSWORD), "bad_name", "name"),
        (Register(name="mei", password="short"), "bad_password", "password"),
        (Register(name="mei", password="x" * 129), "bad_password", "password"),
        (Register(name="TAKEN", password=PASSWORD), "name_taken", "name"),
        (Login(name="taken", password="wrong horse"), "bad_credentials", "password"),
        (Login(name="nobody", password=PASSWORD), "bad_credentials", "password"),
        (Login(name="a b", password=PASSWORD), "bad_credentials", "password"),
    ],
)
async def test_register_and_login_report_what_is_wrong(
    request_: Request, code: str, field: str
) -> None:
    async with running_server() as server, server.connect() as peer:
        await peer.register("taken")
        error = await peer.ask(request_, Error)
        assert (error.code, error.field) == (code, field)
        assert error.text
        await peer.ask(Login(name="taken", password=PASSWORD), LoggedIn)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Send(to="#lobby", text=""), "text_empty"),
        (Send(to="#lobby", text=" \n"), "text_empty"),
        (Send(to="#lobby", text="x" * 4001), "text_too_long"),
        (Send(to="@nobody", text="x"), "unknown_person"),
        (Send(to="#nowhere", text="x"), "unknown_conversation"),
        (Send(to="lobby", text="x"), "unknown_conversation"),
        (Send(to="", text="x"), "unknown_conversation"),
        (Send(to="@", text="x"), "unknown_conversation"),
        (Send(to="#lobby", text="x", reply_to=7), "unknown_message"),
    ],
)
async def test_invalid_message_is_refused_with_its_cid(request_: Send, code: str) -> None:
    async with running_server() as server, server.peer("mei") as peer:
        await peer.send(
            Send(to=request_.to, text=request_.text, reply_to=request_.reply_to, cid="c")
        )
        error = await peer.expect(Error)
        assert (error.code, error.cid) == (code, "c")
        await peer.ask(Ping(), Pong)


async def test_longest_message_of_any_characters_arrives() -> None:
    async with running_server() as server, server.peer("mei") as mei, server.peer("bob") as bob:
        for char in ("x", "👋", '"', "\\", "\x01"):
            await mei.send(Send(to="#lobby", text=char * 4000))
            assert (await bob.text()).text == char * 4000


async def test_incomplete_frame_is_cut_off_at_its_deadline() -> None:
    limits = config(frame_timeout=0.2, anonymous_timeout=60)
    async with running_server(limits) as server, server.connect() as peer:
        await peer.stream.send_all(b"\0\0")
        [bye] = await peer.at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "frame_timeout"


async def test_trickling_frame_does_not_extend_its_deadline() -> None:
    async with (
        running_server(config(frame_timeout=0.5, anonymous_timeout=60)) as server,
        server.connect() as peer,
        trio.open_nursery() as nursery,
    ):

        async def trickle() -> None:
            for byte in envelope("ping", "{}" + " " * 1000):
                try:
                    await peer.stream.send_all(bytes([byte]))
                except trio.BrokenResourceError:
                    return
                await trio.sleep(0.05)

        nursery.start_soon(trickle)
        [bye] = await peer.at_end()
        nursery.cancel_scope.cancel()
        assert isinstance(bye, Bye)
        assert bye.reason == "frame_timeout"


async def test_peer_that_does_not_log_in_is_disconnected() -> None:
    async with running_server(config(anonymous_timeout=0.2)) as server, server.connect() as peer:
        [bye] = await peer.at_end()
        assert isinstance(bye, Bye)
        assert bye.reason == "login_timeout"


async def test_peer_that_sends_much_before_login_is_disconnected() -> None:
    async with running_server(config(anonymous_bytes=4096)) as server, server.connect() as peer:
        await peer.send(*[Ping()] * 500)
        messages = await peer.at_end()
        assert isinstance(messages[-1], Bye)


async def test_password_guessing_is_slowed_down_on_one_connection() -> None:
    async with running_server(config(login_failures=3)) as server, server.connect() as peer:
        await peer.register("mei")
        wrong = Login(name="mei", password="wrong horse")
        codes = [(await peer.ask(wrong, Error)).code for _ in range(4)]
        assert codes == ["bad_credentials"] * 3 + ["rate_limited"]


async def test_password_guessing_is_slowed_down_across_connections() -> None:
    limits = config(login_failures_account=5)
    async with running_server(limits) as server:
        codes = []
        for _ in range(6):
            async with server.connect() as peer:
                await peer.register("mei")
                error = await peer.ask(Login(name="mei", password="wrong horse"), Error)
                codes.append(error.code)
                if error.code == "rate_limited":
                    assert error.retry_after is not None
        assert codes == ["bad_credentials"] * 5 + ["rate_limited"]


async def test_too_many_connections_from_one_address_are_refused_with_a_reason() -> None:
    async with running_server(config(connections_per_address=1)) as server, server.connect() as one:
        await one.ask(Ping(), Pong)
        async with server.connect() as two:
            error, bye = await two.at_end()
            assert isinstance(error, Error)
            assert isinstance(bye, Bye)
            assert bye.reason == "too_many_connections"
        await one.ask(Ping(), Pong)


async def test_full_server_refuses_with_a_reason_until_there_is_room() -> None:
    async with running_server(config(max_connections=1)) as server:
        async with server.connect() as one:
            await one.ask(Ping(), Pong)
            async with server.connect() as two:
                *_, bye = await two.at_end()
                assert isinstance(bye, Bye)
                assert bye.reason == "server_full"
        with trio.fail_after(PATIENCE):
            while True:
                async with server.connect() as three:
                    if isinstance(await first(three), Pong):
                        return


async def first(peer: Peer) -> object:
    await peer.send(Ping())
    try:
        return await peer.receive()
    except (trio.EndOfChannel, trio.BrokenResourceError):
        return None


async def test_sending_too_fast_is_refused_with_retry_after() -> None:
    per_second = 0.01  # slow enough that none is allowed meanwhile, even on a slow machine
    limits = config(burst=10, per_second=per_second)
    async with running_server(limits) as server, server.peer("m") as peer:
        await peer.send(*[Send(to="#lobby", text="x", cid=str(i)) for i in range(12)])
        error = await peer.expect(Error)
        assert error.code == "rate_limited"
        assert error.cid == "10", "the first ten were taken"
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 1 / per_second


async def test_reconnecting_does_not_reset_the_rate_limit() -> None:
    async with (
        running_server(config(burst=3, per_second=0.01)) as server,
        server.peer("eve") as eve,
    ):
        async with server.peer("mei", "log") as peer:
            await eve.sees(online="mei")
            for number in range(3):
                await peer.ask(Send(to="#lobby", text="x", cid=str(number)), Sent)
        await eve.sees(offline="mei")
        async with server.peer("mei", "log") as peer:
            error = await peer.ask(Send(to="#lobby", text="x", cid="3"), Error)
            assert error.code == "rate_limited"


async def test_rate_limit_refills_while_disconnected(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    async with (
        running_server(config(burst=1, per_second=0.1)) as server,
        server.peer("eve") as eve,
    ):
        for number in range(3):
            async with server.peer("mei", "log") as peer:
                await eve.sees(online="mei")
                await peer.ask(Send(to="#lobby", text="x", cid=str(number)), Sent)
            await eve.sees(offline="mei")
            mock_clock.jump(10)
