from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from skep.store import Queries

TEXT = """\
-- name: fetch_thing
-- One thing. Two sentences.
-- A second line.
select 1
-- why this matters
from thing; 

-- name: count_things
-- How many.
select count(*) from thing where note = '-- no comment';
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = "package_with_queries"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "queries.sql").write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    return name


def test_statements_by_name_without_comments(package: str) -> None:
    queries = Queries(package)
    assert list(queries) == ["fetch_thing", "count_things"]
    assert len(queries) == 2
    assert queries["fetch_thing"] == b"select 1\nfrom thing"
    assert queries["count_things"] == b"select count(*) from thing where note = '-- no comment'"


def test_an_unknown_name_is_a_key_error(package: str) -> None:
    with pytest.raises(KeyError):
        Queries(package)["nothing"]


def test_nothing_is_read_before_it_is_asked_for() -> None:
    queries = Queries("no_such_package_at_all")
    with pytest.raises(ModuleNotFoundError):
        len(queries)


@pytest.mark.parametrize("package", ["skep.access", "skep.knowledge", "skep.store", "skep.store.embedded"])
def test_no_statement_of_ours_ends_in_a_semicolon_or_is_empty(package: str) -> None:
    for name, statement in Queries(package).items():
        assert statement.strip(), name
        assert name.islower()
