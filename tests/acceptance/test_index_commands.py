"""The commands of the index as people and programs call them: what they print, where, and how they exit."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from tests.command import Command, write

FILES = {
    "src/store.py": "class Store:\n    def get(self):\n        return 'heron'\n\n\ndef main():\n    return Store().get()\n",
    "src/retry.go": "package retry\n\nfunc Retry(times int) int {\n\treturn times // heron\n}\n",
    "docs/guide.md": "# Guide\n\nAbout the heron.\n\n## Retries\n\nThree times.\n",
    ".env": "PASSWORD=heron\n",
    ".gitignore": "*.log\n",
    "noise.log": "heron\n",
}

INDEX_FIELDS = {
    "collection",
    "root",
    "files_seen",
    "files_added",
    "files_changed",
    "files_removed",
    "files_unchanged",
    "files_failed",
    "files_skipped",
    "notices",
    "chunks_total",
    "chunks_new",
    "chunks_reused",
    "seconds",
}
RESULT_FIELDS = {
    "collection",
    "path",
    "start_line",
    "end_line",
    "symbol",
    "heading",
    "language",
    "kind",
    "score",
    "text",
}


def test_index_answers_with_what_it_did(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    done = skep_on("index", ".", "--json")
    answer = done.answer
    assert answer.keys() == INDEX_FIELDS
    assert answer["seconds"].keys() == {"walk", "parse", "store", "lexical", "total"}
    assert {name: answer[name] for name in ("collection", "files_seen", "files_added", "files_changed")} == {
        "collection": "project",
        "files_seen": 4,
        "files_added": 4,
        "files_changed": 0,
    }
    assert answer["files_failed"] == []
    assert answer["files_skipped"] == {"ignored": 1, "secret": 1}
    assert answer["notices"] == [{"path": ".env", "reason": "secret"}]
    assert answer["chunks_new"] == answer["chunks_total"] >= 4
    again = skep_on("index", ".", "--json").answer
    assert (again["files_unchanged"] + again["files_changed"], again["chunks_new"]) == (4, 0)
    (skep_on.folder / "docs/guide.md").unlink()
    assert skep_on("index", "docs", "--json").answer["files_removed"] == 1


@pytest.mark.measured
def test_index_speaks_to_people(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    done = skep_on("index", ".")
    assert done.out.startswith("project: 4 files seen, 4 added, 0 changed, 0 removed, 0 unchanged\n")
    assert "left out: 1 ignored, 1 secret" in done.out
    assert "not indexed because it may hold secrets (--json lists all):\n  .env: secret\n" in done.out
    assert done.err == ""


@pytest.mark.measured
def test_search_answers_with_passages(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    answer = skep_on("search", "heron", "--json").answer
    assert answer.keys() == {"results", "took_ms"}
    assert {result["path"] for result in answer["results"]} == {"src/store.py", "src/retry.go", "docs/guide.md"}
    for result in answer["results"]:
        assert result.keys() == RESULT_FIELDS
        lines = (skep_on.folder / result["path"]).read_text().split("\n")
        assert "\n".join(lines[result["start_line"] - 1 : result["end_line"]]).strip() == result["text"].strip()
    first = skep_on("search", "Store.get", "-k", "1", "--json").answer["results"]
    assert [(result["path"], result["language"], result["kind"]) for result in first] == [
        ("src/store.py", "python", "code")
    ]


@pytest.mark.parametrize(
    ("options", "paths"),
    [
        (["--language", "go"], {"src/retry.go"}),
        (["-l", "go", "-l", "markdown"], {"src/retry.go", "docs/guide.md"}),
        (["--path", "src/**"], {"src/retry.go", "src/store.py"}),
        (["-p", "*.md"], {"docs/guide.md"}),
        (["--kind", "docs"], {"docs/guide.md"}),
        (["--since", "2001-01-01", "--until", "2001-01-02"], set()),
        (["-k", "1", "--kind", "code", "--path", "**/retry.*"], {"src/retry.go"}),
    ],
)
def test_filters(skep_on: Command, options: list[str], paths: set[str]) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    answer = skep_on("search", "heron", "--json", *options).answer
    assert {result["path"] for result in answer["results"]} == paths


def test_explanations_end_at_the_score(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    for result in skep_on("search", "heron retries", "--explain", "--json").answer["results"]:
        assert result["explanation"][-1].keys() == {"rule", "effect", "score"}
        assert result["explanation"][-1]["score"] == pytest.approx(result["score"], abs=1e-5)


def test_search_inside_an_indexed_folder_searches_that_folder(skep_on: Command, tmp_path: Path) -> None:
    other, between = tmp_path / "other", tmp_path / "between"
    write(skep_on.folder, FILES)
    write(other, {"deep/er/b.py": "def heron(): pass\n"})
    between.mkdir()
    skep_on("index", skep_on.folder)
    skep_on("index", other)

    def collections(*options: str, cwd: Path) -> set[str]:
        found = skep_on("search", "heron", "--json", *options, cwd=cwd).answer["results"]
        return {result["collection"] for result in found}

    assert collections(cwd=other / "deep/er") == {"other"}
    assert collections(cwd=skep_on.folder / "src") == {"project"}
    assert collections(cwd=between) == {"project", "other"}
    assert collections("--all", cwd=other) == {"project", "other"}
    assert collections("-c", "project", cwd=other) == {"project"}
    link = tmp_path / "link"
    link.symlink_to(other)
    assert collections(cwd=link) == {"other"}
    (found,) = (skep_on("similar", "b.py:1", "--all", "--json", cwd=other / "deep/er", code=None).answer,)
    assert {result["collection"] for result in found["results"]} <= {"project", "other"}


@pytest.mark.measured
def test_similar_takes_the_paths_of_results_and_of_the_disk(skep_on: Command) -> None:
    write(skep_on.folder, FILES | {"src/twin.py": FILES["src/store.py"].replace("Store", "Shop")})
    skep_on("index", ".")
    for place, cwd in (("src/store.py:1", skep_on.folder), ("store.py:1", skep_on.folder / "src")):
        results = skep_on("similar", place, "--json", cwd=cwd).answer["results"]
        assert results[0]["path"] == "src/twin.py"
        assert ("src/store.py", 1) not in {(result["path"], result["start_line"]) for result in results}


@pytest.mark.measured
def test_status_and_verify_and_removal(skep_on: Command) -> None:
    assert skep_on("status", "--json").answer == {"collections": []}
    assert skep_on("status").out == "nothing is indexed yet: skep index .\n"
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    (status,) = skep_on("status", "--json").answer["collections"]
    assert status.keys() == {
        "collection",
        "sources",
        "files",
        "chunks",
        "languages",
        "last_seq",
        "lexical_seq",
        "lexical_state",
        "embeddings",
    }
    assert (status["files"], status["lexical_state"], status["last_seq"]) == (4, "current", status["lexical_seq"])
    assert [source["root"] for source in status["sources"]] == [str(skep_on.folder)]
    verified = skep_on("verify", "project", "--json").answer
    assert (verified["equal"], verified["collections"][0]["differences"]) == (True, [])
    assert skep_on("verify").out.startswith("project: equal to a build from scratch (4 files, ")

    removed = skep_on("forget", "project", "docs", "--json").answer
    counts = {"documents": 1, "versions": 0, "chunks": 0, "blobs": 0}
    assert removed == {"collection": "project", **counts, "notices": []}
    removed = skep_on("purge", "project", "src/retry.go", "--yes", "--json").answer
    assert (removed["documents"], removed["versions"], removed["blobs"]) == (1, 1, 1)
    assert {result["path"] for result in skep_on("search", "heron", "--json").answer["results"]} == {"src/store.py"}
    assert "erased 3 files of project" in skep_on("purge", "project", "-y").out
    assert skep_on("status", "--json").answer == {"collections": []}


@pytest.mark.measured
def test_purge_asks_first(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    done = skep_on("purge", "project", code=None)
    assert done.code not in (0, 4)
    assert "Erase project for good?" in done.err
    assert skep_on("status", "--json").answer["collections"][0]["files"] == 4


def test_verify_exits_1_on_any_difference(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    assert skep_on.url is not None
    with psycopg.connect(skep_on.url) as connection:
        connection.execute("update placement set end_line = end_line + 1 where ordinal = 0")
    answer = skep_on("verify", "--json", code=1).answer
    assert answer["equal"] is False
    assert answer["collections"][0]["differences_total"] >= 3
    assert "differences (4 files, " in skep_on("verify", code=1).out


ERRORS: list[tuple[int, str, list[str]]] = [
    (2, "command_usage", ["index"]),
    (2, "command_usage", ["index", ".", "--jobs", "0"]),
    (2, "command_usage", ["search"]),
    (2, "command_usage", ["search", "heron", "-k", "many"]),
    (2, "command_usage", ["serach", "heron"]),
    (1, "root_missing", ["index", "nowhere"]),
    (2, "root_is_file", ["index", "/etc/hostname"]),
    (2, "collection_name", ["index", ".", "--collection", "a/b"]),
    (2, "query_empty", ["search", "?!"]),
    (2, "top_k_out_of_range", ["search", "heron", "-k", "0"]),
    (2, "top_k_out_of_range", ["search", "heron", "-k", "1000000"]),
    (2, "unknown_filter", ["search", "heron", "--language", "klingon"]),
    (2, "unknown_filter", ["search", "heron", "--kind", "music"]),
    (2, "path_glob", ["search", "heron", "--path", "{{a}"]),
    (1, "collection_not_found", ["search", "heron", "-c", "nothing"]),
    (2, "location_invalid", ["similar", "src/store.py"]),
    (1, "document_not_found", ["similar", "src/nothing.py:1"]),
    (1, "collection_not_found", ["verify", "nothing"]),
    (1, "document_not_found", ["forget", "project", "nothing"]),
    (1, "collection_not_found", ["purge", "nothing", "--yes"]),
]


def test_errors_are_one_object_on_stdout_and_words_on_stderr(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    for number, (code, name, arguments) in enumerate(ERRORS):
        error = skep_on(*arguments, "--json", code=code).error
        assert error.keys() == {"code", "message", "fix", "fields"}
        assert (error["code"], error["message"] != "") == (name, True), arguments
        assert error["fix"], arguments
        if number % 5:
            continue  # the words are made in one place; a few of them are enough
        spoken = skep_on(*arguments, code=code)
        assert spoken.out == ""
        assert spoken.err.splitlines()[0] == f"error: {error['message']}", arguments
        assert "fix: " in spoken.err


@pytest.mark.measured
def test_before_anything_is_indexed(skep_on: Command) -> None:
    for arguments in (
        ["search", "heron"],
        ["similar", "a.py:1"],
        ["verify", "x"],
        ["forget", "x"],
        ["purge", "x", "-y"],
    ):
        error = skep_on(*arguments, "--json", code=1).error
        assert (error["code"], error["fix"]) == ("nothing_indexed", "Index a folder first: skep index .")


def test_a_reader_may_search_and_nothing_else(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    assert skep_on.url is not None
    with psycopg.connect(skep_on.url) as connection:
        connection.execute("update api_key set role = 'reader'")
    assert skep_on("search", "heron", "--json").answer["results"]
    for arguments in (["index", "."], ["forget", "project"], ["purge", "project", "-y"]):
        assert skep_on(*arguments, "--json", code=3).error["code"] == "role_too_low"
    (skep_on.data / "admin.key").chmod(0o644)
    assert skep_on("search", "heron", "--json", code=3).error["code"] == "key_file_unsafe"


def test_names_are_shown_so_that_they_can_do_no_harm(skep_on: Command) -> None:
    evil = b"evil\x1b[2J\nname\xff.py"
    (skep_on.folder / os.fsdecode(evil)).write_text("def heron(): pass\n")
    (skep_on.folder / "loop\x1b]0;title\x07").symlink_to("loop\x1b]0;title\x07")
    done = skep_on("index", ".")
    assert "\x1b" not in done.out + done.err
    done = skep_on("search", "heron")
    assert "\x1b" not in done.out
    assert r"evil\x1b[2J\nname\xff.py:1" in done.out
    (result,) = skep_on("search", "heron", "--json").answer["results"]
    assert result["path"] == "evil\x1b[2J\nname\\xff.py"
    assert "\x1b" not in skep_on("search", "no\x1bthing", "-c", "no\x1bthing", code=1).err


def test_arguments_that_are_no_text(skep_on: Command) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    assert skep_on("search", b"heron \xff\xfe", "--json").answer["results"]
    assert skep_on("search", b"\xff\xfe", "--json", code=2).error["code"] == "query_empty"
    assert skep_on("index", b"no\xffwhere", "--json", code=1).error["code"] == "root_missing"
    assert skep_on("forget", "project", b"no\xffthing", "--json", code=1).error["code"] == "document_not_found"
    os.mkdir(os.fsencode(skep_on.folder) + b"/fol\xffder")
    assert skep_on("index", b"fol\xffder", "--json").answer["files_seen"] == 0
    assert skep_on("index", b"fol\xffder", "-c", "raw", "--json").answer["root"].endswith(r"/fol\xffder")


def test_a_name_that_is_taken_is_said_with_a_way_out(skep_on: Command, tmp_path: Path) -> None:
    write(skep_on.folder, FILES)
    skep_on("index", ".")
    twin = tmp_path / "elsewhere" / "project"
    write(twin, FILES)
    error = skep_on("index", twin, "--json", code=1).error
    assert (error["code"], error["fields"]["root"]) == ("folder_taken", str(skep_on.folder))
    assert skep_on("index", twin, "--collection", "twin", "--json").answer["collection"] == "twin"
    assert skep_on("index", twin / "src", "--json").answer["collection"] == "twin"


def test_a_name_whose_folder_is_gone_is_free_again_once_it_is_purged(skep_on: Command, tmp_path: Path) -> None:
    before, after = tmp_path / "before" / "hive", tmp_path / "after" / "hive"
    write(before, FILES)
    skep_on("index", before)
    after.parent.mkdir()
    before.rename(after)
    error = skep_on("index", after, "--json", code=1).error
    assert (error["code"], error["fields"]["root"]) == ("folder_gone", str(before))
    assert "skep purge hive" in error["fix"]
    skep_on("purge", "hive", "--yes")
    assert skep_on("index", after, "--json").answer["collection"] == "hive"


def test_the_data_folder_is_never_indexed(skep_on: Command) -> None:
    inside = Command(skep_on.folder / "data", skep_on.folder, skep_on.url)
    write(skep_on.folder, FILES | {"data/heron.txt": "heron\n"})
    inside("index", ".")
    assert {result["path"].partition("/")[0] for result in inside("search", "heron", "--json").answer["results"]} == {
        "src",
        "docs",
    }


def test_what_is_no_folder_for_data_is_said(skep_on: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = Command(tmp_path / "file" / "data", skep_on.folder, skep_on.url)
    error = blocked("status", "--json", code=4).error
    assert (error["code"], error["fields"]["reason"]) == ("data_folder", "Not a directory")
    assert "--data-dir" in error["fix"]


def test_a_database_that_is_not_there_is_said(skep_on: Command) -> None:
    away = Command(skep_on.data, skep_on.folder, "postgresql://skep:hunter2@127.0.0.1:1/skep")
    done = away("search", "heron", "--json", code=4)
    assert done.error["code"] == "database_unavailable"
    assert "hunter2" not in done.out + done.err
