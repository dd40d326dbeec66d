"""Bans of networks: what people may write, which ban holds for an address, and who may set one."""

from __future__ import annotations

import ipaddress

import pytest

from gochat.chat.network_bans import (
    BannedNetworks,
    Change,
    address_of,
    parse,
    require_harmless,
    spoken,
)
from gochat.chat.restriction import Restriction
from gochat.chat.server_roles import Actor, ActorRole
from gochat.errors import ChatError

NOW = 1_000_000
FOREVER = Restriction(by="uid 0", role="owner", since=1)


def until(time: int) -> Restriction:
    return Restriction(by="uid 0", role="owner", since=1, until=time)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.0/24 ", "203.0.113.0/24"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ("::/0", "::/0"),
    ],
)
def test_networks_are_normalised(text: str, meant: str) -> None:
    assert spoken(parse(text)) == meant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "invalid network"),
        ("mallory", "invalid network"),
        ("203.0.113.0/33", "invalid network"),
        ("203.0.113", "invalid network"),
        ("fe80::1%eth0/64", "invalid network"),
        ("1" * 500, "invalid network"),
        ("203.0.113.7/24", "did you mean 203.0.113.0/24?"),
        ("2001:db8::1/64", "did you mean 2001:db8::/64?"),
    ],
)
def test_what_is_not_a_network_is_refused(text: str, says: str) -> None:
    with pytest.raises(ChatError, match=says.replace("?", r"\?")) as caught:
        parse(text)
    assert (caught.value.field, caught.value.details) == ("network", {"rule": "network"})


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.0/8", "0.0.0.0/0", "::1", "::/0", "::/8"])
def test_ban_of_loopback_is_refused(text: str) -> None:
    with pytest.raises(ChatError, match="server's own machine"):
        require_harmless(parse(text))


def test_ban_of_ones_own_address_is_refused() -> None:
    require_harmless(parse("203.0.113.0/24"), "198.51.100.1")
    require_harmless(parse("203.0.113.0/24"), "unix")
    for own in ("203.0.113.9", "::ffff:203.0.113.9"):
        with pytest.raises(ChatError, match="your own address"):
            require_harmless(parse("203.0.113.0/24"), own)


def test_ban_of_all_of_a_proxy_is_refused() -> None:
    """Its checks come from its own address; one client in a network of proxies is somebody else."""
    proxies = ("10.0.0.5", "10.1.0.0/16", "2001:db8::5", "::ffff:192.0.2.5")
    for network in ("10.0.0.5", "10.0.0.0/24", "10.0.0.0/8", "2001:db8::/32", "192.0.2.0/24"):
        with pytest.raises(ChatError, match="a proxy of this server"):
            require_harmless(parse(network), proxies=proxies)
    for network in ("10.0.0.6", "10.1.2.3", "10.1.128.0/17", "2001:db9::/32", "192.0.2.6"):
        require_harmless(parse(network), proxies=proxies)


def test_own_addresses_are_all_looked_at() -> None:
    with pytest.raises(ChatError, match="your own address"):
        require_harmless(parse("203.0.113.0/24"), "198.51.100.1", "unix", "203.0.113.9")


def test_bans_are_listed_in_order_in_pages_without_those_that_ended() -> None:
    networks = BannedNetworks(
        {
            "2001:db8::/32": FOREVER,
            "203.0.113.128/25": FOREVER,
            "203.0.113.0/24": until(NOW + 1),
            "203.0.113.0/25": until(NOW),
            "9.0.0.0/8": FOREVER,
        }
    )

    def page(after: str, limit: int, including: str = "") -> tuple[list[str], bool]:
        found, more = networks.page(
            parse(after) if after else None, limit, NOW, including=address_of(including)
        )
        return [str(network) for network, _ in found], more

    assert page("", 2) == (["9.0.0.0/8", "203.0.113.0/24"], True)
    assert page("203.0.113.0/24", 2) == (["203.0.113.128/25", "2001:db8::/32"], False)
    assert page("203.0.113.1", 9) == (["203.0.113.128/25", "2001:db8::/32"], False)
    assert page("", 1, "203.0.113.200") == (["203.0.113.0/24"], True)
    assert page("", 2, "203.0.113.200") == (["203.0.113.0/24", "203.0.113.128/25"], False)
    assert networks.of(parse("203.0.113.0/24")) == until(NOW + 1)
    assert networks.of(parse("203.0.113.0/26")) is None


