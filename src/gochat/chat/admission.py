"""Who may register: everybody, those with an invitation to the server, or nobody.

The mode is that of the configuration until it is set in the store; from then on the store's holds,
on all nodes, until it is cleared there. An invitation is a code with which a number of people can
register until it expires or is revoked; it may also bring them into a room. The code is shown to
its maker once, and kept as a digest. A use is taken in the step that creates the account, so never
more accounts than uses are made with it.

Not to be confused with the invitations to rooms (:mod:`gochat.chat.rooms`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from gochat.chat import conversations, names
from gochat.chat.accounts import Identity
from gochat.chat.admission_store import MAX_KEPT, ServerInvitation
from gochat.chat.bounds import MAX_LIFE, MAX_USES
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.directory import Destination
from gochat.chat.drafts import make_draft
from gochat.chat.external import Directory, NoDirectory, registered_elsewhere
from gochat.chat.facts import Facts
from gochat.chat.log import Draft
from gochat.chat.names import NameKey
from gochat.chat.refusals import check_length
from gochat.chat.room_state import RoomState
from gochat.chat.store import Store
from gochat.errors import ChatError, ErrorCode

Mode: TypeAlias = Literal["open", "invite", "closed"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

#: With which a code begins, so that people and tools that look for secrets recognise it.
CODE_PREFIX: Final = "gci"
#: The alphabet of codes: digits and letters without those that are mistaken for others (Crockford).
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_MISREAD: Final = str.maketrans("oil", "011")
#: Letters of a code, 5 bits each, in groups.
CODE_LETTERS: Final = 16
_GROUP: Final = 4
#: Characters of a note at most.
MAX_NOTE: Final = 200


def new_code() -> str:
    """Return a new code: 80 random bits, as ``gci-xxxx-xxxx-xxxx-xxxx``."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_LETTERS))
    groups = (letters[at : at + _GROUP] for at in range(0, CODE_LETTERS, _GROUP))
    return "-".join((CODE_PREFIX, *groups))


def digest_of(code: str) -> bytes | None:
    """Return the digest of a code as it was typed, or None if it can't be one.

    Case, spaces and hyphens don't matter, nor letters that are read for digits. A slow hash is
    unnecessary, because codes can't be guessed.
    """
    typed = "".join(code.lower().split()).replace("-", "").removeprefix(CODE_PREFIX)
    letters = typed.translate(_MISREAD)
    if len(letters) != CODE_LETTERS or not set(letters) <= set(_ALPHABET):
        return None
    return sha256(letters.encode()).digest()


class NewInvitation(Struct, frozen=True, kw_only=True):
    """An invitation that was just made, with its code."""

    code: str
    invitation: ServerInvitation


