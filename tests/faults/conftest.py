"""Which fault tests run where.

Most need a system that freezes processes, reports their memory and descriptors, and has a whole
network of loopback addresses. That is Linux, where servers run; elsewhere those are not collected.
The tests of the checker, of the proxy and of past findings run everywhere.
"""

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
