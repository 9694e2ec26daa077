"""What is not worth indexing, judged by a file's name: secrets, binaries, generated and minified files.

The tables are data: a new entry is one line, and tests walk through them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from skep.knowledge.walking.models import SkipReason, WalkOptions


def _words(text: str) -> frozenset[bytes]:
    return frozenset(text.encode().split())


SECRET_NAMES = _words("""
    .netrc _netrc .pgpass pgpass.conf .my.cnf .mylogin.cnf .pypirc .git-credentials .htpasswd .htdigest .vault-token
    .dockercfg .dockerconfigjson kubeconfig .boto .s3cfg rclone.conf .rclone.conf .terraformrc terraform.rc
    credentials.tfrc.json id_rsa id_dsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk id_xmss master.key
    secrets.yml secrets.yaml secrets.json secrets.toml .secrets .secrets.toml .credentials client_secret.json
    application_default_credentials.json .envrc admin.key
""")
"""Whole names in lower case. ``id_*`` are the private halves; ``id_*.pub`` is public and indexed."""

SECRET_EXTENSIONS = _words("""
    .p12 .pfx .pkcs12 .jks .keystore .bks .kdb .kdbx .ppk .ovpn .kubeconfig .tfstate .tfvars .agekey .env
""")
"""Key stores and state files with credentials in the clear. ``.pem`` and ``.key`` are decided by their content."""

SECRET_SUFFIXES = (b".tfstate.backup", b".tfvars.json")

SECRET_IN_FOLDER: Mapping[bytes, frozenset[bytes]] = {
    b".aws": _words("credentials"),
    b".docker": _words("config.json"),
    b".kube": _words("config"),
    b".azure": _words("accesstokens.json msal_token_cache.json azureprofile.json"),
    b"gcloud": _words("credentials.db access_tokens.db"),
    b".cargo": _words("credentials credentials.toml"),
    b".gem": _words("credentials"),
    b".m2": _words("settings.xml settings-security.xml"),
    b".ssh": _words("identity config known_hosts authorized_keys"),
}
"""Names that are secret only directly in a folder of this name."""

_DOT_ENV = re.compile(rb"\.env(?![a-z0-9])")
_PUBLIC_ENV = re.compile(
    rb"(?:^|[._-])(?:example|sample|template|tmpl|dist|defaults?|schema)(?=[._-]|$)|\.(?:md|d\.ts)$"
)
"""Files that show which variables there are without their values."""

BINARY_EXTENSIONS = _words("""
    .a .o .so .dylib .dll .exe .obj .lib .pyc .pyo .pyd .class .jar .war .ear .wasm .bc .beam .hi .rlib .rmeta .pdb
    .zip .tar .gz .tgz .bz2 .tbz2 .xz .txz .zst .lz4 .br .7z .rar .cab .deb .rpm .apk .ipa .dmg .iso .img .msi .whl
    .egg .gem .crate .nupkg .vsix .crx .xpi
    .png .jpg .jpeg .gif .bmp .ico .icns .webp .avif .tif .tiff .heic .psd .xcf .eps .sketch .fig .blend .fbx .glb
    .mp3 .mp4 .m4a .m4v .wav .flac .ogg .opus .webm .mov .avi .mkv .mid
    .woff .woff2 .ttf .otf .eot .ttc
    .pdf .doc .docx .xls .xlsx .ppt .pptx .odt .ods .odp .epub .mobi
    .sqlite .sqlite3 .db .mdb .parquet .arrow .feather .orc .avro .npy .npz .pkl .pickle .joblib .h5 .hdf5 .mat .rds
    .pt .pth .onnx .safetensors .gguf .ckpt .tflite .pb .bin .pack .idx .mo .gmo .swp .swo .tfrecord
