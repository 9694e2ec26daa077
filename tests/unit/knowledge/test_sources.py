from __future__ import annotations

import pytest

from skep.knowledge import CollectionNameError, FolderGoneError, FolderTakenError
from skep.knowledge.sources import Place, SourceRow, can_be_stored, check_name, find_place, innermost, name_for


def source(collection: str, root: str, node: str = "here") -> SourceRow:
    return SourceRow(1, 1, collection, node, root, None)


SOURCES = [
    source("app", "/src/app"),
    source("lib", "/src/app/vendor/lib"),
    source("root", "/everything"),
    source("far", "/src/far", "elsewhere"),
]

PLACES: list[tuple[str, str | None, Place]] = [
    ("/src/app", None, Place("app", "/src/app", "")),
    ("/src/app/main.py", None, Place("app", "/src/app", "main.py")),
    ("/src/app/a/b", None, Place("app", "/src/app", "a/b")),
    ("/src/app/vendor", None, Place("app", "/src/app", "vendor")),
    ("/src/app/vendor/lib/x.py", None, Place("lib", "/src/app/vendor/lib", "x.py")),
    ("/src/app/vendor/lib/x.py", "app", Place("app", "/src/app", "vendor/lib/x.py")),
    ("/src/application", None, Place("application", "/src/application", "")),
    ("/new", None, Place("new", "/new", "")),
    ("/new", "app", Place("app", "/new", "")),
    ("/src/far", "mine", Place("mine", "/src/far", "")),
    ("/src/far/deep", None, Place("deep", "/src/far/deep", "")),
]


@pytest.mark.parametrize(("path", "collection", "place"), PLACES)
def test_what_a_path_means(path: str, collection: str | None, place: Place) -> None:
    assert find_place(path, SOURCES, node="here", collection=collection, is_there=bool) == place


def test_a_name_that_belongs_to_another_folder_is_taken() -> None:
    for path in ("/other/app", "/", "/src/far"):
        with pytest.raises(FolderTakenError) as failure:
            find_place(path, SOURCES, node="here", collection=None, is_there=bool)
        assert failure.value.fields["root"] in {"/src/app", "/everything", "/src/far"}


def test_a_name_of_a_folder_that_is_gone_says_so() -> None:
    with pytest.raises(FolderGoneError, match="/src/app, which is not there") as failure:
        find_place("/other/app", SOURCES, node="here", collection=None, is_there=lambda root: root != "/src/app")
    assert "skep purge app" in failure.value.fix_text
    # Of another machine nothing is known here.
    with pytest.raises(FolderTakenError):
        find_place("/other/far", SOURCES, node="here", collection=None, is_there=lambda _: False)


def test_the_root_of_all_can_be_a_folder_too() -> None:
    everything = [source("root", "/")]
    assert find_place("/", everything, node="here", collection=None, is_there=bool) == Place("root", "/", "")
    assert find_place("/a/b", everything, node="here", collection=None, is_there=bool) == Place("root", "/", "a/b")


@pytest.mark.parametrize(
    ("path", "root"),
    [("/src/app", "/src/app"), ("/src/app/x", "/src/app"), ("/src/app/vendor/lib/x", "/src/app/vendor/lib")],
)
def test_the_innermost_folder_counts(path: str, root: str) -> None:
    found = innermost(SOURCES, path, node="here")
    assert found is not None
    assert found.root == root


@pytest.mark.parametrize("path", ["/src", "/src/apple", "/src/far", "/"])
def test_outside_of_every_folder_there_is_none(path: str) -> None:
    assert innermost(SOURCES, path, node="here") is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/src/app", "app"),
        ("/src/my app", "my-app"),
        ("/src/.config", "config"),
        ("/src/a\nb", "a-b"),
        ("/src/-x-", "x"),
        ("/", "root"),
        ("/src/日本", "root"),
        ("/src/" + "x" * 300, "x" * 200),
    ],
)
def test_names_made_from_folders_can_be_names(path: str, name: str) -> None:
    assert name_for(path) == name
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-x", ".x", "a/b", "a b", "x" * 201, "a\n", "ä", "a\0"])
def test_other_texts_cannot(name: str) -> None:
    with pytest.raises(CollectionNameError):
        check_name(name)


@pytest.mark.parametrize(
    ("path", "possible"), [("a/b.py", True), ("ü", True), ("", True), ("a\0", False), ("\ud800", False)]
)
def test_paths_that_no_document_can_have(path: str, possible: bool) -> None:
    assert can_be_stored(path) is possible