class Admission:
    """Decides who may register. `clock` returns milliseconds since the Unix epoch.

    All methods may raise :exc:`~gochat.errors.StoreUnavailable`.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        configured: Mode = "open",
        directory: Directory | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._configured = configured
        self._directory = directory or NoDirectory()
        self._stored: Mode | None = None

    def configure(self, configured: Mode) -> None:
        """Change the mode that holds unless one is stored."""
        self._configured = configured

    # -- the mode -------------------------------------------------------------------------------

    @property
    def known_mode(self) -> Mode:
        """The mode, as it was when somebody last asked the store."""
        mode = self._stored or self._configured
        if not self._directory.is_on:
            return mode
        # Open to everybody, anybody could take the names of the directory's people.
        return "invite" if self._directory.allows_local and mode == "invite" else "closed"

    @property
    def stored_mode(self) -> Mode | None:
        """The mode that is set in the store, as far as known, or None."""
        return self._stored

    async def mode(self) -> Mode:
        """Return the mode."""
        stored = await self._store.admission.mode()
        self._stored = next((mode for mode in MODES if mode == stored), None)
        return self.known_mode

    async def set_mode(self, mode: Mode | None) -> None:
        """Set the mode on all nodes; None clears it, so that the configuration's holds.

        Raises:
            ChatError: ``bad_request``: the accounts are a directory's, and it can't be that.
        """
        self.require_possible(mode)
        await self._store.admission.set_mode(mode)
        self._stored = mode

    def require_possible(self, mode: Mode | None) -> None:
        """Require that the mode can be set.

        Raises:
            ChatError: ``bad_request``: the accounts are a directory's, and it can't be that.
        """
        if not self._directory.is_on or mode in (None, "closed"):
            return
        if not self._directory.allows_local:
            raise _refused("directory", "all accounts are the directory's (auth.command)", "mode")
        if mode == "open":
            text = "registration can't be open beside a directory: others could take its names"
            raise _refused("directory", text, "mode")

    async def require_open(self) -> Mode:
        """Return the mode, "open" or "invite".

        Raises:
            ChatError: ``registration_closed``.
        """
        mode = await self.mode()
        if mode != "closed":
            return mode
        if self._directory.is_on and not self._directory.allows_local:
            raise registered_elsewhere()
        raise ChatError(ErrorCode.REGISTRATION_CLOSED, "registration is closed on this server")

    # -- invitations ----------------------------------------------------------------------------

    async def find(self, code: str) -> ServerInvitation | None:
        """Return the invitation with this code, if it can be used now."""
        digest = digest_of(code)
        found = None if digest is None else await self._store.admission.invitation(digest)
        return found if found is not None and found.is_good(self._clock()) else None

    async def draft(
        self,
        *,
        uses: int,
        life: int,
        room: str | None = None,
        maker: str | None = None,
        note: str = "",
    ) -> NewInvitation:
        """Return a new invitation that expires in `life` milliseconds, which is not kept yet.

        Without `maker`, the name of an account, it is of whoever runs the server. Those who
        register with it join `room`, which must be one that the maker may invite to.

        Raises:
            ChatError: ``bad_request``, ``text_too_long``, ``unknown_person``,
                ``unknown_conversation``, ``not_a_member`` or ``not_permitted``.
        """
        if not 1 <= uses <= MAX_USES:
            raise _refused("uses", f"an invitation has 1 to {MAX_USES:,} uses", "uses", MAX_USES)
        if not 1 <= life <= MAX_LIFE:
            days = MAX_LIFE // (24 * 3600 * 1000)
            raise _refused("life", f"an invitation expires within {days} days", "life", days)
        check_length(note, MAX_NOTE, "a note", "note")
        by = None if maker is None else await self._account(maker)
        state = None if room is None else await self._room(room, by)
        code, now = new_code(), self._clock()
        digest = digest_of(code)
        assert digest is not None
        invitation = ServerInvitation(
            digest=digest,
            maker=by,
            room=None if state is None else state.key,
            note=note,
            uses=uses,
            created=now,
            expires=now + life,
        )
        return NewInvitation(code=code, invitation=invitation)

    async def add(self, invitation: ServerInvitation) -> None:
        """Keep an invitation.

        Raises:
            ChatError: ``too_many``.
        """
        if not await self._store.admission.add(invitation):
            raise ChatError(
                ErrorCode.TOO_MANY,
                f"a server keeps at most {MAX_KEPT:,} invitations: wait until some have expired",
                details={"rule": "invitations", "max": MAX_KEPT},
            )

    async def all(self) -> Sequence[ServerInvitation]:
        """Return all invitations, in the order in which they were made."""
        return await self._store.admission.invitations()

    async def require(self, id_or_code: str) -> ServerInvitation:
        """Return an invitation by its id or its code, whether or not it can be used.

        Raises:
            ChatError: ``bad_request``: there is none.
        """
        digest = digest_of(id_or_code)
        for invitation in await self._store.admission.invitations():
            if id_or_code == invitation.id or digest == invitation.digest:
                return invitation
        raise _refused("invitation", "no such invitation", "id")

    async def revoke(self, invitation: ServerInvitation) -> ServerInvitation:
        """Revoke an invitation, and return it as it is then; who registered with it stays.

        Raises:
            ChatError: ``bad_request``: it was revoked before.
        """
        self.require_revocable(invitation)
        if not await self._store.admission.revoke(invitation.digest, self._clock()):
            raise _revoked_before(invitation)
        return await self.require(invitation.id)

    def require_revocable(self, invitation: ServerInvitation) -> None:
        """Require that an invitation was not revoked before.

        Raises:
            ChatError: ``bad_request``.
        """
        if invitation.revoked:
            raise _revoked_before(invitation)

    async def joining(self, who: Identity, invitation: ServerInvitation) -> Sequence[Draft]:
        """Return the draft by which a person who has registered joins the room, if there is one.

        It is empty if the room can't be joined any more, or the maker may not invite there now:
        also because their account is disabled or banned.
        """
        if invitation.room is None:
            return ()
        if invitation.maker is not None:
            maker = await self._store.account(invitation.maker)
            if maker is None or maker.is_shut:
                return ()
        viewer = invitation.maker or who.key
        room = await self._store.room(invitation.room, viewer)
        theirs = await self._store.room(invitation.room, who.key)
        if room is None or theirs is None or theirs.is_inside or room.members == 0:
            return ()
        if theirs.role == "banned":
            return ()
        if not room.private:
            facts = Facts(sender=(theirs.standing,), private=False)
        elif invitation.maker is not None and room.role == "operator":
            facts = Facts(sender=(theirs.standing,), operator=invitation.maker)
        else:
            return ()
        return [make_draft(who, Destination.of(room), "join", facts)]

    async def _account(self, name: str) -> NameKey:
        try:
            key = names.fold_person(name)
            (found,) = await self._store.display_names([key])
        except (ChatError, ValueError):
            raise conversations.nobody(name.removeprefix("@"), "maker") from None
        return found

    async def _room(self, address: str, maker: NameKey | None) -> RoomState:
        if not address.startswith("#"):
            raise conversations.unknown(address, "room")
        key = conversations.key(address, maker or NameKey(""), "room")
        if key == LOBBY_KEY:
            raise _refused("lobby", "everybody is in #lobby: leave the room out", "room")
        room = await self._store.room(key, maker or NameKey(""))
        if room is None or (room.is_hidden and maker is not None):
            raise conversations.unknown(address, "room")
        if room.private and room.role != "operator":
            raise ChatError(
                ErrorCode.NOT_PERMITTED,
                f"{room.name} is private: only its operators can invite there",
                field="room",
                details={"rule": "operator"},
            )
        if maker is not None and not room.is_inside:
            raise ChatError(
                ErrorCode.NOT_A_MEMBER,
                f"the maker of the invitation is not in {room.name}",
                field="room",
                details={"conv": room.name},
            )
        return room


def bad_invite(text: str) -> ChatError:
    """Return the error for registering without an invitation, or with one that is not valid."""
    return ChatError(ErrorCode.BAD_INVITE, text, field="invite")


def not_valid() -> ChatError:
    """Return the error for a code that is wrong or can't be used any more, without saying which."""
    return bad_invite("this invite code is not valid: it may be used up, revoked or expired")


def _revoked_before(invitation: ServerInvitation) -> ChatError:
    return _refused("invitation", f"{invitation.id} was revoked before", "id")


def _refused(rule: str, text: str, field: str, most: int | None = None) -> ChatError:
    details: dict[str, str | int] = {"rule": rule} | ({} if most is None else {"max": most})
    return ChatError(ErrorCode.BAD_REQUEST, text, field=field, details=details)
