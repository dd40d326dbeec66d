"""How long tests wait for what must come: one time for all of them."""

from __future__ import annotations

from typing import Final

#: Seconds after which something that a test waits for will not come any more. Only a test that
#: fails waits for so long, so it costs nothing that a busy machine has all the time it needs.
PATIENCE: Final = 120.0
