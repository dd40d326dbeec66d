"""Keep the documentation true: links lead somewhere, and what is made from the code is current.

``make docs`` checks, ``make docs-write`` writes the made parts anew. The pages are plain Markdown,
read where the code is; a site generator would add its own ways of linking and nothing that a
reader of the repository sees.

A made part stands between two comments::

    <!-- made from the code: configuration -->
    …
    <!-- end -->

One file is made as a whole: the schema of the protocol.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_MADE = re.compile(r"(<!-- made from the code: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def pages() -> list[Path]:
    """Return every Markdown file of the project, in order."""
    found = [ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), (ROOT / "examples").rglob("*.md")]
    return [page for pages_there in found for page in sorted(pages_there)]


def check_links() -> Iterator[str]:
    """Yield what is wrong with the links between the pages, and the pages that none leads to."""
    linked = {ROOT / "README.md"}
    for page in pages():
        for target in _links(page):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                yield f"{page.relative_to(ROOT)}: {target}: no such file"
                continue
            if file != page:
                linked.add(file)
            if anchor and file.suffix == ".md" and anchor not in _anchors(file):
                yield f"{page.relative_to(ROOT)}: {target}: no such heading"
    for page in pages():
        if (ROOT / "docs") in page.parents and page not in linked:
            yield f"{page.relative_to(ROOT)}: no page links to it"


def check_made_parts(*, write: bool = False) -> Iterator[str]:
    """Yield which made parts are out of date; with `write`, make them new instead."""
    made: set[str] = set()
    for page in pages():
        text = page.read_text(encoding="utf-8")
        made.update(part["name"] for part in _MADE.finditer(text))
        new = _MADE.sub(lambda part: part[1] + "\n" + MAKERS[part["name"]]() + "\n" + part[3], text)
        if new != text:
            if write:
                page.write_text(new, encoding="utf-8", newline="\n")
            else:
                yield f"{page.relative_to(ROOT)}: out of date; `make docs-write` makes it new"
    for name in sorted(set(MAKERS) - made):
        yield f"no page has the part that is made from the code: {name}"


def check_schema(*, write: bool = False) -> Iterator[str]:
    """Yield if the schema of the protocol is out of date; with `write`, make it new instead."""
    file = ROOT / "docs" / "reference" / "protocol.schema.json"
    new = make_schema()
    if not file.exists() or file.read_text(encoding="utf-8") != new:
        if write:
            file.write_text(new, encoding="utf-8", newline="\n")
        else:
            yield f"{file.relative_to(ROOT)}: out of date; `make docs-write` makes it new"


def check_pictures() -> Iterator[str]:
    """Yield the pictures that no page shows. Those that are shown and missing are broken links."""
    shown = {(page.parent / target).resolve() for page in pages() for target in _links(page)}
    for picture in sorted((ROOT / "docs" / "images").iterdir()):
        if picture not in shown:
            yield f"{picture.relative_to(ROOT)}: no page shows it"


def check_named_files() -> Iterator[str]:
    """Yield the files of the tests that a page names and that are not there."""
    for page in pages():
        for name in re.findall(r"`(tests/[\w./-]*)`", page.read_text(encoding="utf-8")):
            if not (ROOT / name).exists():
                yield f"{page.relative_to(ROOT)}: {name}: no such file"


def _links(page: Path) -> list[str]:
    return _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8")))


def _anchors(page: Path) -> set[str]:
    text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    anchors: set[str] = set()
    for heading in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        # As the forges do: lower case, signs dropped, each blank a hyphen.
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (f"{anchor}-{number}" if number else anchor) in anchors:
            number += 1
        anchors.add(f"{anchor}-{number}" if number else anchor)
    return anchors


# -- the made parts ----------------------------------------------------------------------------


def make_configuration() -> str:
    """All keys, a table per section."""
    from gochat.config import KEYS, LISTEN_KEYS, NEEDS_RESTART

    lines: list[str] = []
    section: str | None = None
    for key in (*KEYS.values(), *LISTEN_KEYS.values()):
        head, _, _ = key.name.rpartition(".")
        if head != section:
            section = head
            shown = "[[listen]]" if head == "listen" else f"[{head}]"
            lines += ["", f"### {shown}" if head else "### The server", ""]
            lines += ["| key | default | takes | what it is |", "|---|---|---|---|"]
        short = key.name.rpartition(".")[2]
        text = _cell(key.description) + " **Restart.**" * (key.name in NEEDS_RESTART)
        lines.append(f"| `{short}` | {_toml(key.default)} | {key.expected} | {text} |")
    return "\n".join(lines[1:]) + "\n"


def _toml(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def make_commands() -> str:
    """The flags of every command."""
    from gochat.cli import COMMANDS

    lines: list[str] = []
    for name, summary in COMMANDS.items():
        parser = argparse.ArgumentParser(prog=f"gochat {name}", add_help=False)
        import_module(f"gochat.cli.{name.replace('-', '_')}").add_arguments(parser)
        lines += ["", f"### gochat {name}", "", _sentence(summary), ""]
        lines += list(_describe_arguments(parser))
    return "\n".join(lines[1:]) + "\n"


def _describe_arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    # argparse prints help for people only, and each Python in another layout: hence its inside.
    actions = parser._actions
    plain = [a for a in actions if not isinstance(a, argparse._SubParsersAction)]
    if plain:
        yield "| argument | what it does |"
        yield "|---|---|"
    for action in plain:
        value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
        if action.choices and not action.metavar:
            value = "{" + ",".join(map(str, action.choices)) + "}"
        names = " ".join(
            [", ".join(action.option_strings), str(value)]
            if action.option_strings
            else [str(value)]
        ).strip()
        if not action.option_strings and action.nargs == "?":
            names = f"[{names}]"
        assert action.help, f"{parser.prog}: {names} has no help"
        text = action.help.replace("%%", "%").replace("%(default)s", str(action.default))
        yield f"| `{_cell(names)}` | {_cell(text)} |"
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, inner in action.choices.items():
                yield ""
                yield f"#### {parser.prog} {name}"
                yield ""
                yield _sentence(summaries.get(name, ""))
                yield ""
                yield from _describe_arguments(_without_help(inner))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _without_help(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser._actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    return parser


def make_exit_codes() -> str:
    """The exit codes, as the dispatcher names them."""
    from gochat import cli

    failed = (
        "not done, and trying again may help: no server or store answers, the store or the port is "
        "in use, a name can't be resolved, a file can't be written"
    )
    rows = (
        (cli.OK, "done"),
        (cli.FAILED, failed),
        (cli.USAGE, "the command or the configuration is wrong; trying again can't help"),
        (cli.CORRUPT, "the store is damaged, or of a newer gochat: starting again can't help"),
        (cli.INTERRUPTED, "ended by Ctrl+C"),
        (f"{cli.SIGNALLED} + n", "ended by signal n, as 143 by SIGTERM"),
    )
    return "\n".join(
        ["| code | meaning |", "|---|---|", *(f"| {code} | {text} |" for code, text in rows), ""]
    )


def make_exceptions() -> str:
    """The tree of exceptions, as its module draws it."""
    from gochat import errors

    return _drawn(errors.__doc__)


def make_client_exceptions() -> str:
    """The tree of what a client raises, as its module draws it."""
    from gochat.client import errors

    return _drawn(errors.__doc__)


def _drawn(docstring: str | None) -> str:
    assert docstring is not None
    tree = docstring.partition("::\n\n")[2].partition("\n\n")[0]
    return f"```\n{textwrap.dedent(tree)}\n```\n"


def make_error_classes() -> str:
    """The class of each code, in the client library."""
    from gochat.client.errors import CLASSES
    from gochat.errors import ErrorCode

    codes: dict[str, list[str]] = {}
    for code in ErrorCode:
        codes.setdefault(CLASSES[code].__name__, []).append(f"`{code}`")
    lines = ["| class | codes |", "|---|---|"]
    lines += [f"| `{name}` | {', '.join(its)} |" for name, its in codes.items()]
    return "\n".join(lines) + "\n"


def make_app_keys() -> str:
    """The keys of the app by action."""
    from gochat.tui.input import keys

    shown = keys.defaults()
    places = {
        "app": "everywhere",
        "chat": "in the chat",
        "input": "while writing",
        "message": "with a message selected",
    }
    lines = ["| key | does | where | action |", "|---|---|---|---|"]
    for action in keys.ACTIONS:
        name = "*fixed*" if action.fixed else f"`{action.name}`"
        lines.append(
            f"| {shown.all_shown(action.name)} | {action.label} | {places[action.scope]} | {name} |"
        )
    return "\n".join(lines) + "\n"


def make_app_commands() -> str:
    """The slash commands."""
    from gochat.tui.input.commands import COMMANDS

    lines = ["| command | does | also |", "|---|---|---|"]
    for command in COMMANDS:
        also = ", ".join(f"`/{alias}`" for alias in command.aliases)
        lines.append(f"| `{command.usage}` | {command.about} | {also} |")
    return "\n".join(lines) + "\n"


def make_app_settings() -> str:
    """The settings of the app, with their defaults."""
    from gochat.tui.dialogs.settings import TEXTS
    from gochat.tui.profile.preferences import Settings

    lines = ["| name | default | what it is |", "|---|---|---|"]
    for name in Settings.__struct_fields__:
        text, values = TEXTS[name]
        told = "; ".join(f"`{json.dumps(value)}`: {shown}" for value, shown in values.items())
        default = json.dumps(getattr(Settings(), name))
        lines.append(f"| `{name}` | `{default}` | {text}{f' ({told})' if told else ''} |")
    return "\n".join(lines) + "\n"


def make_schema() -> str:
    """The JSON Schema of all frames: types from the code, states and capabilities from the page."""
    from typing import get_args

    import msgspec

    from gochat.errors import ErrorCode
    from gochat.protocol import messages

    page = (ROOT / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")
    directions = {
        "request": get_args(messages.Request),
        "reply": get_args(messages.Reply),
        "event": get_args(messages.Event),
    }
    types = dict.fromkeys(cls for each in directions.values() for cls in each)
    _, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    for definition in definitions.values():
        del definition["description"]  # for who reads the code; the page is for all others
    frames: dict[str, dict[str, Any]] = {}
    for direction, its in directions.items():
        frames[direction] = {cls.msg_type: {"$ref": f"#/$defs/{cls.__name__}"} for cls in its}
    states = re.findall(r"^\| `(\w+)` \| (yes|no) \| (yes|no) \| (?:`(\w+)`|none)", page, re.M)
    for request, anonymous, logged_in, reply in states:
        frames["request"][request] |= {
            "anonymous": anonymous == "yes",
            "logged_in": logged_in == "yes",
            "reply": reply or None,
        }
    events = page[page.index("\n## Events\n") : page.index("\n## Parts\n")]
    for event, text in re.findall(r"^### `(\w+)`$(.*?)(?=^### |\Z)", events, re.M | re.S):
        needed = re.search(r"Only\s+with\s+the\s+capability\s+`(\w+)`", text)
        frames["event"][event]["capability"] = needed[1] if needed else None
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The frames of gochat's protocol",
        "description": (
            "The body of a frame is an envelope, which this schema describes. msg_data is the text "
            "of a payload: frames says, by direction and msg_type, which definition that follows. "
            "Of a request it also says in which states it is allowed and what answers it if not "
            "error; of an event, the capability without which it is not sent. protocol.md is "
            "normative; a field that is left out has its default. An integer is written without "
            "fraction or exponent, which a schema can't say: 1.0 is refused."
        ),
        "type": "object",
        "properties": {
            "msg_type": {"type": "string"},
            "msg_data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["msg_type", "msg_data"],
        "frames": frames,
        "capabilities": list(messages.Capability),
        "errors": list(ErrorCode),
        "goodbyes": list(messages.ByeReason),
        "$defs": definitions,
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def make_metrics() -> str:
    """All metrics, as a server with everything that can be measured has them."""
    from collections import Counter
    from dataclasses import replace
    from datetime import UTC, datetime
    from types import SimpleNamespace

    import trio

    from gochat.config import Config
    from gochat.histogram import SECONDS, Histogram
    from gochat.server.app import open_server
    from gochat.server.metrics.collector import Collector

    async def collect() -> list[Any]:
        async with open_server(Config(store="sqlite:///:memory:")) as server:
            store = server.services.store
            bus = SimpleNamespace(has_lease=True, nodes=2)
            having: Any = SimpleNamespace(health=store.health, unindexed=0, node_bus=bus)
            whole: Any = SimpleNamespace(
                services=replace(server.services, store=having),
                opened=Counter({("frames", "true"): 1}),
                handshakes_pending=0,
            )
            certificate: Any = SimpleNamespace(expires=datetime.now(UTC))
            return list(Collector(whole, Histogram(SECONDS), certificate, ROOT).collect())

    lines = ["| metric | type | labels | what it is |", "|---|---|---|---|"]
    for metric in trio.run(collect):
        name = metric.name + "_total" * (metric.type == "counter")
        labels = ", ".join(f"`{label}`" for label in getattr(metric, "_labelnames", ()))
        lines.append(f"| `{name}` | {metric.type} | {labels} | {_cell(metric.documentation)} |")
    return "\n".join(lines) + "\n"


def _made_permissions(name: str) -> Callable[[], str]:
    """Return the maker of a part of the table that the tests walk on a server."""

    def make() -> str:
        attacks = str(ROOT / "tests" / "attacks")
        if attacks not in sys.path:
            sys.path.append(attacks)
        return str(getattr(import_module("permissions"), name)())

    return make


MAKERS: dict[str, Callable[[], str]] = {
    "configuration": make_configuration,
    "commands": make_commands,
    "exit-codes": make_exit_codes,
    "metrics": make_metrics,
    "exceptions": make_exceptions,
    "client-exceptions": make_client_exceptions,
    "error-classes": make_error_classes,
    "app-keys": make_app_keys,
    "app-commands": make_app_commands,
    "app-settings": make_app_settings,
    "permissions": _made_permissions("make_requests"),
    "permissions-in-rooms": _made_permissions("make_rooms"),
    "permissions-by-mode": _made_permissions("make_modes"),
    "permissions-among-people": _made_permissions("make_people"),
}


def main() -> int:
    """Check, or write; return 1 if something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the made parts anew")
    write = parser.parse_args().write
    problems = [
        *check_made_parts(write=write),
        *check_schema(write=write),
        *check_links(),
        *check_named_files(),
        *check_pictures(),
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"Documentation: {len(pages())} pages, all links and made parts right.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
