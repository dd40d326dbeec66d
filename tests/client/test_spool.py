"""The outbox's file: its messages survive any end of the process."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gochat.client.entries import MessageId
from gochat.client.outbox import Outbox
from gochat.client.outgoing import Outgoing, OutgoingState
from gochat.client.spool import Spool, gather
from gochat.errors import ChatError, ConfigError, ErrorCode
from gochat.protocol.messages import Limits, Sent, WriteRequest

LIMITS = Limits(frame_bytes=65536, text_chars=4000, burst=99, per_second=99.0, history_page=200)


class StoppedClock:
    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the outbox waits for nothing")


@contextmanager
def opened(path: Path) -> Iterator[Outbox]:
    with Outbox.open(path, clock=StoppedClock()) as outbox:
        outbox.begin("mei", LIMITS)
        yield outbox


def put(outbox: Outbox, *texts: str) -> list[Outgoing]:
    messages = [
        Outgoing(conversation="#lobby", text=text, reply_to=MessageId("#lobby", 3))
        for text in texts
    ]
    for message in messages:
        outbox.add(message)
    outbox.begin("mei", LIMITS)
    return messages


def send(outbox: Outbox) -> WriteRequest:
    request = outbox.next("mei")
    assert request is not None
    return request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox"


def test_waiting_messages_survive_a_restart_in_order(path: Path) -> None:
    with opened(path) as outbox:
        before = put(outbox, "one", "two 你好", "three")
    with opened(path) as outbox:
        after = outbox.of("mei")
    assert [
        (o.cid, o.conversation, o.text, o.reply_to, o.created, o.sender, o.state) for o in after
    ] == [
        (o.cid, "#lobby", o.text, o.reply_to, o.created, "mei", OutgoingState.PENDING)
        for o in before
    ]


def test_form_and_metadata_survive_a_restart(path: Path) -> None:
    with opened(path) as outbox:
        outbox.add(Outgoing(conversation="#lobby", text="waves", form="action", meta={"a/b": "ç"}))
    with opened(path) as outbox:
        (after,) = outbox.of("mei")
    assert (after.form, after.meta) == ("action", {"a/b": "ç"})


def test_outbox_of_the_first_version_is_upgraded(path: Path) -> None:
    with opened(path) as outbox:
        put(outbox, "one")
    with closing(sqlite3.connect(path)) as database:
        for column in ("form", "meta"):
            database.execute(f"ALTER TABLE outgoing DROP COLUMN {column}")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    for _ in range(2):
        with opened(path) as outbox:
            (after,) = outbox.of("mei")
            assert (after.text, after.form, after.meta) == ("one", "text", {})


def test_acknowledged_or_discarded_messages_are_gone(path: Path) -> None:
    with opened(path) as outbox:
        first, second, _ = put(outbox, "one", "two", "three")
        send(outbox)
        outbox.acknowledge(first.cid, Sent(to="#lobby", epoch="e", seq=1, ts=1))
        outbox.refuse(send(outbox), ChatError(ErrorCode.TEXT_TOO_LONG, "too long"))
        outbox.discard(second)
    with opened(path) as outbox:
        assert [outgoing.text for outgoing in outbox.of("mei")] == ["three"]


def test_failed_message_survives_with_its_reason_and_order(
    path: Path,
) -> None:
    with opened(path) as outbox:
        put(outbox, "one", "two")
        outbox.refuse(send(outbox), ChatError(ErrorCode.TEXT_TOO_LONG, "too long"))
    with opened(path) as outbox:
        failed, _ = outbox.of("mei")
        assert failed.state is OutgoingState.FAILED
        assert failed.error is not None
        assert (failed.error.code, failed.error.text) == (ErrorCode.TEXT_TOO_LONG, "too long")
        outbox.retry(failed)
    with opened(path) as outbox:
        assert [outgoing.text for outgoing in outbox.of("mei")] == ["two", "one"]
        assert {outgoing.state for outgoing in outbox.of("mei")} == {OutgoingState.PENDING}


def test_file_survives_a_kill_at_any_moment(path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from gochat.client.outbox import Outbox
from gochat.client.options import SystemClock
from gochat.client.outgoing import Outgoing
with Outbox.open(Path({str(path)!r}), clock=SystemClock()) as outbox:
    for number in range(500):
        outbox.add(Outgoing(conversation="#lobby", text=str(number), sender="mei"))
        print(number, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "42\n":
                process.kill()
                break
        promised = [line.strip() for line in process.stdout]
    last = int(promised[-1]) if promised else 42
    with opened(path) as outbox:
        kept = [int(outgoing.text) for outgoing in outbox.of("mei")]
    assert kept == list(range(len(kept)))
    assert len(kept) > last


def test_only_its_owner_can_read_the_file(path: Path) -> None:
    with opened(path) as outbox:
        put(outbox, "secret")
        files = list(path.parent.iterdir())
        assert len(files) > 1  # including the journal
        if os.name == "posix":  # elsewhere the user's own directory protects it
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_text_of_sent_messages_is_erased(path: Path) -> None:
    with opened(path) as outbox:
        (message,) = put(outbox, "a very secret text")
        outbox.next("mei")
        outbox.acknowledge(message.cid, Sent(to="#lobby", epoch="e", seq=1, ts=1))
    assert all(b"a very secret text" not in file.read_bytes() for file in path.parent.iterdir())


def test_two_programs_cannot_share_the_file(path: Path) -> None:
    with opened(path) as outbox:
        put(outbox, "one")
        with pytest.raises(ConfigError, match=r"can't be used.*another program"), opened(path):
            pass
        put(outbox, "two")
    with opened(path) as outbox:
        assert [outgoing.text for outgoing in outbox.of("mei")] == ["one", "two"]


def test_outboxes_of_several_programs_are_gathered(path: Path, tmp_path: Path) -> None:
    paths = [path, *(tmp_path / f"outbox-{number}" for number in (2, 3, 4))]
    for number, one in enumerate(paths[:3]):
        with opened(one) as outbox:
            put(outbox, f"{number} failed", f"{number} waits")
            outbox.refuse(send(outbox), ChatError(ErrorCode.TEXT_TOO_LONG, "too long"))
    with Spool.open(paths[0]) as first, Spool.open(paths[1]) as second:
        # As after a crash in the middle: one message is in both.
        first.add(second.load()[1])
    with opened(paths[2]):
        gather(paths)  # open outboxes are left alone
    with opened(paths[0]) as outbox:
        assert [(o.text, o.state.value) for o in outbox.of("mei")] == [
            ("0 failed", "failed"), ("0 waits", "pending"), ("1 waits", "pending"),
            ("1 failed", "failed"),
        ]  # fmt: skip
        gather(paths)
    with opened(paths[1]) as outbox:  # the first one that was free
        assert [o.text for o in outbox.of("mei")] == ["2 failed", "2 waits"]
    assert not paths[3].exists()


def test_other_file_is_refused_and_unchanged(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is my shopping list" * 100)
    with pytest.raises(ConfigError, match="not an outbox"), opened(path):
        pass
    assert path.read_bytes() == b"this is my shopping list" * 100


def test_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE outgoing (recipe TEXT)")
    database.close()
    with pytest.raises(ConfigError, match="belongs to another program"), opened(path):
        pass


def test_newer_outbox_is_refused(path: Path) -> None:
    with opened(path):
        pass
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ConfigError, match="newer version"), opened(path):
        pass


def test_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't be opened: Is a directory$"), opened(tmp_path):
        pass


def test_failed_write_is_made_up_for_by_the_next(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as outbox:
        put(outbox, "one")
        assert outbox._spool is not None
        database = outbox._spool._database
        database.execute("PRAGMA query_only = ON")  # like a full disk: writes fail
        with caplog.at_level(logging.WARNING):
            put(outbox, "two")
        assert "could not be written" in caplog.text
        assert [outgoing.text for outgoing in outbox.of("mei")] == ["one", "two"]
        database.execute("PRAGMA query_only = OFF")
        put(outbox, "three")
    with opened(path) as outbox:
        assert [outgoing.text for outgoing in outbox.of("mei")] == ["one", "two", "three"]


def test_spool_without_an_outbox_is_empty(path: Path) -> None:
    with Spool.open(path) as spool:
        assert spool.load() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_its_owner_can_use_the_file_whatever_was_there_before(tmp_path: Path) -> None:
    """Without a umask, in directories that it creates, and with a file that others could read."""
    path = tmp_path / "new" / "state" / "outbox"
    before = os.umask(0)
    try:
        with opened(path) as outbox:
            put(outbox, "hello")
            assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)
    directories = [stat.S_IMODE(d.stat().st_mode) for d in (path.parent, path.parent.parent)]
    assert directories == [0o700, 0o700]
    path.chmod(0o644)
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such owners")
def test_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path):
        pass
    monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to another user"), opened(path):
        pass
