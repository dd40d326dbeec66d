#!/usr/bin/env python3
"""Check passwords of gochat in an LDAP directory: a program for the key `auth.command`.

It needs Python 3.11 and the tools `ldapsearch` and `ldapwhoami` (the package ldap-utils, on others
openldap-clients). docs/how-to/use-a-directory.md says how to set it up. Its only argument is a file
such as

    uri = "ldaps://ldap.example.org"
    base = "ou=people,dc=example,dc=org"
    # Who may chat, and under which attribute the name stands:
    filter = "(&(uid={name})(!(pwdAccountLockedTime=*)))"
    attribute = "uid"
    # Who looks people up; leave both out where anybody may. The file has the password, without an
    # end of line, and is for the server's user only.
    bind_dn = "cn=gochat,ou=services,dc=example,dc=org"
    password_file = "/etc/gochat/ldap-password"
    seconds = 5

A login looks the person up, which has to find exactly one, and then binds as that one with the
password. A check only looks the person up. The password goes to the tool by a pipe: it is in no
argument, variable or file.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

#: Result codes of LDAP, with which the tools exit: no such object, invalid credentials, and what
#: servers answer to a locked account: inappropriate authentication, insufficient access, unwilling.
NO_SUCH_OBJECT = 32
REFUSED = {48, 49, 50, 53}


class Unavailable(Exception):
    """The directory has not answered; the text says what the tool wrote."""


def main() -> None:
    """Answer the question on standard input."""
    settings = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    question = json.load(sys.stdin)
    try:
        answer = decide(settings, question)
    except (Unavailable, OSError, subprocess.TimeoutExpired) as error:
        answer = {"result": "unavailable", "reason": str(error)[:500]}
    print(json.dumps(answer))


def decide(settings: dict[str, Any], question: dict[str, Any]) -> dict[str, str]:
    """Return the answer to a question."""
    found = look_up(settings, question["name"])
    if len(found) != 1:
        return {"result": "deny", "reason": f"{len(found)} entries match"}
    [(dn, name)] = found
    if question["action"] == "login":
        password = question["password"]
        if not password:  # LDAP takes a bind without a password as anonymous, and allows it
            return {"result": "deny", "reason": "no password"}
        bind = ["-D", dn, "-y", "/dev/stdin"]
        code, _, _ = run(settings, "ldapwhoami", bind, password, REFUSED)
        if code:
            return {"result": "deny", "reason": f"the bind was refused: {code}"}
    return {"result": "allow", "name": name}


def look_up(settings: dict[str, Any], name: str) -> list[tuple[str, str]]:
    """Return the DN and the name of the entries of a person."""
    attribute = settings.get("attribute", "uid")
    pattern = settings.get("filter", f"({attribute}={{name}})")
    arguments = ["-b", settings["base"], "-LLL", "-o", "ldif-wrap=no", "-z", "2"]
    if "bind_dn" in settings:
        arguments += ["-D", settings["bind_dn"], "-y", settings["password_file"]]
    arguments += [pattern.replace("{name}", escaped(name)), attribute]
    size_limit = 4  # more than two match: that is too many, too
    code, out, _ = run(settings, "ldapsearch", arguments, "", {NO_SUCH_OBJECT, size_limit})
    if code == NO_SUCH_OBJECT:
        return []
    found = []
    for entry in out.strip().split("\n\n"):
        values: dict[str, str] = {}
        for line in entry.splitlines():
            key, _, value = line.partition(":")
            if value.startswith(":"):  # not plain ASCII, so in base64
                value = base64.b64decode(value[1:]).decode()
            values.setdefault(key.lower(), value.strip())
        if "dn" in values:
            found.append((values["dn"], values.get(attribute.lower(), name)))
    return found


def escaped(name: str) -> str:
    """Return a name as it is written in a filter (RFC 4515)."""
    return "".join(
        c if c.isascii() and c.isalnum() else "".join(f"\\{b:02x}" for b in c.encode())
        for c in name
    )


def run(
    settings: dict[str, Any], tool: str, arguments: list[str], password: str, accepted: set[int]
) -> tuple[int, str, str]:
    """Run a tool; return its exit code and what it wrote. Raises Unavailable for other codes."""
    seconds = settings.get("seconds", 5)
    # -x: a simple bind. TLS is checked against the system's authorities (/etc/ldap/ldap.conf).
    command = [tool, "-x", "-H", settings["uri"], "-o", f"nettimeout={seconds}", *arguments]
    if settings.get("start_tls"):
        command.insert(1, "-ZZ")
    done = subprocess.run(
        command,
        input=password,
        capture_output=True,
        encoding="utf-8",
        timeout=seconds + 1,
        check=False,
    )
    if done.returncode and done.returncode not in accepted:
        raise Unavailable(f"{tool}: {done.stderr.strip()}")
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    main()
