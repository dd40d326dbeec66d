"""A large set is read in steps, from one process of Redis."""

from __future__ import annotations

import pytest
from redis import Redis
from redis_process import RedisServer

from gochat.errors import StoreUnavailable
from gochat.storage.redis import sets
from gochat.storage.redis.link.pipeline import Operation

pytestmark = pytest.mark.redis


def about(process: str) -> bytes:
    """Return what INFO says, as far as it is read."""
    return f"# Server\r\nredis_version:7.0.15\r\nrun_id:{process}\r\n".encode()


def answered(operation: Operation[set[bytes]], replies: list[tuple[str, list[str], str]]) -> object:
    """Carry an operation out with these replies: cursor, members, process; return its result, or
    the cursors that it has asked for so far."""
    asked = [next(operation)[0].words[2]]
    try:
        for cursor, members, process in replies:
            page = [cursor.encode(), [member.encode() for member in members]]
            asked.append(operation.send([page, about(process)])[0].words[2])
    except StopIteration as done:
        return done.value
    return asked


def test_all_steps_are_put_together() -> None:
    found = answered(
        sets.set_members(0, "s"), [("7", ["a", "b"], "x"), ("9", [], "x"), ("0", ["b", "c"], "x")]
    )
    assert found == {b"a", b"b", b"c"}


def test_reading_begins_anew_at_another_process() -> None:
    """Its cursors mean something else: what is between would be skipped."""
    steps = [("7", ["a", "b"], "x"), ("0", ["d"], "y")]
    assert answered(sets.set_members(0, "s"), steps) == [b"0", b"7", b"0"]
    steps += [("0", ["a", "b", "c", "d"], "y")]
    assert answered(sets.set_members(0, "s"), steps) == {b"a", b"b", b"c", b"d"}


def test_reading_ends_where_the_process_changes_every_time() -> None:
    steps = [("7", ["a"], process) for process in "uvwxyz"]
    with pytest.raises(StoreUnavailable):
        answered(sets.set_members(0, "s"), steps)


def test_set_of_many_steps_is_read_whole(redis_server: RedisServer) -> None:
    names = {f"room {number}".encode() for number in range(3 * sets.STEP)}
    with Redis(port=redis_server.port) as client:
        key = "set of many steps"
        client.sadd(key, *names)
        found: list[set[bytes]] = []

        def reading() -> Operation[None]:
            found.append((yield from sets.set_members(0, key)))
            yield []

        operation, asked = reading(), 0
        commands = next(operation)
        while commands:
            cursor, members = client.execute_command(*commands[0].words)
            commands = operation.send([[str(cursor).encode(), members], about("x")])
            asked += 1
    assert found == [names]
    assert 3 <= asked < 100
