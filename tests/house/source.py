"""The repository as the house tests read it: its files, parsed once."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True)
class Module:
    """One Python file of the repository."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """The path below the repository, as messages show it."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def name(self) -> str:
        """The dotted name as imported, for a file below ``src``."""
        parts = self.path.relative_to(SRC).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_package(self) -> bool:
        """Whether this is an ``__init__.py``."""
        return self.path.name == "__init__.py"


@cache
def repository_files() -> tuple[Path, ...]:
    """Every file that is, or would be, in the repository: tracked or not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in sorted(set(listed.split("\0")) - {""}) if (path := ROOT / name).is_file())


@cache
def parse(path: Path) -> Module:
    """A file with its syntax tree."""
    text = path.read_text(encoding="utf-8")
    return Module(path, text, ast.parse(text, filename=str(path)))


def modules(*folders: str) -> tuple[Module, ...]:
    """The Python files below these folders of the repository."""
    return tuple(
        parse(path)
        for path in repository_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    )


def product() -> tuple[Module, ...]:
    """The modules of the product."""
    found = modules("src")
    assert found, "there is nothing below src"
    return found


def definitions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Every class and function below a node with its qualified name, outer before inner."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            yield f"{prefix}{child.name}", child
            yield from definitions(child, f"{prefix}{child.name}.")
        else:
            yield from definitions(child, prefix)


def docstrings(tree: ast.Module) -> set[int]:
    """The identities of the constants that are docstrings, also of attributes: a string that stands alone."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def report(rule: str, found: list[str]) -> str:
    """What a failing house test prints: the rule, then each place."""
    return "\n  ".join([f"{rule} ({len(found)} places)", *found])
