"""What the app remembers between runs, in one directory that only its owner can read.

``sessions.json`` has the servers, the names used there and their session tokens; never a password.
``drafts.json`` has what was typed and not sent, ``list.json`` the favourites and what is muted.
Apps that run at once have a ``drafts.json`` each, as each has an outbox.
``settings.json`` has
what was chosen in the app.
A file that is damaged or missing counts as empty: nothing here is worth not starting for. A failure
to write is reported once, and writing is tried again with the next change.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import platformdirs

from gochat import private
from gochat.errors import ConfigError
from gochat.tui.language import _
from gochat.tui.model.order import GroupName

#: Servers that are remembered; the one not used for longest is forgotten.
_SERVERS: Final = 20
#: Apps on one server that each have an outbox: more than a person has windows open.
_APPS: Final = 8
#: Of what `sessions.json` means.
_VERSION: Final = 2

K = TypeVar("K")
T = TypeVar("T")


class SavedSession(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One account on one server. `expires` is in milliseconds since the Unix epoch."""

    server: str
    name: str = ""
    token: str | None = None
    expires: int = 0


class _Sessions(msgspec.Struct):
    """`version` 2: plain text to another machine was written out. Before, a bare name meant it."""

    version: int = 1
    sessions: list[SavedSession] = []


class _Drafts(msgspec.Struct):
    drafts: dict[str, str] = {}


class KeptList(msgspec.Struct):
    """How a person has arranged their list of conversations: favourites, folded groups, and until
    when conversations are muted, and all of them, in seconds since the Unix epoch."""

    favourites: tuple[str, ...] = ()
    folded: tuple[GroupName, ...] = ()
    muted: dict[str, float] = {}
    quiet_until: float = 0.0

    def changed_from(self, before: KeptList, other: KeptList) -> KeptList:
        """Return `other`, which another app may have kept, with what is not as `before` here."""
        return KeptList(
            tuple(
                sorted(_merged(*map(_set, (self.favourites, before.favourites, other.favourites))))
            ),
            tuple(sorted(_merged(*map(_set, (self.folded, before.folded, other.folded))))),
            _merged(self.muted, before.muted, other.muted),
            (other if self.quiet_until == before.quiet_until else self).quiet_until,
        )


def _merged(mine: dict[K, T], before: dict[K, T], other: dict[K, T]) -> dict[K, T]:
    """Return `other` with what differs between `before` and `mine`."""
    result = dict(other)
    for key in mine.keys() | before.keys():
        if mine.get(key) == before.get(key):
            continue
        if key in mine:
            result[key] = mine[key]
        else:
            result.pop(key, None)
    return result


def _set(keys: Iterable[K]) -> dict[K, bool]:
    return dict.fromkeys(keys, True)


def default_directory() -> Path:
    """Return the directory of this user: ``$GOCHAT_TUI_STATE``, or where the system keeps state."""
    if chosen := os.environ.get("GOCHAT_TUI_STATE"):
        return Path(chosen).expanduser()
    return platformdirs.user_state_path("gochat", appauthor=False)


