"""Where the faults can be made: a system that freezes processes, tells of their memory and
descriptors, and has a whole network of loopback addresses. That is Linux, where servers run;
elsewhere, what needs it is not collected. The checker, the proxy and what was found is tested
everywhere."""

from __future__ import annotations

import sys

collect_ignore = (
    []
    if sys.platform == "linux"
    else [
        "test_hostile_peers.py",
        "test_invariant.py",
        "test_server_and_peers.py",
        "test_slow_disk.py",
    ]
)
