"""A person's own message is shown once, in whatever way and order news of it arrives.

The whole of the client but its sockets: the real outbox, inbox, sync_state and model, on a server
that is a list. The person's requests and the server's frames are under way until the test lets
them arrive; pages reach the app beside the events, as they do in the real one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gochat.client import Outgoing, OutgoingState, Synchronised
from gochat.client.convert import to_page
from gochat.client.outbox import Outbox
from gochat.client.sync_state import SyncState
from gochat.client.timeline import After
from gochat.errors import ErrorCode
from gochat.protocol import messages as wire
from gochat.protocol.messages import Conversation, HistoryPage, Message, Sent
from gochat.tui.model.chat import ChatModel

ME, LOBBY = "ada", "#lobby"
LIMITS = wire.Limits(
    frame_bytes=65536, text_chars=4000, burst=1_000_000, per_second=1e6, history_page=200
)
LOGGED_IN = wire.LoggedIn(
    name=ME, token="t", expires=2**50, limits=LIMITS, heartbeat=25.0, server="a list"
)
PAGE = 4


class Clock:
    """Stands still."""

    def now(self) -> float:
        return 1000.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


class World:
    """A person's app, and the server."""

    connected = False

    def __init__(self) -> None:
        self.epoch, self.log = "e1", list[Message]()
        self.said = dict[str, str]()  # all that the person said here, by cid
        self.refused = set[str]()
        self._numbers = count(1)
        for _ in range(6):
            self._append("mei", "before", None)
        self._start([])

    # -- the app --------------------------------------------------------------------------------

    def _start(self, spooled: list[Outgoing]) -> None:
        clock = Clock()
        self.outbox = Outbox(clock)
        for outgoing in spooled:
            self.outbox.add(outgoing)
        self.room = SyncState(self.outbox, clock)
        self.model = ChatModel(ME, clock=lambda: 0.0, now=lambda: 0.0)
        self.began = False
        # Under way: to the server, and from it, with the request that a frame answers.
        self.requests = deque[wire.Request]()
        self.frames = deque[tuple[wire.Request | None, Any]]()
        # Come, and not yet taken by the task of the app that asked.
        self.pages = deque[tuple[HistoryPage, Any]]()
        self._log_in()

    def _log_in(self) -> None:
        self.connected, self.logged_in, self.due = True, False, 1
        self.frames.append((wire.Resume(token="t"), LOGGED_IN))

    def restart(self) -> None:
        """Kill the app, and start it on what its outbox had written."""
        self._lose_what_is_under_way()
        spooled = []
        for was in self.outbox.of(ME):
            again = Outgoing(
                conversation=was.conversation,
                text=was.text,
                cid=was.cid,
                created=was.created,
                sender=ME,
            )
            if was.error is not None:
                again.become_failed(was.error)
            spooled.append(again)
        self._start(spooled)

    def say(self) -> None:
        outgoing = Outgoing(conversation=LOBBY, text=f"mine {next(self._numbers)}")
        self.said[outgoing.cid] = outgoing.text
        self.room.name = ME
        self.room.send(outgoing)
        if self.began:
            self.model.put_outgoing(outgoing)

    def synchronise(self) -> None:
        """Come as far as the chat is shown."""
        self.connect()
        while not self.began and (self.serve() or self.arrive() or self.take_event()):
            pass

    def retry(self) -> None:
        for outgoing in self.outbox.of(ME):
            if outgoing.state is OutgoingState.FAILED:
                self.refused.discard(outgoing.cid)
                self.room.retry(outgoing)
                self.model.put_outgoing(outgoing)
                return

    def say_three(self) -> None:
        for _ in range(3):
            self.say()

    def hurry(self) -> None:
        """Let messages go out and come back, and the app be busy meanwhile."""
        for _ in range(10):
            self.transmit()
            self.serve()
            self.arrive()

    def transmit(self) -> None:
        if not self.connected or not self.logged_in:
            return
        while (request := self.outbox.next(ME)) is not None:
            self.requests.append(request)

    def ask(self, where: str) -> None:
        """Ask for a page, as the app does."""
        if not self.connected or not self.began:
            return
        timeline = self.model.conversations[LOBBY].timeline
        match where:
            case "older":
                self.requests.append(wire.History(conv=LOBBY, before=timeline.first))
            case "newer" if timeline.newer:
                self.requests.append(wire.History(conv=LOBBY, after=timeline.last))
            case "around":
                self.requests.append(wire.History(conv=LOBBY, around=1))
            case "now":
                self.requests.append(wire.History(conv=LOBBY))
            case _:
                pass

    def take_event(self) -> bool:
        """The app takes the next event."""
        if not self.room.buffer._ready:
            return False
        event = self.room.buffer._ready.popleft()
        self.model.apply(event)
        if isinstance(event, Synchronised) and not self.began:
            self.began = True
            self.model.take_outbox(self.outbox.of(ME))
            self.ask("older")  # the newest page, for nothing is loaded
        return True

    def take_page(self) -> bool:
        """The app takes the next page."""
        if not self.pages:
            return False
        page, request = self.pages.popleft()
        timeline = self.model.conversations[LOBBY].timeline
        if request.before is not None or (timeline.last is None and request.around is None):
            self.model.add_page(to_page(page, ME), "older")
        elif request.after is not None:
            if timeline.last == request.after:
                self.model.add_page(to_page(page, ME), "newer")
        else:
            self.model.add_page(to_page(page, ME), "instead")
        return True

    # -- the network ----------------------------------------------------------------------------

    def arrive(self) -> bool:
        """A frame of the server arrives."""
        if not self.frames:
            return False
        request, frame = self.frames.popleft()
        match frame:
            case wire.Synced():
                assert isinstance(request, wire.Sync)
                self.room.synced(request, frame)
                self.room.caught_up(())
            case wire.LoggedIn():
                self.logged_in = True
                self.room.replied(wire.Resume(token="t"), frame)
                sync = self.room.inbox.next_page(PAGE, 65536)
                assert sync is not None
                self.requests.append(sync)
            case _ if request is None:
                self.room.received(frame)
            case HistoryPage() if request.request_id == "gap":
                self.room.replied(request, frame)
                self.room.show(self.room.inbox.fill(LOBBY, frame))
            case HistoryPage():
                self.room.replied(request, frame)
                self.pages.append((frame, request))
            case _:
                self.room.replied(request, frame)
        return True

    def fill_gaps(self) -> bool:
        want = self.room.inbox.wants().get(LOBBY)
        if not self.connected or want is None or self.requests or self.frames:
            return False
        after = want.seq if isinstance(want, After) else None
        self.requests.append(wire.History(conv=LOBBY, after=after, request_id="gap"))
        return True

    def _lose_what_is_under_way(self) -> None:
        self.frames.clear()
        self.requests.clear()
        self.room.connection_lost()
        self.connected = False

    def cut(self) -> None:
        if self.connected:
            self._lose_what_is_under_way()

    def connect(self) -> None:
        if not self.connected:
            self._log_in()

    # -- the server -----------------------------------------------------------------------------

    def _append(self, sender: str, text: str, cid: str | None) -> Message:
        seq = len(self.log) + 1
        entry = Message(
            to=LOBBY, epoch=self.epoch, seq=seq, ts=seq, from_=sender, text=text, cid=cid
        )
        self.log.append(entry)
        return entry

    def others(self, sender: str = "mei") -> None:
        number = next(self._numbers)
        entry = self._append(sender, f"theirs {number}", f"of another device {number}")
        if self.connected:
            self.frames.append((None, entry))

    def serve(self, refusal: str | None = None) -> bool:
        """The server handles a request; it refuses a message if there is a `refusal`."""
        if not self.requests:
            return False
        request = self.requests.popleft()
        match request:
            case wire.Send() if request.n != self.due:
                reply: Any = wire.Error(code=ErrorCode.OUT_OF_ORDER, text="another number")
            case wire.Send():
                self.due += refusal != ErrorCode.BUSY
                known = next((e for e in self.log if e.cid == request.cid), None)
                if refusal == ErrorCode.BUSY or (refusal is not None and known is None):
                    reply = wire.Error(code=refusal, text="no", retry_after=0.0)
                    if refusal != ErrorCode.BUSY:
                        self.refused.add(request.cid or "")
                else:
                    entry = known or self._append(ME, request.text, request.cid)
                    if known is None:
                        self.frames.append((None, entry))
                    reply = Sent(to=LOBBY, epoch=self.epoch, seq=entry.seq, ts=entry.ts,
                                 cid=entry.cid, dup=known is not None)  # fmt: skip
            case wire.History():
                reply = self._page(request)
            case _:
                assert isinstance(request, wire.Sync)
                reply = self._sync(request)
        self.frames.append((request, reply))
        return True

    def _sync(self, request: wire.Sync) -> wire.Synced:
        head = len(self.log)
        seq, is_new = 0, False
        for position in request.have:
            seq = position.seq
            is_new = position.epoch != self.epoch or seq > head
        last = max(0 if is_new else seq, head - min(PAGE, request.limit))
        listed = Conversation(
            conv=LOBBY, epoch=self.epoch, head=head, ts=head, entries=tuple(self.log[last:]),
            reset=is_new,
        )  # fmt: skip
        return wire.Synced(conversations=(listed,))

    def _page(self, request: wire.History) -> HistoryPage:
        end = len(self.log)
        if request.before is not None:
            end = min(end, request.before - 1)
        elif request.after is not None:
            end = min(end, request.after + PAGE)
        elif request.around is not None:
            end = min(end, PAGE)
        start = max(0, end - PAGE)
        if request.after is not None:
            start = min(request.after, end)
        return HistoryPage(
            conv=LOBBY, epoch=self.epoch, head=len(self.log), entries=tuple(self.log[start:end]),
            older=start > 0, newer=end < len(self.log),
        )  # fmt: skip

    def restore(self) -> None:
        """The server starts on a backup that lacks the last entries."""
        self.cut()
        del self.log[max(0, len(self.log) - 2) :]
        self.epoch = f"e{next(self._numbers)}"
        self.log = [wire_replace(entry, self.epoch) for entry in self.log]

    # -- what must hold -------------------------------------------------------------------------

    def check(self) -> None:
        if not self.began:
            return
        lines = list(self.model.conversations[LOBBY].timeline)
        cids = [line.cid for line in lines if line.cid is not None]
        assert len(set(cids)) == len(cids), [(line.key, line.text, line.state) for line in lines]
        keys = [line.key for line in lines]
        assert len(set(keys)) == len(keys), keys
        seqs = [line.seq for line in lines if line.seq is not None]
        assert all(one < next_ for one, next_ in pairwise(seqs)), seqs
        after = [line for line in lines if line.seq is not None or line.state == "failed"]
        assert lines[: len(after)] == after, "what is pending is at the end"
        if not self.room.buffer._ready:
            pending = [line.cid for line in lines if line.state == "pending"]
            waiting = [one.cid for one in self.outbox.of(ME) if one.cid in pending]
            assert pending == waiting, "in the order in which it is sent"

    def settle(self) -> None:
        """Let everything arrive, everywhere, and nothing more go wrong."""
        self.connect()
        while (
            self.serve() or self.arrive() or self.take_event() or self.take_page()
            or self.fill_gaps()
        ):  # fmt: skip
            self.transmit()
            self.check()
        self.transmit()
        if self.requests:
            self.settle()


