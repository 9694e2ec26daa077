"""How each language names other files. One row per language; a language without one has no edges."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from re import Match, Pattern
from typing import NamedTuple

from skep.knowledge.edges.modules import ending_with, relative, stem_of


class Clue(NamedTuple):
    """Something an import says: a module key, or a name that it brings in."""

    key: str = ""
    name: str = ""


Reader = Callable[[Match[str], str], Iterable[Clue]]
"""Reads one match of an import's pattern: (match, path of the file) -> clues."""

_MAX_LIST_CHARS = 3_000
"""Of the names in one import."""

_BLANK = re.compile(r"[ \t]*")
_WORDS = re.compile(r"\w+")
_SEPARATORS = re.compile(r"[.:\\]+")


class Rule(NamedTuple):
    """One way to import."""

    pattern: str
    """A regular expression, compiled when the first file needs it. It best starts with letters that have to be there: such a
    search is ten times as fast."""
    read: Reader
    head: Pattern[str] | None = _BLANK
    """What may stand before it on its line; None: anything."""


@dataclass(frozen=True, eq=False)
class Profile:
    """What edges need to know of a language. Patterns are searched in the whole text."""

    family: str
    imports: tuple[Rule, ...] = ()
    has_names: bool = True
    """Whether what its files define and use are names that other files define and use."""
    reaches_all: bool = False
    """For prose: its names may be those of any family."""


_ENDINGS = re.compile(
    r"\.(?:[cm]?[jt]sx?|d\.[cm]?ts|json|vue|svelte|s?css|less|sass|html?|php|sh|bash|zig|rb|lua|hpp|hh|hxx|h|c|cc|cpp)$"
)


def _bare(target: str) -> str:
    """A file name in an import without its ending, if it has a known one: ``./types.js`` may mean ``types.ts``."""
    return _ENDINGS.sub("", target)


def _keys(keys: Iterable[str]) -> Iterator[Clue]:
    return (Clue(key=key) for key in keys)


def _names(text: str) -> Iterator[Clue]:
    """The names of a list such as ``a, b as c``."""
    for item in text.split(",", 200):
        words = item.split()
        if words and words[0] == "type" and len(words) > 1:
            words.pop(0)
        if words and words[0].isidentifier():
            yield Clue(name=words[0])


_MAX_SUBMODULES = 8
"""Names in ``from a import b, c`` that may be modules in a; longer lists are of functions."""

_STANDARD_WORDS = (
    "__future__ abc argparse array ast asyncio base64 bisect builtins calendar collections concurrent configparser contextlib"
    " contextvars copy csv ctypes dataclasses datetime decimal difflib dis email enum errno fnmatch fractions functools gc"
    " getpass glob gzip hashlib heapq hmac html http importlib inspect io ipaddress itertools json keyword locale logging math"
    " mimetypes multiprocessing numbers operator os pathlib pickle pkgutil platform pprint queue random re secrets select"
    " shlex shutil signal site socket sqlite3 ssl stat string struct subprocess sys sysconfig tarfile tempfile textwrap"
    " threading time timeit token tokenize traceback types typing unicodedata unittest urllib uuid warnings weakref xml zipfile"
    " zlib"
)
_STANDARD = frozenset(_STANDARD_WORDS.split())
"""Modules of Python's own that many files import. Fixed here, because ``sys.stdlib_module_names`` differs between versions."""


def _python_from(match: Match[str], path: str) -> Iterator[Clue]:
    """``from ..a.b import c, d``: the module a.b, or the modules c and d in it; and the names c and d."""
    dots, module = match["dots"], match["module"]
    imported = re.sub(r"#[^\n]*|[()\\]", " ", match["names"] or match["line"] or "")
    names = list(_names(imported))
    yield from names
    parts = module.split(".") if module else []
    if dots:
        up = "../" * (len(dots) - 1)
        base = up + "/".join(parts)
        yield from _keys(relative(path, base or "."))
        for name in (clue.name for clue in (names[:_MAX_SUBMODULES] if parts else names) if clue.name.islower()):
            yield from _keys(relative(path, f"{base.rstrip('/')}/{name}" if base else name))
    elif parts and parts[0] not in _STANDARD:
        yield from _keys(ending_with(parts, root="python/"))
        for name in (clue.name for clue in names[:_MAX_SUBMODULES] if clue.name.islower()):
            yield from _keys(ending_with([*parts, name]))


