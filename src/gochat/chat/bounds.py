"""Bounds of the chat's rules that the command line shows, too.

They are apart from the rules, so that it need not load those.
"""

from __future__ import annotations

from typing import Final

#: Largest values of a rule of retention (:mod:`gochat.chat.retention`): a century, and more entries
#: than a log can have.
MAX_DAYS: Final = 36_500
MAX_ENTRIES: Final = 1 << 31
#: Uses of an invitation to the server at most, and in milliseconds its longest life
#: (:mod:`gochat.chat.admission`).
MAX_USES: Final = 10_000
MAX_LIFE: Final = 366 * 24 * 3600 * 1000
#: Characters of a reason, and of a note on a report.
MAX_NOTE: Final = 200
#: The longest text of a network that can be banned, by far (:mod:`gochat.chat.network_bans`).
MAX_NETWORK: Final = 100
