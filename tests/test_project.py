"""The project itself: what its files promise, and what no reviewer sees at every change."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain, product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gochat import __version__
from gochat.config import KEYS

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: What installs packages, and with it all who copy from there.
INSTALLING = [
    ROOT / "Makefile",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "how-to" / "run-a-server.md",
    *(ROOT / ".github" / "workflows").glob("*.yml"),
]
#: The machines that the constraints are for, as the markers of requirements see them.
MACHINES = [
    {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": platform,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[platform],
        "os_name": "nt" if platform == "win32" else "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "extra": "",
    }
    for version, (platform, machine) in product(
        ("3.11", "3.12", "3.13", "3.14"),
        (
            ("linux", "x86_64"),
            ("linux", "aarch64"),
            ("darwin", "arm64"),
            ("darwin", "x86_64"),
            ("win32", "AMD64"),
        ),
    )
]


@cache
def files() -> tuple[Path, ...]:
    """What is part of the project: all files, without those that git ignores.

    Folders that git ignores are not entered: an environment has some 30,000 files.
    """
    patterns = [
        line.strip("/")
        for line in (ROOT / ".gitignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]

    def is_ignored(path: Path) -> bool:
        relative = path.relative_to(ROOT)
        return relative.parts[0] == ".git" or any(relative.match(one) for one in patterns)

    found: list[Path] = []
    folders = [ROOT]
    while folders:
        for path in folders.pop().iterdir():
            if is_ignored(path):
                continue
            if path.is_dir() and not path.is_symlink():
                folders.append(path)
            elif path.is_file():
                found.append(path)
    return tuple(sorted(found))


#: What is installed is asked for in many tests, and read from a file each time.
providers = cache(importlib.metadata.packages_distributions)
parsed = cache(Requirement)


@cache
def required_by(name: str) -> list[Requirement]:
    """Return what an installed package requires."""
    return [parsed(text) for text in importlib.metadata.requires(name) or []]


def load(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- what is written where ---------------------------------------------------------------------


def test_no_file_names_a_package_registry() -> None:
    """Packages come from wherever pip is set up to get them."""
    # Put together here, for this file is one of them.
    host = re.compile(
        "|".join(
            (
                r"pypi\." + r"(org|python)",
                r"pythonhosted\." + "org",
                r"registry\." + r"(npmjs|yarnpkg)",
                r"--(extra-)?index" + "-url",
                r"deb\." + r"debian\.org",
            )
        )
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        for match in host.finditer(path.read_bytes().decode(errors="replace"))
    ]
    assert not found


def test_no_text_was_left_for_later() -> None:
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        if path.suffix in {".py", ".md", ".sql", ".toml", ".yml", ".tcss", ".lua"}
        for match in words.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found


def test_every_text_ends_its_lines_as_unix_does() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in files()
        if path.suffix in {".py", ".md", ".toml", ".yml", ".txt"} and b"\r\n" in path.read_bytes()
    ]
    assert not found


# -- the documentation -------------------------------------------------------------------------


def test_links_lead_somewhere_and_made_parts_are_current() -> None:
    check: Any = load(ROOT / "docs" / "check.py")
    problems = (check.check_links(), check.check_named_files(), check.check_made_parts())
    assert [*chain(*problems), *check.check_schema()] == []


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        code = "\n".join(
            match[0]
            for match in re.finditer(
                r"^```.*?^```|`[^`\n]+`", path.read_text(encoding="utf-8"), flags=re.M | re.S
            )
        )
        for name in re.findall(r"(?:^|`)make ([a-z-]+)", code, flags=re.MULTILINE):
            assert name in targets, f"{path.relative_to(ROOT)}: make {name}"


def test_readme_says_first_how_to_chat_and_how_to_test() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    assert [line.split("#")[0].strip() for line in block[1].splitlines()] == [
        "make chat",
        "make test",
    ]


def test_every_configuration_key_says_what_it_is() -> None:
    for key in KEYS.values():
        assert key.description.endswith((".", ":", "`")), key.name


# -- the package -------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere() -> None:
    assert importlib.metadata.version("gochat") == __version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+?),", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


def test_what_is_imported_is_declared() -> None:
    """A package that is only there because another one needs it can be gone tomorrow."""
    for path in (ROOT / "src").rglob("*.py"):
        part = path.relative_to(ROOT / "src" / "gochat").parts[0]
        declared = {Requirement(text).name for text in requirements(*NEEDED_BY.get(part, ()))}
        for name in set(_imported(path)) - sys.stdlib_module_names - {"gochat"}:
            assert declared & {canonicalize_name(p) for p in providers()[name]}, f"{path}: {name}"


#: The extras that a package of the source may use; any other one is of the client.
NEEDED_BY = {
    "chat": ("server",),
    "cli": ("server", "tui"),
    "config": ("server",),
    "server": ("server",),
    "storage": ("server", "redis"),
    "tui": ("tui",),
}


def requirements(*extras: str) -> list[str]:
    """Return what the package requires, with these extras, without those that are its own."""
    optional = PYPROJECT["project"]["optional-dependencies"]
    texts = [
        *PYPROJECT["project"]["dependencies"],
        *(t for extra in extras for t in optional[extra]),
    ]
    return [text for text in texts if Requirement(text).name != "gochat"]


def others_than(*extras: str) -> set[str]:
    """Return the modules, of packages that are installed here, that these extras don't bring."""
    brought, waiting = set[str](), [parsed(text) for text in requirements(*extras)]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in brought and (requirement.marker is None or requirement.marker.evaluate()):
            brought.add(name)
            # With all its extras: too much, but none of it is of another extra of ours.
            waiting += required_by(name)
    return {
        module
        for module, packages in providers().items()
        if module != "gochat" and not brought & {canonicalize_name(p) for p in packages}
    }


