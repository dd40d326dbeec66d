"""Puts the app together and runs it."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from gochat.client import open_client
from gochat.tui import language
from gochat.tui.app import GochatApp
from gochat.tui.host import gc_pauses, multiplexers
from gochat.tui.host.pastes import keep_pastes_whole
from gochat.tui.host.terminal import (
    end_with_terminal,
    kept_title,
    locale_problem,
    replace_invalid_input,
    teach_legacy_keys,
)
from gochat.tui.profile import addresses, preferences
from gochat.tui.profile.preferences import Preferences
from gochat.tui.profile.state import StateDirectory, default_directory


def run_app(
    url: str | None,
    *,
    demo: bool,
    state_dir: Path | None,
    config: Path | None,
    chosen_language: str = "",
) -> int:
    """Run the app; return its exit code. `chosen_language` is for this run only.

    Raises:
        ConfigError: the configuration or the address can't be used.
    """
    teach_legacy_keys()
    replace_invalid_input()
    keep_pastes_whole()
    if demo:
        from gochat.tui.demo.conversation import demo_app

        with TemporaryDirectory(prefix="gochat-demo-") as directory:
            state = StateDirectory(Path(directory))
            return _run(demo_app(state, _preferences(state, config, chosen_language)))
    state = StateDirectory(state_dir or default_directory())
    server = addresses.complete(url) if url else None
    app = GochatApp(
        state=state,
        open_client=open_client,
        preferences=_preferences(state, config, chosen_language),
        server=server,
    )
    return _run(app)


def run_line_mode(
    url: str | None,
    *,
    name: str | None,
    state_dir: Path | None,
    config: Path | None,
    chosen_language: str = "",
) -> int:
    """Run the line mode; return its exit code. `chosen_language` is for this run only.

    Raises:
        ConfigError: the configuration or the address can't be used, or nobody can be logged in.
        GochatError: the server refused, or can't be reached.
    """
    from gochat.tui.plain.app import PlainApp, run_plain

    gc_pauses.is_loaded()
    state = StateDirectory(state_dir or default_directory())
    return run_plain(
        PlainApp(
            state=state, open_client=open_client,
            preferences=_preferences(state, config, chosen_language),
            server=addresses.complete(url) if url else None, name=name,
        )
    )  # fmt: skip


def _preferences(
    state: StateDirectory, config: Path | None, chosen_language: str = ""
) -> Preferences:
    """Return the preferences; from then on, everything is in the language that they say."""
    found = preferences.load(state, config)
    wanted = chosen_language or found.settings.language
    damage = language.use(wanted, preferences.own_translations(config))
    if found.problems:
        found = preferences.load(state, config)  # to say them in this language
    held_back = multiplexers.notification_problem() if found.settings.desktop else ""
    problems = (damage, locale_problem(), state.secure(), held_back)
    return dataclasses.replace(
        found, problems=(*(problem for problem in problems if problem), *found.problems)
    )


async def _run_until_signalled(app: GochatApp) -> None:
    # An exception from a signal handler can come anywhere in Textual, and then the threads that
    # read keys and write may never end.
    if sys.platform != "win32":
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                loop.add_signal_handler(number, _leave, app, number)
    await app.run_async()


def _leave(app: GochatApp, number: signal.Signals) -> None:
    app.keep_drafts()
    app.exit(return_code=128 + number)


def _run(app: GochatApp) -> int:
    gc_pauses.prepare()
    end_with_terminal(app.keep_drafts)
    with kept_title():
        asyncio.run(_run_until_signalled(app))
    # None: neither left nor failed in a task, so Textual's thread for keys has failed.
    return 1 if app.return_code is None else app.return_code