""")
"""Never opened. What may be text (``.dat``, ``.dump``) is left out and judged by its content."""

GENERATED_NAMES = _words("""
    package-lock.json npm-shrinkwrap.json pnpm-lock.yaml packages.lock.json go.sum go.work.sum bun.lockb .pnp.cjs
    .pnp.loader.mjs .package-lock.json gradle.lockfile mix.lock pubspec.lock .terraform.lock.hcl
""")

GENERATED_EXTENSIONS = _words(".lock .map .svg .snap .tsbuildinfo")
"""Lock files, source maps, drawings (coordinates, not words), test snapshots."""

GENERATED_SUFFIXES = (
    b"_pb2.py", b"_pb2.pyi", b"_pb2_grpc.py", b".pb.go", b".pb.cc", b".pb.h", b".pb.swift", b"_pb.js", b"_pb.d.ts",
    b".g.dart", b".freezed.dart", b".g.cs", b".designer.cs",
)  # fmt: skip

MINIFIED_SUFFIXES = (
    b".min.js", b".min.mjs", b".min.cjs", b".min.css", b"-min.js", b"-min.css", b".min.html", b".bundle.js",
    b".chunk.js",
)  # fmt: skip

_SUFFIXES = SECRET_SUFFIXES + GENERATED_SUFFIXES + MINIFIED_SUFFIXES


def _by_extension(options: WalkOptions) -> dict[bytes, SkipReason]:
    table = dict.fromkeys(BINARY_EXTENSIONS, SkipReason.BINARY)
    if not options.include_generated:
        table |= dict.fromkeys(GENERATED_EXTENSIONS, SkipReason.GENERATED)
    if not options.include_secrets:
        table |= dict.fromkeys(SECRET_EXTENSIONS, SkipReason.SECRET)
    return table


class NameJudge:
    """Says what a file is by its name alone, under one set of options."""

    def __init__(self, options: WalkOptions) -> None:
        self._options = options
        self._extensions = _by_extension(options)
        self._names: dict[bytes, SkipReason] = {}
        if not options.include_generated:
            self._names |= dict.fromkeys(GENERATED_NAMES, SkipReason.GENERATED)
        if not options.include_secrets:
            self._names |= dict.fromkeys(SECRET_NAMES, SkipReason.SECRET)

    def judge(self, name: bytes, folder: bytes = b"") -> SkipReason | None:
        """Why a file of this name directly in a folder of that name is skipped; None when its name says nothing."""
        lower = name.lower()
        reason = self._names.get(lower)
        if reason is None:
            dot = lower.rfind(b".")
            reason = self._extensions.get(lower[dot:]) if dot >= 0 else None
        if reason is None and lower.endswith(_SUFFIXES):
            reason = self._by_suffix(lower)
        if lower.startswith(b".env") or reason is SkipReason.SECRET:
            return self._environment(lower, reason)
        if folder in SECRET_IN_FOLDER and reason is None and lower in SECRET_IN_FOLDER[folder]:
            return None if self._options.include_secrets else SkipReason.SECRET
        return reason

    def _by_suffix(self, lower: bytes) -> SkipReason | None:
        if lower.endswith(SECRET_SUFFIXES):
            return None if self._options.include_secrets else SkipReason.SECRET
        if lower.endswith(GENERATED_SUFFIXES):
            return None if self._options.include_generated else SkipReason.GENERATED
        return None if self._options.include_minified else SkipReason.MINIFIED

    def _environment(self, lower: bytes, reason: SkipReason | None) -> SkipReason | None:
        """The special case of environment files: all are secret, except those that are examples by their name."""
        if lower.endswith(b".env") or _DOT_ENV.match(lower) is not None:
            secret = not self._options.include_secrets and _PUBLIC_ENV.search(lower) is None
            return SkipReason.SECRET if secret else (reason if reason is not SkipReason.SECRET else None)
        return reason


@lru_cache(maxsize=8)
def name_judge(options: WalkOptions) -> NameJudge:
    """The judge for these options; making one takes as long as a hundred judgements."""
    return NameJudge(options)
