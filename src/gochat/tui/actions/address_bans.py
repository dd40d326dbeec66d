"""Bans of addresses and networks, as an admin of the server sets and lifts them."""

from __future__ import annotations

import ipaddress
from datetime import timedelta

from gochat.client import AddressBan, Restriction, RoomBan
from gochat.tui.actions.reporting import Reporting
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.language import _, ngettext, pgettext
from gochat.tui.model.presentation import because, span
from gochat.tui.text.dates import date_and_time
from gochat.tui.text.sanitise import one_line


class AddressBanning(Reporting):
    """What is done to addresses; the base of :class:`~.moderation.RoomModeration`."""

    def ban_address(
        self, network: str, duration: timedelta | None = None, reason: str = ""
    ) -> None:
        """Ban an address or a network, after asking."""
        if self._administers():
            self._ask(self._ban_address(network, duration, reason))

    async def _ban_address(self, network: str, duration: timedelta | None, reason: str) -> None:
        shown = one_line(network)
        question = Confirm(
            _("Ban {address}?", address=shown)
            if duration is None
            else _("Ban {address} for {time}?", address=shown, time=span(duration)),
            pgettext("from the server", "Ban"),
            detail=_(
                "Nobody can connect from {where}, whoever they are, and those who are connected "
                "from there are disconnected.",
                where=_size(network),
            ),
        )
        if await self._view.app.push_screen_wait(question):
            await self._answer(self._client.ban_address(network, duration=duration, reason=reason))
            self.notify(_("{address} is banned.", address=shown))

    def unban_address(self, network: str) -> None:
        """Lift the ban of an address or a network."""
        if self._administers():
            self._do(
                self._client.unban_address(network),
                lambda: self.notify(
                    _("{address} is not banned any more.", address=one_line(network))
                ),
            )

    def show_address_bans(self) -> None:
        """List the addresses and networks that are banned; choosing one lifts the ban."""
        if self._administers():
            self._open_list(
                _("Banned addresses: Enter lifts a ban"),
                _("No address is banned."),
                self._address_bans(),
                self.unban_address,
                self._administration_refusal,
            )

    async def _address_bans(self) -> dict[str, str]:
        return {one.network: about_address_ban(one) for one in await self._client.address_bans()}

    def _administration_refusal(self) -> str:
        if self._model.role == "admin":
            return ""
        return _("Only admins of the server can do this.")

    def _administers(self) -> bool:
        if not (refusal := self._administration_refusal()):
            return True
        self.notify(refusal)
        return False


def about_address_ban(ban: AddressBan) -> str:
    """Return a ban in words: of what, until when, by whom and why."""
    return imposed(ban, one_line(ban.network))


def imposed(one: RoomBan | Restriction | AddressBan, what: str) -> str:
    """Return until when something holds, who did it, and why."""
    by = one_line(one.sender)
    if one.until is None:
        text = _("{what}, by {person}", what=what, person=by)
    else:
        until = date_and_time(one.until.astimezone(), year=True)
        text = _("{what} until {time}, by {person}", what=what, time=until, person=by)
    return because(text, one_line(one.reason))


def _size(network: str) -> str:
    """Return how many addresses a network has, so that nobody bans half the world by a typing
    error."""
    try:
        size = ipaddress.ip_network(network.strip(), strict=False).num_addresses
    except ValueError:
        return _("there")  # the server says what is wrong with it
    if size == 1:
        return _("this address")
    if size >= 10**9:
        return _("this very large network")
    return ngettext("this {n} address", "these {n} addresses", size)
