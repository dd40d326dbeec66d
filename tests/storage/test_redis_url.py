"""Redis URLs: how they are parsed, how gochat logs in with them, and that nobody reads the
password."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trio
import trustme
from patience import until
from peers import config, running_server
from redis_deployments import ClusterOf3, Watched
from redis_nodes import REDIS_TIMEOUT, Nodes
from redis_process import RedisServer
from redis_rights import PAGE, add_user
from storing import Chat, person

from gochat.errors import ConfigError, GochatError, StoreCorrupt, StoreUnavailable
from gochat.protocol.messages import Send, Sent
from gochat.storage import REDIS_SCHEMES, open_store
from gochat.storage.redis.keys import DEFAULT_PARTITIONS
from gochat.storage.redis.link.url import SCHEMES, Host, Options, parse_url
from gochat.storage.redis.link.wire import Refused

StartRedis = Callable[..., RedisServer]

SECRET = "s3cret"


# -- parsing -------------------------------------------------------------------------------------


def test_schemes_are_known_without_loading_the_store() -> None:
    assert set(SCHEMES) == REDIS_SCHEMES


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost:6379"),
        ("redis://:pw@host:7000/3", "redis://host:7000/3"),
        ("rediss://me:pw@[::1]:7000", "rediss://[::1]:7000"),
        ("redis://host?db=2", "redis://host:6379/2"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("redis+unix://me:pw@/run/redis.sock", "unix:///run/redis.sock"),
        (
            "redis+sentinel://:pw@a,b:27000/main/1",
            "redis+sentinel://a:26379,b:27000/main/1",
        ),
        ("redis+cluster://a:7000,b:7001,c", "redis+cluster://a:7000,b:7001,c:6379"),
        ("rediss+cluster://a", "rediss+cluster://a:6379"),
    ],
)
def test_url_is_parsed_and_shown_without_its_secrets(url: str, shown: str) -> None:
    location = parse_url(url)
    assert str(location) == shown
    assert "pw" not in repr(location)


def test_secrets_are_taken_from_the_url() -> None:
    location = parse_url(f"redis+sentinel://me:p%40ss@a/main?sentinel_password={SECRET}")
    assert (location.secret.user, location.secret.password) == ("me", "p@ss")
    assert location.sentinel_secret.password == SECRET
    assert location.hosts == (Host("a", 26379),)
    assert SECRET not in repr(location)


def test_options_are_taken_from_the_url() -> None:
    options = parse_url("redis://a?timeout=2&wait=1&keep=1000&prefix=chat&partitions=4").options
    assert (options.timeout, options.wait, options.keep) == (2.0, 1, 1000)
    assert (options.prefix, options.partitions) == ("chat", 4)


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("redis://:{}@a,b", "one host"),
        ("redis://:{}@a:port", "no valid port"),
        ("redis://:{}@a:70000", "no valid port"),
        ("redis://:{}@a/one", "number of the database"),
        ("redis://:{}@a/1/2", "number of the database"),
        ("redis+cluster://:{}@a/1", "only database 0"),
        ("redis+sentinel://:{}@a", "SERVICE"),
        ("unix://:{}@run/redis.sock", "absolute path"),
        ("redis://:{}@a?color=red", "no option 'color'"),
        ("redis://:{}@a?timeout=never", "timeout takes a number from"),
        ("redis://:{}@a?timeout=1000", "timeout takes a number from"),
        ("redis://:{}@a?partitions=0", "partitions takes a whole number from 1"),
        ("redis://:{}@a?prefix=%7Bx%7D", "prefix takes"),
        ("redis://:{}@a?wait=1&wait_timeout=5", "wait_timeout must be less"),
        ("redis://:{}@a?cert=x", "cert and key go together"),
        ("redsi://:{}@a", "unsupported store URL scheme"),
    ],
)
def test_error_does_not_show_the_secret(rest: str, text: str) -> None:
    url = rest.format(SECRET)
    scheme = url.partition(":")[0]
    with pytest.raises(ConfigError, match=text) as caught:
        parse_url(url) if scheme in SCHEMES else open_store(url)
    assert SECRET not in str(caught.value)


# -- logging in ----------------------------------------------------------------------------------


async def _says_and_reads(url: str) -> None:
    async with open_store(url) as store:
        chat = Chat(store)
        await chat.register("Mei", "Bob")
        await chat.do("Mei", "#garden", "create", "private")
        await chat.do("Mei", "#garden", "invite", "Bob", subject="Bob")
        await chat.do("Bob", "#garden", "join")
        await chat.say("Mei", "#garden", "hello @Bob", mentions=["Bob"])
        await chat.do("Bob", "#garden", "react", "👍", ref=4)
        await chat.do("Mei", "#garden", "edit", "hello", ref=4)
        await chat.do("Mei", "#garden", "delete", ref=4)
        await chat.mark_read("Bob", "#garden", 4)
        assert (await chat.entries("Bob", "#garden"))[3].deleted
        assert await chat.find("Bob", "hello") == []
        await store.rooms(person("Bob"), after="", limit=5)


@pytest.mark.trio
async def test_login_with_password_user_and_least_permissions(start_redis: StartRedis) -> None:
    """The contract (tests/storage/contract) is tested with that user, too."""
    server = start_redis("--requirepass", "admin")
    nodes = Nodes(server)
    at = f"127.0.0.1:{server.port}"
    user, _, secret = add_user(server.port, "gochat", password="admin").partition(":")
    await _says_and_reads(f"redis://{user}:{secret}@{at}/2")
    for userinfo in (f"{user}:wrong{secret}", f"nobody:{secret}", f":{secret}", ""):
        with pytest.raises(ConfigError) as caught:
            async with open_store(f"redis://{userinfo}@{at}"):
                pass
        assert secret not in str(caught.value)
    assert _refused_to(nodes, user, password="admin") == []
    # Another deployment's keys are out of its reach.
    with pytest.raises(GochatError, match="permi"):
        async with open_store(f"redis://{user}:{secret}@{at}?prefix=other"):
            pass


@pytest.mark.trio
async def test_least_permissions_suffice_for_nodes_and_maintenance(
    redis_server: RedisServer,
) -> None:
    nodes = Nodes(redis_server)
    userinfo = add_user(redis_server.port, nodes.prefix)
    url = f"redis://{userinfo}@127.0.0.1:{redis_server.port}?prefix={nodes.prefix}&feed_time=1"
    configuration = config(store=url)
    async with running_server(configuration) as one, running_server(configuration) as two:
        async with one.peer("mei") as mei, two.peer("bob") as bob:
            await mei.ask(Send(to="#lobby", text="hello"), Sent)
            assert (await bob.text()).text == "hello"
            await mei.until_online("mei", "bob")
            (feed,) = nodes.keys("*:feed")
            with nodes.client() as client:
                await until(lambda: client.xlen(feed) == 0)
    async with open_store(f"{url}&wait=1&wait_timeout=0.01") as store:
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            await Chat(store).say("Mei", "#lobby", "only one has it")
    assert _refused_to(nodes, userinfo.partition(":")[0]) == []


@pytest.mark.trio
async def test_least_permissions_suffice_for_a_cluster(redis_cluster: ClusterOf3) -> None:
    prefix = f"t{uuid4().hex}"
    userinfo = add_user(redis_cluster.servers[0].port, prefix)
    for server in redis_cluster.servers[1:]:
        add_user(server.port, prefix, userinfo=userinfo)
    url = redis_cluster.url.replace("://", f"://{userinfo}@")
    await _says_and_reads(f"{url}?prefix={prefix}")


@pytest.mark.trio
async def test_least_permissions_suffice_at_the_sentinels(redis_watched: Watched) -> None:
    page = PAGE.read_text("utf-8")
    found = re.search(r"^user gochat on >PASSWORD (resetchannels .*)$", page, re.MULTILINE)
    assert found is not None
    user, secret = f"u{uuid4().hex}", uuid4().hex
    for sentinel in redis_watched.sentinels:
        with Nodes(sentinel).client() as client:
            client.execute_command("ACL", "SETUSER", user, "on", f">{secret}", *found[1].split())
    prefix = f"t{uuid4().hex}"
    as_user = f"sentinel_user={user}&sentinel_password={secret}"
    await _says_and_reads(f"{redis_watched.url}?prefix={prefix}&{as_user}")


def test_all_options_of_the_url_are_documented() -> None:
    page = PAGE.read_text("utf-8")
    section = page.partition("\n## The options\n")[2].partition("\n## ")[0]
    rows: dict[str, str] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and cells[1].startswith("`"):
            rows |= dict.fromkeys(re.findall(r"\w+", cells[1]), cells[2].strip("`"))
    assert set(rows) == {*Options.__struct_fields__, "db", "sentinel_user", "sentinel_password"}
    for name in Options.__struct_fields__:
        value = getattr(Options(), name)
        default = DEFAULT_PARTITIONS if name == "partitions" else value
        assert rows[name] == (f"{default:g}" if isinstance(default, int | float) else default), name


def _refused_to(nodes: Nodes, user: str, **arguments: Any) -> list[Any]:
    """Return what Redis refused to a user, in their commands or their scripts."""
    with nodes.client(**arguments) as client:
        log = client.acl_log()
    # The `redis` package sends CLIENT SETINFO, and works without it.
    known = {"client", "client|setinfo"}
    return [
        entry
        for entry in log
        if entry["username"] == user and entry["reason"] != "auth" and entry["object"] not in known
    ]


@pytest.mark.trio
async def test_permission_denied_to_a_script_is_reported(redis_server: RedisServer) -> None:
    nodes = Nodes(redis_server)
    userinfo = add_user(redis_server.port, nodes.prefix)
    url = f"redis://{userinfo}@127.0.0.1:{redis_server.port}?prefix={nodes.prefix}"
    async with open_store(url) as store:
        chat = Chat(store)
        await chat.register("Mei")
        with nodes.client() as client:
            client.execute_command("ACL", "SETUSER", userinfo.partition(":")[0], "-rpush")
        with pytest.raises(StoreUnavailable, match="lacks a permission that gochat needs"):
            await chat.say("Mei", "#lobby", "hello")


@pytest.mark.trio
async def test_unix_socket_is_supported(start_redis: StartRedis, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    start_redis("--unixsocket", str(path))
    await _says_and_reads(f"unix://{path}?db=1")


@pytest.mark.trio
async def test_database_is_the_one_in_the_url(start_redis: StartRedis) -> None:
    server = start_redis()
    await _says_and_reads(f"{server.url}/3")
    with Nodes(server).client(db=3) as third, Nodes(server).client() as first:
        assert third.dbsize() > 0
        assert first.dbsize() == 0


@pytest.mark.trio
async def test_tls_refuses_an_untrusted_certificate(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    authority = trustme.CA()
    trusted, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(str(trusted))
    trustme.CA().cert_pem.write_to_path(str(other))
    prefix = Nodes(redis_server).prefix
    async with encrypted(redis_server.port, authority) as port:
        url = f"rediss://localhost:{port}?prefix={prefix}&timeout={REDIS_TIMEOUT}"
        await _says_and_reads(f"{url}&ca={trusted}")
        for options in (f"&ca={other}", ""):
            with pytest.raises(StoreUnavailable, match="certificate"):
                async with open_store(url + options):
                    pass


@asynccontextmanager
async def encrypted(port: int, authority: trustme.CA) -> AsyncIterator[int]:
    """Accept TLS connections and forward their data."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def forward(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
        try:
            while data := await source.receive_some():
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(sink)

    async def handle(plain: trio.SocketStream) -> None:
        client = trio.SSLStream(plain, context, server_side=True)
        async with (
            await trio.open_tcp_stream("127.0.0.1", port) as server,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(forward, client, server)
            nursery.start_soon(forward, server, client)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_data_with_other_partitions_or_of_a_newer_gochat_is_refused(
    redis_server: RedisServer,
) -> None:
    nodes = Nodes(redis_server)
    async with nodes.open("partitions=4") as store:
        await Chat(store).register("Mei")
    before = sorted(nodes.keys("*"))
    with pytest.raises(ConfigError, match="has 4 partitions, which can't be changed"):
        async with nodes.open("partitions=8"):
            pass
    async with nodes.open() as store:  # unchanged
        assert await store.display_names([person("Mei")])
    with nodes.client() as client:
        client.hset(f"{nodes.prefix}:{{0}}:meta", "version", 99)
    with pytest.raises(StoreCorrupt, match="newer gochat"):
        async with nodes.open():
            pass
    assert sorted(nodes.keys("*")) == before


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("MOVED 3999 127.0.0.1:6381", "MOVED"),
        ("unknown command 'FT.INFO', with args beginning with: ", ""),
        ("Index already exists", ""),
        ("Error running script: @user_script:9: -OOM command not allowed", "OOM"),
        ("@user_script: 9: The user executing the script can't run this command", "NOPERM"),
        ("ACL failure in script: User u has no permissions to run the 'rpush' command", "NOPERM"),
    ],
)
def test_refusals_of_all_redis_versions_have_their_code(text: str, code: str) -> None:
    assert Refused(text).code == code
