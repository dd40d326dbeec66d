"""The catalogues that come with the app: whole, current, and compiled."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import pytest
from babel.messages import Catalog
from babel.messages.mofile import read_mo
from messages import ROOT, catalogues, compiled, extracted, faults, new, placeholders, read, update

from gochat.errors import DETAILS
from gochat.tui.model import error_texts

SOURCE = ROOT / "src" / "gochat"
each = pytest.mark.parametrize("path", catalogues(), ids=lambda path: path.parents[1].name)

#: What messages are given to.
FUNCTIONS = {"_", "N_", "ngettext", "pgettext"}
T = TypeVar("T", bound=ast.AST)
Texts = dict[Any, Any]


def texts(catalogue: Catalog) -> Texts:
    """Return the messages with their translations."""
    return {(one.context, _forms(one.id)): _forms(one.string or "") for one in catalogue if one.id}


def _forms(text: Sequence[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


@pytest.fixture(scope="module")
def template() -> Catalog:
    """All messages of the code."""
    return extracted()


@each
def test_a_catalogue_has_the_messages_of_the_code(path: Path, template: Catalog) -> None:
    """After a change of texts, `make messages` brings it up to date."""
    catalogue = read(path)

    assert not catalogue.obsolete
    assert texts(catalogue).keys() == texts(template).keys()


@each
def test_everything_is_translated_with_its_placeholders(path: Path) -> None:
    assert not list(faults(read(path)))


@each
def test_the_compiled_catalogue_is_that_of_the_text(path: Path) -> None:
    """`make messages` compiles it."""
    shipped = read_mo(BytesIO(path.with_suffix(".mo").read_bytes()))

    assert texts(shipped) == texts(read_mo(BytesIO(compiled(read(path)))))


@each
def test_the_compiled_catalogue_does_not_depend_on_when_it_is_made(path: Path) -> None:
    """Else each run would change it."""
    earlier, later = read(path), read(path)
    earlier.creation_date = datetime(2001, 1, 1, tzinfo=UTC)

    assert compiled(earlier) == compiled(later)


def test_no_value_is_put_into_a_message_before_it_is_looked_up(template: Catalog) -> None:
    """What is looked up is a literal: no f-string, no concatenation, nothing computed; and it is in
    no f-string, where Babel does not see it."""
    wrong = []
    for file in sorted((SOURCE / "tui").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        within = {id(part) for text in _all(tree, ast.JoinedStr) for part in ast.walk(text)}
        for call in _all(tree, ast.Call):
            if isinstance(call.func, ast.Name) and call.func.id in FUNCTIONS:
                texts = [part for part in call.args[:2] if not isinstance(part, ast.Name)]
                is_computed = any(isinstance(part, ast.JoinedStr | ast.BinOp) for part in texts)
                is_hidden = id(call) in within and isinstance(call.args[0], ast.Constant)
                if is_computed or is_hidden:
                    wrong.append(f"{file.relative_to(ROOT)}:{call.lineno}")
    assert not wrong


def test_a_message_says_what_each_of_its_values_is(template: Catalog) -> None:
    names = [name for one in template if one.id for name, _ in placeholders(_forms(one.id)[-1])]

    assert names
    assert all(re.fullmatch(r"[a-z]+", name) for name in names)


def test_a_new_catalogue_has_all_messages(
    tmp_path: Path, template: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messages.LOCALE", tmp_path)
    catalogue = read(new("pt_BR"))
    update(catalogue, template)

    assert texts(catalogue).keys() == texts(template).keys()
    assert sum(1 for fault in faults(catalogue)) == len(template)
    with pytest.raises(SystemExit):
        new("klingon")


# -- errors ----------------------------------------------------------------------------------------


def test_the_values_of_refusals_are_those_that_servers_send() -> None:
    for (code, _rule), messages in error_texts._REFUSALS.items():
        known = {*DETAILS.get(code, ()), "until", "wait"}
        for message in messages:
            assert {name for name, _ in placeholders(message)} <= known, message


def test_each_refusal_that_the_protocol_lists_has_a_message() -> None:
    """But those that only programs meet, and those whose code says too little: their texts are
    messages."""
    of_programs = {
        *("frame_empty", "malformed", "cid_conflict", "out_of_order", "bad_cursor"),
        *("bad_request key", "bad_request one_of", "bad_request too_many"),
        *("name_taken", "bad_name", "not_permitted", "too_many", "bad_request", "busy", "blocked"),
        *("room_exists", "rate_limited per_second", "rate_limited request_budget"),
    }
    by_text = {"bad_credentials", "account_disabled", "registration_closed", "bad_invite"}
    page = (ROOT / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")
    rows = page.partition("## Errors")[2].partition("## Goodbyes")[0].splitlines()
    known = {f"{code} {rule}".strip() for code, rule in error_texts._REFUSALS}
    listed = set()
    for row in rows:
        if code := re.match(r"\| `(\w+)` \|", row):
            arguments = row.split(" | ")[2]
            rules = re.findall(r'"(\w+)"', re.sub(r'which is "\w+"', "", arguments))
            listed |= {code[1], *(f"{code[1]} {rule}" for rule in rules)}

    assert len(listed) > 70
    assert sorted(listed - known - of_programs - by_text) == []


def test_what_the_client_library_says_has_a_message() -> None:
    """Its errors have no code: they are recognised by their texts."""
    known = {_shape(text) for text in (*error_texts._TEXTS, *error_texts._TEMPLATES)}
    said = list(_raised(SOURCE / "client"))

    assert len(said) > 10
    assert [text for text in said if _shape(text) not in known] == []


def _raised(package: Path) -> Iterator[str]:
    """Yield the texts of the errors that people see, with placeholders for their values."""
    shown = {"ConnectionLost", "NotConnected", "ClientClosed", "OutboxFull", "AlreadyLoggedIn"}
    for file in sorted(package.glob("*.py")):
        for call in _all(ast.parse(file.read_text(encoding="utf-8")), ast.Call):
            is_shown = isinstance(call.func, ast.Name) and call.func.id in shown and call.args
            if is_shown and (text := _text(call.args[0])):
                yield text


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts
            )
        case ast.BinOp(left=left, op=ast.Add()):
            return _text(left) + "{}"
        case _:
            return ""


def _all(tree: ast.AST, kind: type[T]) -> Iterator[T]:
    return (node for node in ast.walk(tree) if isinstance(node, kind))


def _shape(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", text)
