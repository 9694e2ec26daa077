from __future__ import annotations

import pytest

from skep.knowledge.chunking import CHUNKER_VERSION, language_of, parse_file
from skep.knowledge.models import KINDS, ChunkDraft

STATEMENT = "    value = compute(value, 'some words of argument', 12345)\n"
BRACED = STATEMENT.replace("'", '"').replace("\n", ";\n")


def texts(path: str, text: str) -> list[str]:
    return [chunk.text for chunk in parse_file(path, text).chunks]


def function(name: str, statements: int, head: str = "") -> str:
    return f"{head}def {name}(value):\n{STATEMENT * statements}\n\n"


def chunk_with(chunks: tuple[ChunkDraft, ...], words: str) -> ChunkDraft:
    found = [chunk for chunk in chunks if words in chunk.text]
    assert len(found) == 1
    return found[0]


def test_the_version_is_a_short_word() -> None:
    assert CHUNKER_VERSION
    assert CHUNKER_VERSION.isalnum()


def test_definitions_of_middle_size_get_a_passage_each() -> None:
    parsed = parse_file("a.py", function("first", 10) + function("second", 10) + function("third", 10))
    assert [chunk.symbol for chunk in parsed.chunks] == ["first", "second", "third"]
    assert [chunk.text.split("(")[0] for chunk in parsed.chunks] == ["def first", "def second", "def third"]


def test_small_definitions_share_a_passage() -> None:
    parsed = parse_file("a.py", function("first", 2) + function("second", 2))
    assert [(chunk.start_line, chunk.end_line, chunk.symbol) for chunk in parsed.chunks] == [(1, 8, "first")]


def test_a_definition_a_little_over_the_target_stays_whole() -> None:
    assert len(texts("a.py", function("whole", 15))) == 1


def test_a_large_definition_is_cut_between_statements_and_keeps_its_name() -> None:
    parsed = parse_file("a.py", "class Large:\n" + "".join(f"    {line}\n" for line in function("f", 40).splitlines()))
    assert len(parsed.chunks) > 2
    assert {chunk.symbol for chunk in parsed.chunks} == {"Large", "Large.f"}
    assert all(line.rstrip().endswith((")", ":")) for chunk in parsed.chunks for line in chunk.text.splitlines())


def test_a_long_signature_stays_with_the_start_of_its_body() -> None:
    signature = "def f(\n" + "".join(f"    parameter_{n},\n" for n in range(12)) + "):\n"
    first = texts("a.py", signature + '    """The sentence."""\n' + STATEMENT * 30)[0]
    assert first.startswith("def f(")
    assert '"""The sentence."""' in first


LEADS = {
    "a.py": ("# About it.\n@decorated\n", "def {}(value):\n" + STATEMENT * 11 + "\n\n"),
    "a.js": ("/**\n * About it.\n */\n\n", "function {}() {{\n" + BRACED * 11 + "}}\n\n"),
    "a.ts": ("// About it.\n", "export function {}() {{\n" + BRACED * 11 + "}}\n\n"),
    "a.go": ("// About it.\n", "func {}() {{\n" + BRACED * 11 + "}}\n\n"),
    "a.rs": ("/// About it.\n#[inline]\n", "fn {}() {{\n" + BRACED * 11 + "}}\n\n"),
    "a.java": ("/** About it. */\n", "class {} {{\n    void m() {{\n" + BRACED * 10 + "    }}\n}}\n\n"),
    "a.c": ("/* About it. */\n", "int {}(void)\n{{\n" + BRACED * 11 + "}}\n\n"),
    "a.cs": ("/// About it.\n", "class {} {{\n    void M() {{\n" + BRACED * 10 + "    }}\n}}\n\n"),
    "a.kt": ("/** About it. */\n@Marked\n", "fun {}() {{\n" + BRACED * 11 + "}}\n\n"),
    "a.scala": ("/** About it. */\n", "def {}() = {{\n" + BRACED * 11 + "}}\n\n"),
    "a.swift": ("/// About it.\n", "func {}() {{\n" + BRACED * 11 + "}}\n\n"),
    "a.zig": ("/// About it.\n", "pub fn {}() void {{\n" + BRACED * 11 + "}}\n\n"),
    "a.rb": ("# About it.\n", "def {}\n" + STATEMENT * 11 + "end\n\n"),
    "a.lua": ("-- About it.\n", "local function {}()\n" + STATEMENT * 11 + "end\n\n"),
    "a.sh": (
        "# About it.\n",
        "{}() {{\n" + "    compute 'some words of argument' and 'others' 12345\n" * 13 + "}}\n\n",
    ),
    "a.sql": (
        "-- About it.\n",
        "CREATE TABLE {} (\n" + "    some_column text NOT NULL DEFAULT 'a; b',\n" * 16 + ");\n\n",
    ),
    "a.scss": ("// About it.\n", "@mixin {} {{\n" + "  some-property: with a value of some words;\n" * 16 + "}}\n\n"),
    "a.cpp": ("// About it.\ntemplate <typename T>\n", "int {}(T t) {{\n" + BRACED * 11 + "}}\n\n"),
}