def _python_import(match: Match[str], _path: str) -> Iterator[Clue]:
    for item in match["modules"].split(",")[:50]:
        parts = item.split()[:1]
        if parts and (dotted := parts[0].split("."))[0] not in _STANDARD:
            yield from _keys(ending_with(dotted, root="python/"))


def _script(match: Match[str], path: str) -> Iterator[Clue]:
    """``require('./b')``; and paths that build tools map to the source folder."""
    target = match["target"]
    if target.startswith("."):
        yield from _keys(relative(path, _bare(target)))
    elif target.startswith(("@/", "~/", "#/", "src/")):
        yield from _keys(ending_with(_bare(target.partition("/")[2]).split("/")))


def _script_from(match: Match[str], path: str) -> Iterator[Clue]:
    """``import { a } from './b'``: read from its end, because only there it is known to be an import."""
    before = match.string[max(0, match.start() - _MAX_LIST_CHARS) : match.start()].rstrip()
    if before.endswith("}"):
        yield from _names(before[before.rfind("{") + 1 : -1])
    yield from _script(match, path)


def _dotted(match: Match[str], _path: str) -> Iterator[Clue]:
    """``import a.b.C``: the file C in a folder b; or, for a member, the file b; and the name C. ``a.b.{C, D}``: of each."""
    head, _, group = match["target"].partition("{")
    for last in _WORDS.findall(group)[:200] if group else [""]:
        yield from _dotted_one(head + last)


def _dotted_one(target: str) -> Iterator[Clue]:
    parts = [part for part in _SEPARATORS.split(target) if part]
    if parts and parts[-1] not in ("*", "_"):
        yield Clue(name=parts[-1])
    else:
        parts = parts[:-1]
    for end in (len(parts), len(parts) - 1):
        if end > 1:
            yield from _keys(ending_with(parts[:end]))
            yield from _keys(ending_with(parts[max(0, end - 2) : end]))


def _rust_use(match: Match[str], _path: str) -> Iterator[Clue]:
    """``use crate::a::b::{C, d::E}``: the files a/b and a/b/c by their ends; and the names."""
    head, _, group = match["target"].partition("{")
    parts = [part.strip() for part in head.split("::") if part.strip()]
    own = bool(parts) and parts[0] in ("crate", "self", "super")
    while parts and parts[0] in ("crate", "self", "super"):
        parts.pop(0)
    names = _WORDS.findall(group) if group else parts[-1:]
    yield from (Clue(name=name) for name in names[:200])
    for end in (len(parts), len(parts) - 1):
        if own and end > 0:
            yield from _keys(ending_with(["src", *parts[:end]]))
        elif end > 1:
            yield from _keys(ending_with(["src", *parts[1:end]]))
        if end > 1:
            yield from _keys(ending_with(parts[:end]))


def _rust_mod(match: Match[str], path: str) -> Iterator[Clue]:
    """``mod name;``: the file beside ``mod.rs`` or ``lib.rs``; of other files, the one in the folder of their name."""
    stem = stem_of(path.rpartition("/")[2])
    folder = "" if stem in ("mod", "lib", "main") else stem + "/"
    yield from _keys(relative(path, folder + match["target"]))


def _beside(match: Match[str], path: str) -> Iterator[Clue]:
    """A path from the file's own folder, else the end of a path: ``#include "a/b.h"``."""
    target = _bare(match["target"].lstrip("/") if match["target"].startswith("/") else match["target"])
    yield from _keys(relative(path, target))
    if not target.startswith("."):
        yield from _keys(ending_with(target.split("/"), anywhere=True))


def _linked(match: Match[str], path: str) -> Iterator[Clue]:
    """A link or path to another file: from the own folder, or from the top."""
    target = match["target"].partition("#")[0].partition("?")[0]
    if not target or "://" in target or target.startswith(("mailto:", "#")):
        return
    folder, _, name = target.rpartition("/")
    bare = f"{folder}/{stem_of(name)}" if folder else stem_of(name)
    yield from _keys(relative(path, bare.lstrip("/")))
    parts = [part for part in bare.split("/") if part not in ("", ".", "..")]
    if len(parts) > 1:
        yield from _keys(ending_with(parts))


