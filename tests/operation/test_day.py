"""docs/how-to/spend-a-day-with-two-nodes.md, with a real haproxy and a real Redis.

The clients come from different addresses of the loopback, so that what the nodes know of them can
only be by the PROXY protocol.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio
import trustme
from patience import PATIENCE, eventually, until
from peers import PASSWORD, Peer
from redis_process import RedisServer

from gochat.client import Client, open_client
from gochat.protocol.messages import (
    Error,
    History,
    HistoryPage,
    LoggedIn,
    Login,
    Payload,
    Ping,
    Pong,
    Register,
    Send,
    Sent,
)
from howto import Guide, Server

pytestmark = pytest.mark.trio

CONFIGURATION: Final = Path(__file__).parents[2] / "docs" / "examples" / "haproxy.cfg"
MEI, BOB, SPAMMER = "127.0.0.2", "127.0.0.3", "127.0.0.66"


class Node:
    """One of the two machines: a directory, the page's blocks with its places, and a server."""

    def __init__(self, root: Path, free_port: Callable[[], int], redis: RedisServer) -> None:
        self.port, self.monitor = free_port(), free_port()
        self.guide = Guide(
            "spend-a-day-with-two-nodes.md",
            root,
            **{
                "/run/gochat": str(root / "run"),
                "redis://gochat:PASSWORD@10.0.0.20": redis.url,
                '"10.0.0.5"': '"127.0.0.1"',
                "10.0.0.11": "127.0.0.1",
                "9100": str(self.monitor),
                "203.0.113.7 ": f"{SPAMMER} --force ",
                "$(date +%F)": "2026-11-23",
            },
        )
        (root / "run").mkdir(parents=True)
        (root / "var/backups/gochat").mkdir(parents=True)
        self.config = self.guide.write("# /etc/gochat/server.toml")
        # As many connections of an address as a test needs to exceed it.
        self.config.write_text(
            self.config.read_text() + "\n[limits]\nconnections_per_address = 4\n"
        )
        self.guide.environment["GOCHAT_CONFIG"] = str(self.config)

    @contextmanager
    def running(self) -> Iterator[Server]:
        with self.guide.serving(f"gochat serve --config {self.config}", self.port) as server:
            yield server

    def admin(self, command: str) -> str:
        return self.guide.sh(f"gochat admin {command}")


