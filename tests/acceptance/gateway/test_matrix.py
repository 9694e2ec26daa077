"""Every format that clients speak, with its own client, onto every kind of provider in the format that it speaks: whole and streamed, with tools and without.

All calls are made once, side by side, with one server; the tests look at what came of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import types

from skep.gateway import FORMAT_FACES, FORMATS, PROFILES, Profile
from skep.server.supervisor import KEY_FILE
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import scripted
from tests.serving import eventually

KINDS = {profile.kind: profile for profile in PROFILES if set(profile.paths) & set(FORMAT_FACES.values())}
QUESTION = "How is the weather in Ulm and in Bern?"
RESULT = "21 degrees"
CALLS = [("weather", {"place": "Ulm", "days": 2}), ("weather", {"place": "Bern"})]
PARAMETERS = {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}}
PRICE = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "cached_input_usd_per_mtok": 0.5}
USAGE = {"input_tokens": 100, "cached_input_tokens": 40, "output_tokens": 20}
TELLING_UNASKED = ("mistral",)
"""Kinds whose streams of chats tell their usage in the last piece, and refuse to be asked for it."""

COST_NUSD = 60 * 1000 + 40 * 500 + 20 * 2000
"""60 tokens in and 40 from a cache, 20 out."""


@dataclass(frozen=True)
class Said:
    """An answer, whatever the format."""

    call_id: str
    text: str
    calls: list[tuple[str, dict[str, Any]]]
    stop: str
    usage: tuple[int, int, int]
    """In, of which from a cache, and out."""
    turn: list[Any]
    """What the client sends of it with the next request, and the results of its tools."""


@dataclass(frozen=True)
class Ask:
    """What a client asks."""

    model: str
    stream: bool
    tools: bool
    before: Sequence[Any] = ()


def _results(ids: Sequence[str]) -> list[tuple[str, str]]:
    return [(each, f"{RESULT} at {place}") for each, place in zip(ids, ("Ulm", "Bern"), strict=False)]


def chat(url: str, key: str, ask: Ask) -> Said:
    """OpenAI's client, chats."""
    more: dict[str, Any] = {}
    if ask.tools:
        more["tools"] = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
    messages: Any = [{"role": "user", "content": QUESTION}, *ask.before]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30) as client:
        create = client.chat.completions.with_raw_response.create
        if not ask.stream:
            raw = create(model=ask.model, messages=messages, **more)
            answer = raw.parse()
            message, stop, usage = answer.choices[0].message, answer.choices[0].finish_reason, answer.usage
            text = message.content or ""
            calls = [(each.id, each.function.name, each.function.arguments) for each in _functions(message.tool_calls)]
        else:
            raw = create(
                model=ask.model, messages=messages, stream=True, stream_options={"include_usage": True}, **more
            )
            text, stop, usage, calls = _gathered(raw.parse())
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    asked = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": arguments}}
        for one, name, arguments in calls
    ]
    told_back = [
        {"role": "tool", "tool_call_id": one, "content": result}
        for one, result in _results([each[0] for each in calls])
    ]
    return Said(
        raw.headers["x-skep-call-id"],
        text,
        [(name, json.loads(arguments)) for _, name, arguments in calls],
        {"stop": "end", "tool_calls": "tools"}.get(stop, stop),
        (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens or 0, usage.completion_tokens),
        [{"role": "assistant", "content": text or None, "tool_calls": asked}, *told_back],
    )


def _gathered(chunks: Any) -> tuple[str, str, Any, list[tuple[str, str, str]]]:
    """What a stream says: its text, why it stops, its usage, its calls."""
    text, stop, usage, found = "", "", None, dict[int, list[str]]()
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text, stop = text + (choice.delta.content or ""), choice.finish_reason or stop
            _add(found, choice.delta.tool_calls or ())
    return text, stop, usage, [(one, name, arguments) for one, name, arguments in found.values()]


def _add(found: dict[int, list[str]], parts: Any) -> None:
    for part in parts:
        whole, told = found.setdefault(part.index, ["", "", ""]), part.function
        for place, more in enumerate((part.id, told and told.name, told and told.arguments)):
            whole[place] += more or ""


def _functions(calls: Any) -> list[Any]:
    return list(calls or ())


def messages(url: str, key: str, ask: Ask) -> Said:
    """Anthropic's client."""
    more: dict[str, Any] = {"tools": [{"name": "weather", "input_schema": PARAMETERS}]} if ask.tools else {}
    said: Any = [{"role": "user", "content": QUESTION}, *ask.before]
    with anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=30) as client:
        if ask.stream:
            with client.messages.stream(model=ask.model, max_tokens=500, messages=said, **more) as stream:
                answer = cast("anthropic.types.Message", stream.get_final_message())
                headers = stream.response.headers
        else:
            raw = client.messages.with_raw_response.create(model=ask.model, max_tokens=500, messages=said, **more)
            answer, headers = raw.parse(), raw.headers
    tools = [block for block in answer.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": one, "content": result}
        for one, result in _results([block.id for block in tools])
    ]
    cached = answer.usage.cache_read_input_tokens or 0
    return Said(
        headers["x-skep-call-id"],
        "".join(block.text for block in answer.content if block.type == "text"),
        [(block.name, cast("dict[str, Any]", block.input)) for block in tools],
        {"end_turn": "end", "tool_use": "tools"}.get(answer.stop_reason or "", str(answer.stop_reason)),
        (answer.usage.input_tokens + cached, cached, answer.usage.output_tokens),
        [
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
            {"role": "user", "content": results},
        ],
    )


