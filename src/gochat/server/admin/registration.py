"""The commands about who may register: the mode, and invitations to the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from gochat.chat.admission import MAX_LIFE, MAX_USES, Mode
from gochat.chat.admission_store import ServerInvitation
from gochat.server.admin.command import Arguments, Call, Command
from gochat.storage.common.clock import wall_clock

#: Milliseconds.
_DAY: Final = 24 * 3600 * 1000


class Nothing(Arguments, frozen=True, kw_only=True):
    """No arguments."""


class NewInvitation(Arguments, frozen=True, kw_only=True):
    """An invitation to make."""

    uses: Annotated[
        int,
        Meta(ge=1, le=MAX_USES, description="how many people can register with it (default: 1)"),
    ] = 1
    days: Annotated[
        int,
        Meta(ge=1, le=MAX_LIFE // _DAY, description="days after which it expires (default: 7)"),
    ] = 7
    room: Annotated[
        str, Meta(max_length=200, description="a room that they join, as '#garden'")
    ] = ""
    maker: Annotated[
        str,
        Meta(
            max_length=200,
            description="the account that invites; for a private room one of its operators",
        ),
    ] = ""
    note: Annotated[str, Meta(max_length=200, description="what it is for, for the list")] = ""


class OfInvitation(Arguments, frozen=True, kw_only=True):
    """The invitation that a command is about."""

    id: Annotated[str, Meta(max_length=200, description="its id, as in the list")]


class Page(Arguments, frozen=True, kw_only=True):
    """Which invitations to list, in the order in which they were made."""

    after: Annotated[
        str, Meta(max_length=200, description="begin after this id, the `next` of a page")
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=500, description="how many (default: 100)")] = 100
    usable: Annotated[bool, Meta(description="only those that somebody can register with")] = False


class Made(Struct, frozen=True, kw_only=True):
    """A new invitation, with its code, which is shown this once."""

    code: str
    id: str
    uses: int
    expires: int
    room: str


class Shown(Struct, frozen=True, kw_only=True):
    """An invitation in a list; `used` counts those who have registered with it.

    `state` is ``usable``, ``used up``, ``expired`` or ``revoked``. `maker` is ``(owner)`` if it is
    of whoever runs the server.
    """

    id: str
    state: str
    used: int
    uses: int
    maker: str
    room: str
    created: int
    expires: int
    note: str

    @classmethod
    def of(cls, invitation: ServerInvitation) -> Shown:
        """Return what a list shows of an invitation."""
        return cls(
            id=invitation.id,
            state=_state(invitation, wall_clock()),
            used=len(invitation.used),
            uses=invitation.uses,
            maker=invitation.maker or "(owner)",
            room=invitation.room or "",
            created=invitation.created,
            expires=invitation.expires,
            note=invitation.note,
        )


class ShownInvitation(Shown, frozen=True, kw_only=True):
    """An invitation, with the accounts that were made with it."""

    accounts: tuple[str, ...]

    @classmethod
    def of(cls, invitation: ServerInvitation) -> ShownInvitation:
        """Return all that is shown of an invitation."""
        shown = Shown.of(invitation)
        fields = {name: getattr(shown, name) for name in Shown.__struct_fields__}
        return cls(**fields, accounts=invitation.used)


class ShownInvitations(Struct, frozen=True, kw_only=True):
    """A page of invitations; `next` is empty on the last one."""

    invitations: tuple[Shown, ...]
    next: str


class Registration(Struct, frozen=True, kw_only=True):
    """Who may register.

    `mode` is what holds; `stored` what was set by a command, if anything was, and `configured` what
    holds without that.
    """

    mode: Mode
    stored: str
    configured: Mode


async def create(call: Call, new: NewInvitation) -> Made:
    """Make an invitation."""
    draft = await call.services.admission.draft(
        uses=new.uses,
        life=new.days * _DAY,
        room=new.room or None,
        maker=new.maker or None,
        note=new.note,
    )
    invitation = draft.invitation
    for_ = f", to {invitation.room}" if invitation.room else ""
    by = f", of {invitation.maker}" if invitation.maker else ""
    await call.record(invitation.id, f"{invitation.uses} uses, {new.days} days{for_}{by}")
    await call.services.admission.add(invitation)
    return Made(
        code=draft.code,
        id=invitation.id,
        uses=invitation.uses,
        expires=invitation.expires,
        room=invitation.room or "",
    )


async def list_all(call: Call, page: Page) -> ShownInvitations:
    """List invitations."""
    found = list(await call.services.admission.all())
    places = {invitation.id: place for place, invitation in enumerate(found)}
    start = places.get(page.after, -1) + 1
    now = wall_clock()
    wanted = [
        invitation for invitation in found[start:] if invitation.is_good(now) or not page.usable
    ]
    shown = wanted[: page.limit]
    has_more = len(wanted) > len(shown)
    return ShownInvitations(
        invitations=tuple(map(Shown.of, shown)), next=shown[-1].id if has_more else ""
    )


async def show(call: Call, of: OfInvitation) -> ShownInvitation:
    """Show one invitation."""
    return ShownInvitation.of(await call.services.admission.require(of.id))


async def revoke(call: Call, of: OfInvitation) -> ShownInvitation:
    """Revoke an invitation. Those who have registered with it stay."""
    invitation = await call.services.admission.require(of.id)
    call.services.admission.require_revocable(invitation)
    await call.record(invitation.id, f"{len(invitation.used)} of {invitation.uses} uses used")
    return ShownInvitation.of(await call.services.admission.revoke(invitation))


async def show_mode(call: Call, _: Nothing) -> Registration:
    """Show who may register."""
    admission = call.services.admission
    return Registration(
        mode=await admission.mode(),
        stored=admission.stored_mode or "",
        configured=call.services.config.registration.mode,
    )


def _set(mode: Mode | None) -> Callable[[Call, Nothing], Awaitable[Registration]]:
    async def set_mode(call: Call, nothing: Nothing) -> Registration:
        admission = call.services.admission
        admission.require_possible(mode)
        before = await admission.mode()
        await call.record("registration", f"{before} to {mode or 'the configured mode'}")
        await admission.set_mode(mode)
        return await show_mode(call, nothing)

    return set_mode


def _state(invitation: ServerInvitation, now: int) -> str:
    if invitation.revoked:
        return "revoked"
    if invitation.expires <= now:
        return "expired"
    return "usable" if invitation.left else "used up"


COMMANDS: Final[Mapping[str, Command]] = {
    "invitation create": Command(
        NewInvitation, "admin", create, "create a code with which people can register", acts=True
    ),
    "invitation list": Command(Page, "admin", list_all, "list the invitations, oldest first"),
    "invitation show": Command(
        OfInvitation, "admin", show, "show an invitation, and who has registered with it"
    ),
    "invitation revoke": Command(
        OfInvitation,
        "admin",
        revoke,
        "revoke an invitation, so that nobody else registers with it",
        acts=True,
    ),
    "registration show": Command(Nothing, "admin", show_mode, "show who may register"),
    "registration open": Command(
        Nothing, "admin", _set("open"), "open registration to everybody", acts=True
    ),
    "registration invite": Command(
        Nothing,
        "admin",
        _set("invite"),
        "restrict registration to people with an invitation",
        acts=True,
    ),
    "registration closed": Command(
        Nothing, "admin", _set("closed"), "close registration", acts=True
    ),
    "registration default": Command(
        Nothing, "admin", _set(None), "go back to the configuration's mode", acts=True
    ),
}
