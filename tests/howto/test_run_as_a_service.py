"""docs/how-to/run-as-a-service.md, as it is printed, but for systemd itself.

What systemd would do with the unit is done here: its commands are run, with its user being this
one. `tests/cli/test_service.py` holds the unit's directives to what the server does.
"""

from __future__ import annotations

import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from howto import Guide, say

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="the guide is for systems with systemd"),
]


async def test_run_as_a_service(tmp_path: Path, free_port: Callable[[], int]) -> None:
    guide = Guide("run-as-a-service.md", tmp_path)
    guide.leave_out("useradd", because="the user is the one that runs the tests")
    unit = guide.take("[Unit]")
    config = guide.write("host =", "/etc/gochat/server.toml")
    hook = guide.write("#!/bin/sh\n# ", "/etc/letsencrypt/hook", mode=0o755)

    lineage = tmp_path / "lineage"
    lineage.mkdir()
    authorities = [trustme.CA(), trustme.CA()]
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in authorities]
    for authority, context in zip(authorities, contexts, strict=True):
        authority.configure_trust(context)

    def renew(authority: trustme.CA) -> None:
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(lineage / "privkey.pem")
        issued.cert_chain_pems[0].write_to_path(lineage / "fullchain.pem")
        guide.sh(f"RENEWED_LINEAGE={lineage} {hook}")

    guide.stand_in_for_systemctl(None)
    renew(authorities[0])
    [command] = re.findall(r"^ExecStart=(.*)", unit, re.M)
    assert str(config) in command
    with guide.serving(command, free_port()) as server:
        await say(server.port, "mei", "hello", contexts[0])
        guide.stand_in_for_systemctl(server.process)
        renew(authorities[1])
        server.wait_for("certificate reloaded")
        await say(server.port, "mei", "hello", contexts[1])
    # Who reads the key is its owner and the service's group.
    assert (tmp_path / "etc/gochat/privkey.pem").stat().st_mode & 0o777 == 0o640
    guide.leave_out("systemctl daemon-reload", because="there is no systemd to ask")
    guide.leave_out("[Unit]", because="tests/cli/test_systemd.py hands sockets over")
    guide.leave_out("systemctl enable", because="there is no systemd to ask")
    guide.finish()
