"""Write the reference pages that the code itself knows: settings, commands, errors, languages, metrics, and the script of
the fake provider.

.venv-dev/bin/python docs/generate.py            write them
.venv-dev/bin/python docs/generate.py --check    exit with 1 when a page is not what the code says
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import skep
from skep.cli import COMMANDS
from skep.cli.main import run
from skep.errors import SkepError
from skep.fakes import script_reference
from skep.gateway import FORMAT_FACES, FORMATS, Profile
from skep.gateway import PROFILES as PROVIDERS
from skep.knowledge.chunking import LANGUAGES
from skep.knowledge.edges import PROFILES
from skep.observe import BACKENDS
from skep.server.metrics import ALL_METRICS
from skep.settings import settings_reference

REFERENCE = Path(__file__).parent / "reference"
_WIDTH = "100"
_RULES = ("create", "list", "set", "delete")
_GROUPS = {
    "config": ("check", "show"),
    "gateway": ("status", "models", "test", "explain", "experiment", "advice", "dashboards", "reload", "clear-cache"),
    "cost": ("report", "trend", "savings", "privacy", "streams"),
    "key": ("create", "list", "show", "revoke", "rotate"),
    "budget": _RULES,
    "limit": (*_RULES, "status"),
    "project": ("create", "list"),
}
_NOTE = "<!-- Written by docs/generate.py; edit the code, not this page. -->\n\n"

_FORMATS_OF = {face: name for name, face in FORMAT_FACES.items()}

_PROVIDERS = f"""# Providers and models

{_NOTE}Who serves models, and under which names clients ask for them, stands in two sections of `skep.yaml` (and roles, if there are any, in a third):

```yaml
providers:
  openai: {{kind: openai, api_key: "${{OPENAI_API_KEY}}"}}
  office: {{base_url: http://gpu.example.com:8000/v1, connect_timeout_seconds: 2, health_check_seconds: 30}}
models:
  smart:
    routes:                                                       # tried in this order
      - {{provider: openai, model: gpt-x, timeout_seconds: 30}}
      - {{provider: office, model: llama-x}}
    price: {{input_usd_per_mtok: 0.15, output_usd_per_mtok: 0.60}}
```

`skep config check` names every mistake with its line. Clients use `http://127.0.0.1:7117/v1` as OpenAI's base URL, and a Skep key.

