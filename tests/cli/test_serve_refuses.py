"""What prevents `gochat serve` from starting: an exit code and a line that says what to do."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from patience import PATIENCE
from processes import GOCHAT, serve

from gochat.errors import AddressUnavailable, ConfigError
from gochat.server.listener import cannot_listen


def failing(*flags: str, **environment: str) -> tuple[int, str]:
    """Run `gochat serve`, which must not start; return its exit code and its output."""
    done = subprocess.run(
        [*GOCHAT, "serve", *flags],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **environment},
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_bad_configuration_is_reported_with_file_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('host = "127.0.0.1"\n\n[limits]\nburst = "ten"\n')
    code, said = failing("--config", str(path))
    assert code == 2
    assert f"{path}:4: limits.burst" in said


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("{here}/nowhere", "is not there"),
        ("{here}", "is not a program"),
        ("{here}/server.toml", "can't be executed"),
        ("ldap_login", "is not an absolute path"),
    ],
)
def test_missing_authentication_program_is_reported_with_file_line_and_key(
    tmp_path: Path, program: str, reason: str
) -> None:
    path = tmp_path / "server.toml"
    path.write_text(f"port = 0\n[auth]\ncommand = ['{program.format(here=tmp_path)}']\n")
    code, said = failing("--config", str(path), "--store=sqlite:///:memory:")
    assert code == 2
    assert f"{path}:3: auth.command: " in said
    assert reason in said


def test_port_in_use_is_a_temporary_failure(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        code, said = failing(
            "--port", str(running.port), "--store", f"sqlite:///{tmp_path / 'other.db'}"
        )
    assert code == 1
    assert f"can't listen on 127.0.0.1:{running.port}: the port is in use" in said
    assert "choose another --port" in said


@pytest.mark.parametrize("workers", [[], ["--workers=2", "--store=redis://localhost:1"]])
@pytest.mark.parametrize(
    ("host", "code", "reason"),
    [
        ("nobody.invalid", 1, "nobody.invalid:0: the name can't be resolved ("),
        ("192.0.2.1", 1, "192.0.2.1:0: this machine does not have that address now"),
        ("2001:db8::1", 1, "[2001:db8::1]:0: this machine does not have that address now"),
        ("no..host", 2, "no..host:0: that is not a host name or an address"),
    ],
)
def test_unusable_address_is_permanent_or_temporary(
    host: str, code: int, reason: str, workers: list[str]
) -> None:
    flags = workers or ["--store=sqlite:///:memory:"]
    done, said = failing("--port=0", f"--host={host}", *flags)
    [line] = [line for line in said.splitlines() if line.startswith("gochat: ")]
    assert f"can't listen on {reason}" in line
    assert done == code


@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [
        (errno.EACCES, ConfigError, "choose a --port from 1024 on"),
        (errno.EPERM, ConfigError, "CAP_NET_BIND_SERVICE"),
        (errno.EAFNOSUPPORT, ConfigError, "choose another --host"),
        (errno.EADDRINUSE, AddressUnavailable, "choose another --port"),
        (errno.ENOBUFS, AddressUnavailable, ""),
    ],
)
def test_each_listening_error_says_what_to_do(
    number: int, kind: type[Exception], advice: str
) -> None:
    error = cannot_listen("0.0.0.0", 443, OSError(number, os.strerror(number)))
    assert type(error) is kind
    assert "can't listen on 0.0.0.0:443" in str(error)
    assert advice in str(error)


def test_store_in_use_by_another_server_prevents_the_start(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        code, said = failing("--port", "0", "--store", f"sqlite:///{tmp_path / 'chat.db'}")
    assert code in {1, 2}
    assert str(running.process.pid) in said


def test_store_in_use_under_another_name_prevents_the_start(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "chat.db")
    with serve(tmp_path / "chat.db") as running:
        code, said = failing("--port", "0", "--store", f"sqlite:///{link}")
        assert code == 1
        assert str(running.process.pid) in said
        # Nor under its own name after it was moved.
        (tmp_path / "chat.db").rename(tmp_path / "moved.db")
        code, said = failing("--port", "0", "--store", f"sqlite:///{tmp_path / 'moved.db'}")
    assert code == 1
    assert "under another name" in said


def test_empty_file_is_not_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "chat.db").touch()
    code, said = failing("--port", "0", "--store", f"sqlite:///{tmp_path / 'chat.db'}")
    assert code == 3
    assert "is empty" in said
    assert "remove it" in said


def test_file_that_is_not_a_database_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"my notes, which are no database\n" * 100)
    code, said = failing("--port", "0", "--store", f"sqlite:///{path}")
    assert code == 3
    assert str(path) in said
    assert path.read_bytes() == b"my notes, which are no database\n" * 100
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_missing_certificate_prevents_the_start(tmp_path: Path) -> None:
    code, said = failing("--tls-cert", str(tmp_path / "no.pem"), "--tls-key", "no.pem")
    assert code == 2
    assert "no.pem" in said


def test_unknown_setting_is_reported_with_its_flag() -> None:
    code, said = failing("--set", "foo=1")
    assert code == 2
    assert said == "gochat: --set foo: unknown key\n"
