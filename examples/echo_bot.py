"""A bot that answers every private message with the same words: echo_bot.py URL NAME PASSWORD"""

import sys

import anyio

from gochat.client import ChatError, Message, open_client


async def main(url: str, name: str, password: str) -> None:
    """Answer until the program is ended."""
    async with open_client(url) as client:
        try:
            await client.register(name, password)
        except ChatError as error:
            if error.code != "name_taken":
                raise
        await client.log_in(name, password)
        async for event in client.events():
            match event:
                case Message(kind="text", to=to, from_=who) if to[0] == "@" and who != client.name:
                    client.send(f"@{who}", event.text)


_, url, name, password = sys.argv
anyio.run(main, url, name, password)
