"""Every setting of Skep, as one table: a row is a dataclass field with its type, default and words.

A row is said once, here. The checks, the environment variables, the commented file of ``skep init`` and the reference
page are derived from it (see ``rows.py``). The unit is the end of the name. Pydantic is not used on purpose: importing it takes
longer than half of the time a fresh ``skep --help`` may take.
"""

# ruff: noqa: RUF009 -- setting() is a dataclass field; its defaults cannot change.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from skep.settings.interfaces import DEFAULT, Origin, Problem
from skep.settings.vocabulary import FACTS, Facts, OpenSection, Secret, setting

OPEN_SECTIONS: tuple[str, ...] = ("providers", "guards", "models", "roles", "services")
"""Top-level sections whose content other capabilities check themselves, when they open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The PostgreSQL that holds everything."""

    url: Secret | None = setting(
        None,
        "Address of the database, such as postgresql://user:password@host:5432/name.",
        none="Skep starts its own PostgreSQL in the data folder",
    )
    pool_max_connections: int = setting(
        10, "Most connections that one process opens at the same time.", minimum=1, maximum=1000
    )
    connect_timeout_seconds: int = setting(10, "How long to wait for a connection.", minimum=1, maximum=3600)
    statement_timeout_seconds: int = setting(
        60, "The database cancels a statement that runs longer.", zero="no limit", minimum=0, maximum=86_400
    )
    idle_stop_minutes: int = setting(
        30,
        "The embedded database stops when nobody used it for so long; a database named by url is never stopped.",
        zero="it never stops by itself",
        minimum=0,
        maximum=525_600,
    )
    run_as: str | None = setting(
        None,
        "System user that runs the embedded database when Skep itself runs as root (PostgreSQL refuses root).",
        none="Skep chooses an unprivileged user",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The HTTP server that `skep up` starts."""

    host: str = setting("127.0.0.1", "Address or host name to listen on.")
    port: int = setting(7117, "TCP port to listen on.", zero="any free port", minimum=0, maximum=65_535)
    workers: int = setting(1, "Number of server processes.", minimum=1, maximum=256)
    allow_origins: tuple[str, ...] = setting(
        (), "Web origins whose pages may call the API from a browser, such as https://app.example.com."
    )
    allow_hosts: tuple[str, ...] = setting(
        (), "Host names that requests may use, besides those of this machine's loopback and of host."
    )
    allow_remote: bool = setting(
        False, "Permits listening beyond this machine without TLS, for example behind a proxy that does TLS."
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses or networks of proxies that are believed, in X-Forwarded-For, whom they ask for: the allowed addresses of keys and the"
        " limit of calls without a key go by that.",
    )
    drain_seconds: int = setting(
        20,
        "How long requests and calls of models may go on when the server is told to stop; then streams end with an error event.",
        zero="they are broken off at once",
        minimum=0,
        maximum=3600,
    )
    tls_certificate: Path | None = setting(
        None, "File with the certificate chain (PEM); needs tls_key too.", none="plain HTTP"
    )
    tls_key: Path | None = setting(
        None, "File with the private key of the certificate (PEM); needs tls_certificate too.", none="plain HTTP"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """What `skep index` takes in, and how."""

    max_file_bytes: int = setting(1_048_576, "Larger files are skipped and reported.", minimum=1, maximum=1_073_741_824)
    include_secrets: bool = setting(
        False, "Takes in files that usually hold secrets as well: .env files, private keys, credentials."
    )
    include_generated: bool = setting(False, "Takes in generated and minified files as well.")
    ignore: tuple[str, ...] = setting((), "Patterns to leave out, written as in .gitignore, besides the ignore files.")
    jobs: int = setting(
        0, "Number of processes that parse files.", zero="one for each processor core", minimum=0, maximum=256
    )
    retention_days: int = setting(
        7,
        "How long earlier versions of files in watched folders are kept.",
        zero="only the current version is kept",
        minimum=0,
        maximum=36_500,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """How indexed folders are kept fresh."""

    enabled: bool = setting(
        True, "Whether `skep up` watches every indexed folder of this machine; `skep watch` does so in any case."
    )
    method: Literal["events", "polling"] = setting(
        "events",
        "events: the system tells what changed. polling: folders are looked through regularly, as network file systems need.",
    )
    polling_seconds: int = setting(
        5,
        "Pause between two looks at a folder that is watched by polling; longer for large ones.",
        minimum=1,
        maximum=3600,
    )
    rescan_minutes: int = setting(
        30,
        "How often a folder that is watched by events is looked through all the same.",
        zero="only when watching begins",
        minimum=0,
        maximum=10_080,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What a search may ask for."""

    default_top_k: int = setting(
        10, "Number of results when a search names none; at most max_top_k.", minimum=1, maximum=100_000
    )
    max_top_k: int = setting(1000, "Most results that a search may ask for.", minimum=1, maximum=100_000)
    max_query_bytes: int = setting(
        65_536, "Longer queries are refused; a long stack trace fits in.", minimum=1, maximum=16_777_216
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSettings:
    """Vectors of passages, by which searches find what is meant and not only what is written."""

    enabled: bool = setting(
        True, "Embeds what is indexed, in the background, and searches by meaning too; the model is part of Skep."
    )
    threads: int = setting(
        0,
        "Processor cores that embedding takes, at the lowest priority.",
        zero="half of them",
        minimum=0,
        maximum=256,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSettings:
    """How documents are read: PDF, office files, web pages, e-mail and the like."""

    max_file_bytes: int = setting(10 << 20, "Files with more are refused.", minimum=1, maximum=1 << 30)
    file_memory_bytes: int = setting(
        512 << 20, "Most memory that reading one file may take.", minimum=128 << 20, maximum=1 << 40
    )
    file_seconds: int = setting(60, "How long reading one file may take.", minimum=1, maximum=3600)
    allow_unsandboxed: bool = setting(
        False,
        "Permits reading all formats where bubblewrap does not work; without it only plain ones are read there. For files of people you trust.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """How calls of models pass through; who serves which models stands in the sections providers and models."""

    max_calls: int = setting(
        1024, "Calls that one server process has under way at the same time; more wait.", minimum=1, maximum=100_000
    )
    max_waiting_calls: int = setting(
        1024,
        "Calls that may wait for their turn; more are refused with 503 and Retry-After.",
        zero="none waits",
        minimum=0,
        maximum=100_000,
    )
    max_wait_seconds: int = setting(
        5, "A call that waited so long for its turn is refused with 503 and Retry-After.", minimum=1, maximum=3600
    )
    max_body_bytes: int = setting(
        20_971_520, "Larger requests are refused; pictures are part of them.", minimum=1024, maximum=1_073_741_824
    )
    max_held_bytes: int = setting(
        268_435_456,
        "What the requests under way in one server process may hold together, calls that wait included; what comes beyond is"
        " refused with 503 and Retry-After.",
        minimum=1024,
        maximum=1_099_511_627_776,
    )
    body_timeout_seconds: int = setting(
        60, "A request whose body did not come within this time is refused with 408.", minimum=1, maximum=3600
    )
    max_answer_bytes: int = setting(
        67_108_864,
        "Larger answers of a provider, unpacked, count as malformed; a stream may be longer, but not one event of it.",
        minimum=1024,
        maximum=1_073_741_824,
    )
    on_client_gone: Literal["cancel", "drain"] = setting(
        "cancel",
        "What becomes of a call whose client went away. cancel: the provider is told to stop; what came of a stream is charged,"
        " and a whole answer as it was reserved. drain: it is heard out, so that its own count of tokens is charged.",
    )
    drain_seconds: int = setting(60, "How long a provider is heard out at most.", minimum=1, maximum=3600)
    client_stall_seconds: int = setting(
        60, "A client that takes nothing of its stream for so long counts as gone.", minimum=1, maximum=3600
    )
    content: Literal["nothing", "errors", "all"] = setting(
        "nothing",
        "Of which calls the request and the answer are kept, beside the ledger and without what looks like a secret: nothing;"
        " errors: calls that did not end well; all.",
    )
    content_max_bytes: int = setting(
        65_536, "So much of a request, and of an answer, is kept at most.", minimum=256, maximum=1_048_576
    )
    keyless_key: Secret | None = setting(
        None,
        "The key that calls of models without a key are made as: its models, faces, budgets and limits are theirs.",
        none="every call needs a key",
    )
    keyless_requests_per_minute: int = setting(
        20,
        "Calls without a key that one address may make in a minute (UTC); of IPv6 one /64. More are refused with 429.",
        minimum=1,
        maximum=1_000_000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """Answers of models that are given again; of which models and for how long, cache_seconds of each model says."""

    memory_bytes: int = setting(
        67_108_864,
        "How many bytes of answers one server process keeps; those that were not used for longest give way.",
        minimum=1_048_576,
        maximum=1_099_511_627_776,
    )
    redis_url: Secret | None = setting(
        None,
        "Address of a Redis or Valkey that keeps answers for all processes, such as redis://user:password@host:6379/0 or rediss://...",
        none="each process keeps its own in memory",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendSettings:
    """What is kept of what calls of models cost."""

    retention_days: int = setting(
        400, "How long single calls are kept; their sums by hour and day stay for 800 days.", minimum=1, maximum=36_500
    )
    content_retention_days: int = setting(
        7, "How long requests and answers are kept, where gateway.content keeps any.", minimum=1, maximum=36_500
    )
    alert_webhook_url: str | None = setting(
        None,
        "Where alerts of budgets and limits are sent to, as signed webhooks; needs alert_webhook_secret too.",
        none="they are told in the log and in the metrics only",
    )
    alert_webhook_secret: Secret | None = setting(
        None,
        "What webhooks are signed with: whsec_ and 24 to 64 random bytes in base64; two of them with a blank between both sign.",
        none="no webhooks",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What Skep says about its own work, and where."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Least important messages that are written.")
    format: Literal["text", "json"] = setting("text", "One line of text, or one JSON object, for each message.")
    folder: Path | None = setting(
        None, "Folder in which each process of the server writes a file of its own.", none="all write to standard error"
    )
    max_bytes: int = setting(
        104_857_600,
        "A log file that would grow longer is put aside, packed with gzip, and a new one begun.",
        minimum=65_536,
        maximum=1_099_511_627_776,
    )
    keep: int = setting(10, "So many old log files of each process are kept.", zero="none", minimum=0, maximum=10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """What Skep counts and measures of its own work, and who may read it."""

    backend: Literal["auto", "prometheus", "opentelemetry", "datadog", "noop"] = field(
        default="auto",
        metadata={
            FACTS: Facts(
                "prometheus: the server answers scrapes at /metrics. opentelemetry, datadog: the same, and pushes to a collector"
                " or an agent. noop: nothing is measured. auto: opentelemetry where otlp_endpoint is known, else datadog where"
                " dogstatsd_address is, else prometheus.",
                variable="METRICS_BACKEND",
            )
        },
    )
    push_seconds: int = setting(
        10, "How often metrics are pushed, by opentelemetry and datadog.", minimum=1, maximum=3600
    )
    otlp_endpoint: str | None = setting(
        None,
        "Address of a collector that takes metrics as OTLP over HTTP, such as http://127.0.0.1:4318; /v1/metrics is added"
        " where it does not end so.",
        none="http://127.0.0.1:4318, and no reason for auto to push there",
        borrowed=("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    )
    otlp_temporality: Literal["cumulative", "delta", "lowmemory"] = setting(
        "cumulative",
        "Whether counters and histograms are told as what they came to since the server was started, or as what was added since"
        " the last push. cumulative survives what is lost on the way; lowmemory means delta here.",
        borrowed=("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",),
    )
    dogstatsd_address: str | None = setting(
        None,
        "Where a Datadog agent takes DogStatsD: a host, udp://host:port, or the path of a Unix datagram socket, also as"
        " unix:///path.",
        none="127.0.0.1, and no reason for auto to push there",
        borrowed=("DD_DOGSTATSD_URL", "DD_DOGSTATSD_SOCKET", "DD_AGENT_HOST"),
    )
    dogstatsd_port: int = setting(
        8125,
        "UDP port of the agent, where its address names none.",
        minimum=1,
        maximum=65_535,
        borrowed=("DD_DOGSTATSD_PORT",),
    )
    dogstatsd_tags: tuple[str, ...] = setting(
        (), "Tags of every metric that the agent gets, such as env:production.", borrowed=("DD_TAGS",)
    )
    open_to_loopback: bool = setting(
        False,
        "Lets every program of this machine read /metrics without a key; not behind a proxy on this machine that passes it on.",
    )
    recall_checks_per_thousand: int = setting(
        5,
        "Of a thousand searches through the vector index, so many are done again without it, in idle moments, to measure"
        " what the index misses.",
        zero="none",
        minimum=0,
        maximum=1000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingSettings:
    """OpenTelemetry spans of calls of models."""

    endpoint: str | None = setting(
        None,
        "Address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; /v1/traces is added.",
        none="nothing is recorded",
    )
    samples_per_thousand: int = setting(
        100,
        "Of a thousand traces that begin here, so many are recorded; where a caller sends a traceparent, its flag decides.",
        zero="only those that callers began",
        minimum=0,
        maximum=1000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one process: read once, never changed, handed down. The data folder need not exist yet."""

    data_folder: Path = field(
        metadata={
            FACTS: Facts(
                "Folder for everything Skep keeps: the embedded database, indexes and keys; --data-dir names it too.",
                variable="SKEP_HOME",
                default_words="$XDG_DATA_HOME/skep, else ~/.local/share/skep; for root /var/lib/skep",
                example="~/.local/share/skep",
            )
        }
    )
    key: Secret | None = setting(
        None, "The key that the command line sends to a server.", none="the file admin.key in the data folder"
    )
    database: DatabaseSettings = DatabaseSettings()
    server: ServerSettings = ServerSettings()
    index: IndexSettings = IndexSettings()
    watch: WatchSettings = WatchSettings()
    search: SearchSettings = SearchSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    documents: DocumentSettings = DocumentSettings()
    gateway: GatewaySettings = GatewaySettings()
    cache: CacheSettings = CacheSettings()
    spend: SpendSettings = SpendSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()

    file: Path | None = None
    """The settings file that was read; None when there is none."""
    open_sections: Mapping[str, OpenSection] = field(default_factory=dict, compare=False)
    """The registered open sections that the file has."""
    warnings: tuple[Problem, ...] = field(default=(), compare=False)
    """What is doubtful but does not stop anything."""
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)
    """Where each setting that is not a default was said, by dotted name."""

    def origin(self, name: str) -> Origin:
        """Where the setting (dotted name, such as ``server.port``) got its value."""
        return self.origins.get(name, DEFAULT)
