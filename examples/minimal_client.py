"""The smallest client: Python's standard library and the frames of docs/reference/protocol.md.

    python minimal_client.py [HOST [PORT]]

It does the six functions: register, log in, see who is online, write to all, write to one person,
log out. It asks for no capabilities, so the server sends it messages and presence, and no more.
It speaks no TLS, so use it on the machine of the server: elsewhere others could read the password.
"""

import json
import socket
import sys
import threading
from typing import Any, BinaryIO

HELP = """\
register NAME PASSWORD    login NAME PASSWORD    who    logout    quit
all TEXT                  msg NAME TEXT"""


def send(connection: socket.socket, msg_type: str, **payload: str) -> None:
    """Send one frame: a length, then an envelope that holds the payload as JSON in a string."""
    body = json.dumps({"msg_type": msg_type, "msg_data": json.dumps(payload)}).encode()
    connection.sendall(len(body).to_bytes(4, "big") + body)


def receive(file: BinaryIO) -> tuple[str, dict[str, Any]] | None:
    """Return the next frame's type and payload, or None at the end."""
    header = file.read(4)
    body = file.read(int.from_bytes(header, "big"))
    if not body:
        return None
    envelope = json.loads(body)
    return envelope["msg_type"], json.loads(envelope["msg_data"])


def show(msg_type: str, payload: dict[str, Any]) -> str:
    """Put what the server says into words."""
    match msg_type, payload:
        case "message", {"to": to, "from": who, "text": text}:
            return f"{who} to {'all' if to == '#lobby' else to}: {text}"
        case "presence", _:
            news = [f"{person['name']} is online" for person in payload.get("online", [])]
            news += [f"{name} is offline" for name in payload.get("offline", [])]
            return ", ".join(news)
        case "people", {"people": people}:
            return "online now: " + ", ".join(person["name"] for person in people)
        case "error", {"text": text}:
            return f"error: {text}"
        case "bye", {"reason": reason}:
            return f"the server says goodbye: {reason}"
        case _:
            return msg_type.replace("_", " ")


def listen(connection: socket.socket) -> None:
    """Print what arrives. What others write is data: nothing of it may reach the terminal as a
    control character."""
    with connection.makefile("rb") as file:
        while (arrived := receive(file)) is not None:
            line = show(*arrived)
            print("".join(c if c.isprintable() else "�" for c in line), flush=True)


def obey(connection: socket.socket, line: str) -> None:
    """Carry out one command."""
    match line.split(maxsplit=2):
        case ["register" | "login" as what, name, password]:
            send(connection, what, name=name, password=password)
        case ["who" | "logout" as what]:
            send(connection, what)
        case ["all", *_]:
            send(connection, "send", to="#lobby", text=line[len("all ") :])
        case ["msg", name, text]:
            send(connection, "send", to=f"@{name}", text=text)
        case _:
            print(HELP, flush=True)


def main(host: str = "127.0.0.1", port: str = "8889") -> None:
    """Carry out what is typed, print what arrives."""
    with socket.create_connection((host, int(port))) as connection:
        listener = threading.Thread(target=listen, args=[connection])
        listener.start()
        for line in sys.stdin:
            if line.strip() == "quit":
                break
            obey(connection, line.strip())
        connection.shutdown(socket.SHUT_WR)  # nothing more to say; what is under way still comes
        listener.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
