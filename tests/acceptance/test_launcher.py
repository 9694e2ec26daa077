"""``./skep`` as a person meets it: first use, every way it can fail, and what a later use costs."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.no_cover

REPOSITORY = Path(__file__).resolve().parents[2]
MAIN = """
import os, sys
if __name__ == "__main__":
    import tiny
    print(os.getcwd(), tiny.VERSION, *sys.argv[1:], sep="|")
    sys.exit(int(os.environ.get("EXIT", "0")))
"""
TOOLS = ("sh", "readlink", "cmp", "cksum", "cat", "env")
TALK_SECONDS = 60


def make_wheel(folder: Path, version: str) -> str:
    """A wheel of the package ``tiny`` in ``folder``; returns its SHA-256."""
    info = f"tiny-{version}.dist-info"
    path = folder / f"tiny-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Checkout:
    """The launcher's files in a folder of their own, with one tiny package to install and an index that is a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = root.parent / "index"
        self.index.mkdir(parents=True)
        (root / "src" / "skep").mkdir(parents=True)
        (root / "src" / "skep" / "__init__.py").touch()
        (root / "src" / "skep" / "__main__.py").write_text(MAIN)
        (root / "deploy").mkdir()
        shutil.copy2(REPOSITORY / "skep", root)
        for name in ("environment.sh", "environment.py"):
            shutil.copy2(REPOSITORY / "deploy" / name, root / "deploy")
        self.lock("1.0")

    def lock(self, version: str, sha256: str | None = None) -> None:
        """Pin this version of ``tiny``; with ``sha256`` a hash that the file may not have."""
        real = make_wheel(self.index, version)
        (self.root / "requirements.lock").write_text(f"tiny=={version} \\\n    --hash=sha256:{sha256 or real}\n")

    def environment(self, **more: str) -> dict[str, str]:
        """What the launcher sees: this Python, the folder as index, nothing of the user's pip."""
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index), "PIP_CONFIG_FILE": os.devnull}
        return dict(os.environ) | pip | {"SKEP_PYTHON": sys.executable} | more

    def start(
        self, *arguments: str, program: Path | None = None, cwd: Path | None = None, **more: str
    ) -> subprocess.Popen[str]:
        """Start the launcher in a process group of its own."""
        return subprocess.Popen(
            [str(program or self.root / "skep"), *arguments],
            cwd=cwd or self.root,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *arguments: str, program: Path | None = None, cwd: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the launcher to its end."""
        with self.start(*arguments, program=program, cwd=cwd, **more) as child:
            out, err = child.communicate(timeout=TALK_SECONDS)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def fake_environment(self, venv: Path) -> None:
        """A complete environment whose Python only says that it was started: quick, and needs no real one."""
        (venv / "bin").mkdir(parents=True)
        python = venv / "bin" / "python"
        python.write_text('#!/bin/sh\necho "started: $*"\n')
        python.chmod(0o755)
        shutil.copy(self.root / "requirements.lock", venv / ".skep-lock")
        (venv / ".skep-stamp").write_text(f"1 {self.root}\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "a checkout")


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH folder with what a shell script needs and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


def add_python(folder: Path, name: str, probe_code: int, version: str) -> None:
    """A Python that answers the launcher's probe with ``probe_code`` and calls itself ``version``."""
    path = folder / name
    path.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit {probe_code} ;; *) echo {version} ;; esac\n')
    path.chmod(0o755)


def test_first_use_then_a_changed_lock_then_a_failing_one(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "tiny.py").write_text("VERSION = 'from the current folder'\n")
    link = tmp_path / "link"
    link.symlink_to("hop")
    (tmp_path / "hop").symlink_to(checkout.root / "skep")

    first = checkout.run("search", "two words", "", program=link, cwd=elsewhere, PYTHONPATH=str(elsewhere))
    assert (first.returncode, first.stdout) == (0, f"{elsewhere}|1.0|search|two words|\n"), first.stderr
    assert "setting up Skep in" in first.stderr

    again = checkout.run("x", cwd=elsewhere, EXIT="3")
    assert (again.returncode, again.stdout, again.stderr) == (3, f"{elsewhere}|1.0|x\n", "")
    assert (checkout.root / ".venv" / "bin" / "skep").exists()

    checkout.lock("2.0")
    updated = checkout.run()
    assert updated.stdout.split("|")[1].strip() == "2.0"
    assert "updating Skep in" in updated.stderr

    checkout.lock("3.0", sha256="0" * 64)
    broken = checkout.run()
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "DO NOT MATCH THE HASHES" in broken.stderr
    assert "fix: a downloaded file is not the one that was locked" in broken.stderr
    assert (checkout.root / ".venv" / ".skep-setup.log").read_text() != ""


