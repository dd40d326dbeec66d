"""Tokens: their form, what they are worth, and for how long."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final

import pytest
from storing import Clock, person
from talking import World

from gochat.chat import tokens as module
from gochat.chat.accounts import Identity
from gochat.chat.conversations import LOBBY_KEY
from gochat.chat.token import MAX_DEVICES, MAX_PROGRAMS
from gochat.chat.tokens import PROGRAM_LIFETIME, TOKEN_LIFETIME, IssuedToken, Tokens
from gochat.errors import ChatError, StoreUnavailable

pytestmark = pytest.mark.trio

MEI = Identity(person("Mei"), "Mei")
BOB = Identity(person("Bob"), "Bob")
DAY: Final = 24 * 3600 * 1000


@pytest.fixture
def tokens(world: World, clock: Clock) -> Tokens:
    return Tokens(world.store, clock)


async def code(attempt: Callable[..., object], *args: object) -> str:
    """Return the code with which `attempt` is refused."""
    with pytest.raises(ChatError) as caught:
        await attempt(*args)  # type: ignore[misc]  # any of several methods
    return str(caught.value.code)


async def for_program(tokens: Tokens, lifetime: int = DAY) -> IssuedToken:
    return await tokens.issue_for_program(
        MEI, "10.0.0.1", device="bot", scopes=["read"], rooms=[LOBBY_KEY], lifetime=lifetime
    )


async def test_token_identifies_its_owner_until_it_expires(tokens: Tokens, clock: Clock) -> None:
    token = await tokens.issue(MEI)
    assert await tokens.resume(token.text) == (MEI, token, False)
    clock.now = token.expires
    assert await code(tokens.resume, token.text) == "bad_token"


async def test_token_used_all_the_time_is_written_once_a_day(
    tokens: Tokens, clock: Clock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await tokens.issue(MEI)
    renew, written = world.store.renew_token, 0

    async def counted(token_id: bytes, expires: int, address: str) -> bool:
        nonlocal written
        written += 1
        return await renew(token_id, expires, address)

    monkeypatch.setattr(world.store, "renew_token", counted)
    for _ in range(10 * 40):
        clock.now += DAY // 10
        await tokens.resume(token.text)
    assert clock.now > token.expires
    assert written == 40
    (kept,) = await tokens.tokens(MEI)
    assert clock.now - kept.seen <= DAY
    monkeypatch.setattr(world.store, "renew_token", _down)
    expires = (await tokens.resume(token.text)).token.expires
    clock.now = expires - 1
    await tokens.resume(token.text)  # the store can't be written: still valid
    clock.now = expires
    assert await code(tokens.resume, token.text) == "bad_token"


async def _down(*_: object) -> bool:
    raise StoreUnavailable("down")


async def test_programs_token_ends_at_its_time_however_much_it_is_used(
    tokens: Tokens, clock: Clock
) -> None:
    token = await for_program(tokens, lifetime=3 * DAY)
    for _ in range(5):
        clock.now += DAY // 2
        assert (await tokens.resume(token.text)).token.expires == token.expires
    (kept,) = await tokens.tokens(MEI)
    assert (kept.device, kept.scopes, kept.rooms) == ("bot", ("read",), (LOBBY_KEY,))
    assert clock.now - kept.seen < DAY
    clock.now = token.expires
    assert await code(tokens.resume, token.text) == "bad_token"


async def test_token_at_a_new_address_is_reported_once(tokens: Tokens) -> None:
    token = await tokens.issue(MEI, "10.0.0.1", is_login=True)
    addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.1", "10.0.0.3"]
    moved = [(await tokens.resume(token.text, address)).is_new_address for address in addresses]
    assert moved == [False, True, False, False, True], "the first is known by a login"


async def test_programs_token_elsewhere_than_where_it_was_made_is_reported(tokens: Tokens) -> None:
    token = await for_program(tokens)
    assert not (await tokens.resume(token.text, "10.0.0.1")).is_new_address
    assert (await tokens.resume(token.text, "10.0.0.9")).is_new_address


@pytest.mark.parametrize("is_program", [False, True])
async def test_token_issued_by_a_fast_clock_is_not_valid_for_years(
    tokens: Tokens, clock: Clock, is_program: bool
) -> None:
    async def issue() -> IssuedToken:
        return (
            await for_program(tokens, PROGRAM_LIFETIME) if is_program else await tokens.issue(MEI)
        )

    start = clock.now
    clock.now = start + 10 * PROGRAM_LIFETIME
    jumped = await issue()
    assert (await tokens.resume(jumped.text)).who == MEI
    clock.now = start
    assert await code(tokens.resume, jumped.text) == "bad_token"
    token = await issue()
    clock.now = start - TOKEN_LIFETIME // 2
    assert (await tokens.resume(token.text)).who == MEI, "the clock is behind: no harm"


async def test_tokens_are_long_random_and_stored_only_as_digests(tokens: Tokens) -> None:
    issued = [await tokens.issue(MEI) for _ in range(20)]
    assert len({token.text for token in issued}) == 20
    for token in issued:
        assert token.text.startswith("gct_")
        data = urlsafe_b64decode(token.text[4:])
        assert (data[:16], len(data)) == (token.id, 48)
        assert data[16:] not in (token.kept.digest, token.kept.id)
    by_digest = "gct_" + urlsafe_b64encode(issued[0].id + issued[0].kept.digest).decode()
    assert await code(tokens.resume, by_digest) == "bad_token"


async def test_only_the_right_secret_belongs_to_an_id(tokens: Tokens) -> None:
    one, other = await tokens.issue(MEI), await tokens.issue(BOB)
    a, b = (urlsafe_b64decode(token.text[4:]) for token in (one, other))
    for mixed in (a[:16] + b[16:], a[:16] + bytes(32), a[:47] + bytes([a[47] ^ 1])):
        text = "gct_" + urlsafe_b64encode(mixed).decode()
        assert await code(tokens.resume, text) == "bad_token"
    assert (await tokens.resume(one.text)).who == MEI


async def test_secrets_are_compared_in_constant_time(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(module, "compare_digest", compare)
    token = await tokens.issue(MEI)
    await tokens.resume(token.text)
    assert compared == [(token.kept.digest, token.kept.digest)]


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "gct_", "gct_x", "x" * 68, "x" * 256, "\x00", "密", "gct_密" + "x" * 63),
        *("gct_" + "A" * 63, "gct_" + "A" * 65, "gct_" + "A" * 64 + "=", "GCT_" + "A" * 64),
        *(
            "gct_" + "A" * 63 + "+",
            "gct_" + "A" * 63 + "/",
            "gct_" + "A" * 62 + "\n ",
            "gct_\ud800",
        ),
    ],
)
async def test_invalid_token_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(ChatError) as caught:
        await tokens.resume(text)
    assert (caught.value.code, caught.value.field) == ("bad_token", "token")


async def test_only_the_revoked_token_is_refused(tokens: Tokens) -> None:
    one, other = await tokens.issue(MEI), await tokens.issue(MEI)
    assert not await tokens.revoke(BOB, one.id)
    assert await tokens.revoke(MEI, one.id)
    assert not await tokens.revoke(MEI, one.id)
    assert await code(tokens.resume, one.text) == "bad_token"
    await tokens.resume(other.text)
    third = await tokens.issue(MEI)
    assert await tokens.revoke_others(MEI, third.id) == [other.id]
    assert await code(tokens.resume, other.text) == "bad_token"
    await tokens.resume(third.text)


async def test_another_device_replaces_the_one_not_used_for_longest(
    tokens: Tokens, clock: Clock
) -> None:
    first = await tokens.issue(MEI)
    clock.now += 1
    second = await tokens.issue(MEI)
    for _ in range(MAX_DEVICES - 2):
        clock.now += DAY
        assert (await tokens.issue(MEI)).replaced == ()
    await tokens.resume(first.text)
    assert (await tokens.issue(MEI)).replaced == (second.id,)
    await tokens.resume(first.text)
    assert await code(tokens.resume, second.text) == "bad_token"


async def test_one_program_too_many_is_refused(tokens: Tokens) -> None:
    for _ in range(MAX_PROGRAMS):
        await for_program(tokens)
    assert await code(for_program, tokens) == "bad_request"