class StateDirectory:
    """The directory. Nothing is read or written before it is asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        #: Called with the reason when something can't be kept.
        self.report: Callable[[str], None] = lambda problem: None
        self._is_failing = False

    def secure(self) -> str:
        """Take the rights of others on the directory, if it is there; return what was wrong.

        Raises:
            ConfigError: it belongs to another user, who would get all that is kept there.
        """
        try:
            was_open = self.directory.exists() and private.make_directory(self.directory)
        except PermissionError as error:
            raise ConfigError(
                _(
                    "the state directory {directory} can't be used: {reason}: choose another with "
                    "--state-dir",
                    directory=self.directory, reason=error.strerror,
                )
            ) from error  # fmt: skip
        except OSError:
            return ""  # reported when something is to be kept
        if not was_open:
            return ""
        return _(
            "{directory}, where sessions are kept, was open to other users: now only you can use "
            "it",
            directory=self.directory,
        )

    # -- sessions ---------------------------------------------------------------------------------

    def sessions(self) -> list[SavedSession]:
        """Return the remembered sessions, the last one used first."""
        kept = self._load("sessions.json", _Sessions)
        if kept.version >= _VERSION:
            return kept.sessions
        return [s for s in kept.sessions if not s.server.startswith("gochat://")]

    def session(self, server: str | None = None) -> SavedSession | None:
        """Return the last session on `server`, or on any."""
        return next((s for s in self.sessions() if server is None or s.server == server), None)

    def remember(self, session: SavedSession) -> None:
        """Keep a session as the last one used, instead of an earlier one on the same server."""
        others = [s for s in self.sessions() if s.server != session.server]
        self._save("sessions.json", _Sessions(_VERSION, [session, *others][:_SERVERS]))

    # -- drafts -----------------------------------------------------------------------------------

    def drafts(self, server: str, name: str, app: int = 0) -> dict[str, str]:
        """Return what was typed in the app with this number and not sent, by conversation.

        The number of an app is the place of its outbox among those of :meth:`outboxes`.
        """
        return self._load(self._drafts_file(server, name, app), _Drafts).drafts

    def keep_drafts(self, server: str, name: str, changes: dict[str, str], app: int = 0) -> bool:
        """Keep what was typed and not sent in the conversations of `changes`, nothing where that
        is empty; return whether that was possible.
        """
        drafts = self.drafts(server, name, app) | changes
        kept = {conv: text for conv, text in drafts.items() if text}
        return self._save(self._drafts_file(server, name, app), _Drafts(kept))

    def gather_drafts(
        self, server: str, name: str, app: int, ended: Iterable[int]
    ) -> dict[str, str]:
        """Return the drafts of an app, with those of apps that have `ended`, which are its own from
        then on. What two have begun in one conversation is one text there, a line after another.
        """
        drafts = self.drafts(server, name, app)
        for other in ended:
            if other == app or not (left := self.drafts(server, name, other)):
                continue
            for conv, text in left.items():
                mine = drafts.get(conv, "")
                drafts[conv] = f"{mine}\n{text}" if mine and mine != text else text
            if self.keep_drafts(server, name, drafts, app):
                self.keep_drafts(server, name, dict.fromkeys(left, ""), other)
        return drafts

    def _drafts_file(self, server: str, name: str, app: int) -> str:
        stem = self._of("drafts", server, name).removesuffix(".json")
        return f"{stem}-{app + 1}.json" if app else f"{stem}.json"

    # -- the list of conversations ----------------------------------------------------------------

    def kept_list(self, server: str, name: str) -> KeptList:
        """Return how the person has arranged their list."""
        return self._load(self._of("list", server, name), KeptList)

    def keep_list(self, server: str, name: str, kept: KeptList) -> bool:
        """Keep how the person has arranged their list; return whether that was possible."""
        return self._save(self._of("list", server, name), kept)

    # -- outboxes and settings --------------------------------------------------------------------

    def outboxes(self, server: str) -> list[Path]:
        """Return the files in which clients keep what they have not sent yet.

        A client has its file for itself, so each app that runs takes the first that no other has.
        """
        stem = self._of("outbox", server, "").removesuffix(".json")
        numbers = ("", *(f"-{number}" for number in range(2, _APPS + 1)))
        return [self.directory / f"{stem}{number}.sqlite" for number in numbers]

    def load_settings(self, kind: type[T]) -> T:
        """Return what was chosen in the app."""
        return self._load("settings.json", kind)

    def save_settings(self, settings: msgspec.Struct) -> bool:
        """Keep what was chosen in the app; return whether that was possible."""
        return self._save("settings.json", settings)

    def _of(self, what: str, server: str, name: str) -> str:
        digest = hashlib.sha256(f"{server}\n{name}".encode()).hexdigest()[:16]
        return f"{what}-{digest}.json"

    def _load(self, name: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(private.read_file(self.directory / name), type=kind)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return kind()

    def _save(self, name: str, value: msgspec.Struct) -> bool:
        try:
            self._replace(name, value)
        except OSError as error:
            if not self._is_failing:
                self.report(
                    _(
                        "nothing can be kept in {directory}: {reason}", directory=self.directory,
                        reason=error.strerror,
                    )
                )  # fmt: skip
            self._is_failing = True
        else:
            self._is_failing = False
        return not self._is_failing

    def _replace(self, name: str, value: msgspec.Struct) -> None:
        private.make_directory(self.directory)
        data = msgspec.json.format(msgspec.json.encode(value))
        private.replace_file(self.directory / name, data)
