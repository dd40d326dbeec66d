"""A Chromium, the page of examples/browser in it, and a server that it may connect to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from live_server import LiveServer, live_server
from msgspec import structs
from peers import config
from webdriver import Page, chromium

BROWSER = Path(__file__).parents[2] / "examples" / "browser"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The origin at which the page is served."""
    handler = partial(_Quiet, directory=str(BROWSER))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        thread = threading.Thread(target=web.serve_forever, name="web")
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as page:
        yield page


@pytest.fixture
def server(site: str) -> Iterator[LiveServer]:
    """A server for this test, which lets the page in."""
    with live_server(
        structs.replace(config(), websocket=True, websocket_origins=(site,))
    ) as server:
        yield server


@pytest.fixture
def page(browser: Page, site: str, server: LiveServer) -> Iterator[Page]:
    """The page, with nobody logged in. At its end, nothing must have gone wrong in it."""
    browser.open(f"{site}/")
    browser.run("sessionStorage.clear()")
    browser.open(f"{site}/")
    browser.click("summary")
    browser.fill("#server", server.url.replace("gochat://", "ws://"))
    yield browser
    # Connections that a test cuts, and favicons, are no errors of the page's.
    expected = ("WebSocket connection", "favicon.ico")
    assert [line for line in browser.errors() if not any(e in line for e in expected)] == []
