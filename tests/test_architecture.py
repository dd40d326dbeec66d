"""What the packages may do and import: what import contracts can't hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "gochat"
#: Packages that make no I/O calls: the rules of the chat, and the protocol.
WITHOUT_IO = ("chat", "protocol")

#: Modules of which only these names may be used, in any package without I/O.
ALLOWED = {
    # Hashing passwords has threads of its own, with a priority of their own.
    "os": {"PRIO_PROCESS", "cpu_count", "getpriority", "setpriority"},
    "time": {"thread_time"},
    "trio": {
        "CancelScope",
        "CapacityLimiter",
        "Event",
        "TASK_STATUS_IGNORED",
        "TaskStatus",
        "current_time",
        "lowlevel",
    },
    "trio.lowlevel": {"TrioToken", "current_trio_token"},
}
#: Allowed calls: a table that the package brings, read once, when the module is imported.
EXCEPTIONS = {("chat/skeletons.py", "read_text")}
#: Modules that are of use only for I/O.
FORBIDDEN = {
    "anyio",
    "asyncio",
    "fcntl",
    "ftplib",
    "http",
    "io",
    "mmap",
    "multiprocessing",
    "pathlib",
    "redis",
    "select",
    "selectors",
    "shutil",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "urllib",
}
#: Functions and methods, whatever they are called on.
FORBIDDEN_CALLS = {
    "accept",
    "connect",
    "fdopen",
    "input",
    "open",
    "print",
    "read_bytes",
    "read_text",
    "receive_some",
    "recv",
    "send_all",
    "send_eof",
    "sendall",
    "sendto",
    "sleep",
    "sleep_forever",
    "sleep_until",
    "urlopen",
    "write_bytes",
    "write_text",
}


def io_in(source: str) -> list[str]:
    """What in a module does I/O, or could: one line for each place."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found += [name for name in names if name.partition(".")[0] in FORBIDDEN]
            found += [f"{alias.name} as {alias.asname}" for alias in node.names
                      if alias.asname and alias.name in ALLOWED]  # fmt: skip
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module.partition(".")[0] in FORBIDDEN:
                found.append(node.module)
            if node.module in ALLOWED:
                names = [alias.name for alias in node.names]
                found += [f"{node.module}.{n}" for n in names if n not in ALLOWED[node.module]]
        elif isinstance(node, ast.Attribute):
            module = ast.unparse(node.value)
            if module in ALLOWED and node.attr not in ALLOWED[module]:
                found.append(f"{module}.{node.attr}")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in FORBIDDEN_CALLS:
                found.append(name)
    return found


@pytest.mark.parametrize("package", WITHOUT_IO)
def test_package_makes_no_io_calls(package: str) -> None:
    found = {
        (path.relative_to(SOURCE).as_posix(), call)
        for path in (SOURCE / package).rglob("*.py")
        for call in io_in(path.read_text(encoding="utf-8"))
    }
    assert found == {each for each in EXCEPTIONS if each[0].startswith(f"{package}/")}


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "from ssl import SSLContext",
        "import os\nos.write(1, b'')",
        "from os import write",
        "import os as system",
        "import trio\nasync def f(): await trio.sleep(1)",
        "import trio\nasync def f(): await trio.to_thread.run_sync(f)",
        "from trio import open_tcp_stream",
        "import trio\nasync def f(s): await trio.lowlevel.wait_writable(s)",
        "import time\ntime.sleep(1)",
        "open('x')",
        "def f(path): return path.read_text()",
        "async def f(stream): await stream.send_all(b'')",
    ],
)
def test_io_is_found_wherever_it_is_planted(source: str) -> None:
    assert io_in(source)


# -- circles --------------------------------------------------------------------------------------


def modules_of(root: Path, package: str) -> dict[str, Path]:
    """The modules of a package by name."""
    paths = (root / package).rglob("*.py")
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


def imports_of(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """What a module imports of these: at any time, also in functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            each = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else node.module for name in each]
        # Importing a module runs the packages that it is in first.
        for name in names:
            parts = name.split(".")
            nested = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
            yield from (each for each in nested if each in modules)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules each of which imports, by whatever way, all others of its group."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for other in graph[waiting.pop()] - found:
                found.add(other)
                waiting.append(other)
        return found

    far = {module: reached(module) for module in graph}
    groups = {
        tuple(sorted(other for other in far[module] if module in far[other]))
        for module in graph
        if module in far[module]
    }
    return sorted(map(list, groups))


@pytest.mark.parametrize(("root", "package"), [(SOURCE.parent, "gochat"), (ROOT, "benchmarks")])
def test_no_modules_import_each_other(root: Path, package: str) -> None:
    """Not even through a function, or for types: then one of them is in the wrong place."""
    modules = modules_of(root, package)
    graph = {
        name: {
            other
            for other in imports_of(path, modules)
            if other != name and not name.startswith(f"{other}.")  # its own packages are there
        }
        for name, path in modules.items()
    }
    assert circles(graph) == []


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set[str]()}
    assert circles(graph) == [["b", "c"]]


def test_codes_of_errors_are_compared_by_value() -> None:
    """A code that a server has sent is a plain text, which equals a member but is none."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Attribute)
        and node.left.attr == "code"
        and any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops)
        and not any(isinstance(c, ast.Constant) and c.value is None for c in node.comparators)
    ]
    assert not wrong
