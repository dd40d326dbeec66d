"""Ask for as many pages of a list as are wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gochat.server.admin.wire import Reply

#: The arguments that continue a list, of which a command that lists something has one.
CURSORS: Final = ("after", "before")
#: Rows of a page at most: of each list.
MOST: Final = 500


def pages(ask: Callable[[Mapping[str, object]], Reply], cursor: str, limit: int) -> Reply:
    """Return a reply with `limit` rows of a list, or with all that there are.

    A page may have fewer rows than were asked for, or none, although there are more: so many the
    server looks at for one page. `next` is where the list continues.
    """
    whole: dict[str, Any] = {}
    more: dict[str, object] = {}
    while True:
        rows = next((len(rows) for rows in whole.values() if isinstance(rows, list)), 0)
        reply = ask(more | {"limit": min(max(limit - rows, 1), MOST)})
        if reply.error is not None:
            return reply
        for key, value in reply.result.items():
            whole[key] = whole.get(key, []) + value if isinstance(value, list) else value
        rows = next((len(rows) for rows in whole.values() if isinstance(rows, list)), 0)
        more = {cursor: reply.result["next"]}
        if rows >= limit or reply.result["next"] in ("", None):
            return Reply(ok=True, result=whole)
