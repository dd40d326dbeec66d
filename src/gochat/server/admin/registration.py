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
        Meta(ge=1, le=MAX_LIFE // _DAY, description="after how many days it expires (default: 7)"),
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

    id: Annotated[str, Meta(max_length=200, description="its id, as the list has it")]


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
    def of(cls, one: ServerInvitation) -> Shown:
        """Return what a list shows of an invitation."""
        return cls(
            id=one.id,
            state=_state(one, wall_clock()),
            used=len(one.used),
            uses=one.uses,
            maker=one.maker or "(owner)",
            room=one.room or "",
            created=one.created,
            expires=one.expires,
            note=one.note,
        )


class ShownInvitation(Shown, frozen=True, kw_only=True):
    """An invitation, with the accounts that were made with it."""

    accounts: tuple[str, ...]

    @classmethod
    def of(cls, one: ServerInvitation) -> ShownInvitation:
        """Return all that is shown of an invitation."""
        shown = Shown.of(one)
        fields = {name: getattr(shown, name) for name in Shown.__struct_fields__}
        return cls(**fields, accounts=one.used)


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
    one = draft.invitation
    for_ = f", to {one.room}" if one.room else ""
    by = f", of {one.maker}" if one.maker else ""
    await call.record(one.id, f"{one.uses} uses, {new.days} days{for_}{by}")
    await call.services.admission.add(one)
    return Made(code=draft.code, id=one.id, uses=one.uses, expires=one.expires, room=one.room or "")


async def list_all(call: Call, page: Page) -> ShownInvitations:
    """List invitations."""
    found = list(await call.services.admission.all())
    places = {one.id: place for place, one in enumerate(found)}
    start = places.get(page.after, -1) + 1
    now = wall_clock()
    wanted = [one for one in found[start:] if one.is_good(now) or not page.usable]
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
    one = await call.services.admission.require(of.id)
    call.services.admission.require_revocable(one)
    await call.record(one.id, f"{len(one.used)} of {one.uses} uses used")
    return ShownInvitation.of(await call.services.admission.revoke(one))


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


def _state(one: ServerInvitation, now: int) -> str:
    if one.revoked:
        return "revoked"
    if one.expires <= now:
        return "expired"
    return "usable" if one.left else "used up"


COMMANDS: Final[Mapping[str, Command]] = {
    "invitation create": Command(
        NewInvitation, "admin", create, "make a code with which people can register", acts=True
    ),
    "invitation list": Command(Page, "admin", list_all, "list the invitations, oldest first"),
    "invitation show": Command(
        OfInvitation, "admin", show, "show an invitation, and who has registered with it"
    ),
    "invitation revoke": Command(
        OfInvitation, "admin", revoke, "let nobody register with an invitation any more", acts=True
    ),
    "registration show": Command(Nothing, "admin", show_mode, "say who may register"),
    "registration open": Command(
        Nothing, "admin", _set("open"), "let everybody register", acts=True
    ),
    "registration invite": Command(
        Nothing, "admin", _set("invite"), "let those register who have an invitation", acts=True
    ),
    "registration closed": Command(
        Nothing, "admin", _set("closed"), "let nobody register", acts=True
    ),
    "registration default": Command(
        Nothing, "admin", _set(None), "go back to the configuration's mode", acts=True
    ),
}
