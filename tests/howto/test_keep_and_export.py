"""docs/how-to/keep-only-so-much.md and export.md, as they are printed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from admin_peer import needs_linux
from peers import PASSWORD, Peer

from gochat.protocol.messages import CreateRoom, LoggedIn, Login, Register, Registered, Send, Sent
from howto import Guide

pytestmark = [pytest.mark.trio, needs_linux]


async def test_rules_are_set_and_a_room_and_a_person_are_exported(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    keep = Guide("keep-only-so-much.md", tmp_path, ("sh", "console"))
    export = Guide("export.md", tmp_path, ("sh",))
    config = tmp_path / "server.toml"
    config.write_text(f'store = "sqlite:///{tmp_path}/gochat.db"\n')
    for guide in (keep, export):
        guide.environment["GOCHAT_CONFIG"] = str(config)
    with keep.serving(f"gochat serve --config {config}", free_port()) as server:
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            mei = Peer(stream)
            await mei.ask(Register(name="mei", password=PASSWORD), Registered)
            await mei.ask(Login(name="mei", password=PASSWORD), LoggedIn)
            for room in ("#garden", "#decisions"):
                await mei.ask(CreateRoom(room=room), Sent)
            await mei.ask(Send(to="#garden", text="hello"), Sent)
        keep.run("gochat admin retention set default")
        command, *sample = keep.take("$ gochat admin retention show").splitlines()
        printed = keep.sh(command.removeprefix("$ ")).splitlines()
        assert [line.split() for line in printed] == [line.split() for line in sample]
        keep.finish()
        export.run("gochat admin export room")
        for name in ("garden.jsonl", "mei.jsonl"):
            file = tmp_path / name
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            first, *_, last = map(json.loads, file.read_text("utf-8").splitlines())
            assert (first["type"], first["format"]) == ("export", 1)
            assert (last["type"], last["text"]) in (("entry", "hello"), ("entry", "public"))
        export.finish()