@pytest.mark.parametrize("path", LEADS)
def test_what_leads_to_a_definition_stays_with_it(path: str) -> None:
    lead, body = LEADS[path]
    parsed = parse_file(path, body.format("first") + lead + body.format("second"))
    assert [chunk.symbol for chunk in parsed.chunks] == ["first", "second"]
    assert parsed.chunks[1].text.startswith(lead.splitlines()[0])


def test_a_comment_after_code_stays_with_the_code() -> None:
    items = "".join(f"    'some words of item {n}',  # why {n}\n" for n in range(60))
    for text in texts("a.py", f"ITEMS = [\n{items}]\n"):
        assert not text.lstrip().startswith("#")


def test_a_closing_bracket_never_starts_a_passage() -> None:
    body = "".join(
        f"  method{n}() {{\n    return compute('some words of argument', {n} * 12345);\n  }}\n" for n in range(40)
    )
    for text in texts("a.js", f"class A {{\n{body}}}\n\nfunction next() {{}}\n"):
        assert text.lstrip()[0] != "}"


def test_indentation_of_the_first_line_is_kept() -> None:
    members = "".join(f"    def f{n}(self):\n        return {'x' * 500!r}\n\n" for n in range(3))
    parsed = parse_file("a.py", "class A:\n" + members)
    assert parsed.chunks[1].text.startswith("    def f1")
    assert parsed.chunks[1].symbol == "A.f1"


def test_broken_code_still_gives_its_other_symbols() -> None:
    parsed = parse_file("a.py", "def good():\n    pass\n\ndef broken(:\n    ((\n\nclass Fine:\n    def m(self): pass\n")
    assert {"good"} <= {symbol.name for symbol in parsed.symbols}


def test_a_long_literal_is_cut_by_lines() -> None:
    lines = [f"line {n} of a long text that stands in a literal" for n in range(100)]
    chunks = texts("a.py", 'TEXT = """\n' + "\n".join(lines) + '\n"""\n')
    assert len(chunks) > 4
    assert [line for text in chunks for line in text.splitlines() if line.startswith("line")] == lines


def test_text_without_a_grammar_is_cut_after_blank_lines() -> None:
    paragraphs = [" ".join(["words"] * 100) + "." for _ in range(4)]
    assert texts("a.txt", "\n\n".join(paragraphs)) == paragraphs


def test_text_without_blank_lines_is_cut_before_the_least_indented_line() -> None:
    sections = [f"section{n}:\n" + "".join(f"  key{m}: some words\n" for m in range(30)) for n in range(4)]
    assert texts("a.yaml", "".join(sections)) == [section.rstrip() for section in sections]


def test_a_long_section_is_cut_and_every_part_has_its_heading() -> None:
    parsed = parse_file("a.md", "# Top\n\n## Long\n\n" + ("Words of a paragraph. " * 20 + "\n\n") * 6)
    assert len(parsed.chunks) > 2
    assert {chunk.heading for chunk in parsed.chunks} == {"Top > Long"}


