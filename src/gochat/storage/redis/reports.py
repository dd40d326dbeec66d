"""Reports, which are in partition 0."""

# ruff: noqa: D102 -- the protocol documents the methods, once

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from gochat.chat.names import NameKey
from gochat.chat.reports import MAX_REPORTS, Report, decode, encode, too_many
from gochat.chat.server_roles import ServerRole
from gochat.storage.redis import scripts
from gochat.storage.redis.keys import Keys
from gochat.storage.redis.link.pipeline import Operation, PipelineWorker, RedisCommand, call
from gochat.storage.redis.link.wire import Arguments

#: Field of ``settings`` with the last id.
LAST = "reports"


class RedisReports:
    """Implements :class:`~gochat.chat.reports.ReportStore`."""

    def __init__(
        self, keys: Keys, writer: PipelineWorker, reader: Callable[[], PipelineWorker]
    ) -> None:
        self._keys = keys
        self._writer = writer
        self._reader = reader

    async def add(self, report: Report) -> tuple[int, bool]:
        return await self._writer.carry_out(_add(self._keys, report))

    async def report(self, id_: int) -> Report | None:
        return await self._reader().carry_out(_find(self._keys, id_))

    async def reports(
        self, *, after: int, limit: int, resolved: bool = False
    ) -> tuple[list[Report], bool]:
        return await self._reader().carry_out(_page(self._keys, after, limit, resolved))

    async def change(
        self,
        before: Report,
        after: Report | None,
        roles: Collection[tuple[NameKey, ServerRole]] = (),
    ) -> bool:
        return await self._writer.carry_out(_change(self._keys, before, after, roles))


def query(keys: Keys) -> Arguments:
    """Return the command that reads all reports."""
    return ("HGETALL", keys.reports)


def decode_reports(flat: Sequence[bytes]) -> list[Report]:
    """Return all reports, by id. Raises msgspec.DecodeError."""
    found = [decode(int(id_), kept) for id_, kept in zip(flat[::2], flat[1::2], strict=True)]
    return sorted(found, key=_id_of)


def insertions(keys: Keys, reports: Sequence[Report]) -> list[Arguments]:
    """Return the commands that put these reports in the place of all others."""
    commands: list[Arguments] = [("UNLINK", *_names(keys))]
    for report in reports:
        commands.append(("HSET", keys.reports, report.id, encode(report)))
        if report.handled is None:
            commands.append(("ZADD", keys.open_reports, report.id, report.id))
            commands.append(("HSET", keys.reported, report.digest, report.id))
        else:
            commands.append(("ZADD", keys.resolved_reports, report.handled.ts, report.id))
    if reports:
        commands.append(("HSET", keys.settings, LAST, max(map(_id_of, reports))))
    return commands


def _id_of(report: Report) -> int:
    return report.id


def _names(keys: Keys) -> tuple[str, ...]:
    return keys.reports, keys.open_reports, keys.resolved_reports, keys.reported


def _find(keys: Keys, id_: int) -> Operation[Report | None]:
    (kept,) = yield [RedisCommand(0, ("HGET", keys.reports, id_))]
    return None if kept is None else decode(id_, kept)


def _page(
    keys: Keys, after: int, limit: int, resolved: bool
) -> Operation[tuple[list[Report], bool]]:
    words = ("HKEYS", keys.reports) if resolved else ("ZRANGE", keys.open_reports, 0, -1)
    (names,) = yield [RedisCommand(0, words)]
    ids = sorted(id_ for name in names if (id_ := int(name)) > after)[: limit + 1]
    if not ids:
        return [], False
    (kept,) = yield [RedisCommand(0, ("HMGET", keys.reports, *ids[:limit]))]
    found = [decode(id_, one) for id_, one in zip(ids, kept, strict=False) if one is not None]
    return found, len(ids) > limit


def _add(keys: Keys, report: Report) -> Operation[tuple[int, bool]]:
    names = (*_names(keys), keys.settings)
    arguments = (LAST, encode(report), report.digest, MAX_REPORTS)
    ((id_, is_new),) = yield [call(0, scripts.REPORT_ADD, names, *arguments)]
    if not id_:
        raise too_many()
    return int(id_), bool(is_new)


def _change(
    keys: Keys,
    before: Report,
    after: Report | None,
    roles: Collection[tuple[NameKey, ServerRole]],
) -> Operation[bool]:
    names = (*_names(keys), keys.common(0, "roles"))
    handled = 0 if after is None or after.handled is None else after.handled.ts
    arguments = (
        *(before.id, encode(before), "" if after is None else encode(after)),
        *(before.digest, b"" if after is None else after.digest, handled),
        *(word for pair in roles for word in pair),
    )
    (is_done,) = yield [call(0, scripts.REPORT_CHANGE, names, *arguments)]
    return bool(is_done)
