"""One defined outcome for each way in which a provider can fail: through a real server, over real sockets."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from tests.acceptance.gateway.conftest import ANSWER, Served, event

FAILED, TIMEOUT = (502, "provider_failed"), (504, "provider_timeout")

WHOLE = {
    "refused": FAILED,
    "tls": FAILED,
    "closes": FAILED,
    "hang_before": TIMEOUT,
    "hang_after": TIMEOUT,
    "cut_off": FAILED,
    "truncated_json": FAILED,
    "html": FAILED,
    "large": FAILED,
    "flood": FAILED,
    "bomb": FAILED,
    "brotli": FAILED,
    "garbage": FAILED,
    "redirect": FAILED,
    "broken": FAILED,
    "error_in_200": FAILED,
    "refused_key": FAILED,
    "html_400": (400, "provider_refused"),
    # What speaks about the request is passed on in the provider's words.
    "busy": (429, "rate_limit_exceeded"),
    "context": (400, "context_length_exceeded"),
    "filtered": (400, "content_filter"),
    "wrong": (400, "unknown_parameter"),
}


@pytest.mark.parametrize(("model", "outcome"), WHOLE.items(), ids=list(WHOLE))
def test_a_whole_answer(served: Served, model: str, outcome: tuple[int, str]) -> None:
    answer = served.ask(model)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == outcome, answer.text
    assert error["message"]
    assert answer.headers["x-skep-call-id"]
    assert answer.headers["x-skep-model"] == model
    assert "sk-raw" not in answer.text
    assert served.key not in answer.text


@pytest.mark.parametrize("model", ["hang_before", "hang_after", "cut_off", "truncated_json", "html", "large"])
def test_a_failed_call_that_the_provider_may_bill_is_not_free(served: Served, model: str) -> None:
    assert float(served.ask(model).headers["x-skep-cost-usd"]) > 0


@pytest.mark.parametrize("model", ["refused", "broken", "redirect", "wrong"])
def test_a_failed_call_that_nobody_bills_is_free(served: Served, model: str) -> None:
    assert float(served.ask(model).headers.get("x-skep-cost-usd", "0")) == 0


STREAMS = {
    "refused": FAILED,
    "tls": FAILED,
    "closes": FAILED,
    "hang_before": TIMEOUT,
    "html": FAILED,
    "stream_html": FAILED,
    "flood": FAILED,
    "brotli": FAILED,
    "stream_told_first": FAILED,
    "ok": FAILED,
    "busy": (429, "rate_limit_exceeded"),
    "context": (400, "context_length_exceeded"),
}


@pytest.mark.parametrize(("model", "outcome"), STREAMS.items(), ids=list(STREAMS))
def test_a_stream_that_does_not_begin(served: Served, model: str, outcome: tuple[int, str]) -> None:
    answer = served.ask(model, stream=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == outcome, answer.text


@pytest.mark.parametrize("model", ["stream_cut", "stream_no_done", "stream_hang", "stream_told", "stream_huge_event"])
def test_a_stream_that_breaks_off_ends_with_an_error_and_never_well(served: Served, model: str) -> None:
    answer = served.ask(model, stream=True)
    assert answer.status_code == 200
    events = [
        json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ") and "DONE" not in line
    ]
    assert "[DONE]" not in answer.text
    assert events[0]["choices"][0]["delta"]["content"] in ("Hel", "a")
    assert list(events[-1]) == ["error"]
    assert [list(each) for each in events[:-1] if "error" in each] == []
    # What had come is charged, reckoned.
    assert ": x-skep-cost-usd 0.0" in answer.text


def test_a_storm_of_500s_closes_the_route_at_once(served: Served) -> None:
    answers = [served.ask("broken_storm") for _ in range(27)]
    codes = [answer.json()["error"]["code"] for answer in answers]
    assert codes[:20] == ["provider_failed"] * 20
    assert codes[-1] == "no_route"
    assert answers[-1].status_code == 503
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 15
    seen = len([1 for seen in served.provider.seen if b'"broken_storm"' in seen.body])
    assert seen <= 25
    with served.client() as client:
        status = client.get("/api/v1/gateway/status").json()
    route = next(route for route in status["routes"] if route["route"] == "raw/broken_storm")
    assert route["breaker"]["state"] == "open"
    assert route["failures"] == seen
    assert "500" in route["last_failure"]


def test_a_refused_key_closes_the_route_for_long(served: Served) -> None:
    answers = [served.ask("refused_key_twice") for _ in range(4)]
    assert [answer.json()["error"]["code"] for answer in answers[:3]] == ["provider_failed"] * 3
    answer = answers[3]
    assert answer.json()["error"]["code"] == "no_route"
    assert int(answer.headers["retry-after"]) > 200


def test_the_next_route_answers(served: Served) -> None:
    answer = served.ask("falls_back")
    assert answer.content == ANSWER
    assert answer.headers["x-skep-provider"] == "spare"
    streamed = served.ask("falls_back_stream", stream=True)
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert streamed.headers["x-skep-provider"] == "spare"


def test_an_answer_passes_as_it_came(served: Served) -> None:
    sent = b'{ "model" : "ok", "messages":[],"unknown":{"a":1.50,"b":"\\u00e9"},"tools":[{"x":"{\\"model\\":1}"}] }'
    with served.client(**{"x-custom": "kept", "openai-beta": "y", "cookie": "c", "x-skep-secret": "s"}) as client:
        answer = client.post("/v1/chat/completions", content=sent)
    assert answer.content == ANSWER
    assert answer.headers["x-skep-cost-usd"] == "0.00018"
    assert float(answer.headers["x-skep-overhead-ms"]) > 0
    seen = served.provider.last("ok")
    assert seen.body == sent
    head = seen.head.decode().lower()
    assert seen.path == "/v1/chat/completions"
    assert "authorization: bearer sk-raw\r\n" in head
    assert "x-custom: kept\r\n" in head
    assert "openai-beta: y\r\n" in head
    assert served.key.lower() not in head
    assert "cookie" not in head
    assert "x-skep" not in head


def test_an_answer_packed_unasked_is_unpacked(served: Served) -> None:
    answer = served.ask("packed")
    assert answer.content == ANSWER
    assert "content-encoding" not in answer.headers


def test_an_answer_without_usage_is_reckoned(served: Served) -> None:
    answer = served.ask("no_usage")
    assert float(answer.headers["x-skep-cost-usd"]) > 0


@pytest.mark.parametrize("model", ["stream_ok", "stream_pieces"])
def test_a_stream_passes_as_it_came_without_what_only_we_asked_for(served: Served, model: str) -> None:
    plain = served.ask(model, stream=True)
    text = event("Hello") if model == "stream_pieces" else event("Hel") + event("lo")
    assert plain.content == text + b": x-skep-cost-usd 0.00018\n\ndata: [DONE]\n\n"
    assert json.loads(served.provider.last(model).body)["stream_options"] == {"include_usage": True}
    told = served.ask(model, stream=True, stream_options={"include_usage": True})
    assert b'"usage": {"prompt_tokens": 1000' in told.content


def _read_some(served: Served, model: str) -> None:
    with (
        served.client() as client,
        client.stream("POST", "/v1/chat/completions", json={"model": model, "messages": [], "stream": True}) as answer,
    ):
        assert answer.status_code == 200
        next(answer.iter_bytes())


def test_a_client_that_goes_away_ends_the_providers_work(served: Served) -> None:
    _read_some(served, "stream_slow")
    assert served.provider.last("stream_slow").was_broken_off.wait(3)
    with pytest.raises(httpx.ReadTimeout), served.client() as client:
        client.post("/v1/chat/completions", json={"model": "hang_before", "messages": []}, timeout=0.5)
    assert served.provider.last("hang_before").was_broken_off.wait(1.2)


def test_a_client_that_does_not_read_is_not_read_for(served: Served) -> None:
    """Back-pressure: the provider is not read ahead, and after a while the client counts as gone."""
    request = {"model": "stream_endless", "messages": [], "stream": True}
    with served.client() as client, client.stream("POST", "/v1/chat/completions", json=request) as answer:
        next(answer.iter_bytes())
        time.sleep(1)
        first = served.provider.last("stream_endless").sent_bytes
        time.sleep(0.5)
        assert served.provider.last("stream_endless").sent_bytes == first
        assert first < 30_000_000
        assert served.provider.last("stream_endless").was_broken_off.wait(5)


REFUSALS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no such model": ({"model": "nobody", "messages": []}, 404, "model_not_found"),
    "no model": ({"messages": []}, 400, "request_invalid"),
    "local only embeds": ({"model": "local", "messages": []}, 400, "request_invalid"),
}


@pytest.mark.parametrize(("body", "status", "code"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_is_wrong_is_told_in_openais_shape(served: Served, body: dict[str, Any], status: int, code: str) -> None:
    with served.client() as client:
        answer = client.post("/v1/chat/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error.keys() == {"message", "type", "param", "code", "fix"}


def test_who_may_not_is_told_in_openais_shape(served: Served) -> None:
    for headers in (
        {},
        {"authorization": "Bearer no"},
        {"authorization": f"Bearer {served.key}", "x-api-key": "other"},
    ):
        answer = httpx.post(f"{served.url}/v1/chat/completions", json={}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert httpx.get(f"{served.url}/v1/models", headers={"x-api-key": served.key}).status_code == 200
    lost = httpx.get(f"{served.url}/v1/nothing")
    assert (lost.status_code, lost.json()["error"]["code"]) == (404, "route_not_found")
