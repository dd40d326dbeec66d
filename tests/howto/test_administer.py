"""docs/how-to/administer.md, as it is printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from admin_peer import needs_linux
from peers import PASSWORD, Peer

from gochat.protocol.messages import (
    Bye,
    CreateRoom,
    Error,
    Leave,
    LoggedIn,
    Login,
    Ok,
    Report,
    Send,
    Sent,
)
from howto import Guide

pytestmark = [pytest.mark.trio, needs_linux]


async def log_in(port: int, name: str, password: str) -> str:
    """Log in and leave; return how that ended."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        peer = Peer(stream)
        await peer.send(Login(name=name, password=password))
        reply = await peer.receive()
        return reply.code if isinstance(reply, Error) else type(reply).__name__


async def test_accounts_are_administered(tmp_path: Path, free_port: Callable[[], int]) -> None:
    guide = Guide("administer.md", tmp_path, ("sh", "console"), **{"sudo -u gochat ": ""})
    config = tmp_path / "etc/gochat/server.toml"
    config.parent.mkdir(parents=True)
    store = guide.here("sqlite:////var/lib/gochat/gochat.db")
    config.write_text(f'store = "{store}"\n')
    (tmp_path / "etc/gochat/monitor.password").write_text(f"{PASSWORD}\n")

    with guide.serving(f"gochat serve --config {config}", free_port()) as server:
        assert guide.run("sudo -u gochat gochat admin account list").split() == ["accounts", "-"]
        guide.environment["GOCHAT_CONFIG"] = str(config)
        command, *sample = guide.take("$ gochat admin account create").splitlines()
        printed = guide.sh(command.removeprefix("$ ")).splitlines()
        assert [line.split()[0] for line in printed] == [line.split()[0] for line in sample]
        code = printed[1].split()[1]
        assert re.fullmatch(r"\w{4}-\w{4}-\w{4}-\w{4}", code)
        assert await log_in(server.port, "mei", code) == "bad_password"
        assert await log_in(server.port, "mei", f"{code} my new password") == "LoggedIn"
        (tmp_path / "people.txt").write_text("yan,moderator\nzoe\n")
        guide.run("gochat admin account create-many")
        _, yan, zoe = (tmp_path / "codes.csv").read_text().splitlines()
        assert (yan.split(",")[1], zoe.split(",")[1]) == ("moderator", "member")
        assert await log_in(server.port, "zoe", f"{zoe.split(',')[2]} {PASSWORD}") == "LoggedIn"
        guide.run("gochat admin account create monitor")
        assert await log_in(server.port, "monitor", PASSWORD) == "LoggedIn"

        code = guide.run("gochat admin account reset-password").splitlines()[1].split()[1]
        assert await log_in(server.port, "mei", "my new password") == "bad_credentials"
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            peer = Peer(stream)
            await peer.ask(Login(name="mei", password=f"{code} {PASSWORD}"), LoggedIn)
            assert "sessions ended  yes" in guide.run("gochat admin account end-sessions")
            assert isinstance((await peer.at_end())[-1], Bye)

        create = "gochat admin account create mallory --password-stdin"
        guide.sh(f"{create} < etc/gochat/monitor.password")
        assert "disabled" in guide.run("gochat admin account disable")
        assert await log_in(server.port, "mallory", PASSWORD) == "account_disabled"
        guide.sh("gochat admin account enable mallory")
        assert await log_in(server.port, "mallory", PASSWORD) == "LoggedIn"
        assert "mallory" in guide.run("gochat admin account ban")
        assert await log_in(server.port, "mallory", PASSWORD) == "LoggedIn"
        assert "shouting" in guide.run("gochat admin account mute")
        listed = guide.take("gochat admin account list --address")
        assert guide.sh(listed).split() == ["accounts", "-"]
        listed = listed.replace("203.0.113.0/24", "127.0.0.1")
        assert "mallory" in guide.sh(listed)
        assert "spam with new accounts" in guide.run("gochat admin address-ban add")
        assert "moderator" in guide.run("gochat admin role set")

        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            monitor = Peer(stream)
            await monitor.ask(Login(name="monitor", password=PASSWORD), LoggedIn)
            await monitor.ask(CreateRoom(room="#den", private=True), Sent)
            await monitor.ask(Leave(room="#den"), Sent)
            async with await trio.open_tcp_stream("127.0.0.1", server.port) as other:
                mallory = Peer(other)
                await mallory.log_in("mallory", "log")
                rude = await mallory.ask(Send(to="@monitor", text="very rude"), Sent)
            await monitor.ask(Report(to="@mallory", seqs=(rude.seq,)), Ok)
        assert "very rude" in guide.run("gochat admin report list")
        assert "resolved  0" in guide.run("gochat admin report resolve-of")
        assert "yes" in guide.run("gochat admin room hand-over").splitlines()[-1].split()

        guide.sh("gochat admin account create carol")
        printed_lines = guide.run("gochat admin account delete").splitlines()
        assert [line.split()[1] for line in printed_lines if line.startswith("state")] == [
            "deleted", "removing",
        ]  # fmt: skip
        assert await log_in(server.port, "mallory", PASSWORD) == "bad_credentials"

        command, _, header, disabled, *_ = guide.take("$ gochat admin audit").splitlines()
        printed = guide.sh(command.removeprefix("$ ")).splitlines()
        assert printed[1].split() == header.split()
        expected = disabled.partition("account disable")[2].split()
        assert expected in [line.partition("account disable")[2].split() for line in printed]
        grant = guide.take("gochat admin grant")
        assert "gochat admin role set does this" in guide.sh(grant, code=1)
    assert guide.sh(grant).split() == ["name", "mei", "role", "admin"]
    guide.finish()
