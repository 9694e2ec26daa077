"""What is counted of calls of models."""

from __future__ import annotations

from skep.observe import Metric, Metrics
from skep.spend import Outcome, Usage

_NUSD = 1e9

MODEL_CALLS = Metric(
    name="skep_model_calls_total",
    kind="counter",
    unit="calls",
    help="Calls of models that were settled, by the kind of the provider that was asked last (none: nobody was; local: our own; cache: a kept answer; estimate: a count of tokens of ours) and how they ended",
    labels=("provider", "outcome"),
)
MODEL_TOKENS = Metric(
    name="skep_model_tokens_total",
    kind="counter",
    unit="tokens",
    help="Tokens of calls of models, by the kind of the provider and direction (input, output)",
    labels=("provider", "direction"),
)
CREDIT_USED = Metric(
    name="external_api_credit_used_total",
    kind="counter",
    unit="US dollars",
    help="What calls of models cost, by the kind of the provider, as far as prices are known; the ledger has it exactly",
    labels=("provider",),
)
WITHOUT_ROOM = Metric(
    name="skep_calls_without_room_total",
    kind="counter",
    unit="calls",
    help="Calls that a budget or a limit had no room for, by what it counts (cost, requests, tokens, concurrent) and its mode: hard ones"
    " refused it or named a cheaper model, soft and shadow ones let it pass",
    labels=("kind", "mode"),
)
CACHE_LOOKUPS = Metric(
    name="skep_answer_cache_lookups_total",
    kind="counter",
    unit="calls",
    help="Calls whose answer may be given again, by what was found: hit, semantic where the question was put in other words, miss, or refresh where the client wanted a new one",
    labels=("outcome",),
)
GUARD_FINDINGS = Metric(
    name="skep_guard_findings_total",
    kind="counter",
    unit="findings",
    help="What guards found in calls, by kind, what they did (observe, redact, block) and where (request, answer); the log names the guards",
    labels=("kind", "action", "side"),
)

STREAMS_STOPPED = Metric(
    name="skep_streams_stopped_total",
    kind="counter",
    unit="streams",
    help="Streams that were ended before the model would have ended them, by the condition: json, pattern, cost",
    labels=("condition",),
)

GATEWAY_METRICS = (MODEL_CALLS, MODEL_TOKENS, CREDIT_USED, WITHOUT_ROOM, CACHE_LOOKUPS, STREAMS_STOPPED, GUARD_FINDINGS)


def count_call(metrics: Metrics, provider: str, outcome: Outcome, usage: Usage | None, cost_nusd: int | None) -> None:
    """A call that was settled."""
    metrics.add(MODEL_CALLS, (provider, outcome))
    if usage is not None:
        if usage.input_tokens:
            metrics.add(MODEL_TOKENS, (provider, "input"), usage.input_tokens)
        if usage.output_tokens:
            metrics.add(MODEL_TOKENS, (provider, "output"), usage.output_tokens)
    if cost_nusd:
        metrics.add(CREDIT_USED, (provider,), cost_nusd / _NUSD)
