"""An invitation to a server that does not run yet."""

from __future__ import annotations

from typing import Final

from gochat.chat.admission import digest_of
from gochat.chat.admission_store import ServerInvitation
from gochat.chat.bounds import MAX_LIFE, MAX_USES
from gochat.storage import open_store
from gochat.storage.common.clock import wall_clock

CODE: Final = "gci-0000-0000-0000-0000"


async def invite(store_url: str) -> None:
    """Put an invitation with :data:`CODE` into a store that no server uses."""
    digest, now = digest_of(CODE), wall_clock()
    assert digest is not None
    async with open_store(store_url) as store:
        invitation = ServerInvitation(
            digest=digest,
            maker=None,
            room=None,
            note="",
            uses=MAX_USES,
            created=now,
            expires=now + MAX_LIFE,
        )
        assert await store.admission.add(invitation)
