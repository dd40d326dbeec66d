"""The client in JavaScript works as described, against the real server."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from children import child
from patience import PATIENCE
from processes import serve
from run import Run
from tampering import encode

from node import EXAMPLE, node

FOLLOWING = Path(__file__).parents[1] / "conformance" / "clients" / "following.mjs"
PASSWORD = "correct horse"


class NodeExample:
    """A running client."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.shown: list[tuple[str, int, str]] = []
        self.told: list[dict[str, Any]] = []

    def send(self, to: str, text: str, **more: object) -> None:
        """Give it a message to send."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"to": to, "text": text, **more}) + "\n")
        self._process.stdin.flush()

    def until(self, **fields: object) -> dict[str, Any]:
        """Read until it tells of something with these fields, and return that."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            self.told.append(event)
            if event["what"] == "shown":
                entry = event["entry"]
                self.shown.append((event["conv"], entry["seq"], entry.get("text", "")))
                event |= entry
            if fields.items() <= event.items():
                return dict(event)
        raise AssertionError(f"the client ended before {fields}: {self.told[-5:]}")


@contextmanager
def running(port: int, name: str) -> Iterator[NodeExample]:
    command = [node(), str(EXAMPLE), "127.0.0.1", str(port), name, PASSWORD, "--backoff", "0.1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        child(process)
        try:
            yield NodeExample(process)
        finally:
            process.kill()


def register(port: int, *names: str) -> None:
    for name in names:
        run = Run(("127.0.0.1", port), PATIENCE)
        account = {"name": name, "password": PASSWORD}
        run.play({"steps": [{"connect": name}, {"on": name, "ask": ["register", account]}]})


def test_node_example_shows_what_the_table_of_following_says() -> None:
    done = subprocess.run(
        [node(), str(FOLLOWING)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout


def test_node_example_survives_a_kill_of_the_server(tmp_path: Path, free_tcp_port: int) -> None:
    store, flags = tmp_path / "chat.db", ("--port", str(free_tcp_port))
    with ExitStack() as stack:
        server = stack.enter_context(serve(store, *flags))
        register(free_tcp_port, "mei", "bob")
        mei = stack.enter_context(running(free_tcp_port, "mei"))
        bob = stack.enter_context(running(free_tcp_port, "bob"))
        for person in (mei, bob):
            person.until(what="synced")
        mei.send("#lobby", "你好 👋")
        assert bob.until(what="shown", text="你好 👋")["from"] == "mei"
        mei.send("@bob", "only to you", cid="c1")
        assert bob.until(what="shown", text="only to you")["conv"] == "@mei"
        mei.until(what="settled", cid="c1", seq=1, dup=False)
        server.process.kill()
        server.finish()
        for number in range(20):
            mei.send("#lobby", f"{number} while nobody was there")
        stack.enter_context(serve(store, *flags))
        bob.until(what="shown", text="19 while nobody was there")
    lobby = [(seq, text) for conv, seq, text in bob.shown if conv == "#lobby"]
    texts = ["你好 👋", *(f"{number} while nobody was there" for number in range(20))]
    assert lobby == [*enumerate(texts, 1)]


def test_node_example_keeps_its_order_beyond_the_burst(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db", "--set", "limits.per_second=20") as server:
        register(server.port, "mei", "bob")
        with running(server.port, "mei") as mei, running(server.port, "bob") as bob:
            bob.until(what="synced")
            for number in range(30):
                mei.send("#lobby", str(number))
            bob.until(what="shown", text="29")
            assert [text for _, _, text in bob.shown] == [str(number) for number in range(30)]


def test_node_example_goes_on_from_the_number_that_is_due() -> None:
    """Also if what was refused for now turns out to be there, by its own entry."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with running(listener.getsockname()[1], "mei") as mei:
            for text in ("one", "two", "three"):
                mei.send("#lobby", text, cid=text)
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:

                def receive() -> tuple[str, dict[str, Any]]:
                    envelope = json.loads(file.read(int.from_bytes(file.read(4), "big")))
                    return envelope["msg_type"], json.loads(envelope["msg_data"])

                def send(msg_type: str, **data: Any) -> None:
                    connection.sendall(encode((msg_type, data)))

                assert receive()[0] == "login"
                limits = {"burst": 10}
                send("logged_in", request_id="1", name="mei", token="t", limits=limits)
                assert receive()[0] == "sync"
                send("synced", request_id="2", conversations=[])
                sent = [receive()[1] for _ in range(3)]
                assert [(each["n"], each["text"]) for each in sent] == [
                    (1, "one"), (2, "two"), (3, "three"),
                ]  # fmt: skip
                entry = {"to": "#lobby", "epoch": "e", "from": "mei", "ts": 1}
                send("message", **entry, seq=1, text="one", cid="one")
                codes = ("unavailable", "out_of_order", "out_of_order")
                for each, code in zip(sent, codes, strict=True):
                    error = {"code": code, "text": "", "cid": each["cid"], "retry_after": 0.01}
                    send("error", request_id=each["request_id"], **error)
                sent = [receive()[1] for _ in range(2)]
                assert [(each["n"], each["text"]) for each in sent] == [(1, "two"), (2, "three")]
                send("error", request_id=sent[0]["request_id"], code="text_empty", text="")
                mei.until(what="failed", cid="two", code="text_empty")
                send("sent", request_id=sent[1]["request_id"], cid="three", epoch="e", seq=2)
                mei.until(what="settled", cid="three", seq=2)
                mei.send("#lobby", "four")
                assert receive()[1]["n"] == 3


def test_node_example_ends_if_its_password_is_wrong(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as server, running(server.port, "mei") as mei:
        mei.until(what="refused", code="bad_credentials")
        mei.until(what="ended")