class Balancer:
    """haproxy, with the configuration of the documentation and the ports of the test."""

    def __init__(self, directory: Path, nodes: list[Node], port: int) -> None:
        self.port = port
        found = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert found is not None, "this needs haproxy: apt install haproxy"
        text = CONFIGURATION.read_text().replace("bind :8889", f"bind 127.0.0.1:{port}")
        text = text.replace("maxconn 8000", "maxconn 200")  # few descriptors are enough here
        for host, node in zip(("10.0.0.11", "10.0.0.12"), nodes, strict=True):
            old = f"{host}:8889 port 9100"
            assert old in text
            text = text.replace(old, f"127.0.0.1:{node.port} port {node.monitor}")
        self.file = directory / "etc/haproxy/haproxy.cfg"
        self.file.parent.mkdir(parents=True)
        self.file.write_text(text)
        self.command = found

    @contextmanager
    def running(self) -> Iterator[None]:
        process = subprocess.Popen(
            [self.command, "-db", "-f", str(self.file)], stdout=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


class Town:
    """The people, who reach the nodes only through the balancer."""

    def __init__(self, port: int, authority: trustme.CA) -> None:
        self.port = port
        self.trust(authority)

    def trust(self, authority: trustme.CA) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.context)

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[Peer]:
        """Connect from an address of the loopback."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port, local_address=address)
        encrypted = trio.SSLStream(
            stream, self.context, server_hostname="chat.example.org", https_compatible=True
        )
        async with encrypted:
            yield Peer(encrypted)

    async def log_in(self, address: str, name: str, password: str) -> str:
        """Log in and leave; return how that ended."""
        async with self.connect(address) as peer:
            reply = await peer.ask(Login(name=name, password=password), Payload)
            return f"{reply.code}: {reply.text}" if isinstance(reply, Error) else "in"

    async def is_served(self, address: str = "127.0.0.9") -> bool:
        """Return whether a connection from an address gets as far as an answer."""
        try:
            async with self.connect(address) as peer:
                return isinstance(await peer.ask(Ping(), Payload), Pong)
        except (OSError, trio.BrokenResourceError, trio.EndOfChannel, ssl.SSLError):
            return False


def issue(authority: trustme.CA, nodes: list[Node]) -> None:
    """Put a certificate where both nodes have it."""
    issued = authority.issue_cert("chat.example.org")
    for node in nodes:
        live = node.guide.root / "etc/letsencrypt/live/chat.example.org"
        live.mkdir(parents=True, exist_ok=True)
        issued.private_key_pem.write_to_path(live / "privkey.pem")
        (live / "fullchain.pem").write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))


def code_in(printed: str) -> str:
    found = re.search(r"^code +(\S+)$", printed, re.M)
    assert found is not None, printed
    return found[1]


async def test_a_day_with_two_nodes_behind_haproxy(
    tmp_path: Path, free_port: Callable[[], int], start_redis: Callable[..., RedisServer]
) -> None:
    redis = start_redis()
    nodes = [Node(tmp_path / name, free_port, redis) for name in ("a", "b")]
    first, second = nodes
    guide = first.guide
    balancer = Balancer(tmp_path, nodes, free_port())
    authority = trustme.CA()
    issue(authority, nodes)
    town = Town(balancer.port, authority)
    with ExitStack() as stack:
        # The nodes and the balancer.
        check = guide.take("gochat check-config").replace(
            "/etc/haproxy/haproxy.cfg", str(balancer.file)
        )
        guide.sh(check.replace("haproxy -c", f"{balancer.command} -c"))
        running = [stack.enter_context(ExitStack()) for _ in nodes]
        servers = [
            up.enter_context(node.running()) for up, node in zip(running, nodes, strict=True)
        ]
        stack.enter_context(balancer.running())
        await eventually(town.is_served)

        # People come, from two addresses.
        create, mei, role = guide.take("gochat admin invitation create").splitlines()
        code = code_in(guide.sh(create))
        first_password = f"{code_in(guide.sh(mei))} {PASSWORD}"
        assert await town.log_in(MEI, "mei", first_password) == "in"
        assert "moderator" in guide.sh(role)
        for name in ("bob", "mallory"):
            async with town.connect(BOB) as peer:
                wrong = await peer.ask(Register(name=name, password=PASSWORD), Error)
                assert wrong.code == "bad_invite"
                reply = await peer.ask(Register(name=name, password=PASSWORD, invite=code), Payload)
                assert not isinstance(reply, Error)

        # Their addresses are in the log, and in the limits.
        for server in servers:
            line = await logged(server, town)
            assert (line["name"], line["address"]) == ("mei", MEI)
        async with open_many(town, BOB, 8) as refused:
            assert refused >= 1  # four at each of two nodes
            assert await town.is_served(MEI)

        # A troublemaker, at each node.
        async with town.connect(SPAMMER) as one, town.connect(SPAMMER) as other:
            for peer in (one, other):
                await peer.ask(Login(name="mallory", password=PASSWORD), LoggedIn)
            ban, address_ban, audit = guide.take("gochat admin account ban").splitlines()
            guide.sh(ban)
            for peer in (one, other):
                await peer.at_end()
            guide.sh(address_ban)
            assert "address-ban add" in guide.sh(audit)
        refused_text = await town.log_in(BOB, "mallory", PASSWORD)
        assert refused_text.startswith("account_banned: this account is banned until ")
        assert refused_text.endswith("spam in #garden")
        await eventually(partial(is_refused, town, SPAMMER))
        assert await town.is_served(BOB)

        # A forgotten password, at the other node.
        forgotten = second.guide.here(guide.take("gochat admin account reset-password"))
        assert (await town.log_in(MEI, "mei", PASSWORD)) == "in"
        code = code_in(second.guide.sh(forgotten))
        assert (await town.log_in(MEI, "mei", PASSWORD)).startswith("bad_credentials")
        assert await town.log_in(MEI, "mei", f"{code} {PASSWORD}") == "in"

        # A new certificate: who is there stays, who comes gets the new one.
        async with town.connect(MEI) as staying:
            await staying.ask(Login(name="mei", password=PASSWORD), LoggedIn)
            await staying.ask(Send(to="#lobby", text="before the backup"), Sent)
            renewed = trustme.CA()
            issue(renewed, nodes)
            reload = guide.take("systemctl reload")
            for server in servers:
                guide.stand_in_for_systemctl(server.process)
                guide.sh(reload)
                server.wait_for("certificate reloaded")
            assert not await town.is_served()
            town.trust(renewed)
            assert await town.is_served()

            # At night: people go on meanwhile.
            guide.run("gochat db backup")
            await staying.ask(Send(to="#lobby", text="after the backup"), Sent)
        assert "servers can be started on it" in guide.run("gochat db restore")
        restored = free_port()
        serve = (
            f"gochat serve --config {first.config} --store {redis.url}/1 "
            f"--set metrics.port=0 --set admin.socket={tmp_path}/restored.sock"
        )
        with guide.serving(serve, restored):
            there = Town(restored, renewed)  # from an address that is not the balancer's
            assert await said_at(there) == ["before the backup"]

        # An upgrade: one node after the other, while people write.
        await upgrade(town, running, nodes, guide)
        guide.finish()


async def logged(server: Server, town: Town) -> dict[str, object]:
    """Return the line of a login of Mei in the log of a node."""
    async with town.connect(MEI) as one, town.connect(MEI) as other:
        for peer in (one, other):  # the balancer gives each node one
            await peer.ask(Login(name="mei", password=PASSWORD), LoggedIn)
        return await trio.to_thread.run_sync(server.wait_for, "logged in")


@asynccontextmanager
async def open_many(town: Town, address: str, count: int) -> AsyncIterator[int]:
    """Open connections from an address and keep them; return how many more are refused."""
    async with trio.open_nursery() as nursery:
        served = 0

        async def stay(*, task_status: trio.TaskStatus[bool]) -> None:
            try:
                async with town.connect(address) as peer:
                    task_status.started(isinstance(await peer.ask(Ping(), Payload), Pong))
                    await trio.sleep_forever()
            except (OSError, trio.BrokenResourceError, trio.EndOfChannel, ssl.SSLError):
                task_status.started(False)

        for _ in range(count):
            served += await nursery.start(stay)
        assert served == count
        refused = 0
        for _ in range(2):
            refused += not await town.is_served(address)
        yield refused
        nursery.cancel_scope.cancel()


async def is_refused(town: Town, address: str) -> bool:
    return not await town.is_served(address)


async def said_at(town: Town) -> list[str]:
    """Return what a server has in the lobby."""
    async with town.connect(MEI) as peer:
        await peer.ask(Login(name="mei", password=PASSWORD), LoggedIn)
        page = await peer.ask(History(conv="#lobby"), HistoryPage)
        return [entry.text for entry in page.entries if entry.kind == "text"]


async def upgrade(town: Town, running: list[ExitStack], nodes: list[Node], guide: Guide) -> None:
    """Restart one node after the other, while somebody writes all the time."""
    guide.leave_out("systemctl restart gochat", because="there is no systemd: it is stopped here")
    town.context.check_hostname = False
    sent: list[str] = []

    async def write(client: Client, stop: trio.Event) -> None:
        while not stop.is_set():
            sent.append(f"while upgrading {len(sent)}")
            await client.send("#lobby", sent[-1])

    url = f"gochats://127.0.0.1:{town.port}"
    async with open_client(url, ssl_context=town.context) as client, trio.open_nursery() as nursery:
        await client.log_in("bob", PASSWORD)
        stop = trio.Event()
        nursery.start_soon(write, client, stop)
        for up, node in zip(running, nodes, strict=True):
            await trio.to_thread.run_sync(up.close)  # SIGTERM; its exit code is 0
            before = len(sent)
            await until(lambda: len(sent) > before + 3)  # noqa: B023 -- called at once
            await trio.to_thread.run_sync(up.enter_context, node.running())
            await eventually(partial(is_up, node))
        stop.set()
    found = [text for text in await said_at(town) if text.startswith("while upgrading")]
    assert found == sent[-len(found) :]
    assert len(found) > 6


async def is_up(node: Node) -> bool:
    """Return whether a node is ready, as the balancer asks."""
    try:
        async with await trio.open_tcp_stream("127.0.0.1", node.monitor) as stream:
            await stream.send_all(b"GET /readyz HTTP/1.0\r\n\r\n")
            return b" 200 " in await stream.receive_some()
    except OSError:
        return False