def _partial(match: Match[str], path: str) -> Iterator[Clue]:
    """``@use "a/b"`` of Sass: the file b or _b."""
    target = _bare(match["target"])
    folder, slash, name = target.rpartition("/")
    for candidate in (name, "_" + name):
        yield from _keys(relative(path, folder + slash + candidate))


def _slashed(match: Match[str], _path: str) -> Iterator[Clue]:
    """``require 'a/b'``: a file whose path ends so."""
    yield from _keys(ending_with(_bare(match["target"]).split("/")))


def _lua(match: Match[str], _path: str) -> Iterator[Clue]:
    yield from _keys(ending_with([part for part in match["target"].split(".") if part], root="lua/"))


def _go(match: Match[str], _path: str) -> Iterator[Clue]:
    """The files of an imported package are too many to be one module: a file named as its folder stands for it."""
    for target in re.findall(r'"([\w./-]+)"', match["target"])[:200]:
        parts = target.split("/")
        if len(parts) > 1:
            yield from _keys(ending_with([*parts[-2:], parts[-1]]))
            yield from _keys(ending_with([parts[-1], parts[-1]]))


_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _elixir(match: Match[str], _path: str) -> Iterator[Clue]:
    """``alias My.App.{User, Post}``: the files my/app/user and my/app/post."""
    head, _, group = match["target"].partition("{")
    heads = [part for part in head.split(".") if part]
    for last in [name.strip() for name in group.rstrip("} \n").split(",")] if group else [""]:
        parts = heads + [part for part in last.split(".") if part]
        if parts:
            yield Clue(name=parts[-1])
            yield from _keys(ending_with([_WORD_STARTS.sub("_", part).lower() for part in parts]))


def _line(pattern: str, read: Reader, head: Pattern[str] = _BLANK) -> Rule:
    """An import that starts its line."""
    return Rule(pattern, read, head)


def _any(pattern: str, read: Reader) -> Rule:
    """An import that may stand anywhere."""
    return Rule(pattern, read, None)


_GAP = r"[ \t]{0,99}+"
"""Blanks are never given back: else a line of nothing but blanks is tried in every length."""

_QUOTED = r"""['"](?P<target>[^'"\n]{1,200})['"]"""
_PUBLIC = re.compile(r"[ \t]*(?:pub(?:\([^)\n]{0,50}\))?[ \t]+)?")
_SOURCED = r"[\"']?(?:[^\n\"'/]{0,100}\$[^\n/]{0,100}/)?(?P<target>[\w./-]{1,200})"

_PYTHON = Profile(
    "python",
    (
        _line(
            r"from[ \t]{1,99}+(?P<dots>\.{0,20}+)(?P<module>[\w.]{0,300}+)[ \t]{1,99}+import[ \t]{1,99}+"
            r"(?:\((?P<names>[^)]{0,3000})\)|(?P<line>[^\n;]*))",
            _python_from,
        ),
        _line(r"import[ \t]{1,99}+(?P<modules>\w[^\n;#]*)", _python_import),
    ),
)
_SCRIPT = Profile(
    "javascript",
    (
        _any(r"from" + _GAP + _QUOTED, _script_from),
        _any(r"import" + _GAP + r"\(?" + _GAP + _QUOTED, _script),
        _any(r"require" + _GAP + r"\(" + _GAP + _QUOTED, _script),
    ),
)
_JVM = Profile(
    "jvm",
    (_line(r"import[ \t]{1,99}+(?:static[ \t]{1,99}+)?(?P<target>[\w.]{1,300}(?:[*_]|\{[^}]{0,3000}\})?)", _dotted),),
)
_C = Profile(
    "c", (_line(r"#[ \t]{0,99}+(?:include|import)[ \t]{0,99}+[<\"](?P<target>[^>\"\n]{1,200})[>\"]", _beside),)
)
_PATH = r"(?P<target>[\w.-]{1,100}(?:/[\w.-]{1,100}){1,20}\.\w{1,6})"