def test_small_sections_share_a_passage_under_what_they_have_in_common() -> None:
    parsed = parse_file("a.md", "# Log\n\nWhat changed.\n\n## 1.1\n\n- one\n\n## 1.0\n\n- two\n")
    assert [(chunk.start_line, chunk.end_line, chunk.heading) for chunk in parsed.chunks] == [(1, 11, "Log")]


HEADINGS = {
    "closed": ("## Title ##\n\nwords", "Title"),
    "hash in title": ("# C#\n\nwords", "C#"),
    "setext": ("Title\n---\n\nwords", "Title"),
    "setext after list": ("- item\n---\n\nwords", ""),
    "no space": ("#tag\n\nwords", ""),
    "seven": ("####### no\n\nwords", ""),
    "indented code": ("    # no\n\nwords", ""),
    "fence": ("```\n# no\n```\nwords", ""),
    "longer fence": ("````\n```\n# no\n````\nwords", ""),
    "unclosed fence": ("```\n# no\n", ""),
    "fence of the other kind inside": ("~~~\n```\n# no\n~~~\nwords", ""),
    "inline code is no fence": ("```a``` b\n\n# Yes\n\nwords", "Yes"),
    "comment": ("<!--\n# no\n-->\nwords", ""),
    "pre": ("<pre>\n# no\n</pre>\nwords", ""),
    "front matter": ("---\n# no\ntitle: x\n---\nwords", ""),
    "rule is no front matter": ("---\n\n# Yes\n\nwords", "Yes"),
    "carriage returns": ("# Yes\r\n\r\nwords\r\n", "Yes"),
}


@pytest.mark.parametrize("case", HEADINGS)
def test_markdown_headings(case: str) -> None:
    text, heading = HEADINGS[case]
    assert parse_file("a.md", text).chunks[-1].heading == heading


TITLES = {
    "underlined": ("Title\n=====\n\nwords", "Title"),
    "longer underline": ("Title\n--------\n\nwords", "Title"),
    "overlined": ("=======\n Title\n=======\n\nwords", "Title"),
    "too short": ("Title\n===\n\nwords", ""),
    "not free": ("words\nTitle\n=====\n\nwords", ""),
    "indented": ("words\n\n    Title\n    =====\n\nwords", ""),
    "transition": ("words\n\n--------\n\nwords", ""),
    "simple table": ("=====  =====\na      b\n=====  =====\n", ""),
    "nested": ("Top\n===\n\nSub\n---\n\nwords", "Top > Sub"),
    "any punctuation": ("Top\n~~~\n\nSub\n^^^\n\nwords", "Top > Sub"),
    "over- and underline are a style": ("===\nTop\n===\n\nSub\n===\n\nwords", "Top > Sub"),
}


@pytest.mark.parametrize("case", TITLES)
def test_rst_titles(case: str) -> None:
    text, heading = TITLES[case]
    assert parse_file("a.rst", text).chunks[-1].heading == heading


PATHS = {
    "yaml": ("a.yaml", "top:\n  inner: # why\n    - words", "top > inner"),
    "yaml list": ("a.yaml", "top:\n- name:\n    words", "top"),
    "yaml text block": ("a.yaml", "top: |\n  inner:\n    words", "top"),
    "yaml quoted": ("a.yaml", "'a b': &x\n  c: d", "a b"),
    "yaml value": ("a.yaml", "a: b\nc: d", ""),
    "yaml url": ("a.yaml", "http://example.com:\n  words", ""),
    "yaml four levels": ("a.yaml", "a:\n b:\n  c:\n   d:\n    words", "a > b > c"),
    "yaml documents": ("a.yaml", f"---\na: b\n{'c: d # e' * 30}\n---\nf:\n  words", "f"),
    "json": ("a.json", '{\n  "a": {\n    "b": [\n      1\n    ]\n  }\n}', "a > b"),
    "json on a line": ("a.json", '{"a": {"b": 1}}', ""),
    "json commented": ("a.jsonc", '{\n  // "no": {\n  "a": {\n    "b": 1,\n  },\n}', "a"),
    "toml": ("a.toml", "[a.'b.c']\nd = 1", "a > b.c"),
    "toml tables": ("a.toml", "[[a]] # why\nd = 1", "a"),
    "toml array": ("a.toml", "a = [\n  [1, 2]\n]", ""),
    "toml text": ("a.toml", 'a = """\n[no]\n"""\nb = 1', ""),
    "html": ("a.html", "<h1>A &amp; <b>B</b></h1><p>words</p>", "A & B"),
    "html open": ("a.html", "<h1>words", ""),
}


