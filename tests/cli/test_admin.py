"""`gochat admin`, as it is run: what it prints, its exit codes, and what it can't do."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio
from admin_peer import needs_linux
from peers import Peer, config, running_server
from processes import GOCHAT, serve
from redis_nodes import Nodes
from redis_process import RedisServer

from gochat.chat.names import NameKey
from gochat.cli import FAILED, USAGE, main
from gochat.cli.admin import connection
from gochat.errors import ConnectionLost
from gochat.protocol.messages import LoggedIn, Login
from gochat.server.admin.wire import Reply, Request
from gochat.storage import open_store

pytestmark = needs_linux

NOBODY = 65534


class Operator:
    """Runs commands in this process, on the server at a socket."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._socket = ["--socket", str(path)]
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Return the exit code and what was printed."""
        self._capsys.readouterr()
        code = main(["admin", *words, *self._socket])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err


def test_people_are_administered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One server, and everything that an operator does there in a day."""
    with serve(tmp_path / "chat.db"):
        admin = Operator(tmp_path / "chat.db.admin", capsys)
        code, out, err = admin("account", "create", "Mei", "--reason", "new colleague")
        assert (code, err) == (0, "")
        assert [line.split()[0] for line in out.splitlines()] == ["name", "code", "expires"]
        done = subprocess.run(
            [
                *(*GOCHAT, "admin", "account", "create", "Bob", "--password-stdin", "--json"),
                *("--socket", str(tmp_path / "chat.db.admin")),
            ],
            input="correct horse\n",
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["result"] == {"name": "Bob", "code": "", "expires": 0}
        assert admin("role", "set", "bob", "moderator")[0] == 0
        assert admin("account", "disable", "mei")[0] == 0
        _, out, _ = admin("account", "list")
        assert [line.split()[:5] for line in out.splitlines()[2:]] == [
            ["Bob", "moderator", "no", "active", "set"],
            ["Mei", "member", "no", "disabled", "code"],
        ]
        _, out, _ = admin("account", "list", "--state", "disabled", "--json")
        assert [one["name"] for one in json.loads(out)["result"]["accounts"]] == ["Mei"]
        _, out, _ = admin("audit", "--limit", "2")
        assert "member to moderator" in out
        assert out.splitlines()[-1].endswith("--before 3")
        _, out, _ = admin("audit", "--before", "2")
        assert "new colleague" in out

        file = tmp_path / "lobby.jsonl"
        code, out, err = admin("export", "room", "#lobby", "-o", str(file))
        assert (code, out.split(), err) == (0, ["file", str(file), "records", "2"], "")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        before = file.read_bytes()
        assert [json.loads(line)["type"] for line in before.splitlines()] == ["export", "room"]
        assert admin("export", "room", "#lobby", "-o", str(file))[0] == USAGE
        assert file.read_bytes() == before
        assert admin("export", "room", "#none", "-o", str(tmp_path / "none"))[0] == USAGE
        assert not (tmp_path / "none").exists()
        code, out, _ = admin("export", "account", "mei", "--output", "-")
        assert [json.loads(line)["type"] for line in out.splitlines()][:2] == ["export", "account"]
        assert admin("account", "mute", "bob", "--for", "2h", "--reason", "loud")[0] == 0
        _, out, _ = admin("account", "restrictions")
        assert out.splitlines()[-1].split()[:2] == ["Bob", "mute"]
        assert main(["admin", "account", "mute", "bob", "--for", "soon"]) == USAGE
        assert "expected 90s, 30m, 2h or 7d" in capsys.readouterr().err

        code, out, err = admin("account", "show", "nobody")
        assert (code, out, err) == (
            USAGE,
            "",
            "gochat: no account is named 'nobody': `account list --matching` finds names\n",
        )
        code, out, err = admin("account", "show", "nobody", "--json")
        assert (code, json.loads(out)["error"]["code"]) == (USAGE, "unknown_person")
        assert "Traceback" not in err
        for words in (["account"], ["account", "burn"], ["role", "set", "bob", "king"], []):
            assert main(["admin", *words]) == USAGE
        assert "Traceback" not in capsys.readouterr().err


def test_what_is_not_unicode_is_refused_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = Operator(tmp_path / "admin", capsys)("account", "show", "\udcff")
    assert (code, out, err) == (USAGE, "", "gochat: an argument is not UTF-8\n")
    done = subprocess.run(
        [*GOCHAT, "admin", "account", "create", "mei", "--password-stdin"],
        input=b"\xff\n",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert done.stderr == b"gochat: the line on standard input is not UTF-8\n"


def test_no_server_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = Operator(tmp_path / "admin", capsys)("account", "list")
    assert code == FAILED
    assert err.startswith(f"gochat: no server answers at {tmp_path / 'admin'}")
    (tmp_path / "admin").write_text("no socket")
    assert Operator(tmp_path / "admin", capsys)("account", "list")[0] == FAILED


def test_socket_is_found_by_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(f"[admin]\nsocket = '{tmp_path}/here'\n")
    assert main(["admin", "audit", "--config", str(file)]) == FAILED
    assert f"no server answers at {tmp_path}/here" in capsys.readouterr().err
    file.write_text("store = 'sqlite:///:memory:'\n")
    assert main(["admin", "audit", "--config", str(file)]) == USAGE
    assert "set admin.socket" in capsys.readouterr().err


def test_role_and_password_are_set_while_no_server_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path / 'chat.db'}"

    def admin(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["admin", *words, "--store", store])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    assert admin("grant", "mei", "admin")[::2] == (
        USAGE, f"gochat: no such database: {tmp_path / 'chat.db'}\n"
    )  # fmt: skip
    assert not (tmp_path / "chat.db").exists(), "it makes none"
    with serve(tmp_path / "chat.db"):
        running = Operator(tmp_path / "chat.db.admin", capsys)
        assert running("account", "create", "Mei")[0] == 0
        code, _, err = admin("grant", "mei", "admin")
        assert (code, "gochat admin role set does this" in err) == (FAILED, True)
        code, _, err = admin("reset-password", "mei")
        assert (code, "in use by another gochat server" in err) == (FAILED, True)
    code, out, _ = admin("grant", "MEI", "admin", "--reason", "the first one", "--json")
    assert (code, json.loads(out)["result"]) == (0, {"name": "Mei", "role": "admin"})
    code, out, _ = admin("reset-password", "mei", "--json")
    issued = json.loads(out)["result"]["code"]
    assert admin("grant", "nobody", "admin")[::2] == (
        USAGE, "gochat: no account is named 'nobody': check the name\n"
    )  # fmt: skip
    assert admin("reset-password", "mei", "--hours", "0")[0] == USAGE
    with serve(tmp_path / "chat.db") as one:
        running = Operator(tmp_path / "chat.db.admin", capsys)
        shown = json.loads(running("account", "show", "mei", "--json")[1])["result"]
        assert (shown["role"], shown["password"]) == ("admin", "code")
        _, out, _ = running("audit")
        assert "grant (offline)" in out
        assert "the first one" in out
        assert issued not in out

        async def log_in() -> None:
            async with await trio.open_tcp_stream("127.0.0.1", one.port) as stream:
                await Peer(stream).ask(Login(name="mei", password=f"{issued} {issued}"), LoggedIn)

        trio.run(log_in)


@pytest.mark.trio
async def test_store_in_redis_is_left_alone_while_a_server_uses_it(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = Nodes(redis_server).url()

    def grant() -> tuple[int, str]:
        capsys.readouterr()
        words = ["admin", "grant", "mei", "moderator", "--store", url]
        code = main(words)
        return code, capsys.readouterr().err

    code, err = await trio.to_thread.run_sync(grant)
    assert (code, "no gochat data found" in err) == (USAGE, True)
    async with running_server(config(store=url)) as server, server.connect() as peer:
        await peer.register("Mei")
        code, err = await trio.to_thread.run_sync(grant)
        assert (code, "is in use by 1 gochat server" in err) == (FAILED, True)
    code, err = await trio.to_thread.run_sync(grant)
    assert (code, err.count("gochat:")) == (0, 0)
    async with open_store(url) as store:
        mei = await store.account(NameKey("mei"))
        assert mei is not None
        assert mei.role == "moderator"


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Answer one request at a socket with these bytes."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connected, _ = listening.accept()
            with connected, suppress(OSError):  # the other side has left
                connected.recv(1000)
                connected.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize("answer", [b"", b"x", b"{}\n", b"[" * 9000 + b"\n", b"\xff\n"])
def test_answer_of_something_else_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: bytes
) -> None:
    with answering(tmp_path / "admin", answer):
        code, out, err = Operator(tmp_path / "admin", capsys)("account", "list")
    assert (code, out) == (FAILED, "")
    assert err.startswith("gochat: ")
    assert "Traceback" not in err


def test_text_of_the_server_does_not_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = {"ok": True, "result": {"name": "\x1b]0;x\x07"}}
    with answering(tmp_path / "admin", json.dumps(reply).encode() + b"\n"):
        _, out, _ = Operator(tmp_path / "admin", capsys)("account", "show", "mei")
    assert "\x1b" not in out
    assert "\\x1b" in out


def test_nothing_is_sent_to_the_socket_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if this user were not root, and the one who listens were somebody else."""
    monkeypatch.setattr(connection, "peer_uid", lambda _: NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with answering(tmp_path / "admin", b""):
        code, _, err = Operator(tmp_path / "admin", capsys)("account", "list")
    assert code == USAGE
    assert "nothing was sent" in err


def test_accounts_are_made_for_a_list_and_the_command_goes_on_where_it_was_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gochat.cli.admin.many.MANY", 2)
    people, codes = tmp_path / "people", tmp_path / "codes.csv"
    names = [f"p{number}" for number in range(5)]
    people.write_text("name,role\n# us\n" + "\n".join(names) + "\nMei,admin\n\n")
    with serve(tmp_path / "chat.db"):
        admin = Operator(tmp_path / "chat.db.admin", capsys)

        def many(*words: str) -> tuple[int, str, str]:
            return admin("account", "create-many", str(people), "-o", str(codes), *words)

        asked = 0

        def interrupted(path: Path, request: Request) -> Reply:
            nonlocal asked
            asked += 1
            reply = ask(path, request)
            if asked == 5:  # three to check all six, and the second one of those that create
                raise ConnectionLost("as if it was killed, before it got the reply")
            return reply

        ask = connection.ask
        monkeypatch.setattr(connection, "ask", interrupted)
        assert many()[0] == FAILED
        assert stat.S_IMODE(codes.stat().st_mode) == 0o600
        kept = codes.read_text()
        code, out, _ = many("--json")
        result = json.loads(out)["result"]
        assert (code, result["made"], result["made_before"]) == (0, 2, 4)
        assert codes.read_text() == kept, "nobody's code is another one"
        rows = [line.split(",") for line in kept.splitlines()]
        assert [row[:2] for row in rows] == [
            ["name", "role"],
            *([name, "member"] for name in names),
            ["Mei", "admin"],
        ]
        _, out, _ = admin("account", "list", "--password", "code", "--json")
        assert len(json.loads(out)["result"]["accounts"]) == 6
        people.write_text(people.read_text() + "eve\n")
        code, out, _ = many("--json")
        assert (code, json.loads(out)["result"]["made"]) == (0, 1)
        assert codes.read_text().startswith(kept)


def test_list_is_checked_whole_before_the_first_account_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = tmp_path / "people"
    people.write_text("ann\nbob\nno name\nANN\neve,king\nb0b\n")
    with serve(tmp_path / "chat.db"):
        admin = Operator(tmp_path / "chat.db.admin", capsys)
        admin("account", "create", "Bob")
        code, out, err = admin("account", "create-many", str(people))
        assert (code, out) == (USAGE, "")
        assert [line.partition(":")[0] for line in err.splitlines()] == [
            *("line 2", "line 3", "line 4", "line 5", "line 6", "gochat")
        ]
        assert "line 4: ANN: the same as line 1, or looks like it" in err
        code, out, _ = admin("account", "create-many", str(people), "--json")
        refused = [one["line"] for one in json.loads(out)["refused"]]
        assert (code, refused) == (USAGE, [2, 3, 4, 5, 6])
        people.write_text("ann\nbob\n")
        code, out, err = admin("account", "create-many", str(people))
        assert (code, "--skip-taken" in err) == (USAGE, True)
        code, out, err = admin("account", "create-many", str(people), "--skip-taken")
        assert (code, err) == (0, "")
        assert out.splitlines()[2].split()[:2] == ["ann", "member"]
        assert admin("account", "create-many", str(people), "-o", str(people))[0] == USAGE
        assert people.read_text() == "ann\nbob\n"


def test_list_has_as_many_pages_as_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gochat.cli.admin.paging.MOST", 2)
    people = tmp_path / "people"
    people.write_text("".join(f"p{number}\n" for number in range(7)))
    with serve(tmp_path / "chat.db"):
        admin = Operator(tmp_path / "chat.db.admin", capsys)
        assert admin("account", "create-many", str(people))[0] == 0
        _, out, _ = admin("account", "list", "--limit", "5", "--json")
        result = json.loads(out)["result"]
        assert [one["name"] for one in result["accounts"]] == ["p0", "p1", "p2", "p3", "p4"]
        _, out, _ = admin("account", "list", "--limit", "5")
        assert out.splitlines()[-1].endswith("--after p4")
        _, out, _ = admin("account", "list", "--limit", "5", "--after", result["next"], "--json")
        remainder = json.loads(out)["result"]
        assert [one["name"] for one in remainder["accounts"]] == ["p5", "p6"]
        assert not remainder["next"]
        _, out, _ = admin("audit", "--limit", "100", "--matching", "P6", "--json")
        assert [one["subject"] for one in json.loads(out)["result"]["acts"]] == ["p6"]
        assert admin("account", "list", "--limit", "0")[0] == USAGE
        code, _, err = admin("invitation", "create", "--uses", "10001")
        assert (code, "expected 1 to 10000, not '10001'" in err) == (USAGE, True)
        code, _, err = admin("account", "ban", "p1", "--for", "400d")
        assert (code, "expected at most 365d" in err) == (USAGE, True)