**A provider** has `kind` (left out: `openai_compatible`), `base_url`, `api_key`, `headers` (sent with every call), `local` (whether what it gets
stays in the house; by its address, if not said), `connect_timeout_seconds` (5), `health_check_seconds` (0: never asked; while it does not
answer, its routes are left alone), and `api_version` (Azure's; said in the query of each address).

**A model** has `routes`, and for all of them `price`, `max_output_tokens`, `context_window`, `timeout_seconds` (600, for all attempts together), `strategy` (`ordered`: as they
stand; [or another](../how-to/choose-among-routes.md)), `cache_seconds` (0: answers are not [given again](../how-to/give-answers-again.md)), `semantic_cache` (`similarity`, `wait_seconds`: to questions in other words, too), `guards` (names of the section `guards`, [which look through its calls](../how-to/guard-calls.md)),
`stop_when` ([ends streams early](../how-to/end-streams-early.md)), `retries` (2, on each
route), and `falls_back_on`: the kinds of failures after which the next route is tried, by default all but `content_filter`, `client_error` and
`interrupted`. `apology` is what clients are answered, as an answer with `x-skep-apology: true`, when every route has failed (`"Sorry, nobody answers. {{trace_id}}"`), instead
of an error; not for what is the request's fault, or a budget's. `tier` says of which tier it is: clients can [ask for `tier:fast`](../how-to/choose-among-routes.md#ask-for-a-tier), whichever of its models
that is. `experiment` has a share of its calls answered [by another model](../how-to/compare-models.md). The name `local` is taken by the embedding model
that is part of Skep.

**A role** stands in the section `roles`: what is said for clients that name it (`x-skep-role: critic`), where they [say nothing
themselves](../how-to/say-it-by-role.md). It has `model` (a model, or `tier:NAME`), and may have `temperature`, `top_p`, `max_tokens` and `system`.

**A route** has `provider`, `model` (the provider's name for it), `listed_as` (its name in the price list, where that is another one), `weight` (1; its share, where
routes are taken by weight), `price`, `max_output_tokens`, `context_window`, `timeout_seconds` (600, for one attempt), and for streams
`first_byte_timeout_seconds` (120) and `idle_timeout_seconds` (60), and `formats`: in which formats alone chats with it are asked for there, some of `chat`,
`responses` and `messages` (by default those of the provider's kind, below; what the kind cannot be asked in is refused). So `formats: [responses]` is for models that OpenAI has in its responses only, and
`formats: [chat, messages]` lets bytes of Anthropic's clients pass as they come to a server of your own that speaks both. `purpose` says what its model is for: `text`,
`embedding`, `ranking`, `moderation`, `picture`, `speech` or `transcription`; where it is left out, the model's name or price tells it, or nothing does. By it advice names
nothing that cannot stand in, `skep gateway test` asks each model for what it gives, and Gemini's list of models has those that write. It can stand at the model, for all its routes.

**A context window** is how many tokens the model can have before it, its own included; where neither that nor a price is said, that of the price list counts. A request
that seems too long for a route (four bytes to a token, and the bound of its output) is tried last there, and when a provider says that it was too long, only routes with larger windows are tried.
`GET /v1/models` tells clients the largest.

**A price** has `input_usd_per_mtok` and `output_usd_per_mtok`, and if they differ `cached_input_`, `cache_write_`, `cache_write_1h_` (input
that the provider keeps for an hour), `reasoning_`, `input_audio_`, `output_audio_`, `input_image_` and `output_image_usd_per_mtok`; `request_usd` is added for each call.
What is not paid by tokens has other words: `input_usd_per_mchar` (for a million characters of a text that is spoken) and `audio_usd_per_hour` (of what is
listened to); then the tokens' prices may be left out, and there are 0 tokens in the ledger.

**What a request may ask for that the price is not for** is said by the model, or by a route for itself:

```yaml
models:
  smart:
    routes: [{{provider: openai, model: gpt-x}}]
    service_tiers: {{priority: 2, flex: 0.5}}   # their tokens cost so many times the price
    search_usd: 0.01                          # for each call with web_search_options; at /v1/rerank for each search that is billed
```

At `/v1/rerank` a model with `search_usd` costs that for each search that the provider says it bills (Cohere: 100 documents of 500 tokens), and nothing for
tokens; reserved are the most that the documents can come to. Without it, tokens are charged by `price` (Jina, Voyage, vLLM: the query's count once for
each document). `/v1/moderations` of OpenAI is free.

At `/v1/images/...` a model with `image_usd` costs that for each picture, and with `image_usd_by` what stands there for its quality and size, its quality, or its
size (`"hd 1024x1024": 0.08`, `hd: 0.08`, `"1024x1024": 0.04`), as the answer says them, else as they were asked for; what is left to the provider and told by nobody costs the dearest
that it can be, and a picture of which nothing fits costs `image_usd`, or has no known price where that is left out. What a route says of pictures counts alone there, whatever its model says. Without either, tokens are charged by `price`. At `/v1/audio/...` the price decides: characters, time or tokens.
The price list knows these of OpenAI, Groq and Mistral, as far as they are paid by tokens, characters or time; prices of single pictures must be said.

Of `service_tier`, `auto`, `default`, `standard` and `on_demand` cost what the price says, `flex` of OpenAI and Azure half of it, and
`flex` of Groq the same. What is charged is the tier that the
answer names, since one that was asked for may be denied; reserved is the dearer of both. A call on terms whose price is not known (another tier,
`web_search_options` without `search_usd`, OpenRouter's `plugins` and `provider`, in responses the provider's own tools, `prompt`,
`context_management`, `reasoning.mode` and a cache of 12 hours, pictures as SVG, recordings that are only named) is refused by a money budget, which names the field, unless
it allows unpriced calls; its cost is unknown (not 0) in the ledger then. What OpenRouter tells as `usage.cost` is the cost of calls without a known price;
others are charged by their price, which `skep gateway explain` can show.

## Kinds

*Formats* are those of chats that the provider has itself: they pass as they come. The others are [translated](translation.md) into the first.

| kind | what | formats | address | key |
|---|---|---|---|---|
"""


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "settings.md": settings_reference(),
        "commands.md": commands_page(),
        "errors.md": errors_page(),
        "languages.md": languages_page(),
        "metrics.md": metrics_page(),
        "fake-provider.md": script_page(),
        "providers.md": providers_page(),
        "translation.md": translation_page(),
    }


def providers_page() -> str:
    """The kinds of providers, and how the settings name providers and models."""
    rows = "".join(
        f"| `{each.kind}` | {each.summary} | {', '.join(_FORMATS_OF[face] for face in _FORMATS_OF if face in each.paths)} |"
        f" {f'`{each.base_url}`' if each.base_url else 'must be named'} | {'needed' if each.needs_key else 'optional'} |\n"
        for each in PROVIDERS
    )
    return _PROVIDERS + rows + _ADDRESSES + "".join(map(_addresses, PROVIDERS))


def _addresses(profile: Profile) -> str:
    """What a kind of provider has besides chats."""
    faces = [face for face in profile.paths if face not in _FORMATS_OF]
    return f"| `{profile.kind}` | {', '.join(f'`{face}`' for face in faces)} |\n"


_ADDRESSES = """
## Addresses

What providers of a kind can be asked for besides chats, by the names that keys' lists of faces have; nothing of it is translated.

| kind | faces |
|---|---|
"""


def commands_page() -> str:
    """The help of every command, as the command prints it."""
    parts = ["# Commands\n\n", _NOTE, "```text\n", help_of([]), "```\n"]
    for row in COMMANDS:
        for words in [[row.name], *([row.name, member] for member in _GROUPS.get(row.name, ()))]:
            parts += [f"\n## skep {' '.join(words)}\n\n```text\n", help_of(words), "```\n"]
    parts.append("\n## Exit codes\n\n")
    parts.append("| code | meaning |\n| --- | --- |\n| 0 | done |\n| 1 | failed |\n| 2 | wrong usage |\n")
    parts.append("| 3 | refused by a rule |\n| 4 | something needed does not answer |\n| 130 | interrupted |\n")
    return "".join(parts)


def help_of(words: list[str]) -> str:
    """What ``skep WORDS --help`` prints."""
    printed = io.StringIO()
    os.environ["COLUMNS"] = _WIDTH
    with contextlib.redirect_stdout(printed):
        code = run([*words, "--help"])
    if code:
        raise RuntimeError(f"skep {' '.join(words)} --help exited with {code}")
    lines = (line.rstrip() for line in printed.getvalue().splitlines())
    return "\n".join(lines).rstrip() + "\n"


def errors_page() -> str:
    """Every error a person can meet, with what to do."""
    rows = [
        f"| `{name}` | {sentence} | {fix} | {kind.exit_code} | {kind.http_status} |\n"
        for name, kind, sentence, fix in sorted(_errors())
    ]
    head = "# Errors\n\n" + _NOTE + "`{words}` stand for what the error was about.\n\n"
    table = "| code | what it says | fix | exit code | HTTP status |\n| --- | --- | --- | --- | --- |\n"
    return head + table + "".join(rows)


def _errors() -> Iterator[tuple[str, type[SkepError], str, str]]:
    for module in pkgutil.walk_packages(skep.__path__, "skep."):
        # These run something when imported, as programs do.
        if not module.name.endswith(("__main__", "run_supervisor", ".env")) and ".versions." not in module.name:
            importlib.import_module(module.name)
    seen: set[type[SkepError]] = set()
    waiting = [SkepError]
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.add(kind)
        waiting += kind.__subclasses__()
        sentence = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
        name = kind.__new__(kind).code
        yield name, kind, sentence.replace("|", "\\|"), kind.fix.replace("|", "\\|")


def languages_page() -> str:
    """Every language the chunker knows."""
    rows = []
    for language in sorted(LANGUAGES, key=lambda one: one.name):
        names = ", ".join(f"`{name}`" for name in (*language.extensions, *language.file_names))
        cut = "syntax tree" if language.grammar else "headings" if language.headings else "lines"
        rows.append(f"| {language.name} | {language.kind} | {cut} | {_edges_of(language.name)} | {names} |\n")
    head = (
        "# Languages\n\n"
        + _NOTE
        + "Files of any other name are `text`, of kind docs, cut by lines.\n\n"
        + "*Leads by* says what makes edges from such a file to others: the paths and modules it imports or links to, and the "
        + "names it uses. Names lead to languages that can call each other (Java and Kotlin, C and C++), from prose to all. "
        + "Tests lead to what they test by their names. Without an entry a file has no edges.\n\n"
    )
    return head + "| language | kind | cut by | leads by | files |\n| --- | --- | --- | --- | --- |\n" + "".join(rows)


def script_page() -> str:
    """Every word that a script of the fake provider may have."""
    head = (
        "# The script of the fake provider\n\n"
        + _NOTE
        + "What `skep fake-provider --script FILE` reads, as YAML or JSON; [how to use it](../how-to/test-without-a-provider.md).\n\n"
    )
    return head + script_reference()


def _edges_of(language: str) -> str:
    profile = PROFILES.get(language)
    if profile is None:
        return ""
    return ", ".join([*["imports"] * bool(profile.imports), *["names"] * profile.has_names])


def metrics_page() -> str:
    """Everything that is measured, and where it can go."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {', '.join(f'`{label}`' for label in metric.labels)} "
        f"| {'at a scrape' if metric.is_read else 'as it happens'} | {metric.help} |\n"
        for metric in sorted(ALL_METRICS, key=lambda one: one.name)
    ]
    head = (
        "# Metrics\n\n"
        + _NOTE
        + "What `GET /metrics` answers, see [how to watch it](../how-to/watch-it-with-prometheus.md). "
        + "*As it happens* is counted by each server process, and told as the sum of all. *At a scrape* is read from the "
        + "database, for a push too. Names are the same wherever they go, [also pushed](../how-to/push-metrics.md).\n\n"
    )
    table = "| name | kind | unit | labels | found out | what it is |\n| --- | --- | --- | --- | --- | --- |\n"
    ends = "\n## Back ends\n\nThe names that `metrics.backend` takes, besides `auto`:\n\n"
    return head + table + "".join(rows) + ends + "".join(f"- `{one.name}`: {one.sentence}.\n" for one in BACKENDS)


def translation_page() -> str:
    """What can be said between the formats, as the tests have it."""
    sys.path.insert(0, str(REFERENCE.parent.parent))
    translations = importlib.import_module("tests.translations")
    parts = [f"# What can be said between formats\n\n{_NOTE}{_TRANSLATION}"]
    for source, samples in translations.SAMPLES.items():
        targets = [name for name in translations.FORMAT_NAMES if name != source]
        parts.append(f"\n## From {FORMATS[source].title}\n\n")
        parts.append(
            f"| field | {' | '.join(f'in {FORMATS[name].title}' for name in targets)} |\n{'| --- ' * (len(targets) + 1)}|\n"
        )
        parts += [
            f"| {sample.name} | {' | '.join(sample.outcome_in(target) for target in targets)} |\n" for sample in samples
        ]
        parts.append("\nLeft out, because nothing of the answer depends on it:\n\n")
        parts += [f"- `{name}`: {reason}\n" for name, reason in FORMATS[source].hints.items()]
    return "".join(parts)


_TRANSLATION = """Where client and provider speak the same format, everything passes as it comes. Else a field is *said* in the other format,
*left out* because nothing of the answer depends on it, or the call is *refused* with its name. Each line is a test.

Answers, streams, errors and usage are translated whole in every direction. Five things are said nearly: a bound of thinking in tokens becomes
an effort, that a tool failed is said in its result's words, pictures from tools follow in a message of the user of a chat, clients of
responses get the thinking as its summary, if they asked for one, and Gemini is asked in words to call one function at a time.
"""


def main() -> int:
    """Write or check; the exit code."""
    stale = []
    for name, text in pages().items():
        path = REFERENCE / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text)
    if stale:
        sys.stderr.write(f"{'stale' if '--check' in sys.argv else 'wrote'}: {', '.join(stale)}\n")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
