"""The files that speed is measured on: 10,000 of some installable packages, the same ones everywhere.

    python -m bench.corpus [--cache FOLDER]        prints the folder; downloads about 120 MB the first time

Packages come through pip and npm, whatever index those are set up for; each archive is checked against the hash stated in
``corpus.toml``, unpacked without anything of it being run, and trimmed to the stated number of files.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import sdist_backend
from bench.results import default_cache
from skep.knowledge.walking import Skipped, WalkEntry, WalkOptions, WalkReport, read_file, walk

MANIFEST = Path(__file__).with_name("corpus.toml")

_DOWNLOAD_SECONDS = 600


class CorpusError(Exception):
    """The corpus cannot be made as the manifest states it."""


@dataclass(frozen=True, slots=True)
class Package:
    """One entry of the manifest; its words are explained there."""

    name: str
    version: str
    kind: str
    sha256: str
    files: int
    without: tuple[str, ...] = ()

    @property
    def archive_name(self) -> str:
        """How its archive is called in the cache."""
        return f"{self.name}-{self.version}.{'tar.gz' if self.kind == 'sdist' else 'tgz'}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``corpus.toml`` states."""

    files: int
    tree_sha256: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """A folder with exactly the files of the manifest."""

    folder: Path
    files: int
    source_bytes: int


def read_manifest(path: Path = MANIFEST) -> Manifest:
    """The manifest. Raises CorpusError when its numbers do not add up."""
    stated = tomllib.loads(path.read_text(encoding="utf-8"))
    packages = tuple(
        Package(**{**entry, "without": tuple(entry.get("without", ()))}) for entry in stated.get("package", ())
    )
    if sum(package.files for package in packages) != stated["files"]:
        raise CorpusError(f"{path.name}: the packages' files do not add up to {stated['files']}")
    return Manifest(stated["files"], stated["tree_sha256"], packages)


def make_corpus(cache: Path, *, accept: bool = False) -> Corpus:
    """The corpus below ``cache``, made when it is not there; with ``accept`` a changed tree hash is written down.

    Raises CorpusError when an archive is not the stated one, has too few files, or the whole is not the stated whole.
    """
    manifest = read_manifest()
    folder = cache / f"corpus-{hashlib.sha256(MANIFEST.read_bytes()).hexdigest()[:12]}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache, prefix="making-") as draft:
            for package in manifest.packages:
                _add_package(package, _fetch(package, cache / "archives"), Path(draft, "corpus"))
            _check_tree(Path(draft, "corpus"), manifest, accept=accept)
            if accept:  # the manifest was rewritten, and the folder is named by it
                folder = cache / f"corpus-{hashlib.sha256(MANIFEST.read_bytes()).hexdigest()[:12]}"
            Path(draft, "corpus").rename(folder)
    entries = _walk(folder)
    if len(entries) != manifest.files:
        raise CorpusError(
            f"our walker takes {len(entries)} files of {folder}, not {manifest.files}; remove that folder"
        )
    return Corpus(folder, len(entries), sum(entry.stat.size for entry in entries))


def _walk(folder: Path) -> list[WalkEntry]:
    return list(walk(os.fsencode(folder), WalkOptions(), report=WalkReport()))