def wire_replace(entry: Message, epoch: str) -> Message:
    """The entry in another history."""
    return Message(
        to=entry.to, epoch=epoch, seq=entry.seq, ts=entry.ts, from_=entry.from_, text=entry.text,
        cid=entry.cid,
    )  # fmt: skip


STEPS: dict[str, Callable[[World], object]] = {
    "say": World.say,
    "transmit": World.transmit,
    "serve": World.serve,
    "refuse": lambda w: w.serve(ErrorCode.TEXT_TOO_LONG),
    "conflict": lambda w: w.serve(ErrorCode.CID_CONFLICT),
    "busy": lambda w: w.serve(ErrorCode.BUSY),
    "arrive": World.arrive,
    "take event": World.take_event,
    "take page": World.take_page,
    "fill gaps": World.fill_gaps,
    "others": World.others,
    "another device": lambda w: w.others(ME),
    "older": lambda w: w.ask("older"),
    "newer": lambda w: w.ask("newer"),
    "around": lambda w: w.ask("around"),
    "now": lambda w: w.ask("now"),
    "cut": World.cut,
    "connect": World.connect,
    "restore": World.restore,
    "say three": World.say_three,
    "handle all": lambda w: [w.serve() for _ in range(10)],
    "hurry": World.hurry,
    "arrive all": lambda w: [w.arrive() for _ in range(20)],
    "take all pages": lambda w: [w.take_page() for _ in range(5)],
    "restart": World.restart,
    "synchronise": World.synchronise,
    "retry": World.retry,
    "settle": World.settle,
}
#: Most steps let something go on; otherwise little would ever arrive.
_OFTEN = ["say", "transmit", "serve", "arrive", "arrive", "take event", "take event", "take page"]


# A page of the history before last comes when the log has become empty.
@example(["restore", "restore", "synchronise", "serve", "arrive", "restore"])
@given(st.lists(st.sampled_from([*STEPS, *_OFTEN]), min_size=20, max_size=60))
def test_what_one_says_shows_once_whatever_happens(steps: list[str]) -> None:
    world = World()
    for step in steps:
        STEPS[step](world)
        world.check()
    world.settle()
    world.ask("now")
    world.settle()

    timeline = world.model.conversations[LOBBY].timeline
    assert not timeline.pending
    assert not timeline.newer
    # All that waits for the person is in sight, and nothing else does.
    assert set(timeline.refused) == {one.cid for one in world.outbox.of(ME)}
    assert set(timeline.refused) <= world.refused
    # What is loaded reads as the log does.
    loaded = [(e.seq, e.text) for e in timeline if e.seq is not None]
    assert loaded == [(e.seq, e.text) for e in world.log[-len(loaded) :]]
    # Each message is in the log once, if nothing made it go.
    said = [entry.cid for entry in world.log if entry.cid in world.said]
    assert len(set(said)) == len(said)
    if "restore" not in steps:
        assert set(said) | set(timeline.refused) == set(world.said)