def responses(url: str, key: str, ask: Ask) -> Said:
    """OpenAI's client, responses."""
    more: dict[str, Any] = {}
    if ask.tools:
        more["tools"] = [{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}]
    entry: Any = [{"role": "user", "content": QUESTION}, *ask.before]
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30) as client:
        create = client.responses.with_raw_response.create
        if ask.stream:
            raw = create(model=ask.model, input=entry, stream=True, **more)
            last = list(raw.parse())[-1]
            assert last.type == "response.completed"
            answer = last.response
        else:
            raw = create(model=ask.model, input=entry, **more)
            answer = raw.parse()
    calls = [item for item in answer.output if item.type == "function_call"]
    assert answer.usage is not None
    results = [
        {"type": "function_call_output", "call_id": one, "output": result}
        for one, result in _results([item.call_id for item in calls])
    ]
    return Said(
        raw.headers["x-skep-call-id"],
        answer.output_text,
        [(item.name, json.loads(item.arguments)) for item in calls],
        "tools" if calls else "end" if answer.status == "completed" else str(answer.status),
        (
            answer.usage.input_tokens,
            answer.usage.input_tokens_details.cached_tokens,
            answer.usage.output_tokens,
        ),
        [*(item.model_dump(exclude_none=True) for item in answer.output), *results],
    )


def gemini(url: str, key: str, ask: Ask) -> Said:
    """Google's client."""
    declared = types.FunctionDeclaration(name="weather", parameters_json_schema=PARAMETERS)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])] if ask.tools else None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    contents: Any = [types.Content(role="user", parts=[types.Part(text=QUESTION)]), *ask.before]
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, timeout=30_000))
    try:
        if ask.stream:
            answers = list(client.models.generate_content_stream(model=ask.model, contents=contents, config=config))
        else:
            answers = [client.models.generate_content(model=ask.model, contents=contents, config=config)]
    finally:
        client.close()
    parts = [part for answer in answers for part in _parts(answer)]
    usage = answers[-1].usage_metadata
    head = answers[0].sdk_http_response
    assert usage is not None
    assert head is not None
    assert head.headers is not None
    headers = {name.lower(): value for name, value in head.headers.items()}
    calls = [part.function_call for part in parts if part.function_call is not None]
    ended = answers[-1].candidates or []
    stop = str(ended[0].finish_reason.value if ended and ended[0].finish_reason else "")
    results = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": result}))
        for call, (_, result) in zip(calls, _results(["", ""]), strict=False)
    ]
    return Said(
        headers["x-skep-call-id"],
        "".join(part.text or "" for part in parts),
        [(call.name or "", dict(call.args or {})) for call in calls],
        "tools" if calls and stop == "STOP" else {"STOP": "end"}.get(stop, stop),
        (
            usage.prompt_token_count or 0,
            usage.cached_content_token_count or 0,
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        ),
        [types.Content(role="model", parts=parts), types.Content(role="user", parts=results)],
    )


def _parts(answer: types.GenerateContentResponse) -> list[types.Part]:
    candidates = answer.candidates or []
    content = candidates[0].content if candidates else None
    return [] if content is None else list(content.parts or [])


CLIENTS: Mapping[str, Callable[[str, str, Ask], Said]] = {
    "chat": chat,
    "messages": messages,
    "responses": responses,
    "gemini": gemini,
}
"""By the format, the client that speaks it."""

ADDRESSES = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "generateContent",
}
"""What is part of the address at which a format is spoken to clients."""


@dataclass
class Cell:
    """What came of one face and one kind."""

    said: dict[tuple[bool, str], Said] = field(default_factory=dict)
    """By whether it was streamed, and ``text``, ``tools`` or ``result``."""
    error: Exception | None = None


@dataclass
class Matrix:
    """All that came."""

    cells: dict[tuple[str, str], Cell]
    ledger: dict[str, dict[str, Any]]
    paths: dict[str, set[str]]
    """By the kind, the addresses at which its provider was asked."""
    addresses: set[str]
    """Of the server."""


def _script() -> str:
    rules: list[dict[str, Any]] = []
    calls = [{"name": name, "arguments": arguments} for name, arguments in CALLS]
    for kind, profile in KINDS.items():
        headers = {profile.key_header: f"{profile.key_prefix}sk-{kind}"}
        usage = {**USAGE, "unasked": kind in TELLING_UNASKED}
        when = {"models": [f"{kind}-tools"], "headers": headers}
        rules += [
            {"when": {**when, "contains": [RESULT]}, "then": {"text": "It is warm.", "usage": usage}},
            {"when": when, "then": {"tool_calls": calls, "usage": usage}},
            {"when": {"models": [kind], "headers": headers}, "then": {"text": "The hive is quiet.", "usage": usage}},
        ]
    # Who comes with another key than the kind's has no answer.
    return json.dumps({"rules": rules, "otherwise": {"status": 401}})


