"""How long tests wait for expected events: one timeout for all."""

from __future__ import annotations

from typing import Final

#: Seconds after which an expected event will not come any more. Only a failing test waits this
#: long, so it costs nothing to give a busy machine all the time it needs.
PATIENCE: Final = 120.0
