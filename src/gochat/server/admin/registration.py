"""The commands about who may register: the mode, and invitations to the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec import Struct

from gochat.chat.admission import Mode
from gochat.chat.admission_store import ServerInvitation
from gochat.server.admin.arguments import InvitationPage, NewInvitation, Nothing, OfInvitation
from gochat.server.admin.call import Call, Handler
from gochat.storage.common.clock import wall_clock

#: Milliseconds.
_DAY: Final = 24 * 3600 * 1000


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


async def list_all(call: Call, page: InvitationPage) -> ShownInvitations:
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


HANDLERS: Final[Mapping[str, Handler]] = {
    "invitation create": create,
    "invitation list": list_all,
    "invitation show": show,
    "invitation revoke": revoke,
    "registration show": show_mode,
    "registration open": _set("open"),
    "registration invite": _set("invite"),
    "registration closed": _set("closed"),
    "registration default": _set(None),
}
