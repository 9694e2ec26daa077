"""Habits of the source that a glance at the syntax tree can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.source import Function, Module, definitions, docstrings, modules, product, report, repository_files

UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]).join([r"\b(", r")\b"]))
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def _broad(handler: ast.ExceptHandler) -> bool:
    names = [node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)] if handler.type else [""]
    return bool({"", "Exception", "BaseException"} & set(names))


def _idle(body: list[ast.stmt]) -> bool:
    """Whether a block does nothing that anyone could notice."""
    quiet = (ast.Pass, ast.Continue, ast.Break)
    return all(
        isinstance(node, quiet) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in body
    )


def _calls(module: Module, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in ENVIRONMENT and isinstance(node.value, ast.Name) and node.value.id == "os"
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and bool(ENVIRONMENT & {alias.name for alias in node.names})
    return False


def test_the_environment_is_read_in_settings_only() -> None:
    found = [
        f"{module.place}:{getattr(node, 'lineno', 0)}"
        for module in product()
        if module.name.split(".")[1:2] != ["settings"]
        for node in ast.walk(module.tree)
        if _reads_environment(node)
    ]
    assert not found, report("the environment is read once, in settings, and handed down", found)


def test_no_exception_is_swallowed() -> None:
    found = [
        f"{module.place}:{node.lineno}"
        for module in product()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and _broad(node) and _idle(node.body)
    ]
    found += [
        f"{module.place}:{node.lineno}"
        for module in product()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("suppress")
        and {"Exception", "BaseException"} & {ast.unparse(argument) for argument in node.args}
    ]
    assert not found, report("catch what you expect; a loop that must survive logs the cause", found)


def test_only_the_terminal_prints() -> None:
    found = [
        f"{module.place}:{call.lineno}"
        for module in product()
        if module.name.split(".")[1:2] != ["terminal"]
        for call in _calls(module, "print")
    ]
    assert not found, report("data and talk go through skep.terminal", found)


def test_what_is_public_has_a_docstring() -> None:
    """Inherited methods speak through their base; properties, dunders and nested functions need none."""
    found = []
    for module in product():
        if ".migrations.versions." in module.name:
            continue
        if ast.get_docstring(module.tree) is None and module.tree.body:
            found.append(f"{module.place} (module)")
        functions = {name for name, node in definitions(module.tree) if isinstance(node, Function)}
        for name, node in definitions(module.tree):
            inner = any(name.startswith(f"{outer}.") for outer in functions)
            private = any(part.startswith("_") for part in name.split("."))
            overrides = any("override" in ast.unparse(decorator) for decorator in node.decorator_list)
            if not (inner or private or overrides) and ast.get_docstring(node) is None:
                found.append(f"{module.place}:{node.lineno} {name}")
    assert not found, report("a public class or function has a docstring: its contract", found)


def test_nothing_is_left_unfinished() -> None:
    kinds = (".py", ".sql", ".sh", ".js", ".css", ".html", ".yaml", ".toml")
    found = [
        f"{path.name}:{number} {line.strip()[:80]}"
        for path in repository_files()
        if path.suffix in kinds
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not found, report("finish it, or write it where plans are kept", found)


def test_no_test_is_skipped() -> None:
    """What a machine may lack is installed by .ci/run; what takes long is a level (markers full, long)."""
    marks = {"skip", "skipif", "xfail", "importorskip"}
    found = [
        f"{module.place}:{node.lineno}"
        for module in modules("tests")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and node.attr in marks
        and ast.unparse(node.value) in ("pytest", "pytest.mark")
    ]
    assert not found, report("a test runs or does not exist", found)


_SQL = re.compile(
    r"^\s*(select\s+(\d|[\w.*,\s]+\bfrom\b)|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s+\w+\s*(where|;|$)|with\s+\w+\s+as\s*\()",
    re.IGNORECASE,
)


def _strings(module: Module) -> Iterator[tuple[int, str]]:
    """The string constants that are not docstrings."""
    spoken = docstrings(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in spoken:
            yield node.lineno, node.value if isinstance(node.value, str) else node.value.decode(errors="replace")


def test_sql_lives_in_sql_files() -> None:
    found = [
        f"{module.place}:{line} {' '.join(text.split())[:60]}"
        for module in product()
        if ".migrations." not in module.name
        for line, text in _strings(module)
        if _SQL.match(text)
    ]
    assert not found, report("a statement belongs in queries.sql, with a name and a sentence", found)


def test_every_statement_is_named_and_described() -> None:
    found = []
    for path in repository_files():
        if path.name != "queries.sql":
            continue
        head, *parts = re.split(r"^-- name: ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        place = "/".join(path.parts[-2:])
        names = [part.split("\n", 1)[0].strip() for part in parts]
        if re.sub(r"^--.*$", "", head, flags=re.MULTILINE).strip():
            found.append(f"{place}: something stands before the first name")
        found += [f"{place}: {name} stands twice" for name in set(names) if names.count(name) > 1]
        for name, part in zip(names, parts, strict=True):
            lines = part.split("\n")[1:]
            if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", name):
                found.append(f"{place}: {name} is not verb_object")
            if not lines or not re.match(r"-- [A-Z`].{10,}", lines[0]):
                found.append(f"{place}: {name} has no sentence below its name")
            body = re.sub(r"'(?:[^']|'')*'|^\s*--.*$", "", "\n".join(lines), flags=re.MULTILINE).strip()
            if not body:
                found.append(f"{place}: {name} has no statement")
    assert not found, report("-- name: verb_object, then what it is for, then the statement", found)
