"""Edges in the database are those that follow from the files, whatever was done to them before."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from skep.knowledge.chunking import parse_file
from skep.knowledge.edges import MAX_DEFINERS, MAX_IMPORTS, MAX_NAMES, Party, resolve
from skep.knowledge.neighbours import EdgeReader
from skep.knowledge.preparing import mentions_of
from tests.workspace import Workspace

Told = set[tuple[str, str, str, float]]
"""Edges by path: source, target, kind, weight."""


async def versions(workspace: Workspace) -> dict[int, str]:
    rows = await workspace.rows("select version_id, path from document where version_id is not null")
    return {int(str(version_id)): str(path) for version_id, path in rows}


async def last_seq(workspace: Workspace) -> int:
    ((seq,),) = await workspace.rows("select last_seq from collection where name = 'project'")
    return int(str(seq))


async def stored(workspace: Workspace, reader: EdgeReader | None = None) -> Told:
    """What the reader says of all files."""
    paths = await versions(workspace)
    collection_id = await workspace.collection_id(workspace.folder.name)
    reader = reader or EdgeReader(workspace.skep.database)
    found = await reader.neighbours(workspace.who.project_id, collection_id, await last_seq(workspace), list(paths))
    return {(paths[edge.source], paths[edge.target], edge.kind, edge.weight) for edge in found}


def expected(folder: Path) -> Told:
    """What follows from the files as they lie there."""
    parties: dict[int, Party] = {}
    paths: dict[int, str] = {}
    for number, file in enumerate(sorted(file for file in folder.rglob("*") if file.is_file())):
        path, text = file.relative_to(folder).as_posix(), file.read_text()
        parsed = parse_file(path, text)
        defined = frozenset(symbol.name for symbol in parsed.symbols)
        parties[number] = Party(mentions_of(path, text, parsed), defined)
        paths[number] = path
    return {(paths[edge.source], paths[edge.target], edge.kind, edge.weight) for edge in resolve(parties)}


FILES = {
    "src/shop/__init__.py": "from .cart import Cart\n",
    "src/shop/cart.py": "from shop.money import Money, round_up\n\n\nclass Cart:\n    def total(self):\n        return round_up(Money(1))\n",
    "src/shop/money.py": "class Money:\n    pass\n\n\ndef round_up(money):\n    return money\n",
    "tests/test_cart.py": "import shop\n\n\ndef test_total():\n    assert shop.Cart().total()\n",
    "docs/guide.md": "# Guide\n\nPrices are a `Money`, see [the cart](../src/shop/cart.py).\n",
}


async def fill(workspace: Workspace) -> None:
    for path, text in FILES.items():
        workspace.write(path, text)
    await workspace.index()


async def test_files_lead_to_what_they_import_use_test_and_mention(workspace: Workspace) -> None:
    await fill(workspace)
    cart, money, top = "src/shop/cart.py", "src/shop/money.py", "src/shop/__init__.py"
    assert await stored(workspace) == {
        (top, cart, "import", 1.0),
        (top, cart, "reference", 1.0),
        (cart, money, "import", 1.0),
        (cart, money, "reference", 2.0),
        ("tests/test_cart.py", top, "import", 1.0),
        ("tests/test_cart.py", cart, "test", 1.0),
        ("tests/test_cart.py", cart, "reference", 1.0),
        ("docs/guide.md", money, "mention", 1.0),
        ("docs/guide.md", cart, "mention", 1.0),
    }
    assert await stored(workspace) == expected(workspace.folder)
    assert await workspace.differences() == []


WORDS = ("load_rows", "RowReader", "save_rows", "open", "ROW_LIMIT", "Common")
PLACES = tuple(
    f"{folder}{stem}{ending}"
    for folder in ("", "src/", "src/deep/", "docs/")
    for stem, ending in (("rows", ".py"), ("test_rows", ".py"), ("index", ".ts"), ("rows", ".ts"), ("guide", ".md"))
)


def some_text(path: str, dice: random.Random) -> str:
    """A file that defines, imports, uses and mentions some of few names: so that much of it leads somewhere."""
    define, use, module = (
        dice.choice(WORDS),
        dice.choice(WORDS),
        dice.choice(("rows", "deep.rows", "src.rows", "guide")),
    )
    if path.endswith(".md"):
        return f"# About {define}\n\n`{use}` is in [a file](../src/{module.replace('.', '/')}.py).\n"
    if path.endswith(".ts"):
        target = dice.choice(("./rows", "..", "../rows", "./deep"))
        return f"import {{ {use} }} from '{target}'\nexport function {define}() {{ return {use}() }}\n"
    imported = dice.choice((f"from {module} import {use}", f"from .{module} import {use}", f"import {module}"))
    return f"{imported}\n\n\ndef {define}():\n    return {use}()\n"


async def test_edges_are_those_of_the_files_after_any_edits(workspace: Workspace) -> None:
    dice = random.Random(20_261_120)
    reader = EdgeReader(workspace.skep.database)
    kinds: set[str] = set()
    for _ in range(12):
        for _ in range(dice.randint(1, 6)):
            path = dice.choice(PLACES)
            existing = sorted(file for file in workspace.folder.rglob("*") if file.is_file())
            target = workspace.folder / path
            action = dice.choice(("write", "write", "copy", "move", "remove")) if existing else "write"
            target.parent.mkdir(parents=True, exist_ok=True)
            if action == "write":
                target.write_text(some_text(path, dice))
            elif action == "remove":
                dice.choice(existing).unlink()
            elif (source := dice.choice(existing)) != target:
                (shutil.copy if action == "copy" else shutil.move)(source, target)
        await workspace.index()
        found = await stored(workspace, reader)
        assert found == expected(workspace.folder)
        kinds |= {kind for _, _, kind, _ in found}
    assert kinds == {"import", "reference", "test", "mention"}
    await workspace.assert_true()


async def test_what_is_forgotten_is_not_led_to(workspace: Workspace) -> None:
    await fill(workspace)
    reader = EdgeReader(workspace.skep.database)
    before = await stored(workspace, reader)
    await workspace.skep.knowledge.forget(workspace.who, "project", "src/shop/money.py")
    after = await stored(workspace, reader)
    assert after == {edge for edge in before if "money" not in edge[0] + edge[1]}
    assert await workspace.differences() == []


async def test_edges_stay_inside_a_collection(workspace: Workspace) -> None:
    workspace.write("one/a.py", "import b\nprint(DeepThought)\n")
    workspace.write("two/b.py", "class DeepThought: pass\n")
    await workspace.index("one", collection="one")
    await workspace.index("two", collection="two")
    stranger = await workspace.new_principal()
    await workspace.index("two", collection="one", who=stranger)
    paths = await versions(workspace)
    reader = EdgeReader(workspace.skep.database)
    one = await workspace.collection_id("one")
    assert await reader.neighbours(workspace.who.project_id, one, 1, list(paths)) == []


async def test_others_see_no_edges_of_a_project(workspace: Workspace) -> None:
    await fill(workspace)
    paths = list(await versions(workspace))
    stranger = await workspace.new_principal()
    collection_id = await workspace.collection_id("project")
    reader = EdgeReader(workspace.skep.database)
    assert len(await reader.neighbours(workspace.who.project_id, collection_id, 1, paths)) == 9
    assert await reader.neighbours(stranger.project_id, collection_id, 1, paths) == []


async def test_the_reader_remembers_until_something_changes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(workspace)
    reader = EdgeReader(workspace.skep.database)
    first = await stored(workspace, reader)
    collection_id = await workspace.collection_id("project")
    ids, seq = list(await versions(workspace)), await last_seq(workspace)
    with monkeypatch.context() as patched:
        patched.setattr(type(workspace.skep.database), "fetch_tuples", None)
        assert len(await reader.neighbours(workspace.who.project_id, collection_id, seq, ids)) == len(first)
    workspace.write("src/shop/rounding.py", "def round_up(money):\n    return money\n")
    await workspace.index()
    assert ("src/shop/cart.py", "src/shop/rounding.py", "reference", 0.5) in await stored(workspace, reader)


async def test_a_file_full_of_names_costs_no_more_than_others(workspace: Workspace) -> None:
    names = [f"hostile_name_{number}" for number in range(40_000)]
    imports = "".join(f"import hostile_{number}.part\n" for number in range(5_000))
    workspace.write("a.py", imports + "\n".join(names))
    workspace.write("many.md", "# Names\n\n" + " ".join(f"`{name}`" for name in names[:20_000]))
    workspace.write("x" * 200 + "/" + "y" * 200 + "/" + "z" * 200 + ".py", "import a\n")
    await workspace.index()
    ((kept, imported),) = await workspace.rows("select max(cardinality(names)), max(cardinality(imports)) from mention")
    assert (kept, imported) == (MAX_NAMES, MAX_IMPORTS)
    assert await workspace.differences() == []


async def test_a_name_that_all_define_leads_nowhere(workspace: Workspace) -> None:
    for number in range(MAX_DEFINERS + 1):
        workspace.write(f"lib/part_{number}.py", "class CommonName: pass\n")
    workspace.write("user.py", "print(CommonName)\n")
    await workspace.index()
    assert await stored(workspace) == set()
    (workspace.folder / "lib/part_0.py").unlink()
    await workspace.index()
    assert len(await stored(workspace)) == MAX_DEFINERS


async def test_names_with_anything_in_them_can_be_stored(workspace: Workspace) -> None:
    workspace.write("back\\slash/new\nline.py", "from .ünï import Größe\nimport tab\n")
    workspace.write("back\\slash/ünï.py", "class Größe: pass\n")
    workspace.write("odd.js", "import { a } from './\x01\x1f'\nimport b from './\u2028'\n")
    await workspace.index()
    assert await workspace.differences() == []
    assert {edge[2] for edge in await stored(workspace)} == {"import", "reference"}
