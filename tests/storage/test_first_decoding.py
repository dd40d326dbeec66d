"""Structs are ready to be decoded before there are threads.

msgspec collects what a struct is made of when it is first decoded, and another thread that decodes
it meanwhile crashes the process.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gochat.storage

FILES = sorted(Path(gochat.storage.__file__).parent.rglob("*.py"))

#: Fails if msgspec looks at the annotations of a struct, as it does when it first decodes one.
DECODING = """
import msgspec._utils
from gochat.chat.names import NameKey
from gochat.storage import redis
from gochat.storage.redis.people import decode_account
from gochat.storage.sqlite.history import _decode

looked = []

def note(frame, event, _):
    if event == "call" and frame.f_code is msgspec._utils.get_class_annotations.__code__:
        looked.append(event)

import sys
sys.setprofile(note)
row = (b"Mei", b"hash", b"1", b"1", b"member", b"0", b"active", None, None, None)
assert decode_account(NameKey("mei"), row).name == "Mei"
assert _decode(b'{"generations": []}').generations == []
assert not looked
"""


def test_first_account_is_decoded_like_the_next_ones() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DECODING], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_stores_decode_in_threads_has_a_decoder(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    prepared = {ast.unparse(call.args[0]) for call in calls if _name(call) == "Decoder"}
    for call in calls:
        keywords = {word.arg: ast.unparse(word.value) for word in call.keywords}
        if _name(call) == "decode":
            assert "type" not in keywords, f"{path}:{call.lineno}: make a Decoder when imported"
        if _name(call) == "convert" and ast.unparse(call.func) == "msgspec.convert":
            kind = keywords.get("type") or ast.unparse(call.args[1])
            assert kind in prepared, f"{path}:{call.lineno}: make a Decoder of {kind} when imported"


def _name(call: ast.Call) -> str | None:
    return call.func.attr if isinstance(call.func, ast.Attribute) else None
