"""The load generator of conversations counts what others received, and notices what is wrong.

Its people are socket pairs, whose other ends are the server. The last test plays its rounds as
``make bench`` does.
"""

from __future__ import annotations

import json
import select
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from benchmarks import talk
from benchmarks.report import Report
from benchmarks.servers import compiled

PEOPLE = 4
PATIENCE = 60.0


class Load:
    """The generator, and a server that hands on what it is made to."""

    def __init__(self, program: Path) -> None:
        pairs = [socket.socketpair() for _ in range(PEOPLE)]
        self.people = [near for near, _ in pairs]
        far = [one for _, one in pairs]
        descriptors = [one.fileno() for one in far]
        self.process = subprocess.Popen(
            [str(program), "lines", *map(str, descriptors)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, pass_fds=descriptors,
        )  # fmt: skip
        for one in far:
            one.close()
        self._begun = [b""] * PEOPLE

    def play(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def written(self, count: int) -> list[tuple[int, str]]:
        """The next messages, each with who wrote it."""
        found: list[tuple[int, str]] = []
        while len(found) < count:
            readable = select.select(self.people, [], [], PATIENCE)[0]
            assert readable, f"{len(found)} of {count} messages were written"
            for person in readable:
                who = self.people.index(person)
                *lines, self._begun[who] = (self._begun[who] + person.recv(65536)).split(b"\r\n")
                found += [(who, line.decode()) for line in lines]
        assert len(found) == count
        return found

    def check_nothing_is_written(self) -> None:
        """By anybody, for what they were sent until now."""
        for _ in range(2):  # with the second answer, all that the first found has been looked at
            self.deliver("PING", 0)
            assert self.written(1) == [(0, "PONG")]

    def deliver(self, text: str, *receivers: int) -> None:
        for receiver in receivers:
            self.people[receiver].sendall(f"{text}\r\n".encode())

    def result(self) -> dict[str, float]:
        assert self.process.stdout is not None
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found

    def fault(self) -> str:
        return self.process.communicate(timeout=PATIENCE)[1]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("groupload", tmp_path_factory.mktemp("groupload"))


@pytest.fixture
def load(program: Path) -> Iterator[Load]:
    load = Load(program)
    try:
        yield load
    finally:
        load.process.kill()
        load.process.communicate()
        for person in load.people:
            person.close()


def others(who: int) -> list[int]:
    return [number for number in range(PEOPLE) if number != who]


def test_own_messages_are_no_deliveries(load: Load) -> None:
    """Who has what they wrote sent back does not write the next before the others have it."""
    load.play(f"rooms {PEOPLE} 1 3 1 0 %TEXT%")
    for _ in range(3):
        [(who, text)] = load.written(1)
        load.deliver(text, who, *others(who)[:-1])
        load.check_nothing_is_written()
        load.deliver(text, others(who)[-1])
    assert load.result()["reads"] >= 3 * PEOPLE


def test_a_window_slides_by_each_message_that_all_others_have(load: Load) -> None:
    load.play(f"rooms {PEOPLE} 1 5 3 0 %TEXT%")
    texts = [text for _, text in load.written(3)]
    for text in texts:
        load.deliver(text, 1, 2)
    load.check_nothing_is_written()
    load.deliver(texts[0], 3)
    texts += [text for _, text in load.written(1)]
    load.check_nothing_is_written()
    load.deliver(texts[1], 3)
    load.written(1)


def test_pairs_change_with_their_sum(load: Load) -> None:
    for total, partners in ((1, {0: 1, 1: 0, 2: 3, 3: 2}), (3, {0: 3, 3: 0, 1: 2, 2: 1})):
        load.play(f"pairs {total} {PEOPLE} {PEOPLE} 1 0 to %PEER%: %TEXT%")
        for who, text in load.written(PEOPLE):
            assert text.startswith(f"to {partners[who]}: ")
            load.deliver(text, partners[who])
        assert load.result()["p50"] > 0


def test_messages_are_paced_by_all_in_turn(load: Load) -> None:
    load.play("rooms 2 4 8 8 1000 #%ROOM% %TEXT%")
    written = load.written(8)
    assert sorted(who for who, _ in written) == [0, 0, 1, 1, 2, 2, 3, 3]
    for who, text in written:
        assert text.startswith(f"#{who // 2} ")
        load.deliver(text, who ^ 1)
    assert load.result()["seconds"] >= 7 / 1000


@pytest.mark.parametrize(
    ("receivers", "fault"),
    [
        ((1, 1), "person 1 got message 1 of person 0 after 1"),
        ((2,), "person 2 got message 1 of person 0 in round 1, which is not for them"),
        ((0, 0), "person 0 got their own message 1 after 1"),
    ],
)
def test_what_is_delivered_wrongly_ends_the_measurement(
    load: Load, receivers: tuple[int, ...], fault: str
) -> None:
    load.play("rooms 2 1 2 2 0 %TEXT%")
    (_, first), _ = load.written(2)
    load.deliver(first, *receivers)
    assert fault in load.fault()


def test_messages_in_another_order_end_the_measurement(load: Load) -> None:
    load.play("rooms 2 1 2 2 0 %TEXT%")
    _, (_, second) = load.written(2)
    load.deliver(second, 1)
    assert "person 1 got message 2 of person 0 after 0" in load.fault()


def test_a_round_of_each_kind_of_talk_is_measured(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.json")
    only = [way.name for way in talk.ways(20, 1) if not way.rate]
    talk.run(report, tmp_path, people=20, rounds=1, scale=0.002, only=only)
    rounds = json.loads((tmp_path / "report.json").read_text())["rounds"]
    assert [[row["server"] for row in rows] for rows in rounds.values()] == [
        ["bare path", "gochat"]
    ] * len(only)
    assert all(row["cpu"] > 0 and row["p99"] > 0 for rows in rounds.values() for row in rows)
    with closing(sqlite3.connect(tmp_path / "bare-path" / "bare.db")) as database:
        [[kept]] = database.execute("select count(*) from entry")
    measured = [rows[0]["messages"] for rows in rounds.values()]
    before_them = [max(1, count // 20) for count in measured]
    assert kept == sum(measured) + sum(before_them), "durable, each once"
