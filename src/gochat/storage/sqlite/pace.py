"""Decide which thread commits: the event loop's while commits are fast, and else the writer's.

A commit in the loop's own thread saves two task switches and two changes of thread for each group
of messages, most of what a single message costs. But nothing else happens in the loop meanwhile. So
it commits only while that takes about as long as any other step of the loop. Where it doesn't, on a
slow disk or while another process has the database locked, the writer's thread commits from then
on, until *its* commits are fast again; the loop never tries.

Nor may the loop wait for a disk to have written. With ``synchronous=full`` every commit does; with
``normal`` only the first commit of a new write-ahead log, which a checkpoint leads to.
"""

from __future__ import annotations

from typing import Final

#: Seconds that beginning and committing may take: the onset of a slow disk, which nobody can
#: foresee, costs the loop one such commit.
LIMIT: Final = 0.010
#: In the writer's thread they take longer by up to some switch intervals of the interpreter (5 ms),
#: while the loop is busy.
LIMIT_APART: Final = 0.030
#: Further seconds for each write that is committed: some five times what it takes.
PER_WRITE: Final = 50e-6
#: Fast commits in the writer's thread after which the loop tries again: twice as many after each
#: try that was slow, up to the most; as few as at first after so many that were fast.
FEWEST: Final = 20
MOST: Final = 5000
ALL_IS_WELL: Final = 1000


class Pace:
    """Tracks how fast commits are. Only one thread at a time begins and commits.

    Checkpoints run beside that, in another thread. With `is_apart`, the loop never commits.
    """

    def __init__(self, *, is_apart: bool) -> None:
        self._is_apart = is_apart
        self._needed = 0  # fast commits, until the loop tries again
        self._next_needed = FEWEST
        self._well = 0  # fast commits here, one after the other
        #: The next commit may be the first of a new write-ahead log.
        self._is_log_new = True
        self._is_checkpointing = False
        self._began_on_new = False

    @property
    def is_here(self) -> bool:
        """True if the loop's thread may commit."""
        return not (self._is_apart or self._needed or self._is_log_new)

    def committed_here(self, seconds: float, writes: int) -> None:
        """Record a commit in the loop's thread."""
        if seconds > LIMIT + PER_WRITE * writes:
            self.failed_here()
            return
        self._well += 1
        if self._well == ALL_IS_WELL:
            self._next_needed = FEWEST

    def failed_here(self) -> None:
        """Record that a commit in the loop's thread was slow, or not possible at once."""
        self._needed, self._well = self._next_needed, 0
        self._next_needed = min(2 * self._next_needed, MOST)

    def begin_apart(self) -> None:
        """Record that a commit begins in the writer's thread."""
        # The first of a new log is decided when it begins, not when it ends.
        self._began_on_new = not self._is_checkpointing

    def committed_apart(self, seconds: float, writes: int) -> None:
        """Record a commit in the writer's thread."""
        if seconds > LIMIT_APART + PER_WRITE * writes:
            self._needed = max(self._needed, FEWEST)
        elif self._needed:
            self._needed -= 1
        if self._began_on_new:
            self._is_log_new = False

    def checkpoint_began(self) -> None:
        """Commit apart from now on: a checkpoint may lead to a new log at any moment."""
        self._is_checkpointing = self._is_log_new = True

    def checkpoint_ended(self) -> None:
        """Commit here again, after the next commit in the writer's thread."""
        self._is_checkpointing = False


#: Seconds that reading a few rows may take in the loop's thread.
READ_LIMIT: Final = 0.005
#: Reads that are made in other threads after one that took longer: twice as many after each that
#: did so again, up to the most; as few as at first after so many that were fast. A busy machine
#: interrupts a read now and then, and in a thread each takes much longer, because it waits for the
#: interpreter.
FEWEST_READS: Final = 4
MOST_READS: Final = 512
READS_WELL: Final = 100


class ReadPace:
    """Decides whether a few rows can be read in the loop's thread. Use it there."""

    def __init__(self) -> None:
        self._apart = 0
        self._next_apart = FEWEST_READS
        self._well = 0  # fast reads here, one after the other

    @property
    def is_here(self) -> bool:
        """True if they can. Counts a read that is made elsewhere."""
        if self._apart:
            self._apart -= 1
            return False
        return True

    def took(self, seconds: float) -> None:
        """Record a read in the loop's thread."""
        if seconds > READ_LIMIT:
            self.failed()
            return
        self._well += 1
        if self._well == READS_WELL:
            self._next_apart = FEWEST_READS

    def failed(self) -> None:
        """Record that a read in the loop's thread was slow, or not possible."""
        self._apart, self._well = self._next_apart, 0
        self._next_apart = min(2 * self._next_apart, MOST_READS)
