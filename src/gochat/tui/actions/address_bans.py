"""Bans of addresses and networks, as an admin of the server sets and lifts them."""

from __future__ import annotations

import ipaddress
from datetime import timedelta

from gochat.client import AddressBan
from gochat.tui.actions.reporting import Reporting
from gochat.tui.dialogs.confirm import Confirm
from gochat.tui.dialogs.pickers import ActionMenu
from gochat.tui.model.presentation import span
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
        time = f" for {span(duration)}" if duration is not None else ""
        question = Confirm(
            f"Ban {one_line(network)}{time}?", "Ban",
            detail=f"Nobody can connect from {_size(network)}, whoever they are, and those who are "
            "connected from there are disconnected.",
        )  # fmt: skip
        if await self._view.app.push_screen_wait(question):
            await self._client.ban_address(network, duration=duration, reason=reason)
            self.notify(f"{one_line(network)} is banned.")

    def unban_address(self, network: str) -> None:
        """Lift the ban of an address or a network."""
        if self._administers():
            self._do(
                self._client.unban_address(network),
                lambda: self.notify(f"{one_line(network)} is not banned any more."),
            )

    def show_address_bans(self) -> None:
        """List the addresses and networks that are banned; choosing one lifts the ban."""
        if self._administers():
            self._ask(self._address_bans())

    async def _address_bans(self) -> None:
        bans = {one.network: about_address_ban(one) for one in await self._client.address_bans()}
        if not bans:
            self.notify("No address is banned.")
            return
        menu = ActionMenu("Banned addresses: Enter lifts a ban", bans)
        if (network := await self._view.app.push_screen_wait(menu)) is not None:
            self.unban_address(network)

    def _administers(self) -> bool:
        if self._model.role == "admin":
            return True
        self.notify("Only admins of the server can do this.")
        return False


def about_address_ban(ban: AddressBan) -> str:
    """Return a ban in words: of what, until when, by whom and why."""
    until = f" until {ban.until.astimezone():%d %b %Y %H:%M}" if ban.until is not None else ""
    reason = f": {one_line(ban.reason)}" if ban.reason else ""
    return f"{one_line(ban.network)}{until}, by {one_line(ban.sender)}{reason}"


def _size(network: str) -> str:
    """Return how many addresses a network has, so that nobody bans half the world by a typing
    error."""
    try:
        size = ipaddress.ip_network(network.strip(), strict=False).num_addresses
    except ValueError:
        return "there"  # the server says what is wrong with it
    if size == 1:
        return "this address"
    return f"these {size:,} addresses" if size < 10**9 else "this very large network"
