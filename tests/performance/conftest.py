"""Which of these run where: the siege needs a whole network of loopback addresses."""

from __future__ import annotations

import sys

collect_ignore = [] if sys.platform == "linux" else ["test_siege.py"]