def test_bans_are_replaced_by_others_and_what_is_new_is_returned() -> None:
    networks = BannedNetworks({"9.0.0.0/8": FOREVER, "203.0.113.0/24": FOREVER})
    changed = {"203.0.113.0/24": until(NOW + 1), "2001:db8::/32": FOREVER}
    assert networks.update(changed) == changed
    assert networks.update(dict(changed)) == {}
    assert networks.find("9.1.1.1", NOW) is None
    assert networks.find("203.0.113.9", NOW + 1) is None
    assert networks.find("2001:db8::1", NOW) == FOREVER
    found, more = networks.page(None, 9, NOW)
    assert ([str(network) for network, _ in found], more) == ([*changed], False)
    assert networks.update({}) == {}
    assert networks.page(None, 9, NOW) == ([], False)
    assert networks.find("2001:db8::1", NOW) is None
    many = {f"10.0.{number}.0/24": FOREVER for number in range(200)}
    assert networks.update(many) == many
    found, _ = networks.page(None, 300, NOW)
    assert [str(network) for network, _ in found] == [*many]


def test_one_more_of_many_bans_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"10.{number // 250}.{number % 250}.0/24": FOREVER for number in range(5000)}
    networks = BannedNetworks(many)
    parsed, parse_one = 0, ipaddress.ip_network

    def counted(text: str) -> object:
        nonlocal parsed
        parsed += 1
        return parse_one(text)

    monkeypatch.setattr(ipaddress, "ip_network", counted)
    assert networks.update(many | {"203.0.113.0/24": FOREVER}) == {"203.0.113.0/24": FOREVER}
    assert networks.update(many) == {}
    assert parsed == 2


def test_ban_that_lasts_longest_holds() -> None:
    networks = BannedNetworks(
        {
            "203.0.113.0/24": until(NOW + 1),
            "203.0.113.7/32": until(NOW + 2),
            "203.0.0.0/16": until(NOW),
            "2001:db8::/32": FOREVER,
            "2001:db8:1::/48": until(NOW + 1),
        }
    )
    for address, expected in {
        "203.0.113.7": until(NOW + 2),
        "::ffff:203.0.113.7": until(NOW + 2),
        "203.0.113.8": until(NOW + 1),
        "203.0.112.1": None,  # that one has ended
        "2001:db8:1::9": FOREVER,
        "2001:db8::9%eth0": FOREVER,
        "2001:db9::9": None,
        "unix": None,
        "?": None,
    }.items():
        assert networks.find(address, NOW) == expected, address
    assert networks.find("203.0.113.7", NOW + 2) is None


def test_everything_of_one_version_can_be_banned() -> None:
    networks = BannedNetworks({"0.0.0.0/0": FOREVER})
    assert networks.find("203.0.113.7", NOW) == FOREVER
    assert networks.find("::ffff:203.0.113.7", NOW) == FOREVER
    assert networks.find("2001:db8::1", NOW) is None


def made(role: ActorRole, before: Restriction | None, change: Change) -> Restriction | None:
    return change.made(Actor("Mei", role), before, NOW)


def test_only_admins_ban_networks_and_nobody_lifts_what_a_higher_role_has_set() -> None:
    ban, lift = Change(on=True, seconds=60, reason="spam"), Change(on=False)
    for role in ("member", "moderator"):
        with pytest.raises(ChatError, match="only an admin"):
            made(role, None, ban)
    one = Restriction(by="Mei", role="admin", since=NOW, until=NOW + 60_000, reason="spam")
    assert made("admin", None, ban) == one
    assert made("admin", one, lift) is None
    for change in (ban, lift):
        with pytest.raises(ChatError, match="set by uid 0, who has a higher role"):
            made("admin", FOREVER, change)
    assert made("admin", until(NOW), ban) == one  # that one has ended
    assert made("owner", one, Change(on=True)) == Restriction(by="Mei", role="owner", since=NOW)
    with pytest.raises(ChatError, match="at most 200 characters"):
        made("owner", None, Change(on=True, reason="x" * 201))
