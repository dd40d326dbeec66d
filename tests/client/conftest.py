"""What the client's tests share: both event loops."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each AnyIO test on asyncio and on Trio."""
    return str(request.param)
