"""Low disk space is reported before there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

from gochat.server.disk_watch import ENOUGH, LOOK_EVERY, WARN_EVERY, DiskWatch, Usage

pytestmark = pytest.mark.trio

MIB = 1024 * 1024
LIMIT = 100 * MIB


class Disk:
    """A disk that fills up as the test says."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.is_gone = False

    def usage(self, _: Path) -> Usage:
        if self.is_gone:
            raise OSError("no such device")
        return Usage(1000 * MIB, 1000 * MIB - self.free, self.free)


async def test_warning_comes_once_a_day_until_there_is_enough_again(mock_clock: MockClock) -> None:
    disk = Disk(LIMIT)
    watch = DiskWatch(Path("/store"), lambda: LIMIT, disk.usage)
    with structlog.testing.capture_logs() as logs:

        def judged(free: int) -> list[str]:
            logs.clear()
            watch._judge(disk.usage(Path())._replace(free=free))
            return [entry["event"] for entry in logs]

        assert judged(LIMIT) == []
        assert judged(LIMIT - 1) == ["disk space low"]
        assert logs[0]["free_mib"] == 99
        assert logs[0]["path"] == "/store"
        assert judged(0) == judged(LIMIT + 1) == judged(LIMIT - 1) == [], "it does not flicker"
        mock_clock.jump(WARN_EVERY)
        assert judged(LIMIT - 1) == ["disk space low"]
        assert judged(int(ENOUGH * LIMIT)) == ["disk space sufficient"]
        assert judged(LIMIT - 1) == ["disk space low"]


async def test_disk_is_looked_at_while_the_server_runs(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after it was gone for a moment."""

    async def at_once(function: Callable[..., Usage], *given: Any, **_: object) -> Usage:
        await trio.lowlevel.checkpoint()
        return function(*given)

    # The clock would jump while it waits for a thread.
    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
    disk = Disk(LIMIT - 1)
    disk.is_gone = True
    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(DiskWatch(Path("/store"), lambda: LIMIT, disk.usage).run)
            await trio.sleep(LOOK_EVERY / 2)
            assert logs == []
            disk.is_gone = False
            await trio.sleep(LOOK_EVERY)
            assert [entry["event"] for entry in logs] == ["disk space low"]
            nursery.cancel_scope.cancel()


async def test_limit_of_zero_never_warns() -> None:
    with structlog.testing.capture_logs() as logs:
        DiskWatch(Path("/store"), lambda: 0)._judge(Usage(1, 1, 0))
    assert logs == []
