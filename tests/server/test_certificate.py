"""The server's certificate: warnings before it expires, and errors when it can't be read."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing
import trustme
from msgspec import structs

from gochat.config import Tls
from gochat.errors import ConfigError
from gochat.server import certificate
from gochat.server.certificate import Certificate

EXPIRES = datetime(2040, 6, 1, tzinfo=UTC)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    path = tmp_path / "both.pem"
    issued = trustme.CA().issue_cert("127.0.0.1", not_after=EXPIRES)
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    return Tls(cert=str(path), key=str(path))


@pytest.mark.parametrize(
    ("left", "warning"),
    [
        (timedelta(days=14, seconds=1), None),
        (timedelta(days=14), "certificate expires soon"),
        (timedelta(seconds=1), "certificate expires soon"),
        (timedelta(0), "certificate expired"),
    ],
)
def test_certificate_that_expires_soon_is_warned_of(
    tls: Tls, left: timedelta, warning: str | None
) -> None:
    with structlog.testing.capture_logs() as lines:
        Certificate(tls, lambda: EXPIRES - left).log("certificate loaded")
    warnings = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert warnings == ([] if warning is None else [warning])


@pytest.mark.trio
async def test_expiring_certificate_is_warned_of_each_day(
    tls: Tls, autojump_clock: trio.testing.MockClock
) -> None:
    loaded = Certificate(tls, lambda: EXPIRES)
    with (
        structlog.testing.capture_logs() as lines,
        trio.move_on_after(3.5 * certificate.LOOK_EVERY),
    ):
        await loaded.watch()
    assert [line["event"] for line in lines] == ["certificate expired"] * 3


@pytest.mark.parametrize(("new", "kept"), [(-1, True), (0, False), (1, False)])
def test_expired_certificate_does_not_replace_one_that_expires_later(
    tls: Tls, new: int, kept: bool
) -> None:
    """A renewal script copied the wrong file. The same certificate again, though expired, is
    loaded."""
    loaded = Certificate(tls, lambda: EXPIRES + timedelta(days=30))
    before = loaded.context
    path = Path(tls.cert)
    issued = trustme.CA().issue_cert("127.0.0.1", not_after=EXPIRES + timedelta(days=new))
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    with structlog.testing.capture_logs() as lines:
        loaded.reload()
    assert (loaded.context is before) is kept
    assert loaded.expires == EXPIRES + timedelta(days=max(0, new))
    assert lines[0]["event"] == ("certificate reload failed" if kept else "certificate reloaded")
    assert ("expired at 2040-05-31" in lines[0].get("reason", "")) is kept


@pytest.mark.parametrize(
    ("key", "content", "says"),
    [
        ("cert", "", "tls.cert 'X' has no certificate in it"),
        ("key", "rubbish", "tls.key 'X' has no private key in it"),
        ("key", None, "tls.key 'X' is the key of another certificate than tls.cert"),
    ],
)
def test_renewal_that_went_wrong_is_named(
    tls: Tls, tmp_path: Path, key: str, content: str | None, says: str
) -> None:
    """A renewal was cut short, or has renewed one of the files."""
    other = tmp_path / "other.pem"
    if content is None:
        issued = trustme.CA().issue_cert("127.0.0.1").private_key_pem.bytes()
        content = issued.decode()
    other.write_text(content)
    with pytest.raises(ConfigError) as caught:
        Certificate(structs.replace(tls, **{key: str(other)}))
    assert str(caught.value).startswith(says.replace("X", str(other)))


@pytest.mark.parametrize("key", ["tls.cert", "tls.key"])
def test_missing_file_is_named(tls: Tls, key: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    wrong = Tls(**{"cert": tls.cert, "key": tls.key, key.removeprefix("tls."): missing})
    with pytest.raises(ConfigError, match=f"^{key} '{missing}' can't be read: No such file"):
        Certificate(wrong)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other rights")
def test_unreadable_file_is_named(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)  # root can read everything
    with pytest.raises(ConfigError, match="the user who runs the server needs the right to"):
        Certificate(tls)
