"""The sessions of a scripted account, by their tokens."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from msgspec import structs

from gochat.client.errors import chat_error
from gochat.errors import ErrorCode
from gochat.protocol.messages import Session


class ScriptedDevices:
    """Which devices are logged in. `now` gives the time in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._numbers = count(1)
        self._sessions: dict[str, Session] = {}
        self._revoked: set[str] = set()

    def add(self, device: str, address: str = "127.0.0.1", *, ago: float = 0.0) -> str:
        """Log a device in, as if it was last used so many seconds ago; return its token."""
        token = f"demo-token-{next(self._numbers)}"
        self._add(token, device, address, ago)
        return token

    def _add(self, token: str, device: str, address: str, ago: float) -> None:
        then = int((self._now() - ago) * 1000)
        self._sessions[token] = Session(
            id=f"id-of-{token}", device=device, address=address, created=then, seen=then
        )

    def use(self, token: str) -> bool:
        """Return whether a token is good: any is that was not revoked, as if from before."""
        if token in self._revoked:
            return False
        if token not in self._sessions:
            self._add(token, "", "127.0.0.1", 0.0)
        return True

    def name(self, token: str | None) -> str:
        """Return what the device with this token is called."""
        session = self._sessions.get(token or "")
        return "" if session is None else session.device

    def revoke(self, token: str | None) -> None:
        """Revoke a token."""
        if token is not None:
            self._revoked.add(token)
            self._sessions.pop(token, None)

    def revoke_all(self) -> None:
        """Revoke all tokens, as a new password does."""
        for token in [*self._sessions]:
            self.revoke(token)

    def listed(self, own: str | None) -> list[Session]:
        """Return the sessions, the oldest first; `own` is the token of the one that asks."""
        return [
            structs.replace(session, this=token == own, online=token == own)
            for token, session in self._sessions.items()
        ]

    def end(self, session_id: str) -> str:
        """End a session, and return its token."""
        for token, session in self._sessions.items():
            if session.id == session_id:
                self.revoke(token)
                return token
        raise chat_error(
            ErrorCode.BAD_REQUEST,
            "this account has no such session: it may have ended",
            field="id",
        )
