"""`gochat status`, `check-config` and `doctor`: what an administrator asks first."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis as redis_package
import trustme
from processes import GOCHAT, serve
from redis_process import RedisServer

from gochat.cli import doctor, main
from gochat.config import Auth, Config, Listen, Metrics, Tls

FreePort = Callable[[], int]

#: The user id that Linux gives to nobody in particular.
NOBODY = 65534


def gochat(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code and what it printed."""
    capsys.readouterr()
    code = main(words)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


# -- status ---------------------------------------------------------------------------------------


def test_status_of_a_running_server(
    tmp_path: Path, free_port: FreePort, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    file = tmp_path / "server.toml"
    file.write_text(f"[metrics]\nport = {port}\n")
    flags = ["status", "--config", str(file)]
    with serve(tmp_path / "chat.db", "--config", str(file), "--log-format=json") as running:
        code, out, _ = gochat(capsys, *flags)
        assert code == 0
        assert out.startswith("ready, up for 0 h ")
        assert "people        0 online" in out
        assert "GiB free" in out
        code, out, _ = gochat(capsys, *flags, "--json")
        status = json.loads(out)
        assert (code, status["is_ready"], status["reasons"]) == (0, True, [])
        assert status["numbers"]["connections_logged_in"] == 0
        assert status["numbers"]["store_up"] == 1
        running.process.terminate()
        assert running.finish() == 0
    code, _, err = gochat(capsys, *flags)
    assert code == 1
    assert f"no server answers at http://127.0.0.1:{port}" in err


def test_status_needs_to_know_where(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = gochat(capsys, "status")
    assert code == 2
    assert "metrics.port is not configured" in err


# -- check-config ---------------------------------------------------------------------------------


def test_good_configuration_is_shown_with_its_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        "store = 'redis://:secret@a'\n[[listen]]\nport = 1\n[[listen]]\nunix = '/run/a'\n"
        "proxy_from = ['unix']\n"
    )
    flags = ["check-config", "--config", str(file), "--set", "limits.burst=20"]
    code, out, _ = gochat(capsys, *flags)
    assert code == 0
    assert f'store = "redis://a"  ({file}:1: store)' in out
    assert "limits.burst = 20  (--set limits.burst)" in out
    assert "listens on 127.0.0.1:1\nlistens on /run/a, behind the proxies unix\n" in out
    assert out.endswith("ok: a server would start with this configuration\n")
    code, out, _ = gochat(capsys, *flags, "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["configured"]["limits.burst"]) == (0, True, 20)
    assert "secret" not in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port = 1\nburts = 2\n", "server.toml:2: burts: unknown key"),
        ("[tls]\ncert = '/none'\nkey = '/none'\n", "tls.cert '/none' can't be read"),
    ],
)
def test_bad_configuration_is_refused_as_by_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    code, _, err = gochat(capsys, "check-config", "--config", str(file))
    assert code == 2
    assert expected in err
    code, out, err = gochat(capsys, "check-config", "--config", str(file), "--json")
    found = json.loads(out)
    assert (code, found["ok"], err) == (2, False, "")
    assert expected in found["error"]
    done = subprocess.run(
        [*GOCHAT, "serve", "--config", str(file)], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert expected in done.stderr.decode()


# -- doctor ---------------------------------------------------------------------------------------


def findings(config: Config) -> dict[str, tuple[str, str]]:
    """Return the level and the text of each subject's findings; the worst counts."""
    order = ["ok", "warning", "error"]
    found: dict[str, tuple[str, str]] = {}
    for level, subject, text, _ in doctor.examine(config):
        if subject not in found or order.index(level) > order.index(found[subject][0]):
            found[subject] = level, text
    return found


def examined(tmp_path: Path, **options: Any) -> dict[str, tuple[str, str]]:
    store = options.pop("store", f"sqlite:///{tmp_path / 'chat.db'}")
    return findings(Config(store=store, port=0, **options))


def test_healthy_machine_has_no_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = f"store=sqlite:///{tmp_path / 'chat.db'}"
    code, out, _ = gochat(capsys, "doctor", "--set", store, "--set", "port=0")
    assert code == 0
    assert "does not exist yet: the server creates it" in out
    assert "warning  monitoring: off\n         → set metrics.port" in out
    code, out, _ = gochat(capsys, "doctor", "--set", store, "--set", "port=0", "--json")
    assert {finding["level"] for finding in json.loads(out)} <= {"ok", "warning"}
    assert list(tmp_path.iterdir()) == [], "it changes nothing"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_authentication_program_that_others_can_change_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "ldap_login"
    program.touch(mode=0o755)
    auth = Auth(command=(str(program),))
    assert examined(tmp_path, auth=auth)["auth.command"] == ("ok", f"{program} can be started")
    program.chmod(0o775)
    level, text = examined(tmp_path, auth=auth)["auth.command"]
    assert (level, "others can change" in text) == ("error", True)
    program.chmod(0o644)
    level, text = examined(tmp_path, auth=auth)["auth.command"]
    assert (level, "can't be executed" in text) == ("error", True)


@contextmanager
def not_root() -> Iterator[None]:
    """Have the rights of nobody, if the tests are run by root, to whom nothing is forbidden."""
    is_root = os.getuid() == 0
    if is_root:
        os.setreuid(NOBODY, 0)  # os.access goes by the first
    try:
        yield
    finally:
        if is_root:
            os.setreuid(0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_store_that_cannot_be_written_is_an_error() -> None:
    # Not in pytest's directory, which is only for root if root runs the tests.
    with TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        directory = Path(base) / "store"
        directory.mkdir()
        if os.getuid() == 0:
            os.chown(directory, NOBODY, -1)
        with not_root():
            assert examined(directory)["store"][0] == "ok"
            directory.chmod(0o500)
            assert examined(directory)["store"][0] == "error"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_files_that_others_can_read_are_found(tmp_path: Path) -> None:
    (tmp_path / "chat.db").touch(0o644)
    assert examined(tmp_path)["store"] == (
        "warning",
        f"others can open {tmp_path / 'chat.db'} (mode 644)",
    )
    pem = certified(tmp_path, timedelta(days=90))
    Path(pem.key).chmod(0o644)
    level, text = examined(tmp_path, tls=pem)["certificate"]
    assert (level, text) == ("error", f"everybody can read {pem.key} (mode 644)")


def certified(tmp_path: Path, left: timedelta) -> Tls:
    path = tmp_path / "pem"
    issued = trustme.CA().issue_cert("127.0.0.1", not_after=datetime.now(UTC) + left)
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    path.chmod(0o600)
    return Tls(cert=str(path), key=str(path))


@pytest.mark.parametrize(("days", "level"), [(90, "ok"), (5, "warning"), (-1, "error")])
def test_certificate_s_date_is_judged(tmp_path: Path, days: int, level: str) -> None:
    left = timedelta(days=days, hours=1)
    found = examined(tmp_path, tls=certified(tmp_path, left))
    assert found["certificate"][0] == level


def test_low_disk_and_open_network_are_warnings(tmp_path: Path) -> None:
    found = examined(tmp_path, disk_warning=10**9, host="*", metrics=Metrics(port=1))
    assert found["disk"][0] == "warning"
    assert found["listener *:0"] == ("warning", "free, without TLS")
    assert "monitoring" not in found


def test_listener_s_place_is_looked_at(tmp_path: Path, free_port: FreePort) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = (Listen(port=port), Listen(unix=str(tmp_path / "none" / "sock")))
        found = findings(Config(store="sqlite:///:memory:", listen=listen))
    assert found[f"listener 127.0.0.1:{port}"][1].startswith("in use: ")
    assert found[f"listener {tmp_path / 'none' / 'sock'}"][0] == "error"


def test_redis_settings_are_judged(start_redis: Callable[..., RedisServer]) -> None:
    redis = start_redis("--appendonly", "no")
    found = [f for f in doctor.examine(Config(store=redis.url)) if f.subject == "Redis"]
    assert {f.level for f in found} == {"ok", "warning"}
    assert any(f.text == "append-only file: off" and "appendonly yes" in f.advice for f in found)
    assert any(f.text.startswith("version ") for f in found)
    assert any(f.text.startswith("its clock is ") for f in found)
    with redis_package.Redis(port=redis.port) as client:
        assert client.keys() == [], "it changes nothing"
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    (error,) = [f for f in doctor.examine(Config(store=redis.url)) if f.level == "error"]
    assert "maxmemory-policy noeviction" in error.text
    redis.kill()
    (error,) = [f for f in doctor.examine(Config(store=redis.url)) if f.level == "error"]
    assert error.subject == "Redis"
