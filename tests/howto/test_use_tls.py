"""docs/how-to/use-tls.md, as it is printed."""

from __future__ import annotations

import signal
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from howto import Guide, say

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="the guide is for systems with a shell"),
]


def _issue(authority: trustme.CA, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    issued = authority.issue_cert("127.0.0.1", "chat.example.org")
    issued.private_key_pem.write_to_path(directory / "privkey.pem")
    (directory / "fullchain.pem").write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))


async def test_use_tls(tmp_path: Path, free_port: Callable[[], int]) -> None:
    guide = Guide("use-tls.md", tmp_path)
    live = tmp_path / "etc/letsencrypt/live/chat.example.org"
    authority = trustme.CA()
    _issue(authority, live)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    with guide.serve("gochat serve --host", free_port()) as server:
        await say(server.port, "mei", "hello", context)

    config = guide.write("[tls]", "/etc/gochat/server.toml")
    with guide.serving(f"gochat serve --config {config}", free_port()) as server:
        await say(server.port, "mei", "hello again", context)
        renewed = trustme.CA()
        _issue(renewed, live)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("certificate reloaded")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        renewed.configure_trust(context)
        await say(server.port, "mei", "with the new one", context)

    guide.leave_out("gochat tui chat.example.org", because="tests/tui run the app")
    guide.leave_out("SSL_CERT_FILE=", because="it is OpenSSL that reads this variable")
    guide.leave_out("gochat tui gochat://", because="tests/client has what each address means")
    guide.finish()