@pytest.mark.parametrize("case", PATHS)
def test_paths_of_keys_and_elements(case: str) -> None:
    path, text, heading = PATHS[case]
    assert parse_file(path, text).chunks[-1].heading == heading


SYMBOLS = {
    "python lambda": ("a.py", "f = lambda: 1", ["constant f"]),
    "python in function": ("a.py", "def f():\n    x = 1\n    class C: pass", ["function f", "class f.C"]),
    "python annotation only": ("a.py", "x: int", []),
    "python deep": ("a.py", "class A:\n  class B:\n    def c(self): ...", ["class A", "class A.B", "method A.B.c"]),
    "js require": ("a.js", "const fs = require('fs'), x = require('y').z;", []),
    "js named export": ("a.js", "module.exports = function make() {}", ["function make"]),
    "js class export": ("a.js", "module.exports = class Made { m() {} }", ["class Made", "method Made.m"]),
    "js exports prototype": ("a.js", "exports.A.prototype.b = function () {}", ["method A.b"]),
    "js plain change": ("a.js", "a.b = 1; c = d;", []),
    "js exported value": ("a.js", "exports.a = 1", ["constant a"]),
    "js object": ("a.js", "const o = {a() {}, b: () => 1, c: 2}", ["constant o", "method o.a", "method o.b"]),
    "js window": ("a.js", "window.boot = function () {}", ["function boot"]),
    "js nested callback": ("a.js", "on('x', () => { function f() {} })", ["function f"]),
    "js dollar": ("a.js", "var $ = function () {}; $.fn.hide = function () {}", ["function $", "method $.fn.hide"]),
    "ts arrow type": ("a.ts", "export const f = async (a: A): Promise<B> => b", ["function f"]),
    "go generics": ("a.go", "package a\nfunc (l *List[K, V]) Add(k K) {}", ["method List.Add"]),
    "rust trait impl": ("a.rs", "impl<T: A> Drop for x::Y<T> { fn drop(&mut self) {} }", ["method Y.drop"]),
    "rust reference impl": ("a.rs", "impl A for &mut B { fn f() {} }", ["method B.f"]),
    "c# global function": ("a.cs", "int Add(int a) => a;", ["function Add"]),
    "c# file namespace": ("a.cs", "namespace A.B;\nclass C { }", ["class C"]),
    "kotlin nullable receiver": ("a.kt", "fun String?.orNone() = this", ["method String.orNone"]),
    "kotlin local": ("a.kt", "fun f() { val x = 1 }", ["function f"]),
    "scala case object": ("a.scala", "case object None", ["class None"]),
    "swift generic extension": ("a.swift", "extension Array<Int> { func sum() {} }", ["method Array.sum"]),
    "ruby open class": ("a.rb", "class A::B\n  def c; end\nend", ["class A.B", "method A.B.c"]),
    "ruby define_method": ("a.rb", "define_method(:run) { 1 }", ["method run"]),
    "php braces": ("a.php", "<?php namespace A\\B { class C {} }", ["module A.B", "class A.B.C"]),
    "php text only": ("a.php", "function f() {}", []),
    "bash keyword": ("a.sh", "function f { :; }", ["function f"]),
    "bash beyond ASCII": ("a.sh", "größe() { echo é; }", ["function größe"]),
    "bash local": ("a.sh", "f() {\n  LIMIT=1\n}", ["function f"]),
    "lua computed": ("a.lua", "t[1] = function() end", []),
    "lua require": ("a.lua", "local x = require 'x'", []),
    "elixir guard": ("a.ex", "defmodule A.B do\n  def c(x) when x > 1, do: x\nend", ["module A.B", "function A.B.c"]),
    "haskell operator": ("a.hs", "(<+>) a b = a", ["function <+>"]),
    "zig import": ("a.zig", 'const std = @import("std");', []),
    "css in a rule": ("a.css", ".a { --b: 1px; }", []),
    "sql words in text": ("a.sql", "SELECT 'create table a (b int);'; -- create table c", []),
    "sql drop": ("a.sql", "DROP TABLE a; CREATE INDEX ON t (x);", []),
    "sql unclosed": ("a.sql", "CREATE TABLE a (b text DEFAULT 'x", ["struct a"]),
    "sql lost end": ("a.sql", "CREATE FUNCTION f AS\nBEGIN\nx;\nCREATE TABLE t (a int);", ["function f", "struct t"]),
    "html": ("a.html", '<p id="a">b</p>', []),
    "rust mod elsewhere": ("a.rs", "mod a;", []),
    "java generics": ("A.java", "class A<T> { <U> List<U> f(T t) { return null; } }", ["class A", "method A.f"]),
    "c pointer": ("a.c", "char **f(int a) { return 0; }", ["function f"]),
    "c enum typedef": ("a.c", "typedef enum { A } e;", ["enum e"]),
    "c tagged typedef": ("a.c", "typedef struct s { int x; } t;", ["type t", "struct t.s"]),
    "c prototype": ("a.h", "int f(int a);\nextern int x;", []),
    "cpp in a header": ("a.h", "class A {\n  void f();\n};", ["class A", "method A.f"]),
    "cpp templates": ("a.cpp", "template<class T> void A<B<T>>::f() {}", ["method A.f"]),
    "cpp conversion": ("a.cpp", "A::operator bool() const { return true; }", ["method A.operator bool"]),
    "cpp reference": ("a.cpp", "int& A::at(int i) { return x[i]; }", ["method A.at"]),
}