def _base_url(profile: Profile, url: str) -> str:
    """Where the scripted provider has what this kind has."""
    root = url.removesuffix("/v1")
    path = next(path for face, path in profile.paths.items() if face in FORMAT_FACES.values())
    if path.startswith("/openai/"):
        return root
    return f"{root}/v1beta" if "generate_content" in profile.paths else url


def _settings(url: str) -> str:
    providers = {
        kind: {"kind": kind, "base_url": _base_url(profile, url), "api_key": f"sk-{kind}"}
        for kind, profile in KINDS.items()
    }
    models = {
        name: {"retries": 0, "price": PRICE, "routes": [{"provider": kind, "model": name}]}
        for kind in KINDS
        for name in (kind, f"{kind}-tools")
    }
    return json.dumps({"providers": providers, "models": models})


def _fill(url: str, key: str, face: str, kind: str) -> Cell:
    cell, client = Cell(), CLIENTS[face]
    try:
        for stream in (False, True):
            cell.said[stream, "text"] = client(url, key, Ask(kind, stream, tools=False))
            asked = cell.said[stream, "tools"] = client(url, key, Ask(f"{kind}-tools", stream, tools=True))
            cell.said[stream, "result"] = client(url, key, Ask(f"{kind}-tools", stream, tools=True, before=asked.turn))
    except Exception as error:  # noqa: BLE001 -- the cell's own test tells it
        cell.error = error
    return cell


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Matrix]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    with scripted(folder / "provider", _script(), "--no-fsync") as provider, scratch_server.database() as database:
        skep = Command(folder / "data", folder, database)
        (folder / "skep.yaml").write_text(_settings(provider.url))
        key = skep("key", "create", "--name", "matrix", "--json").answer["key"]
        with server(skep, folder / "skep.yaml", workers=1) as url:
            names = [(face, kind) for face in CLIENTS for kind in KINDS]
            with ThreadPoolExecutor(8) as pool:
                cells = dict(zip(names, pool.map(lambda name: _fill(url, key, *name), names), strict=True))
            admin = (skep.data / KEY_FILE).read_text().strip()
            with httpx.Client(base_url=url, headers={"authorization": f"Bearer {admin}"}, timeout=30) as client:
                ledger = _ledger(client, [said.call_id for cell in cells.values() for said in cell.said.values()])
                addresses = set(client.get("/api/openapi.json").json()["paths"])
            paths: dict[str, set[str]] = {}
            for entry in provider.truth():
                paths.setdefault(str(entry["model"]).removesuffix("-tools"), set()).add(entry["path"])
            yield Matrix(cells, ledger, paths, addresses)


def _ledger(client: httpx.Client, call_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with eventually(40) as waits:
        while missing := [each for each in call_ids if each not in found]:
            for each in missing:
                answer = client.get(f"/api/v1/calls/{each}")
                if answer.status_code != 200 or answer.json()["outcome"] == "lost":
                    waits()
                    break
                found[each] = answer.json()
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("face", CLIENTS)
def test_a_client_is_answered_in_its_format(matrix: Matrix, face: str, kind: str) -> None:
    cell = matrix.cells[face, kind]
    if cell.error is not None:
        raise cell.error
    for (stream, what), said in cell.said.items():
        text = {"text": "The hive is quiet.", "tools": "", "result": "It is warm."}[what]
        calls = CALLS if what == "tools" else []
        assert (said.text, said.calls, said.stop) == (text, calls, "tools" if calls else "end"), (stream, what)
        assert said.usage == (100, 40, 20), (stream, what)
        call = matrix.ledger[said.call_id]
        usage = call["usage"]
        assert (call["cost"]["cost_nusd"], call["cost"]["estimated"]) == (COST_NUSD, False), (stream, what)
        assert (usage["input_tokens"], usage["cached_input_tokens"], usage["output_tokens"]) == (100, 40, 20)
        assert (call["face"], call["stream"]) == (FORMAT_FACES[face], stream)
        assert (call["provider"], call["outcome"], call["attempts"]) == (kind, "ok", 1)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_is_asked_in_its_own_formats(matrix: Matrix, kind: str) -> None:
    own = {path for face, path in KINDS[kind].paths.items() if face in FORMAT_FACES.values()}
    for path in matrix.paths[kind]:
        bare = path.split(":")[0].removeprefix("/v1beta").removeprefix("/v1")
        for name in (f"{kind}-tools", kind):
            bare = bare.replace(f"/{name}", "/{model}")
        assert bare in {each.split(":")[0] for each in own}


@pytest.mark.timeout(180)
def test_every_format_that_is_spoken_to_clients_has_a_client_here(matrix: Matrix) -> None:
    assert set(ADDRESSES) == set(FORMATS)
    spoken = {name for name, part in ADDRESSES.items() if any(part in address for address in matrix.addresses)}
    assert set(CLIENTS) == spoken
