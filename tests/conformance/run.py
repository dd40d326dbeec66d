"""Check a server against the protocol: ``python tests/conformance/run.py HOST:PORT [CASE…]``.

Plays the clients of the cases in ``cases/``; ``README.md`` describes their format. Needs Python
3.11 and nothing else. With the package ``jsonschema`` each frame that arrives is also compared with
``docs/reference/protocol.schema.json``. The exit code is 1 if a case fails.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from matching import differences
from wire import Check, Connection, Failed, schema_check

HERE = Path(__file__).parent
#: Of everybody whom a case logs in.
PASSWORD = "correct horse battery"
#: Events that come at any time: where they are not expected, they are passed over.
PASSED_OVER = ("presence", "ping")


def load(folder: Path = HERE / "cases") -> dict[str, dict[str, Any]]:
    """Return all cases by name, ``file/name``."""
    files = {path.stem: json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))}
    return {
        f"{f}/{case['name']}": case for f, content in files.items() for case in content["cases"]
    }


class Run:
    """One case on one server."""

    def __init__(self, address: tuple[str, int], patience: float = 10, check: Check | None = None,
                 *, is_exact: bool = False) -> None:  # fmt: skip
        self.address, self.patience, self.check, self.is_exact = address, patience, check, is_exact
        self.connections: dict[str, Connection] = {}
        self.log: list[str] = []
        self.values: dict[str, Any] = {"password": PASSWORD}
        self.registered: set[str] = set()

    def play(self, case: dict[str, Any]) -> None:
        """Carry out all steps. Raises Failed."""
        mark = secrets.token_hex(4)
        self.values |= {name: f"{name}-{mark}" for name in case.get("names", ())}
        try:
            for number, step in enumerate(case["steps"], 1):
                try:
                    self.step(step)
                except (Failed, OSError, KeyError) as error:
                    what = "nothing came in time" if isinstance(error, TimeoutError) else error
                    text = json.dumps(step, ensure_ascii=False)[:400]
                    log = "".join(f"\n    {line}" for line in self.log[-12:])
                    raise Failed(f"step {number}: {text}\n  {what}{log}") from error
        finally:
            for connection in self.connections.values():
                connection.cut("close")

    def step(self, step: dict[str, Any]) -> None:
        """Carry out one step."""
        if "repeat" in step:
            for number in range(1, self.fill(step["repeat"]) + 1):
                self.values["i"] = number
                for inner in step["steps"]:
                    self.step(inner)
            return
        step = {key: self.fill(value) for key, value in step.items()}
        on: str = step.get("on") or step.get("connect") or step.get("login") or ""
        match step:
            case {"connect": _}:
                self.connections[on] = Connection(self.address, self.patience)
            case {"login": name}:
                self.log_in(name, on, step.get("caps"))
            case {"wait": seconds}:
                time.sleep(seconds)
            case {"send": [msg_type, *data]}:
                self.send(on, msg_type, data[0] if data else {})
            case {"send_text": [msg_type, text]}:
                self.write(on, json.dumps({"msg_type": msg_type, "msg_data": text}))
            case {"raw": text}:
                self.write(on, text, step.get("pad", 0), step.get("pieces", 0))
            case {"bytes": text}:
                self.log.append(f"{on} > bytes {text[:200]}")
                self.connections[on].socket.sendall(bytes.fromhex(text))
            case {"ask": [msg_type, *data]}:
                reply = self.ask(on, msg_type, data[0] if data else {})
                if "reply" in step:
                    self.compare(step["reply"], reply)
                elif reply[0] in ("error", "bye", "closed"):
                    raise Failed(f"refused: {reply}")
            case {"expect": expected}:
                self.compare(expected, self.receive(on, expected[0]))
            case {"expect_body": body}:
                envelope = json.loads(body)
                frame = [envelope["msg_type"], {"$only": json.loads(envelope["msg_data"])}]
                self.compare(frame, self.receive(on, frame[0]))
                if self.is_exact and self.connections[on].body != body:
                    raise Failed(f"got {self.connections[on].body}, not to the byte {body}")
            case {"expect_all": frames}:
                left = list(frames)
                while left:
                    got = self.receive(on, left[0][0])
                    if not (found := [frame for frame in left if not self.problem(frame, got)]):
                        raise Failed(f"got {got}, but expected one of {left}")
                    left.remove(found[0])
            case {"until": expected}:
                while problem := self.problem(expected, got := self.receive(on, expected[0])):
                    if got[0] == "closed":
                        raise Failed(problem)
            case {"quiet": seconds}:
                time.sleep(seconds)
                self.send(on, "ping", {"request_id": "quiet"})
                self.compare(["pong", {"request_id": "quiet"}], self.receive(on, "pong"))
            case {"closed": _}:
                self.compare(["closed"], self.receive(on, "closed"))
            case {"cut": how}:
                self.log.append(f"{on}   cut: {how}")
                self.connections[on].cut(how)
            case _:
                raise Failed("the runner knows no such step")

    def send(self, on: str, msg_type: str, data: dict[str, Any]) -> None:
        """Send an envelope."""
        text = json.dumps(data, ensure_ascii=False)
        self.write(on, json.dumps({"msg_type": msg_type, "msg_data": text}, ensure_ascii=False))

    def write(self, on: str, body: str, pad: int = 0, pieces: int = 0) -> None:
        """Send a frame, and note it."""
        self.log.append(f"{on} > {body[:300]}")
        self.connections[on].write(body, pad, pieces)

    def receive(self, on: str, wanted: str) -> list[Any]:
        """Return the next frame that is of this type, or is not passed over; note it."""
        while True:
            msg_type, payload = frame = self.connections[on].receive()
            self.log.append(f"{on} < {msg_type} {json.dumps(payload, ensure_ascii=False)[:300]}")
            if self.check is not None and msg_type != "closed":
                self.check(msg_type, payload)
            if msg_type == wanted or msg_type not in PASSED_OVER:
                return frame
            if msg_type == "ping":
                self.send(on, "pong", {})

    def ask(self, on: str, msg_type: str, data: dict[str, Any]) -> list[Any]:
        """Send a request and return its reply; the events before it are passed over."""
        request_id = secrets.token_hex(4)
        self.send(on, msg_type, {"request_id": request_id, **data})
        while True:
            frame = self.receive(on, "")
            if frame[0] in ("closed", "bye") or frame[1].get("request_id") == request_id:
                return frame

    def log_in(self, name: str, on: str, caps: list[str] | None) -> None:
        """Log a person in on a connection; open that, and register them, if it was not done."""
        if on not in self.connections:
            self.connections[on] = Connection(self.address, self.patience)
        account = {"name": self.values[name], "password": PASSWORD}
        if name not in self.registered:
            self.registered.add(name)
            self.compare(["registered"], self.ask(on, "register", account))
        reply = self.ask(on, "login", account if caps is None else {**account, "caps": caps})
        self.compare(["logged_in", {"name": account["name"]}], reply)
        self.values |= {f"{on}_token": reply[1]["token"], "limits": reply[1]["limits"]}

    def compare(self, expected: list[Any], got: list[Any]) -> None:
        """Raise Failed unless a frame is as expected."""
        if problem := self.problem(expected, got):
            raise Failed(problem)

    def problem(self, expected: list[Any], got: list[Any]) -> str:
        """Return how a frame differs from what is expected; if it doesn't, save values from it."""
        if got[0] != expected[0]:
            return f"expected {expected[0]}, got {got[0]} {got[1]}"
        saved: dict[str, Any] = {}
        for problem in differences(expected[1] if expected[1:] else {}, got[1], got[0], saved):
            return f"{problem}, in {got[1]}"
        self.values |= saved
        return ""

    def fill(self, value: Any) -> Any:
        """Put the values of variables, and what is computed, into a part of a step."""
        match value:
            case str():
                if whole := re.fullmatch(r"\$\{([\w.]+)\}", value):
                    return self.value(whole[1])
                return re.sub(r"\$\{([\w.]+)\}", lambda found: str(self.value(found[1])), value)
            case {"$repeat": [text, count]}:
                return self.fill(text) * self.fill(count)
            case {"$sum": terms}:
                return sum(map(self.fill, terms))
            case dict():
                return {key: self.fill(inner) for key, inner in value.items()}
            case list():
                return [self.fill(inner) for inner in value]
            case _:
                return value

    def value(self, path: str) -> Any:
        """Return a variable, or a field in one, as ``limits.burst``."""
        value: Any = self.values
        for name in path.split("."):
            value = value[name]
        return value


def main() -> int:
    """Run the cases whose names contain one of the arguments, or all; return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("cases", metavar="CASE", nargs="*", help="parts of names; default: all")
    parser.add_argument("--has", action="append", default=[], help="what cases need of a server")
    parser.add_argument(
        "--exact", action="store_true", help="as gochat writes it: to the byte, without defaults"
    )
    parser.add_argument("--patience", type=float, default=10.0, help="seconds to wait for a frame")
    args = parser.parse_intermixed_args()
    host, _, port = args.address.rpartition(":")
    if (check := schema_check(is_exact=args.exact)) is None:
        print("frames are not compared with the schema: there is no package jsonschema")
    passed = failed = left_out = 0
    for name, case in load().items():
        if not any(part in name for part in args.cases or [""]):
            continue
        if case.get("needs") not in (None, *args.has):
            left_out += 1
            continue
        run = Run((host.strip("[]"), int(port)), args.patience, check, is_exact=args.exact)
        try:
            run.play(case)
            passed += 1
        except Failed as failure:
            failed += 1
            print(f"FAILED {name}: {failure}\n", flush=True)
    print(f"{passed} passed, {failed} failed, {left_out} left out for what the server lacks")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
