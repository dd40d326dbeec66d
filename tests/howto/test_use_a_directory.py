"""docs/how-to/use-a-directory.md, as it is printed, against a slapd where one is installed.

Elsewhere shell scripts stand in for `ldapsearch` and `ldapwhoami`. They show how the example calls
the tools and what it makes of their exit codes, and nothing about LDAP.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from patience import wait_for
from peers import Peer

from gochat.protocol.messages import Error, LoggedIn, Login
from howto import Guide

pytestmark = [
    pytest.mark.trio,
    pytest.mark.skipif(sys.platform == "win32", reason="the guide is for systems with a shell"),
]

SLAPD = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec")
HAS_LDAP = SLAPD is not None and all(map(shutil.which, ("slapadd", "ldapsearch", "ldapwhoami")))
SCHEMAS = next(
    (p for p in map(Path, ("/etc/ldap/schema", "/etc/openldap/schema")) if p.exists()), Path()
)
#: mei's password is the last value; the service may search and read no passwords.
DATA = """dn: dc=example,dc=org
objectClass: domain
dc: example

dn: cn=gochat,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: gochat
userPassword: service word

dn: uid=mei,dc=example,dc=org
objectClass: inetOrgPerson
uid: mei
cn: Mei
sn: Lin
userPassword: correct horse

dn: uid=rené,dc=example,dc=org
objectClass: inetOrgPerson
uid: rené
cn: René
sn: Roy
userPassword: cheval blanc
"""
CONFIG = """include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=gochat,dc=example,dc=org" read by * none
database mdb
suffix "dc=example,dc=org"
directory {directory}
"""
SEARCH = """#!/bin/sh
# Fails if it is not called as the example calls it, or if it is down.
[ -e '{root}/down' ] && { echo "can't contact LDAP server" >&2; exit 255; }
case "$*" in *"correct horse"*|*"service word"*) exit 99 ;; esac
case "$*" in
  *'-D cn=gochat,dc=example,dc=org -y {root}/etc/gochat/ldap-password (&(uid=mei)(objectClass'*)
    printf 'dn: uid=mei,dc=example,dc=org\\nuid: mei\\n\\n' ;;
  *'(&(uid=ren\\c3\\a9)'*)
    printf 'dn:: dWlkPXJlbsOpLGRjPWV4YW1wbGUsZGM9b3Jn\\nuid:: cmVuw6k=\\n\\n' ;;
esac
"""
WHOAMI = """#!/bin/sh
[ -e '{root}/down' ] && exit 255
case "$*" in *"correct horse"*|*"wrong"*) exit 99 ;; esac
case "$*:$(cat)" in
  *'-D uid=mei,dc=example,dc=org -y /dev/stdin:correct horse') echo dn ;;
  *'-D uid=rené,dc=example,dc=org -y /dev/stdin:cheval blanc') echo dn ;;
  *) exit 49 ;;
esac
"""


class Directory:
    """A slapd, or the scripts that stand in for the tools. `url` is its address."""

    def __init__(self, root: Path, port: int) -> None:
        self._root = root
        self.url = f"ldap://127.0.0.1:{port}" if HAS_LDAP else "ldap://nowhere"
        self._process: subprocess.Popen[bytes] | None = None
        if HAS_LDAP:
            (root / "ldap").mkdir()
            text = CONFIG.format(schemas=SCHEMAS, directory=root / "ldap")
            (root / "slapd.conf").write_text(text)
            (root / "data.ldif").write_text(DATA)
            subprocess.run(
                ["slapadd", "-f", root / "slapd.conf", "-l", root / "data.ldif"], check=True
            )
        else:
            for name, script in (("ldapsearch", SEARCH), ("ldapwhoami", WHOAMI)):
                tool = root / "bin" / name
                tool.write_text(script.replace("{root}", str(root)))
                tool.chmod(0o755)

    def start(self) -> None:
        if not HAS_LDAP:
            (self._root / "down").unlink(missing_ok=True)
            return
        assert SLAPD is not None
        self._process = subprocess.Popen(
            [SLAPD, "-f", self._root / "slapd.conf", "-h", self.url, "-d", "0"]
        )
        ask = ["ldapwhoami", "-x", "-H", self.url]
        wait_for(lambda: not subprocess.run(ask, capture_output=True, check=False).returncode)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        (self._root / "down").touch()


@contextmanager
def directory(root: Path, port: int) -> Iterator[Directory]:
    found = Directory(root, port)
    found.start()
    try:
        yield found
    finally:
        found.stop()


async def log_in(port: int, name: str, password: str) -> str:
    """Return the name under which somebody is logged in, or the code of the refusal."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        peer = Peer(stream)
        await peer.send(Login(name=name, password=password))
        reply = await peer.receive()
        assert isinstance(reply, LoggedIn | Error)
        return reply.name if isinstance(reply, LoggedIn) else reply.code


async def test_use_a_directory(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    url = f"ldap://127.0.0.1:{port}" if HAS_LDAP else "ldap://nowhere"
    guide = Guide("use-a-directory.md", tmp_path, **{"ldaps://ldap.example.org": url})
    examples = tmp_path / "examples"
    examples.symlink_to(Path(__file__).parents[2] / "examples")
    with directory(tmp_path, port) as ldap:
        guide.run("install -m 755")
        guide.write("# /etc/gochat/ldap.toml")
        guide.run("printf '%s'")
        assert guide.run("echo '{") == '{"result": "allow", "name": "mei"}\n'
        config = guide.write("# /etc/gochat/server.toml")
        store = f"--store sqlite:///{tmp_path}/chat.db"
        with guide.serving(f"gochat serve --config {config} {store}", free_port()) as server:
            assert await log_in(server.port, "Mei", "correct horse") == "mei"
            assert await log_in(server.port, "mei", "wrong") == "bad_credentials"
            assert await log_in(server.port, "René", "cheval blanc") == "rené"
            assert await log_in(server.port, "bob", "correct horse") == "bad_credentials"
            assert await log_in(server.port, "gochat", "service word") == "bad_credentials"
            ldap.stop()
            assert await log_in(server.port, "mei", "correct horse") == "unavailable"
            assert "ldapsearch" in str(server.wait_for("authentication program failed")["reason"])
            ldap.start()
            assert await log_in(server.port, "mei", "correct horse") == "mei"
            config.write_text(config.read_text() + guide.take("[auth]").replace("[auth]\n", ""))
            guide.stand_in_for_systemctl(server.process)
            guide.sh("systemctl reload gochat")
            server.wait_for("configuration reloaded")
            assert await log_in(server.port, "mei", "correct horse") == "mei"
    guide.finish()
