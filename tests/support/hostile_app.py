"""The app on a real terminal, among people whose every text is an attack. Run as a script."""

from __future__ import annotations

import sys
from pathlib import Path

from gochat.client import ConnectionState, StateChanged
from gochat.tui.actions.session import Credentials
from gochat.tui.app import GochatApp
from gochat.tui.demo.scripted_client import ScriptedClient, opener
from gochat.tui.profile.state import StateDirectory

#: Each would have an effect on a terminal, a markup parser, or a reader.
ATTACKS = (
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]0;owned\x07",
    "\x1b]8;;https://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x1bP+q544e\x1b\\",
    "\x9b31mC1\x9d0;owned\x9c",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200e\u200f",
    "[red]markup[/red] [@click=app.quit]quit[/]",
    "\x00\x07\x08\x0b\x0c\r\x7f\x85",
    "zero\u200bwidth\u2060 a\u0300\u0300\u0300\u0300\u0300\u0300\u0300 \U000e0041",
)


def main() -> None:
    """Run the app until it quits."""
    client = ScriptedClient()
    for number, attack in enumerate(ATTACKS):
        client.arrive(f"p{number}{attack}"[:32])
        client.add_room(f"#r{number}{attack}"[:33], attack, joined=number % 2 == 0)
        client.record(f"#r{number}{attack}"[:33], f"p{number}{attack}"[:32], attack)
        client.record("#lobby", f"p{number}{attack}"[:32], attack)
        client.record("#lobby", "mei", attack, kind="react", ref=1)
        client.record(
            "#lobby", "mei", f"> {attack}\n```\n{attack}\n```\nhttps://a.example/{attack}"
        )
        client.record("#lobby", "mei", attack, kind="topic")
        client.record(f"@p{number}{attack}"[:33], f"p{number}{attack}"[:32], attack)
        client.emit(StateChanged(ConnectionState.RECONNECTING, None, attack))
    app = GochatApp(
        state=StateDirectory(Path(sys.argv[1])),
        open_client=opener(client),
        credentials=Credentials("gochat://127.0.0.1:8889", "ada", "a good password"),
    )
    app.run()


if __name__ == "__main__":
    main()
