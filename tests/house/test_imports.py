"""Who may import whom, beyond the layers that import-linter checks; and importing a module does nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.source import ROOT, SRC, Function, Module, parse, product, report

ASSEMBLED_BY = {
    "commands": "skep.cli",
    "routes": "skep.server",
    "pages": "skep.server",
    "tasks": "skep.app",
}
"""The files of a room that a face, or the composition root, puts together; to all others they are private too."""


def _exists(dotted: str) -> bool:
    path = SRC / dotted.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@cache
def _exported(package: str) -> frozenset[str]:
    """What a package's ``__all__`` lists; a function there may share its name with a submodule."""
    path = SRC / package.replace(".", "/") / "__init__.py"
    return frozenset(_bound(parse(path))[1] or ()) if path.exists() else frozenset()


def _imported(module: Module) -> Iterator[tuple[int, str]]:
    """Each module of ours that a module imports, with the line."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "skep")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "skep":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = _exists(inner) and alias.name not in _exported(str(node.module))
                yield node.lineno, inner if is_module else str(node.module)


@cache
def _is_room(package: str) -> bool:
    """Whether a package exports something; one whose ``__init__`` is empty is only a shelf of its room."""
    tree = ast.parse((SRC / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    return any(not isinstance(node, ast.Expr) for node in tree.body)


def _is_private_to(importer: str, imported: str) -> bool:
    parts = imported.split(".")
    if len(parts) == 3 and ASSEMBLED_BY.get(parts[-1]) in (importer, ".".join(importer.split(".")[:2])):
        return False
    packages = [".".join(parts[:depth]) for depth in range(2, len(parts))]
    rooms = [name for name in packages if name.count(".") == 1 or _is_room(name)]
    return any(importer != room and not importer.startswith(f"{room}.") for room in rooms)


def test_submodules_are_private() -> None:
    found = [
        f"{module.place}:{line} imports {name}"
        for module in product()
        for line, name in _imported(module)
        if _is_private_to(module.name, name)
    ]
    assert not found, report("from outside, a package is its __init__: export the name there, or leave it alone", found)


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The dotted names that import statements below a node ask for, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


def test_own_code_is_imported_at_the_top() -> None:
    found = {
        f"{module.place}:{line} {name}"
        for module in product()
        for function in ast.walk(module.tree)
        if isinstance(function, Function)
        for line, name in _names(function)
        if name.split(".")[0] == "skep"
    }
    assert not found, report(
        "an import inside a function hides a cycle: move what both need down a layer", sorted(found)
    )


def _bound(module: Module) -> tuple[set[str], list[str] | None]:
    """The names that a package's ``__init__`` binds, and its ``__all__`` (None: it has none)."""
    bound: set[str] = set()
    listed: list[str] | None = None
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, Function | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if "__all__" in names and node.value is not None:
                listed = list(ast.literal_eval(node.value))
            bound |= names - {"__all__"}
    return bound, listed


def test_each_package_says_what_it_exports() -> None:
    found = []
    for module in product():
        if not module.is_package or module.name == "skep" or not _is_room(module.name):
            continue
        bound, listed = _bound(module)
        if listed is None:
            found.append(f"{module.place} has no __all__")
        elif missing := {name for name in bound if not name.startswith("_")} - set(listed):
            found.append(f"{module.place}: bound but not in __all__: {', '.join(sorted(missing))}")
    assert not found, report("a package's __all__ is its contract", found)


def _declared() -> set[str]:
    """The distributions that pyproject.toml asks for, with those that their extras bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared: set[str] = set()
    for wanted in map(Requirement, project["dependencies"]):
        declared.add(canonicalize_name(wanted.name))
        needs = map(Requirement, metadata.requires(wanted.name) or [])
        declared |= {
            canonicalize_name(need.name)
            for need in needs
            for extra in wanted.extras
            if need.marker is not None and need.marker.evaluate({"extra": extra})
        }
    return declared


def test_every_foreign_import_is_a_declared_dependency() -> None:
    declared = _declared()
    provider = metadata.packages_distributions()
    known = {top for top, names in provider.items() if {canonicalize_name(name) for name in names} & declared}
    known |= {"skep", "__future__"} | set(sys.stdlib_module_names)
    found = {
        f"{module.place}: {name}"
        for module in product()
        for _, name in _names(module.tree)
        if name.split(".")[0] not in known
    }
    assert not found, report("name what you import in pyproject.toml, then ./check --lock", sorted(found))


_IMPORT_ALL = """
import importlib, json, os, sys, threading

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS = {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename",
          "os.rmdir", "os.system", "os.exec", "os.fork", "os.chmod", "os.chdir", "os.putenv", "_thread.start_new_thread"}
found = []

def ours():
    frame = sys._getframe(2)
    while frame is not None:
        if f"{os.sep}skep{os.sep}" in frame.f_code.co_filename and frame.f_code.co_filename.startswith(sys.argv[1]):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None

def watch(event, arguments):
    written = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
    if (written or event in EVENTS) and (place := ours()):
        found.append(f"{place} {event} {arguments[0]!r}")

sys.addaudithook(watch)
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except Exception as exc:
        found.append(f"{name} cannot be imported: {type(exc).__name__}: {exc}")
print(json.dumps(found))
"""


def test_importing_a_module_does_nothing() -> None:
    """All are imported in one process that watches for files written, sockets, processes and threads."""
    scripts = {"__main__", "env"}  # started by Python and by Alembic, never imported
    names = [module.name for module in product() if module.name.rpartition(".")[2] not in scripts]
    names = [name for name in names if ".migrations.versions." not in name]
    command = [sys.executable, "-B", "-I", "-c", f"import sys; sys.path.insert(0, {str(SRC)!r})\n{_IMPORT_ALL}"]
    child = subprocess.run([*command, str(SRC), *names], capture_output=True, text=True, timeout=50)
    assert child.returncode == 0, child.stderr
    found = [line.replace(str(ROOT) + "/", "") for line in json.loads(child.stdout.splitlines()[-1])]
    assert not found, report("a module is imported without network, disk, processes or threads", found)


def test_the_command_line_starts_as_a_file() -> None:
    """The launcher runs this file (3 ms faster than ``-m``); a spawned worker imports it again and must start nothing."""
    main = Path(SRC, "skep", "__main__.py")
    assert main.exists(), "./skep starts src/skep/__main__.py"
    tree = ast.parse(main.read_text(encoding="utf-8"))
    calls = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    assert not calls, "call main() only under `if __name__ == '__main__':`"
    assert 'if __name__ == "__main__":' in main.read_text(encoding="utf-8")
