"""What three kinds of people do first, on a real terminal and a real server.

As a whole, ``make journeys`` plays them in tmux.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from journeys import SCRIPTS, PtyTerminal, journey


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_journey_goes_as_it_is_written(name: str, tmp_path: Path) -> None:
    with journey(PtyTerminal, tmp_path) as played:
        played.play(SCRIPTS[name], whole=False)
