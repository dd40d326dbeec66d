"""A Chromium that tests drive, by W3C WebDriver: JSON over HTTP to a chromedriver.

Both have to be on PATH; what is missing, or does not start, is an error that says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from children import child
from patience import PATIENCE
from redis_process import free_port

#: The key of an element's id in JSON, fixed by the standard.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

ENTER, ESCAPE, ARROW_DOWN = "\ue007", "\ue00c", "\ue015"
ALT = "\ue00a"


class WebDriverError(Exception):
    """The browser could not do what a test asked for."""


class Page:
    """The browser's one window. Elements are named by CSS selectors."""

    def __init__(self, session_url: str) -> None:
        self._url = session_url

    def open(self, url: str) -> None:
        """Load a page."""
        self._post("url", url=url)

    def reload(self) -> None:
        """Load the page again."""
        self._post("refresh")

    def click(self, selector: str) -> None:
        """Click an element."""
        self._post(f"element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into an element, after what it has."""
        self._post(f"element/{self._find(selector)}/value", text=text)

    def fill(self, selector: str, text: str) -> None:
        """Type into an element, in the place of what it has."""
        self._post(f"element/{self._find(selector)}/clear")
        self.type(selector, text)

    def press(self, *keys: str) -> None:
        """Press keys together, wherever the focus is."""
        actions = [{"type": "keyDown", "value": key} for key in keys]
        actions += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self._post("actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript, the body of a function, and return its result."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements, as the DOM has them."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
        return list(self.run(script, selector))

    def wait_until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait until a condition holds. Raises AssertionError, with what the page shows."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                shown = self.run("return document.body.innerText")
                raise AssertionError(f"{what or 'it'} did not happen; the page shows:\n{shown}")
            time.sleep(0.05)

    def wait_for(self, selector: str, text: str) -> None:
        """Wait until an element has a text, among others."""
        self.wait_until(
            lambda: any(text in one for one in self.texts(selector)), f"{text!r} in {selector}"
        )

    def errors(self) -> list[str]:
        """Return what the browser logged as severe since the last call: exceptions, violations."""
        return [entry["message"] for entry in self._post("se/log", type="browser")]

    def set_dark(self, is_dark: bool) -> None:
        """Emulate the system's setting."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._post(
            "goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": [feature]}
        )

    def _find(self, selector: str) -> str:
        found = self._post("element", using="css selector", value=selector)
        return str(found[_ELEMENT])

    def _post(self, command: str, **body: object) -> Any:
        return _post(f"{self._url}/{command}", body)


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Start a browser with an empty profile, in a directory that does not exist yet."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            raise WebDriverError(f"{name} is not on PATH: on Debian, apt install {name}")
    port = free_port()
    with subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as driver:
        child(driver)
        try:
            url = f"http://127.0.0.1:{port}"
            _until_ready(url, driver)
            session = _post(f"{url}/session", {"capabilities": {"alwaysMatch": _options(profile)}})
            session_url = f"{url}/session/{session['sessionId']}"
            try:
                yield Page(session_url)
            finally:
                _call(urllib.request.Request(session_url, method="DELETE"))
        finally:
            driver.kill()


def _options(profile: Path) -> dict[str, object]:
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--window-size=1280,900",
        f"--user-data-dir={profile}",
    ]
    return {
        "browserName": "chrome",
        "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": arguments},
        "goog:loggingPrefs": {"browser": "SEVERE"},
    }


def _until_ready(url: str, driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            _call(urllib.request.Request(f"{url}/status"))
        except OSError as error:
            if driver.poll() is not None:
                assert driver.stdout is not None
                raise WebDriverError(f"chromedriver ended: {driver.stdout.read()!r}") from error
            if time.monotonic() > deadline:
                raise WebDriverError(f"chromedriver does not answer: {error}") from error
            time.sleep(0.05)
        else:
            return


def _post(url: str, body: object) -> Any:
    data = json.dumps(body).encode()
    return _call(urllib.request.Request(url, data, {"Content-Type": "application/json"}))


def _call(request: urllib.request.Request) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        value = json.load(error)["value"]
        raise WebDriverError(f"{value['error']}: {value['message']}") from None
