"""Install a built wheel or sdist into a new environment, and chat with what was installed.

``python smoke.py dist/gochat-….whl``. Uses nothing of the source tree: files that the package lacks
are missing here, as they would be for the people who install it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
PATIENCE = 30.0


class Peer:
    """The smallest client: frames exactly as the protocol has them, without code of gochat."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._file = self._socket.makefile("rb")

    def ask(self, msg_type: str, answer: str, **payload: Any) -> dict[str, Any]:
        """Send a request and return the reply; the events before it are dropped."""
        data = json.dumps({"request_id": "1", **payload})
        body = json.dumps({"msg_type": msg_type, "msg_data": data}).encode()
        self._socket.sendall(len(body).to_bytes(4, "big") + body)
        return self.receive(answer)

    def receive(self, msg_type: str) -> dict[str, Any]:
        """Return the next frame of this type; the events before it are dropped."""
        while True:
            length = int.from_bytes(self._file.read(4), "big")
            envelope = json.loads(self._file.read(length))
            payload: dict[str, Any] = json.loads(envelope["msg_data"])
            assert envelope["msg_type"] not in ("error", "bye"), payload
            if envelope["msg_type"] == msg_type:
                return payload

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def main(package: Path) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        place = Path(directory)
        venv.create(place / "venv", with_pip=True)
        bin_ = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
        suffix = ".exe" if os.name == "nt" else ""
        pip = [str(bin_ / f"python{suffix}"), "-m", "pip", "-q", "-q"]
        for arguments in (
            ("install", "-r", str(CONSTRAINTS)),
            ("install", "--no-deps", "--no-build-isolation", str(package.resolve())),
            ("check",),  # that no dependency is missing
        ):
            subprocess.run([*pip, *arguments], check=True, cwd=place)
        gochat = bin_ / f"gochat{suffix}"
        version = subprocess.run([gochat, "--version"], check=True, capture_output=True, text=True)
        assert version.stdout.split()[1] in package.name, (version.stdout, package.name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        translated = subprocess.run(
            [gochat, "tui", "--plain", "--language", "zh_CN", "--state-dir", "state"],
            cwd=place, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert "尚未登录" in translated.stderr, translated.stderr
        environ = {k: v for k, v in os.environ.items() if not k.startswith("GOCHAT_")}
        server = subprocess.Popen(
            [gochat, "serve", "--port", str(port), "--store", "sqlite:///smoke.db"],
            cwd=place,
            env=environ,
        )
        try:
            chat(port)
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(PATIENCE)
        # Windows has no signal to ask a process to end: there it was killed.
        assert code == 0 or os.name == "nt", f"gochat serve ended with {code}"
        print(f"{package.name}: installed, {version.stdout.strip()}, two people chatted")


def wait_until_listening(port: int) -> None:
    """Return when the server accepts connections."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "gochat serve does not listen"
            time.sleep(0.1)
        else:
            return


def chat(port: int) -> None:
    """Register two people; each sends a message that the other receives."""
    wait_until_listening(port)
    mei, jan = Peer(port), Peer(port)
    for peer, name in ((mei, "mei"), (jan, "jan")):
        peer.ask("register", "registered", name=name, password="correct horse")
        peer.ask("login", "logged_in", name=name, password="correct horse")
    mei.ask("send", "sent", to="#lobby", text="hello, all")
    assert jan.receive("message")["text"] == "hello, all"
    jan.ask("send", "sent", to="@mei", text="hello, mei")
    assert mei.receive("message")["text"] == "hello, mei"
    mei.close()
    jan.close()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(Path(argument))
