"""A bot that reminds people of things: reminder_bot.py URL NAME PASSWORD

Write to it, or in a room that it was invited to: "remind me in 5 minutes to stretch".
"""

import re
import sys
from contextlib import suppress

import anyio

from gochat.client import AlreadyExists, Client, GochatError, Invited, Message, open_client

WISH = re.compile(r"remind me in (\d{1,3}) (second|minute|hour)s? to (.+)", re.IGNORECASE)
SECONDS = {"second": 1, "minute": 60, "hour": 3600}


async def remind(client: Client, message: Message, wish: re.Match[str]) -> None:
    """Show that it was understood, wait, and remind."""
    number, unit, what = wish.groups()
    with suppress(GochatError):  # only a courtesy
        await client.react(message, "⏰")
    await anyio.sleep(int(number) * SECONDS[unit.lower()])
    client.reply(message, f"@{message.sender} it is time to {what}", form="notice")


async def main(url: str, name: str, password: str) -> None:
    """Run until the program is ended."""
    async with open_client(url) as client, anyio.create_task_group() as tasks:
        with suppress(AlreadyExists):
            await client.register(name, password)
        await client.log_in(name, password)
        async for event in client:
            match event:
                case Message(is_own=False, form="text", text=text) if wish := WISH.fullmatch(text):
                    tasks.start_soon(remind, client, event, wish)
                case Invited(invitation):
                    await client.join(invitation.room)


_, url, name, password = sys.argv
anyio.run(main, url, name, password)
