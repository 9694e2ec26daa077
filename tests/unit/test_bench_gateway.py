"""What the gateway's benchmark makes of its measurements."""

from __future__ import annotations

import json

import pytest

from bench.gateway import soak
from bench.gateway.load import load_of, request_body
from bench.gateway.programs import CHAT_PATH, Governance, Target, skep_settings
from bench.gateway.run import figures
from bench.gateway.streams import Streams, request_of, text_of
from bench.processes import CommandError

SAMPLES = {
    ("direct", "p50_ms"): [0.1, 0.2],
    ("direct", "throughput"): [60_000.0, 61_000.0],
    ("litellm", "throughput"): [100.0, 120.0],
    ("nginx", "throughput"): [40_000.0, 42_000.0],
    ("skep", "throughput"): [4_400.0, 5_000.0],
    ("skep", "p50_ms"): [0.5, 0.4],
    ("skep", "slow_whole"): [1.0, 0.998],
    ("skep without governance", "throughput"): [6_000.0, 6_000.0],
}


def test_promises_are_figures_with_goals() -> None:
    found = {figure.name: figure for figure in figures(SAMPLES)}
    assert found["gateway.promise.throughput"].reaches_goal is True
    assert found["gateway.promise.slow_whole"].reaches_goal is False
    added = found["gateway.promise.p50_ms"]
    assert added.samples == pytest.approx((0.4, 0.2))
    assert added.reaches_goal is True
    by_litellm = found["gateway.promise.throughput_by_litellm"]
    assert by_litellm.ratio == pytest.approx(4_700 / 110)
    assert (by_litellm.peer_name, by_litellm.reaches_goal) == ("litellm", True)
    assert found["gateway.promise.throughput_by_nginx"].reaches_goal is True
    assert found["gateway.promise.throughput_by_skep_without_governance"].ratio == pytest.approx(4_700 / 6_000)
    assert not any("portkey" in name for name in found)


def test_without_skep_everybody_has_figures_and_nobody_a_promise() -> None:
    found = list(figures({key: values for key, values in SAMPLES.items() if not key[0].startswith("skep")}))
    assert [figure.name for figure in found] == ["gateway.litellm.throughput", "gateway.nginx.throughput"]
    assert all(figure.goal is None for figure in found)


def test_what_wrk_tells() -> None:
    load = load_of('{"requests": 500, "microseconds": 2000000, "p50": 350, "p99": 1500, "failed": 0}')
    assert (load.per_second, load.p50_ms, load.p99_ms) == (250.0, 0.35, 1.5)


@pytest.mark.parametrize(("requests", "failed"), [(0, 0), (10, 1)])
def test_a_load_with_failures_is_none(requests: int, failed: int) -> None:
    told = {"requests": requests, "microseconds": 1, "p50": 1, "p99": 1, "failed": failed}
    with pytest.raises(CommandError, match=f"{failed} requests failed"):
        load_of(json.dumps(told))


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_bodies_are_about_as_large_as_asked(size: int) -> None:
    assert 0.99 * size < len(request_body("m", size)) < 1.01 * size


def test_streams_take_their_headers_in_turn() -> None:
    target = Target(1, "m", headers=({"authorization": "a"}, {"authorization": "b"}))
    heads = [request_of(target, turn).partition(b"\r\n\r\n")[0] for turn in range(3)]
    assert [head.endswith(word) for head, word in zip(heads, (b"a", b"b", b"a"), strict=True)] == [True] * 3
    assert heads[0].startswith(f"POST {CHAT_PATH} HTTP/1.1\r\n".encode())


def test_the_text_of_an_event() -> None:
    assert text_of(b'data: {"choices": [{"delta": {"content": "a"}}]}\n') == "a"
    assert text_of(b'data: {"choices": [{"delta": {"content": null}}]}\n') == ""
    assert text_of(b'data: {"choices": []}\n') == ""
    for line in (b"data: {\n", b'data: {"error": {}}\n'):
        with pytest.raises(ValueError, match=r"event|unexpected|EOF|JSON"):
            text_of(line)


def test_the_share_of_whole_streams() -> None:
    assert Streams().share_whole() == 0.0
    assert Streams(whole=3, broken=1).share_whole() == 0.75


@pytest.mark.parametrize("governance", [None, Governance()])
def test_the_settings_of_the_measured_skep(governance: Governance | None) -> None:
    body, streams = Target(9001, "gpt-bench"), {"slow": Target(9002, "gpt-slow"), "quick": Target(9002, "gpt-quick")}
    settings: dict[str, dict[str, dict[str, object]]] = skep_settings(body, streams, governance)  # type: ignore[assignment]
    assert settings["providers"].keys() == {"upstream9001", "upstream9002"}
    assert settings["models"]["gpt-slow"]["routes"] == [{"provider": "upstream9002", "model": "gpt-slow"}]
    assert all(("price" in model) == (governance is not None) for model in settings["models"].values())
    tracing = {"endpoint": "http://127.0.0.1:9001", "samples_per_thousand": 100}
    assert settings.get("tracing") == (tracing if governance else None)


def test_growth_is_of_the_last_quarter_over_the_second() -> None:
    assert soak.growth([900, 900, 100, 100, 300, 300, 110, 110]) == pytest.approx(1.1)
    with pytest.raises(ValueError, match="few"):
        soak.growth([1] * 7)