def _fetch(package: Package, archives: Path) -> Path:
    """The package's archive, from the cache or the index, with its hash checked."""
    path = archives / package.archive_name
    if not path.exists():
        archives.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=archives, prefix="download-") as draft:
            print(f"downloading {package.name} {package.version}", file=sys.stderr)
            (_download_sdist if package.kind == "sdist" else _download_npm)(package, Path(draft))
            (found,) = Path(draft).glob("*.t*gz")
            found.rename(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise CorpusError(f"{path} has SHA-256 {digest}, the manifest says {package.sha256}")
    return path


def _download_sdist(package: Package, folder: Path) -> None:
    with TemporaryDirectory(prefix="skep-bench-backend-") as stand_in:
        _place_backends(Path(stand_in))
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        command += ["--no-binary", ":all:", "--dest", str(folder), f"{package.name}=={package.version}"]
        _run(command, {**os.environ, "PYTHONPATH": stand_in})


def _place_backends(folder: Path) -> None:
    """Importable modules with the backends' names that are all `bench.sdist_backend`."""
    source = Path(sdist_backend.__file__).read_text(encoding="utf-8")
    for name in sdist_backend.BACKENDS:
        module = folder.joinpath(*name.split("."))
        module.mkdir(parents=True)
        for parent in (module, *module.parents):
            if parent == folder:
                break
            (parent / "__init__.py").touch()
        (module / "__init__.py").write_text(source, encoding="utf-8")


def _download_npm(package: Package, folder: Path) -> None:
    if shutil.which("npm") is None:
        raise CorpusError(f"npm is needed to download {package.name}")
    # npm writes the archive into the folder it is called in; --ignore-scripts because nothing may be run.
    spec = f"{package.name}@{package.version}"
    _run(["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), spec], dict(os.environ))


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS)
    if done.returncode:
        raise CorpusError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")


def _add_package(package: Package, archive: Path, corpus: Path) -> None:
    """Unpack and move the chosen files to ``corpus/<name>``."""
    with TemporaryDirectory(dir=archive.parent, prefix="unpacked-") as unpacked:
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        tops = list(Path(unpacked).iterdir())
        top = tops[0] if len(tops) == 1 else Path(unpacked)
        chosen = choose(package, _readable(top))
        for path in chosen:
            target = corpus / package.name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            (top / path).rename(target)


def _readable(folder: Path) -> list[str]:
    """Paths of the files that our walker takes and whose content is text."""
    root, options = os.fsencode(folder), WalkOptions()
    return [
        entry.path
        for entry in walk(root, options, report=WalkReport())
        if not isinstance(read_file(root, entry, options), Skipped)
    ]


def choose(package: Package, paths: list[str]) -> list[str]:
    """The package's share of the corpus, of all its paths. Raises CorpusError when there are too few. Pure."""
    fit = [path for path in paths if not any(fnmatch(path, pattern) for pattern in package.without)]
    # An ignore file would hide other chosen files when the packages stand side by side.
    fit = [path for path in fit if path.rsplit("/", 1)[-1] not in (".gitignore", ".skepignore")]
    if len(fit) < package.files:
        raise CorpusError(f"{package.name} has {len(fit)} files to choose from, the manifest wants {package.files}")
    return sorted(fit, key=lambda path: hashlib.sha256(path.encode()).digest())[: package.files]


def _check_tree(corpus: Path, manifest: Manifest, *, accept: bool) -> None:
    digest = hashlib.sha256()
    for entry in sorted(_walk(corpus), key=lambda entry: entry.path):
        content = hashlib.sha256((corpus / entry.path).read_bytes()).hexdigest()
        digest.update(f"{entry.path}\0{content}\n".encode())
    found = digest.hexdigest()
    if found == manifest.tree_sha256:
        return
    if not accept:
        raise CorpusError(f"the corpus has tree SHA-256 {found}, the manifest says {manifest.tree_sha256 or 'nothing'}")
    text = MANIFEST.read_text(encoding="utf-8")
    MANIFEST.write_text(
        re.sub(r'^tree_sha256 = ".*"$', f'tree_sha256 = "{found}"', text, flags=re.MULTILINE), encoding="utf-8"
    )


def main() -> None:
    """Make the corpus and print where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder that keeps downloads (%(default)s)")
    parser.add_argument("--accept", action="store_true", help="write the tree's hash into the manifest")
    options = parser.parse_args()
    try:
        corpus = make_corpus(options.cache, accept=options.accept)
    except CorpusError as error:
        sys.exit(f"error: {error}")
    print(f"{corpus.folder}: {corpus.files:,} files, {corpus.source_bytes / 1e6:.1f} MB", file=sys.stderr)
    print(corpus.folder)


if __name__ == "__main__":
    main()