def run_with_only(extras: Sequence[str], code: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run `code` as where only these extras are installed: nothing else can be imported."""
    program = (
        "import sys\n"
        f"others = {others_than(*extras)!r}\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in others:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program + code], stderr=subprocess.PIPE, text=True, timeout=60, **how
    )


@pytest.mark.parametrize(
    ("extras", "module"), [((), "gochat.client"), (("tui",), "gochat.tui.start")]
)
def test_a_bot_and_the_app_need_no_server(extras: tuple[str, ...], module: str) -> None:
    result = run_with_only(extras, f"import {module}\n")
    assert not result.returncode, result.stderr


@pytest.mark.parametrize(
    ("extras", "arguments", "missing"),
    [
        ((), ("tui",), "tui"),
        ((), ("serve",), "server"),
        ((), ("db", "check"), "server"),
        ((), ("chat",), "server,tui"),
        ((), ("check", "127.0.0.1:1", "--timeout", "0.1"), None),
        (("tui",), ("serve",), "server"),
        (("server",), ("tui",), "tui"),
        (("server",), ("db", "check"), None),
        (("server",), ("serve", "--store", "redis://127.0.0.1:1"), "redis"),
    ],
)
def test_what_is_not_installed_is_named_with_the_extra_that_brings_it(
    tmp_path: Path, extras: tuple[str, ...], arguments: tuple[str, ...], missing: str | None
) -> None:
    main = f"from gochat.cli import main\nsys.exit(main({list(arguments)!r}))\n"
    app_side, program_side = os.openpty()  # the app looks for its terminal first
    result = run_with_only(extras, main, cwd=tmp_path, stdin=program_side, stdout=program_side)
    os.close(app_side)
    os.close(program_side)
    assert "Traceback" not in result.stderr
    if missing is None:
        assert "installed" not in result.stderr
    else:
        assert f"install 'gochat[{missing}]'" in result.stderr
        assert result.returncode == 2


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize(
    ("command", "forbidden"),
    [
        ("serve", {"textual", "rich", "gochat.tui", "gochat.client"}),
        ("tui", {"argon2", "structlog", "gochat.server", "gochat.storage"}),
        ("db", {"textual", "rich", "gochat.tui", "gochat.client", "gochat.server"}),
    ],
)
def test_a_command_loads_nothing_of_the_others(command: str, forbidden: set[str]) -> None:
    """Run for real, as far as its flags: what is imported after that is the work itself."""
    program = (
        "import sys\n"
        "from gochat.cli import main\n"
        f"assert main([{command!r}, '--help']) == 0\n"
        "print(*(n for n, module in sys.modules.items() if module), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(result.stderr.split()) & forbidden == set()


def test_a_running_server_has_loaded_no_app(tmp_path: Path) -> None:
    program = (
        "import sys, trio\n"
        "from gochat.config import Config\n"
        "from gochat.server.app import serve\n"
        "async def main():\n"
        "    stop = trio.Event()\n"
        "    stop.set()\n"
        f"    await serve(Config(port=0, store='sqlite:///{(tmp_path / 'x.db').as_posix()}'),"
        " stop=stop)\n"
        "trio.run(main)\n"
        "print(*sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert "gochat.server.app" in loaded
    assert loaded & {"textual", "gochat.tui", "gochat.client", "anyio"} == set()


# -- the pinned versions -----------------------------------------------------------------------


def pinned(file: str, machine: dict[str, str] | None = None) -> dict[str, str]:
    """Return the versions that a file of constraints has for a machine, or this one, by name;
    checks that all have hashes."""
    option, *lines = (ROOT / file).read_text().replace("\\\n", "").split("\n")
    # What is not a wheel would be built, with packages that nobody has checked.
    assert option == "--only-binary :all:"
    found = {}
    for line in filter(None, lines):
        text, *hashes = re.split(r"\s+--hash=", line)
        assert hashes, line
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), line
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+( ;.*)?", text), line
        constraint = parsed(text)
        if constraint.marker is None or constraint.marker.evaluate(machine):
            assert constraint.name not in found, line
            found[constraint.name] = str(constraint.specifier).removeprefix("==")
    return found


def test_the_tools_need_the_same_of_everything_as_the_program() -> None:
    runtime = (ROOT / "constraints.txt").read_text().split("\n")
    assert set(runtime) <= set((ROOT / "constraints-dev.txt").read_text().split("\n"))


def test_whatever_is_installed_has_hashes() -> None:
    """By each command that the project runs or recommends. Only its own code has none."""
    for path in INSTALLING:
        text = path.read_text(encoding="utf-8")
        commands = re.findall(r"(?:pip install|@\$\(INSTALL\)) (.*)", text)
        assert commands, path
        for command in commands:
            # Both files are such that pip compares hashes, with `--require-hashes` or without.
            from_file = r"(--require-hashes )?(--requirement|-r) constraints(-dev)?\.txt"
            own = r"(--upgrade )?--no-deps --no-build-isolation (--editable |-e )?\."
            assert re.fullmatch(f"{from_file}|{own}", command), f"{path}: {command}"


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-dev.txt"])
@pytest.mark.parametrize(
    "machine",
    MACHINES,
    ids=lambda m: f"{m['python_version']}-{m['sys_platform']}-{m['platform_machine']}",
)
def test_constraints_are_what_is_installed_on_any_machine(
    file: str, machine: dict[str, str]
) -> None:
    """Followed through the requirements of what is installed here, read as that machine would.

    What only other machines install can't be followed further from here; what it needs in turn
    was resolved when the constraints were made.
    """
    groups = PYPROJECT["dependency-groups"]
    chosen = ["backend"] if file == "constraints.txt" else list(groups)
    texts = [
        *requirements("tui", "server", "redis"),
        *PYPROJECT["build-system"]["requires"],
        *(text for group in chosen for text in groups[group] if isinstance(text, str)),
    ]
    constraints = pinned(file, machine)
    is_complete = True
    waiting = [(parsed(text), frozenset[str]()) for text in texts]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement, extras = waiting.pop()
        marker = requirement.marker
        if marker is not None and not any(
            marker.evaluate({**machine, "extra": extra}) for extra in extras or {""}
        ):
            continue
        name = canonicalize_name(requirement.name)
        assert name in constraints, f"{requirement} is not pinned"
        assert requirement.specifier.contains(constraints[name], prereleases=True), (
            f"{name} is pinned to {constraints[name]}, but {requirement} is asked for"
        )
        wanted = frozenset(requirement.extras) | {""}
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            further = required_by(name)
        except importlib.metadata.PackageNotFoundError:
            is_complete = False
            continue
        waiting += [(one, wanted) for one in further]
    if is_complete:  # and nothing else: who chats needs no tools of the developers
        assert {name for name, _ in seen} == constraints.keys()


def test_what_is_installed_is_what_is_pinned() -> None:
    """So that a green run says something about the versions that others will get."""
    for name, version in pinned("constraints-dev.txt").items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert installed == version, name