@pytest.mark.full
def test_a_missing_package_is_explained(checkout: Checkout) -> None:
    for wheel in checkout.index.iterdir():
        wheel.unlink()
    result = checkout.run()
    assert result.returncode == 1
    assert "fix: no ready-made package for this Python and machine" in result.stderr


def wait_for_setup(child: subprocess.Popen[str]) -> psutil.Process:
    """Wait until the set-up runs a step in a process of its own; returns the set-up's process."""
    assert child.stderr is not None
    assert "setting up" in child.stderr.readline()
    deadline = time.monotonic() + TALK_SECONDS
    while time.monotonic() < deadline:
        (setup,) = psutil.Process(child.pid).children()
        if setup.children():
            return setup
        time.sleep(0.01)
    raise AssertionError("the set-up started nothing")


def kill_during_setup(checkout: Checkout, seconds: float) -> None:
    """``kill -9`` the launcher and all its children this long after the set-up began."""
    with checkout.start() as child:
        wait_for_setup(child)
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    assert not (checkout.root / ".venv" / ".skep-stamp").exists(), "killed too late to interrupt anything"


@pytest.mark.full
def test_a_killed_first_use_recovers(checkout: Checkout) -> None:
    kill_during_setup(checkout, 0.6)
    result = checkout.run()
    assert (result.returncode, result.stdout) == (0, f"{checkout.root}|1.0\n"), result.stderr


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_first_use_killed_at_any_moment_recovers(checkout: Checkout) -> None:
    for seconds in (random.uniform(0, 1.8) for _ in range(20)):
        kill_during_setup(checkout, seconds)
    assert checkout.run().stdout == f"{checkout.root}|1.0\n"


@pytest.mark.full
def test_an_orphaned_install_is_waited_for(checkout: Checkout) -> None:
    """Only the launcher's shell and its set-up are killed; whoever comes next must not share the folder with the orphan."""
    with checkout.start() as child:
        setup = wait_for_setup(child)
        child.kill()
        setup.kill()
        result = checkout.run()
        child.communicate()
    assert (result.returncode, result.stdout) == (0, f"{checkout.root}|1.0\n"), result.stderr
    assert "another run is preparing" in result.stderr


def test_interrupt_says_so_and_leaves_nothing_running(checkout: Checkout) -> None:
    with checkout.start() as child:
        setup = wait_for_setup(child)
        steps = setup.children(recursive=True)
        os.killpg(child.pid, signal.SIGINT)
        _, err = child.communicate(timeout=TALK_SECONDS)
    assert child.returncode != 0
    assert err == "skep: interrupted; the next run starts the set-up again\n"
    # Where nothing reaps orphans at once, what has ended stays in the table for a moment.
    _, alive = psutil.wait_procs(steps, timeout=5)
    assert not [step for step in alive if step.is_running() and step.status() != psutil.STATUS_ZOMBIE]


def test_two_first_uses_at_once(checkout: Checkout) -> None:
    with checkout.start("one") as one, checkout.start("two") as two:
        results = [child.communicate(timeout=TALK_SECONDS) for child in (one, two)]
    assert [out for out, _ in results] == [f"{checkout.root}|1.0|one\n", f"{checkout.root}|1.0|two\n"], results
    assert sorted("setting up" in err for _, err in results) == [False, True]
    assert sorted("waiting for it" in err for _, err in results) == [False, True]


@pytest.mark.parametrize(
    ("pythons", "said"),
    [
        ({}, "there is no Python on the PATH"),
        ({"python3": (3, "3.9")}, "needs Python 3.11 or newer; here python3 is 3.9."),
        ({"python3": (3, "3.9"), "python3.12": (5, "3.12")}, "apt install python3.12-venv"),
        ({"python3": (5, "3.11")}, "python3 (Python 3.11) cannot make virtual environments"),
    ],
)
def test_an_unfit_python_is_explained(
    checkout: Checkout, bare_path: Path, pythons: dict[str, tuple[int, str]], said: str
) -> None:
    for name, (code, version) in pythons.items():
        add_python(bare_path, name, code, version)
    result = checkout.run(PATH=str(bare_path), SKEP_PYTHON="")
    assert (result.returncode, result.stdout) == (4, "")
    assert said in result.stderr
    assert "\nfix: " in result.stderr


@pytest.mark.parametrize("value", ["/nowhere/python3", "/bin/false"])
def test_a_wrong_choice_of_python_is_named(checkout: Checkout, value: str) -> None:
    result = checkout.run(SKEP_PYTHON=value)
    assert result.returncode == 4
    assert f"SKEP_PYTHON names {value}, which is not a Python that runs" in result.stderr


def test_a_newer_python_further_down_the_list_is_found(checkout: Checkout, bare_path: Path) -> None:
    add_python(bare_path, "python3", 3, "3.9")
    chosen = bare_path / "python3.12"
    chosen.write_text('#!/bin/sh\ncase "$*" in *ensurepip*) exit 0 ;; *) echo "chosen: $*"; exit 7 ;; esac\n')
    chosen.chmod(0o755)
    result = checkout.run(PATH=str(bare_path), SKEP_PYTHON="")
    assert result.returncode == 7
    assert result.stderr.startswith(f"chosen: -I {checkout.root}/deploy/environment.py {checkout.root} ")