PROFILES: Mapping[str, Profile] = {
    "python": _PYTHON,
    "jupyter": _PYTHON,
    "javascript": _SCRIPT,
    "typescript": _SCRIPT,
    "tsx": _SCRIPT,
    "java": _JVM,
    "kotlin": _JVM,
    "scala": _JVM,
    "c": _C,
    "cpp": _C,
    "csharp": Profile("dotnet"),
    "swift": Profile("swift"),
    "sql": Profile("sql"),
    "go": Profile(
        "go", (_line(r"import[ \t]{1,99}+(?P<target>\([^)]{0,3000}\)|[\w.]*[ \t]{0,99}+\"[^\"\n]+\")", _go),)
    ),
    "rust": Profile(
        "rust",
        (
            _line(r"use[ \t]{1,99}+(?P<target>[^;]{1,1500}+);", _rust_use, _PUBLIC),
            _line(r"mod[ \t]{1,99}+(?P<target>\w{1,100}+)[ \t]{0,99}+;", _rust_mod, _PUBLIC),
        ),
    ),
    "ruby": Profile(
        "ruby",
        (
            _line(r"require_relative[ \t(]{0,99}+" + _QUOTED, _beside),
            _line(r"require[ \t(]{0,99}+" + _QUOTED, _slashed),
            _line(r"autoload[ \t(]{0,99}+:\w+,[ \t]{0,99}+" + _QUOTED, _slashed),
        ),
    ),
    "php": Profile(
        "php",
        (
            _line(r"use[ \t]{1,99}+(?:function[ \t]{1,99}+|const[ \t]{1,99}+)?(?P<target>[\w\\]{1,300})", _dotted),
            _any(r"require(?:_once)?\b[^'\"\n;]{0,50}" + _QUOTED, _beside),
            _any(r"include(?:_once)?\b[^'\"\n;]{0,50}" + _QUOTED, _beside),
        ),
    ),
    "lua": Profile("lua", (_any(r"require[ \t]{0,99}+\(?[ \t]{0,99}+" + _QUOTED, _lua),)),
    "bash": Profile(
        "bash",
        (
            _line(r"source[ \t]{1,99}+" + _SOURCED, _beside),
            _line(r"\.[ \t]{1,99}+" + _SOURCED, _beside),
        ),
    ),
    "elixir": Profile(
        "elixir",
        tuple(
            _line(word + r"[ \t]{1,99}+(?P<target>[A-Z][\w.]{0,300}(?:\{[^}]{0,2000}\})?)", _elixir)
            for word in ("alias", "import", "require", "use")
        ),
    ),
    "haskell": Profile(
        "haskell", (_line(r"import[ \t]{1,99}+(?:qualified[ \t]{1,99}+)?(?P<target>[A-Z][\w.]{0,300})", _dotted),)
    ),
    "zig": Profile("zig", (_any(r"@import\([ \t]{0,99}+" + _QUOTED, _beside),)),
    "css": Profile("web", (_any(r"@import[ \t]{1,99}+(?:url\()?" + _QUOTED, _partial),), has_names=False),
    "scss": Profile("web", (_any(r"@(?:import|use|forward)[ \t]{1,99}+" + _QUOTED, _partial),), has_names=False),
    "less": Profile("web", (_any(r"@import[^'\"\n;]{0,50}" + _QUOTED, _partial),), has_names=False),
    "html": Profile("web", (_any(r"src=" + _QUOTED, _linked), _any(r"href=" + _QUOTED, _linked)), has_names=False),
    "markdown": Profile(
        "prose", (_any(r"\]\((?P<target>[^)\s]{1,300})", _linked), _any("`" + _PATH + "`", _linked)), reaches_all=True
    ),
    "rst": Profile(
        "prose",
        (
            _line(r"\.\. (?:literal)?include::[ \t]{1,99}+(?P<target>\S{1,300})", _linked),
            _any("``" + _PATH + "``", _linked),
        ),
        reaches_all=True,
    ),
}
"""By the language's name in the chunker's registry."""

_MEANT_BY_NAME = frozenset(
    profile.family for profile in PROFILES.values() if profile.has_names and not profile.reaches_all
)


def symbol_family(family: str) -> str | None:
    """The family whose files can mean the symbols of a file of ``family`` by their names; None when no file can."""
    return family if family in _MEANT_BY_NAME else None
