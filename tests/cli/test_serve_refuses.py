"""What stops `gochat serve` from starting: an exit code and a line that says what to do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from processes import GOCHAT, serve


def failing(*flags: str, **environment: str) -> tuple[int, str]:
    """Run `gochat serve` that must not start; return its exit code and what it says."""
    done = subprocess.run(
        [*GOCHAT, "serve", *flags],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, **environment},
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_bad_configuration_stops_the_start_with_file_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('host = "127.0.0.1"\n\n[limits]\nburst = "ten"\n')
    code, said = failing("--config", str(path))
    assert code == 2
    assert f"{path}:4: limits.burst" in said


def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        code, said = failing(
            "--port", str(running.port), "--store", f"sqlite:///{tmp_path / 'other.db'}"
        )
    assert code == 2
    assert str(running.port) in said


def test_a_store_in_use_by_another_server_stops_the_start(tmp_path: Path) -> None:
    with serve(tmp_path / "chat.db") as running:
        code, said = failing("--port", "0", "--store", f"sqlite:///{tmp_path / 'chat.db'}")
    assert code in {1, 2}
    assert str(running.process.pid) in said


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"my notes, which are no database\n" * 100)
    code, said = failing("--port", "0", "--store", f"sqlite:///{path}")
    assert code == 3
    assert str(path) in said
    assert path.read_bytes() == b"my notes, which are no database\n" * 100
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_missing_certificate_stops_the_start(tmp_path: Path) -> None:
    code, said = failing("--tls-cert", str(tmp_path / "no.pem"), "--tls-key", "no.pem")
    assert code == 2
    assert "no.pem" in said


def test_an_unknown_setting_is_blamed_by_the_flag_that_gave_it() -> None:
    code, said = failing("--set", "foo=1")
    assert code == 2
    assert said == "gochat: --set foo: unknown key\n"
