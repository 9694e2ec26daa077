"""What a file's or folder's name alone decides."""

from __future__ import annotations

import pytest

from skep.knowledge.walking import SkipReason, WalkOptions
from skep.knowledge.walking.defaults import BY_CONTENT, BY_NAME, JUDGED, NEVER, skip_by_content, skip_by_name
from skep.knowledge.walking.filetypes import NameJudge

EVERYTHING = WalkOptions(include_secrets=True, include_generated=True, include_minified=True)

SECRETS = [
    ".env",
    ".env.local",
    ".env.production",
    ".ENV",
    ".env-prod",
    ".env_backup",
    "prod.env",
    ".envrc",
    ".netrc",
    "_netrc",
    ".pypirc",
    ".pgpass",
    ".git-credentials",
    ".htpasswd",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa_sk",
    "key.p12",
    "key.PFX",
    "store.jks",
    "release.keystore",
    "vault.kdbx",
    "office.ovpn",
    "putty.ppk",
    "kubeconfig",
    "prod.kubeconfig",
    "terraform.tfstate",
    "terraform.tfstate.backup",
    "prod.tfvars",
    "prod.auto.tfvars.json",
    ".vault-token",
    "secrets.yaml",
    ".dockercfg",
    "client_secret.json",
    "distributed.env",
    ".env.lock",
]
PUBLIC = [
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
    "example.env",
    ".env.example.local",
    ".environment.py",
    "env.py",
    ".envoy.yaml",
    "environment.ts",
    "id_rsa.pub",
    "secrets.py",
    "test_secrets.yaml.j2",
    "credentials.py",
    "key.pem",
    "tls.key",
    "netrc.md",
    "tfvars.tf",
    ".npmrc",
    ".gitignore",
    "main.tf",
    "config.json",
]
IN_FOLDER = [(".aws", "credentials"), (".docker", "config.json"), (".kube", "config"), (".ssh", "config")]
GENERATED = [
    "package-lock.json",
    "yarn.lock",
    "Cargo.lock",
    "poetry.lock",
    "uv.lock",
    "pnpm-lock.yaml",
    "go.sum",
    "app.js.map",
    "logo.svg",
    "api_pb2.py",
    "api_pb2_grpc.py",
    "api.pb.go",
    "model.g.dart",
    "Form.Designer.cs",
    "tsconfig.tsbuildinfo",
    "view.test.js.snap",
]
MINIFIED = ["jquery.min.js", "site.min.css", "app.bundle.js", "jquery-min.js"]
BINARY = ["a.png", "A.PNG", "lib.so", "x.pyc", "a.tar.gz", "doc.pdf", "font.woff2", "model.onnx", "data.parquet"]
TEXT = ["main.py", "README", "Makefile", ".gitignore", "a.ts", "noext.", "min.js", "go.mod", "style.css", "a.dat"]


def judged(name: str, folder: str = "", options: WalkOptions | None = None) -> SkipReason | None:
    return NameJudge(options or WalkOptions()).judge(name.encode(), folder.encode())


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (SECRETS, SkipReason.SECRET),
        (GENERATED, SkipReason.GENERATED),
        (MINIFIED, SkipReason.MINIFIED),
        (BINARY, SkipReason.BINARY),
        (PUBLIC, None),
        (TEXT, None),
    ],
)
def test_names_are_judged(names: list[str], reason: SkipReason | None) -> None:
    assert {name: judged(name) for name in names} == dict.fromkeys(names, reason)


@pytest.mark.parametrize(("folder", "name"), IN_FOLDER)
def test_some_names_are_secret_only_in_their_folder(folder: str, name: str) -> None:
    assert judged(name, folder) is SkipReason.SECRET
    assert judged(name, "src") is None
    assert judged(name, folder, EVERYTHING) is None


def test_each_group_can_be_asked_for() -> None:
    shown = [name for name in SECRETS if name != ".env.lock"] + GENERATED + MINIFIED
    assert {name: judged(name, options=EVERYTHING) for name in shown} == dict.fromkeys(shown)
    assert judged("a.png", options=EVERYTHING) is SkipReason.BINARY


FOLDERS: list[tuple[str, list[str], list[str], bool]] = [
    # name, next to it, in it, skipped
    ("node_modules", [], [], True),
    ("__pycache__", [], [], True),
    ("pkg.egg-info", [], [], True),
    ("venv", [], ["pyvenv.cfg"], True),
    ("venv", [], ["model.py"], False),
    ("any-name", [], ["pyvenv.cfg"], True),
    ("any-cache", [], ["CACHEDIR.TAG"], True),
    ("dist", ["package.json"], [], True),
    ("dist", ["pyproject.toml"], [], True),
    ("dist", ["main.go"], [], False),
    ("build", ["package.json"], [], False),
    ("build", ["build.gradle"], [], True),
    ("build", [], ["CMakeCache.txt"], True),
    ("build", ["pyproject.toml"], ["__init__.py"], False),
    ("target", ["Cargo.toml"], [], True),
    ("target", ["pom.xml"], [], True),
    ("target", ["models.py"], [], False),
    ("vendor", ["go.mod"], ["modules.txt"], True),
    ("vendor", [], ["vendor.py"], False),
    ("_build", ["conf.py"], [], True),
    ("src", ["Cargo.toml"], ["main.rs"], False),
    (".github", [], ["workflows"], False),
]


@pytest.mark.parametrize(("name", "beside", "inside", "skipped"), FOLDERS)
def test_folders_are_judged_by_name_and_company(
    name: str, beside: list[str], inside: list[str], *, skipped: bool
) -> None:
    raw = name.encode()
    why = skip_by_name(raw, frozenset(each.encode() for each in beside)) or skip_by_content(
        raw, frozenset(each.encode() for each in inside)
    )
    assert (why is not None) is skipped


def test_every_default_says_why() -> None:
    assert all([*NEVER.values(), *BY_NAME.values(), *BY_CONTENT.values(), *(judged.why for judged in JUDGED.values())])
