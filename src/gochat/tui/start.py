"""Puts the app together and runs it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from gochat.client import open_client
from gochat.tui import addresses, preferences
from gochat.tui.app import GochatApp
from gochat.tui.state import State, default_directory
from gochat.tui.terminal import kept_title, teach_legacy_keys


def run_app(url: str | None, *, demo: bool, state_dir: Path | None, config: Path | None) -> int:
    """Run the app; return its exit code.

    Raises:
        ConfigError: the configuration or the address can't be used.
    """
    teach_legacy_keys()
    if demo:
        from gochat.tui.demo import demo_app

        with TemporaryDirectory(prefix="gochat-demo-") as directory:
            app = demo_app(State(Path(directory)), preferences.load(State(Path(directory)), config))
            with kept_title():
                app.run()
            return app.return_code or 0
    state = State(state_dir or default_directory())
    server = addresses.complete(url) if url else None
    if server is not None:
        from gochat.client.address import parse

        parse(server)
    app = GochatApp(
        state=state,
        open_client=open_client,
        preferences=preferences.load(state, config),
        server=server,
    )
    with kept_title():
        app.run()
    return app.return_code or 0