@pytest.mark.parametrize("case", SYMBOLS)
def test_symbols(case: str) -> None:
    path, text, expected = SYMBOLS[case]
    assert [f"{symbol.kind} {symbol.qualified_name}" for symbol in parse_file(path, text).symbols] == expected


@pytest.mark.parametrize(
    ("path", "first_line", "name", "kind"),
    [
        ("a/b.py", "", "python", "code"),
        ("B.PYI", "", "python", "code"),
        ("x.d.ts", "", "typescript", "code"),
        ("x.mjs", "", "javascript", "code"),
        ("Dockerfile", "", "dockerfile", "code"),
        ("build/Dockerfile.dev", "", "dockerfile", "code"),
        ("CMakeLists.txt", "", "cmake", "code"),
        ("requirements.txt", "", "requirements", "config"),
        ("poetry.lock", "", "toml", "config"),
        ("other.lock", "", "lockfile", "config"),
        ("a.yml", "", "yaml", "config"),
        (".gitignore", "", "ignore", "config"),
        ("README", "", "text", "docs"),
        ("docs/a.rst", "", "rst", "docs"),
        ("a.adoc", "", "asciidoc", "docs"),
        ("a.unknown", "", "text", "docs"),
        ("", "", "text", "docs"),
        (".py", "", "text", "docs"),
        ("run", "#!/usr/bin/env -S python3.11 -u", "python", "code"),
        ("run", "#!/bin/sh -e", "bash", "code"),
        ("run", "#! /usr/bin/env A=1 node", "javascript", "code"),
        ("run", "#!", "text", "docs"),
        ("run", "#!/usr/bin/env", "text", "docs"),
        ("a.rb", "#!/bin/sh", "ruby", "code"),
    ],
)
def test_a_file_finds_its_language(path: str, first_line: str, name: str, kind: str) -> None:
    language = language_of(path, first_line)
    assert (language.name, language.kind) == (name, kind)
    assert language.kind in KINDS
    assert parse_file(path, f"{first_line}\nx\n" if first_line else "x").language == name
