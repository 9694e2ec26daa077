"""The folders nobody wants to search, and why. All but those in `NEVER` can be re-included by ``.skepignore``.

A folder is skipped by its name alone only when nobody names a source folder so. ``build``, ``target`` or ``vendor`` may
well be sources: they are skipped only next to, or when they contain, a file that proves them to be output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NEVER: Mapping[bytes, str] = {
    b".git": "git's own data",
    b".skep": "Skep's own data",
}
"""Not walked whatever an ignore file says."""

BY_NAME: Mapping[bytes, str] = {
    # version control
    b".hg": "Mercurial's own data",
    b".svn": "Subversion's own data",
    b".bzr": "Bazaar's own data",
    b".jj": "Jujutsu's own data",
    b".sl": "Sapling's own data",
    b"_darcs": "Darcs' own data",
    b"CVS": "CVS' own data",
    # installed packages
    b"node_modules": "packages installed by npm, pnpm or yarn",
    b"bower_components": "packages installed by Bower",
    b"jspm_packages": "packages installed by jspm",
    b".pnpm-store": "packages stored by pnpm",
    b".venv": "a Python environment",
    b".tox": "Python environments of tox",
    b".nox": "Python environments of nox",
    b".eggs": "packages fetched by setuptools",
    b"__pypackages__": "packages installed by PDM",
    b".bundle": "Bundler's own data",
    b"elm-stuff": "packages installed by Elm",
    # caches and results of tools
    b"__pycache__": "compiled Python",
    b".mypy_cache": "a cache of mypy",
    b".pytest_cache": "a cache of pytest",
    b".ruff_cache": "a cache of ruff",
    b".hypothesis": "examples kept by hypothesis",
    b".ipynb_checkpoints": "copies kept by Jupyter",
    b".cache": "a cache",
    b".gradle": "a cache of Gradle",
    b".terraform": "providers fetched by Terraform",
    b".next": "output of Next.js",
    b".nuxt": "output of Nuxt",
    b".svelte-kit": "output of SvelteKit",
    b".parcel-cache": "a cache of Parcel",
    b".turbo": "a cache of Turborepo",
    b".angular": "a cache of Angular",
    b".nyc_output": "coverage data of nyc",
    b"htmlcov": "a coverage report",
    b".dart_tool": "a cache of Dart",
    b".stack-work": "output of Stack",
    b"dist-newstyle": "output of Cabal",
    b".zig-cache": "a cache of Zig",
    b"zig-cache": "a cache of Zig",
    b".direnv": "environments of direnv",
    b".idea": "settings of an editor",
    b".vs": "data of Visual Studio",
    b".clangd": "an index of clangd",
    b".ccls-cache": "an index of ccls",
    b"DerivedData": "output of Xcode",
    b".Trash": "deleted files",
}

BY_SUFFIX: Mapping[bytes, str] = {
    b".egg-info": "metadata written by setuptools",
    b".dist-info": "metadata of an installed package",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A name that is output only in certain company."""

    why: str
    beside: frozenset[bytes] = frozenset()
    """Skipped when one of these lies next to the folder."""
    inside: frozenset[bytes] = frozenset()
    """Skipped when one of these lies in the folder."""


_JS_OR_PYTHON = frozenset({b"package.json", b"pyproject.toml", b"setup.py", b"setup.cfg"})

JUDGED: Mapping[bytes, Judged] = {
    b"dist": Judged("built packages or bundles", beside=_JS_OR_PYTHON),
    # Not beside package.json: many JavaScript projects keep their build scripts in build/.
    b"build": Judged(
        "build output",
        beside=frozenset({b"build.gradle", b"build.gradle.kts", b"pubspec.yaml"}),
        inside=frozenset({b"CMakeCache.txt", b"bdist.linux-x86_64", b"build.ninja", b"asset-manifest.json"}),
    ),
    b"target": Judged(
        "output of Cargo, Maven, sbt or Leiningen",
        beside=frozenset({b"Cargo.toml", b"pom.xml", b"build.sbt", b"project.clj"}),
        inside=frozenset({b".rustc_info.json"}),
    ),
    b"out": Judged("output of Next.js or IntelliJ", inside=frozenset({b"_next", b"production"})),
    b"vendor": Judged("copied dependencies", inside=frozenset({b"modules.txt", b"autoload.php", b"bundle"})),
    b"Pods": Judged("packages installed by CocoaPods", beside=frozenset({b"Podfile"})),
    b"Carthage": Judged("packages installed by Carthage", beside=frozenset({b"Cartfile"})),
    b"deps": Judged("packages fetched by mix", beside=frozenset({b"mix.exs"})),
    b"_build": Judged(
        "output of Sphinx, mix, dune or rebar",
        beside=frozenset({b"conf.py", b"mix.exs", b"dune-project", b"rebar.config", b"_config.yml"}),
    ),
    b"obj": Judged("output of MSBuild", inside=frozenset({b"project.assets.json"})),
    b"zig-out": Judged("output of Zig", beside=frozenset({b"build.zig"})),
    b"coverage": Judged("a coverage report", inside=frozenset({b"lcov.info", b"lcov-report", b"clover.xml"})),
}

BY_CONTENT: Mapping[bytes, str] = {
    b"pyvenv.cfg": "a Python environment",
    b"conda-meta": "a conda environment",
    b"CACHEDIR.TAG": "a cache, as it says itself",  # https://bford.info/cachedir/
    b"PG_VERSION": "a PostgreSQL data folder",
}
"""Whatever its name, a folder that directly contains one of these is skipped."""

MARKERS: frozenset[bytes] = frozenset(BY_CONTENT).union(*(judged.beside | judged.inside for judged in JUDGED.values()))
"""Names whose being there decides about the folder they are in or about those beside them."""


def skip_by_name(name: bytes, siblings: frozenset[bytes]) -> str | None:
    """Why a folder of this name is skipped next to these siblings; None when it is to be entered."""
    why = BY_NAME.get(name)
    if why is not None:
        return why
    judged = JUDGED.get(name)
    if judged is not None:
        return judged.why if judged.beside & siblings else None
    dot = name.rfind(b".")
    return BY_SUFFIX.get(name[dot:]) if dot > 0 else None


def skip_by_content(name: bytes, children: frozenset[bytes]) -> str | None:
    """Why a folder with these children is skipped; None when it is to be walked."""
    for marker in BY_CONTENT.keys() & children:
        return BY_CONTENT[marker]
    judged = JUDGED.get(name)
    return judged.why if judged is not None and judged.inside & children else None
