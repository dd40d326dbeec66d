"""A store that is damaged while a server uses it: the server reports it, sends bye, and stops for
good."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from damage import fill, overwrite
from patience import PATIENCE
from peers import Peer
from processes import GOCHAT, serve
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.cli import CORRUPT
from gochat.cli.chat import running_server
from gochat.client.address import Address
from gochat.errors import StoreCorrupt
from gochat.protocol.messages import Bye, Error, History, Send, Sent

pytestmark = pytest.mark.trio


async def connected(port: int) -> Peer:
    return Peer(await trio.open_tcp_stream("127.0.0.1", port))


async def meets_damage(peer: Peer) -> None:
    error = await peer.ask(History(conv="#lobby", limit=200), Error)
    assert error.code == "unavailable"


async def test_server_sends_bye_acknowledges_nothing_more_and_exits(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    await fill(path)
    with serve(path) as running:
        mei, bob = await connected(running.port), await connected(running.port)
        await mei.log_in("mei")
        await bob.log_in("bob")
        await bob.ask(Send(to="#lobby", text="acknowledged"), Sent)
        overwrite(path)
        await meets_damage(mei)
        await bob.send(Send(to="#lobby", text="too late", request_id="late"))
        for peer in (mei, bob):
            left = await peer.at_end()
            byes = [message for message in left if isinstance(message, Bye)]
            assert [bye.reason for bye in byes] == ["server_closing"]
            assert not any(isinstance(message, Sent) for message in left)
            await peer.stream.aclose()
        assert running.finish() == CORRUPT
    *events, last = running.log
    critical = [e for e in map(json.loads, events) if e["level"] == "critical"]
    assert [e["event"] for e in critical] == ["store damaged"]
    assert last.startswith("gochat: the database is damaged: ")
    assert "`gochat db check`" in last
    assert not any(e["level"] == "error" for e in map(json.loads, events))


@contextmanager
def two_workers(url: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the command with two workers; yield the process and its port."""
    command = [*GOCHAT, "serve", "--port=0", "--workers=2", f"--store={url}", "--log-format=json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            port = ready = 0
            while ready < 2:
                event = json.loads(process.stderr.readline())
                port = event.get("port", port)
                ready += event["event"] == "worker ready"
            yield process, port
        finally:
            process.kill()


async def test_all_workers_stop_and_none_is_restarted(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server)
    with two_workers(nodes.url("partitions=1")) as (process, port):
        peers = [await connected(port) for _ in range(4)]
        for number, peer in enumerate(peers):
            await peer.log_in(f"p{number}")
        for text in ("damaged", "the last one, by which its nodes know the history"):
            await peers[0].ask(Send(to="#lobby", text=text), Sent)
        for peer in peers[1:]:  # a worker that is behind would find the damage, too
            await peer.text(lambda message: message.text.startswith("the last one"))
        with nodes.client() as client:
            client.lset(f"{nodes.prefix}:{{0}}:l:#lobby", 0, "garbage")
        await meets_damage(peers[0])
        for peer in peers:
            (bye,) = (m for m in await peer.at_end() if isinstance(m, Bye))
            assert bye.reason == "server_closing"
            await peer.stream.aclose()
        assert process.stderr is not None
        lines = await trio.to_thread.run_sync(process.stderr.readlines)
        assert process.wait() == CORRUPT
    events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert events.count("store damaged") == 1
    assert events.count("worker failed permanently") == 1
    assert not {"worker died", "worker ready"} & set(events)
    assert [line for line in lines if line.startswith("gochat: the data in Redis")]


async def test_gochat_chat_reports_why_its_server_ended(
    free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    path, port = tmp_path / "chat.db", free_port()
    await fill(path)
    flags = ["--port", str(port), "--store", f"sqlite:///{path}"]

    async def use() -> None:
        with ExitStack() as stack:
            server = running_server(Address("127.0.0.1", port, False, tmp_path / "key"), flags)
            await trio.to_thread.run_sync(stack.enter_context, server)  # it has its own event loop
            mei = await connected(port)
            await mei.log_in("mei")
            overwrite(path)
            await meets_damage(mei)
            await mei.at_end()
            await mei.stream.aclose()
            await trio.to_thread.run_sync(started[0].wait, PATIENCE)

    with pytest.raises(StoreCorrupt, match="the database is damaged"):
        await use()