def test_a_foreign_folder_is_left_alone(checkout: Checkout) -> None:
    precious = checkout.root / ".venv" / "precious"
    precious.parent.mkdir()
    precious.write_text("mine")
    result = checkout.run()
    assert result.returncode == 1
    assert "was not made by skep, so it is left alone" in result.stderr
    assert precious.read_text() == "mine"


def test_another_folder_can_be_named(checkout: Checkout, tmp_path: Path) -> None:
    checkout.fake_environment(tmp_path / "my env")
    result = checkout.run("up", SKEP_VENV="../my env")
    assert result.stdout == f"started: -I {checkout.root}/src/skep/__main__.py up\n", result.stderr
    assert not (checkout.root / ".venv").exists()


def test_a_moved_checkout_makes_its_own(checkout: Checkout) -> None:
    """Its environment still points to where it was; a copy would run the original's source."""
    checkout.fake_environment(checkout.root / ".venv")
    assert checkout.run().stdout.startswith("started:")
    moved = Checkout(checkout.root.parent / "moved" / "checkout")
    shutil.copytree(checkout.root / ".venv", moved.root / ".venv")
    result = moved.run(SKEP_PYTHON="/nowhere")
    assert result.returncode == 4, "it must have tried to make its own"


def test_a_read_only_checkout_uses_the_cache() -> None:
    """As an ordinary user: to root every folder can be written."""
    home = Path(tempfile.mkdtemp(prefix="skep-read-only-"))
    try:
        home.chmod(0o755)
        checkout = Checkout(home / "checkout")
        key = subprocess.run(
            ["cksum"], input=str(checkout.root), capture_output=True, text=True, check=True
        ).stdout.split()[0]
        checkout.fake_environment(home / ".cache" / "skep" / f"venv-{key}")
        checkout.root.chmod(0o555)
        user = 65534 if os.geteuid() == 0 else None
        result = subprocess.run(
            [str(checkout.root / "skep"), "status"],
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            cwd=home,
            user=user,
            capture_output=True,
            text=True,
            timeout=TALK_SECONDS,
        )
        assert result.stdout == f"started: -I {checkout.root}/src/skep/__main__.py status\n", result.stderr
    finally:
        (home / "checkout").chmod(0o755)
        shutil.rmtree(home)


def overhead_ms(checkout: Checkout, runs: int) -> Iterator[float]:
    """How much longer the launcher takes than what it starts, run by run."""
    environment = checkout.environment()
    direct = [
        str(checkout.root / ".venv" / "bin" / "python"),
        "-I",
        str(checkout.root / "src" / "skep" / "__main__.py"),
    ]
    for _ in range(runs):
        times = []
        for command in ([str(checkout.root / "skep")], direct):
            begin = time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - begin)
        yield (times[0] - times[1]) * 1000


@pytest.mark.serial
def test_a_later_use_costs_little(checkout: Checkout) -> None:
    checkout.fake_environment(checkout.root / ".venv")
    assert statistics.median(overhead_ms(checkout, 40)) <= 10


def test_check_explains_itself_from_anywhere(tmp_path: Path) -> None:
    result = subprocess.run([REPOSITORY / "check", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ./check")


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_real_lock_installs_and_pip_gives_the_same_command(tmp_path: Path) -> None:
    """The shipped lock into a fresh copy, through the user's own index; then ``pip install .`` beside it."""
    root = tmp_path / "fresh clone"
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, set(listed.split("\0"))):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target)
    environment = dict(os.environ) | {"HOME": os.environ["SKEP_TEST_ORIGINAL_HOME"], "SKEP_PYTHON": sys.executable}
    environment["SKEP_HOME"] = str(tmp_path / "data")
    launched = subprocess.run(
        [str(root / "skep"), "--help"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert launched.returncode == 0, launched.stderr
    assert "search" in launched.stdout

    python = root / ".venv" / "bin" / "python"
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(root),
    ]
    subprocess.run(build, env=environment, check=True, capture_output=True, timeout=120)
    wheel = next(tmp_path.glob("skep-*.whl"))
    subprocess.run(
        [python, "-m", "pip", "install", "--no-deps", "--force-reinstall", wheel], check=True, capture_output=True
    )
    (root / ".venv" / "bin" / "skep").touch()
    next((root / ".venv").glob("lib/python3*/site-packages/skep-checkout.pth")).unlink()
    installed = subprocess.run(
        [root / ".venv" / "bin" / "skep", "--help"], env=environment, capture_output=True, text=True
    )
    assert (installed.returncode, installed.stdout) == (0, launched.stdout), installed.stderr
