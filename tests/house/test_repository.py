"""What the repository as a whole promises: locked dependencies, licences, no traces of one machine."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.source import ROOT, report, repository_files

LOCKS = ("requirements.lock", "requirements-dev.lock")

# Composed, so that this file does not contain what it looks for.
MACHINE = ["/wo" + "rk/main", "/wo" + "rk/shared", "/tm" + "p/w/", "/ro" + "ot/"]
INDEXES = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "--index" + "-url ",
    "--extra-index" + "-url",
    "PIP_TRUSTED" + "_HOST",
]

REFUSED_LICENCES = re.compile(
    r"\bA-?GPL|Affero|SSPL|Business Source|Commons Clause|(?<!L)(?<!Lesser )\bGPL", re.IGNORECASE
)


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s\\;]+)", text, re.MULTILINE)
    }


def _project() -> dict[str, list[str]]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {
        "requirements.lock": data["project"]["dependencies"],
        "requirements-dev.lock": data["dependency-groups"]["dev"],
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_hashes_and_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[\w.-]+==)", text)[1:]
    bare = [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
    assert not bare, report("each pin has its hashes", bare)
    hosts = [
        line for line in text.splitlines() if re.search(r"://|\bhttps?:|(^|[ =])/|--(extra-)?index|--find-links", line)
    ]
    assert not hosts, report("a lock names no host and no folder", hosts)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_fits_the_project(lock: str) -> None:
    pins = _pins(lock)
    found = []
    for line in _project()[lock]:
        wanted = Requirement(line)
        pinned = pins.get(canonicalize_name(wanted.name))
        if pinned is None or not wanted.specifier.contains(pinned, prereleases=True):
            found.append(f"{line}: locked {pinned}")
    assert not found, report("run ./check --lock", found)


def test_tests_run_what_is_shipped() -> None:
    dev = _pins("requirements-dev.lock")
    found = [
        f"{name} {version}, dev {dev.get(name)}"
        for name, version in _pins("requirements.lock").items()
        if dev.get(name) != version
    ]
    assert not found, report("both locks agree", found)


def test_licences_allow_an_apache_product() -> None:
    """Every locked dependency says its licence, and none asks for more than its own source (LGPL is fine: it is linked)."""
    found = []
    for name in _pins("requirements.lock"):
        meta = metadata.metadata(name)
        stated = [*(meta.get_all("License-Expression") or []), *(meta.get_all("License") or [])]
        stated += [line for line in meta.get_all("Classifier") or [] if line.startswith("License ::")]
        words = "; ".join(line.split("\n", 1)[0] for line in stated if line)
        if not words:
            found.append(f"{name} states no licence")
        elif REFUSED_LICENCES.search(words) and not re.search(r"LGPL|Lesser", words):
            found.append(f"{name}: {words}")
    assert not found, report("a dependency's licence does not fit", found)


def test_no_machine_and_no_index_is_named() -> None:
    found = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a binary fixture
        found += [f"{path.relative_to(ROOT)}: {word}" for word in (*MACHINE, *INDEXES) if word in text]
    assert not found, report("nothing of one machine or one index belongs into the repository", found)


@pytest.mark.parametrize("name", ["skep", "check", ".ci/run"])
def test_commands_can_be_run(name: str) -> None:
    assert (ROOT / name).stat().st_mode & 0o111 == 0o111, f"chmod +x {name}"


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_the_front_door_is_complete(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8")) > 200, name
