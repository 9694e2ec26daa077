"""Pictures, sound, ranked documents and judged texts: OpenAI's own client, a real server, and the scripted provider, whose truth counts."""

from __future__ import annotations

import io
import json
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from skep.server.supervisor import KEY_FILE
from tests.acceptance.gateway.test_exact_budget import server
from tests.command import Command
from tests.postgres import ScratchServer
from tests.scripted import Scripted, scripted
from tests.serving import eventually

SCRIPT = """\
prices:
  painter: {input_usd_per_mtok: 5, output_usd_per_mtok: 10, image_input_usd_per_mtok: 8, image_output_usd_per_mtok: 32}
  old-painter: {input_usd_per_mtok: 0, output_usd_per_mtok: 0, image_usd: 0.08}
  voice: {input_usd_per_mtok: 0, output_usd_per_mtok: 0, input_usd_per_mchar: 15}
  new-voice: {input_usd_per_mtok: 0.6, output_usd_per_mtok: 12}
  ear: {input_usd_per_mtok: 0, output_usd_per_mtok: 0, audio_usd_per_hour: 0.36}
  new-ear: {input_usd_per_mtok: 2.5, output_usd_per_mtok: 10, audio_input_usd_per_mtok: 6}
  ranker: {input_usd_per_mtok: 0, output_usd_per_mtok: 0, search_usd: 0.002}
  token-ranker: {input_usd_per_mtok: 2, output_usd_per_mtok: 0}
  judge: {input_usd_per_mtok: 0, output_usd_per_mtok: 0}
rules:
  - {when: {models: [down]}, then: {status: 503}}
  - {when: {models: [breaking]}, then: {events: 5, fault: {kind: close_in_stream, after_events: 2}}}
  - when: {models: [painter]}
    then: {usage: {input_tokens: 300, image_input_tokens: 200, output_tokens: 1100, image_output_tokens: 1000}}
  - {when: {models: [old-painter]}, then: {usage: missing}}
  - {when: {models: [new-voice]}, then: {usage: {input_tokens: 9, output_tokens: 120}}}
  - {when: {models: [ear]}, then: {text: "Call me at 030 1234567.", usage: {seconds: 7.5}}}
  - {when: {models: [new-ear]}, then: {text: "It hums.", usage: {input_tokens: 80, audio_input_tokens: 70, output_tokens: 4}}}
  - {when: {models: [ranker]}, then: {usage: {searches: 2}}}
  - {when: {models: [judge]}, then: {flagged: [violence]}}
"""
PRICES: dict[str, Any] = {
    "painter": {
        "input_usd_per_mtok": 5,
        "output_usd_per_mtok": 10,
        "input_image_usd_per_mtok": 8,
        "output_image_usd_per_mtok": 32,
    },
    "voice": {"input_usd_per_mchar": 15},
    "new-voice": {"input_usd_per_mtok": 0.6, "output_usd_per_mtok": 12},
    "ear": {"audio_usd_per_hour": 0.36},
    "new-ear": {"input_usd_per_mtok": 2.5, "output_usd_per_mtok": 10, "input_audio_usd_per_mtok": 6},
    "token-ranker": {"input_usd_per_mtok": 2, "output_usd_per_mtok": 0},
}
NAMES = (
    "painter",
    "old-painter",
    "voice",
    "new-voice",
    "ear",
    "new-ear",
    "ranker",
    "token-ranker",
    "judge",
    "down",
    "breaking",
)


@dataclass
class Served:
    """A server with models of all these kinds."""

    url: str
    provider: Scripted
    skep: Command

    def key(self, name: str, *more: str) -> str:
        made: str = self.skep("key", "create", "--name", name, "--json", *more).answer["key"]
        return made

    def client(self, key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=20)

    def call(self, call_id: str) -> dict[str, Any]:
        """The call in the ledger, once it is there."""
        admin = (self.skep.data / KEY_FILE).read_text().strip()
        with eventually() as waits:
            while True:
                found = httpx.get(
                    f"{self.url}/api/v1/calls/{call_id}", headers={"authorization": f"Bearer {admin}"}, timeout=20
                )
                if found.status_code == 200 and found.json()["outcome"] != "lost":
                    return dict(found.json())
                waits()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, scratch_server: ScratchServer) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("media")
    with scripted(folder / "provider", SCRIPT) as provider, scratch_server.database() as url:
        models: dict[str, Any] = {
            name: {
                "routes": [{"provider": "fake", "model": name}],
                "retries": 0,
                **({"price": PRICES[name]} if name in PRICES else {}),
            }
            for name in NAMES
        }
        models["old-painter"]["image_usd_by"] = {"hd 1024x1024": 0.08, "1024x1024": 0.04}
        models["ranker"]["search_usd"] = 0.002
        models["painter"]["cache_seconds"] = 600
        models["breaking"]["price"] = {"input_usd_per_mchar": 15}
        models["falls-back"] = {
            "routes": [{"provider": "fake", "model": "down"}, {"provider": "fake", "model": "voice"}],
            "retries": 0,
            "price": PRICES["voice"],
        }
        models["guarded-ear"] = {**models["ear"], "guards": ["numbers"]}
        models["guarded-painter"] = {**models["painter"], "guards": ["numbers"]}
        told = {
            "providers": {"fake": {"kind": "openai_compatible", "base_url": provider.url, "api_key": "sk-provider"}},
            "guards": {"numbers": {"kinds": ["phone"], "countries": ["DE"], "action": "redact"}},
            "models": models,
        }
        skep = Command(folder / "data", folder, url)
        (folder / "skep.yaml").write_text(json.dumps(told))
        with server(skep, folder / "skep.yaml", workers=1) as address:
            yield Served(address, provider, skep)


@pytest.fixture(scope="module")
def key(served: Served) -> str:
    return served.key("any")


def wav(seconds: float) -> bytes:
    """Silence, as a file of 16 bits at 8 kHz."""
    sound = b"\0" * round(seconds * 16_000)
    head = struct.pack(
        "<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(sound), b"WAVEfmt ", 16, 1, 1, 8000, 16_000, 2, 16, b"data", len(sound)
    )
    return head + sound


def _agrees(served: Served, headers: Any, model: str) -> dict[str, Any]:
    """The ledger says of a call what the provider charged for it."""
    call = served.call(headers["x-skep-call-id"])
    truth = next(each for each in reversed(served.provider.truth()) if each["model"] == model)
    assert (call["cost"]["cost_nusd"], call["cost"]["estimated"]) == (truth["cost_nusd"], False)
    return call


def test_pictures_cost_their_tokens(served: Served, key: str) -> None:
    with served.client(key) as client:
        raw = client.images.with_raw_response.generate(model="painter", prompt="a hive", n=2, size="1024x1024")
        again = client.images.with_raw_response.generate(model="painter", prompt="a hive", n=2, size="1024x1024")
    made = raw.parse()
    assert made.data is not None
    assert made.usage is not None
    assert ([bool(each.b64_json) for each in made.data], made.usage.output_tokens) == ([True, True], 1100)
    assert "x-skep-cache" not in again.headers
    assert again.headers["x-skep-call-id"] != raw.headers["x-skep-call-id"]
    call = _agrees(served, raw.headers, "painter")
    assert raw.headers["x-skep-cost-usd"] == "0.0351"  # 100 x 5 + 200 x 8 + 100 x 10 + 1000 x 32 dollars a million
    assert (call["face"], call["usage"]["input_image_tokens"], call["usage"]["output_image_tokens"]) == (
        *("images.generations", 200, 1000),
    )


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_pictures_are_changed_by_forms_whose_files_pass_untouched(served: Served, key: str) -> None:
    picture = bytes(range(256)) * 8_000
    before = len(served.provider.truth())
    with served.client(key) as client:
        raw = client.images.with_raw_response.edit(
            model="painter",
            prompt="more bees",
            image=[("a.png", picture, "image/png"), ("b.png", b"\r\n--x\r\n", "image/png")],
        )
        varied = client.images.with_raw_response.create_variation(
            model="painter", image=("a.png", picture, "image/png")
        )
    assert raw.parse().data
    assert varied.parse().data
    assert _agrees(served, varied.headers, "painter")["face"] == "images.variations"
    sizes = [each["request_bytes"] for each in served.provider.truth()[before:]]
    assert len(sizes) == 2
    assert min(sizes) > len(picture)


def test_a_stream_of_pictures_passes_as_it_comes_and_is_charged(served: Served, key: str) -> None:
    with served.client(key) as client:
        raw = client.images.with_raw_response.generate(
            model="painter", prompt="a hive", stream=True, partial_images=2, size="1024x1024"
        )
        kinds = [event.type for event in raw.parse()]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert _agrees(served, raw.headers, "painter")["stream"] is True
    with served.client(key) as client:
        events = client.images.edit(
            model="painter", prompt="x", image=("a.png", b"png", "image/png"), stream=True, partial_images=1
        )
        assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]


def test_pictures_that_have_a_price_each_cost_that_by_quality_and_size(served: Served, key: str) -> None:
    with served.client(key) as client:
        raw = client.images.with_raw_response.generate(
            model="old-painter", prompt="a hive", n=2, size="1024x1024", quality="hd"
        )
        usual = client.images.with_raw_response.generate(
            model="old-painter", prompt="x", size="1024x1024", quality="standard"
        )
        unknown = client.images.with_raw_response.generate(
            model="old-painter", prompt="x", size="512x512", quality="standard"
        )
    assert (raw.headers["x-skep-cost-usd"], usual.headers["x-skep-cost-usd"]) == ("0.16", "0.04")
    assert "x-skep-cost-usd" not in unknown.headers
    call = served.call(raw.headers["x-skep-call-id"])
    assert call["cost"]["price"]["terms"] == "2 images hd 1024x1024"
    assert served.call(unknown.headers["x-skep-call-id"])["cost"]["cost_nusd"] is None


@pytest.mark.parametrize("model", ["voice", "new-voice"])
def test_speech_passes_as_it_comes(served: Served, key: str, model: str) -> None:
    text = "Bees say ÿ to nobody."
    with served.client(key) as client:
        with client.audio.speech.with_streaming_response.create(model=model, voice="alloy", input=text) as spoken:
            sound = spoken.read()
            headers = spoken.headers
        whole = client.audio.speech.create(model=model, voice="alloy", input=text).content
    direct = httpx.post(
        f"{served.provider.url}/audio/speech", json={"model": model, "voice": "alloy", "input": text}, timeout=20
    )
    assert sound == whole == direct.content
    assert headers["content-type"] == "audio/mpeg"
    if model == "voice":
        call = _agrees(served, headers, model)
        assert (call["cost"]["cost_nusd"], call["usage"]["characters"]) == (len(text) * 15_000, len(text))
    else:
        # Sound says nothing of its tokens.
        assert served.call(headers["x-skep-call-id"])["cost"]["estimated"] is True


def test_speech_in_events_tells_its_tokens(served: Served, key: str) -> None:
    with (
        served.client(key) as client,
        client.audio.speech.with_streaming_response.create(
            model="new-voice", voice="alloy", input="Hum.", stream_format="sse"
        ) as spoken,
    ):
        lines = [line for line in spoken.iter_lines() if line.startswith("data: ")]
        headers = spoken.headers
    assert [json.loads(line[6:])["type"] for line in lines] == ["speech.audio.delta"] * 4 + ["speech.audio.done"]
    assert _agrees(served, headers, "new-voice")["usage"]["output_tokens"] == 120


def test_sound_that_breaks_off_does_not_end_well(served: Served, key: str) -> None:
    with (
        served.client(key) as client,
        client.audio.speech.with_streaming_response.create(model="breaking", voice="a", input="Hum.") as spoken,
        pytest.raises(Exception, match="without sending complete message"),
    ):
        spoken.read()
    call = served.call(spoken.headers["x-skep-call-id"])
    # The provider was told the whole text.
    assert (call["outcome"], call["cost"]["cost_nusd"]) == ("interrupted", 60_000)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
@pytest.mark.parametrize("model", ["ear", "new-ear"])
def test_what_is_heard_costs_its_time_or_its_tokens(served: Served, key: str, model: str) -> None:
    with served.client(key) as client:
        raw = client.audio.transcriptions.with_raw_response.create(model=model, file=("a.wav", wav(7.5)))
        assert raw.parse().text
        translated = client.audio.translations.with_raw_response.create(model=model, file=("a.wav", wav(7.5)))
        assert translated.parse().text
        streamed = client.audio.transcriptions.with_raw_response.create(
            model=model, file=("a.wav", wav(7.5)), stream=True
        )
        events = list(streamed.parse())
    assert events[-1].type == "transcript.text.done"
    told, count = ("audio_ms", 7500) if model == "ear" else ("input_audio_tokens", 70)
    for each in (raw, translated, streamed):
        assert _agrees(served, each.headers, model)["usage"][told] == count
    if model == "ear":
        assert raw.headers["x-skep-cost-usd"] == "0.00075"


def test_what_is_heard_and_not_told_is_reckoned_from_the_file(served: Served, key: str) -> None:
    with served.client(key) as client:
        raw = client.audio.transcriptions.with_raw_response.create(
            model="ear", file=("a.wav", wav(36)), response_format="text"
        )
    assert raw.text.strip() == "Call me at 030 1234567."
    call = served.call(raw.headers["x-skep-call-id"])
    assert (call["cost"]["estimated"], call["usage"]["audio_ms"]) == (True, 36_003)
    assert call["cost"]["cost_nusd"] == 3_600_300


def test_guards_look_through_what_is_heard_and_what_is_to_be_drawn(served: Served, key: str) -> None:
    file = ("a.wav", wav(1))
    with served.client(key) as client:
        heard = client.audio.transcriptions.create(model="guarded-ear", file=file).text
        lines = client.audio.transcriptions.create(model="guarded-ear", file=file, response_format="text")
        events = list(client.audio.transcriptions.create(model="guarded-ear", file=file, stream=True))
        client.images.edit(
            model="guarded-painter", prompt="My number is 030 1234567", image=("a.png", b"p", "image/png")
        )
        client.images.generate(model="guarded-painter", prompt="My number is 030 1234567")
    said = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    for each in (heard, str(lines), said):
        assert "1234567" not in each
        assert each.startswith("Call me at ")
    assert all(each["request_bytes"] for each in served.provider.truth())


def test_a_budget_reserves_the_most_that_a_call_can_cost(served: Served) -> None:
    with served.client(served.key("small", "--budget-usd", "0.05", "--per", "day")) as client:
        asks: tuple[tuple[str, Callable[[], object]], ...] = (
            (
                "Name a size and a quality",
                lambda: client.images.generate(
                    model="old-painter", prompt="x", n=2, size="1024x1024", quality="standard"
                ),
            ),
            ("Name a size and a quality", lambda: client.images.generate(model="painter", prompt="x")),
            ("Send a shorter text", lambda: client.audio.speech.create(model="voice", voice="a", input="x" * 4_000)),
            (
                "Send a shorter recording",
                lambda: client.audio.transcriptions.create(model="ear", file=("a.mp3", b"x" * 400_000)),
            ),
            ("image_usd", lambda: client.images.generate(model="old-painter", prompt="x", size="512x512")),
            (
                "Ask for png, jpeg or webp",
                lambda: client.images.generate(model="painter", prompt="x", extra_body={"output_format": "svg"}),
            ),
            (
                "Send the recording itself",
                lambda: client.post(
                    "/audio/transcriptions", body={"model": "ear", "url": "https://a.example/b.mp3"}, cast_to=object
                ),
            ),
        )
        for told, ask in asks:
            with pytest.raises(openai.APIStatusError) as refused:
                ask()
            assert refused.value.status_code == 402
            assert told in refused.value.response.json()["error"]["fix"]
        assert client.audio.speech.create(model="voice", voice="a", input="x" * 3_000).content
        with pytest.raises(openai.APIStatusError):
            client.audio.speech.create(model="voice", voice="a", input="x" * 3_000)


def test_many_at_once_do_not_overrun_a_budget(served: Served) -> None:
    key = served.key("crowd", "--budget-usd", "0.00075", "--per", "day")
    statuses: list[int] = []

    def ask() -> None:
        # Five cents of a cent each: ten of them fit.
        asked = {"model": "voice", "voice": "a", "input": "hello"}
        answer = httpx.post(
            f"{served.url}/v1/audio/speech", json=asked, headers={"authorization": f"Bearer {key}"}, timeout=40
        )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 10 + [402] * 14


def test_another_route_speaks_where_the_first_is_down(served: Served, key: str) -> None:
    with (
        served.client(key) as client,
        client.audio.speech.with_streaming_response.create(model="falls-back", voice="a", input="Hum.") as spoken,
    ):
        assert spoken.read().startswith(b"ID3")
    call = served.call(spoken.headers["x-skep-call-id"])
    assert (call["model_used"], [step["outcome"] for step in call["steps"]]) == ("voice", ["server_error", "ok"])


def test_a_key_for_other_faces_or_models_is_refused(served: Served) -> None:
    with (
        served.client(served.key("chats", "--faces", "chat.completions")) as client,
        pytest.raises(openai.PermissionDeniedError, match=r"audio\.speech"),
    ):
        client.audio.speech.create(model="voice", voice="a", input="x")
    with (
        served.client(served.key("painters", "--models", "painter")) as client,
        pytest.raises(openai.PermissionDeniedError),
    ):
        client.audio.transcriptions.create(model="ear", file=("a.wav", wav(1)))


@pytest.mark.parametrize(
    ("body", "content_type", "told"),
    [
        (
            b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            "model",
        ),
        (b"--b\r\n", "multipart/form-data; boundary=b", "form"),
        (b"--b--", "multipart/form-data", "boundary"),
        (b'{"model":', "application/json", "JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_with_words(
    served: Served, key: str, body: bytes, content_type: str, told: str
) -> None:
    headers = {"authorization": f"Bearer {key}", "content-type": content_type}
    refused = httpx.post(
        f"{served.url}/v1/audio/transcriptions", content=io.BytesIO(body).read(), headers=headers, timeout=20
    )
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, "request_invalid")
    assert told in error["message"]
    assert error["fix"]


@pytest.mark.parametrize(
    ("face", "content_type", "told"),
    [
        ("audio/transcriptions", "audio/mpeg", ("multipart/form-data or JSON", "says that it is audio/mpeg")),
        ("images/edits", "", ("multipart/form-data or JSON", "has no content-type")),
        ("audio/speech", "text/plain; charset=utf-8", ("takes JSON", "says that it is text/plain.")),
        ("chat/completions", "multipart/form-data; boundary=b", ("takes JSON", "multipart/form-data")),
    ],
)
def test_what_is_of_another_kind_is_refused_by_its_kind(
    served: Served, key: str, face: str, content_type: str, told: tuple[str, ...]
) -> None:
    headers = {"authorization": f"Bearer {key}"} | ({"content-type": content_type} if content_type else {})
    refused = httpx.post(f"{served.url}/v1/{face}", content=b"--b\r\nRIFF", headers=headers, timeout=20)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (415, "content_type_wrong")
    assert all(words in error["message"] for words in told), error["message"]


def test_a_request_says_json_by_what_it_is(served: Served, key: str) -> None:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/x-www-form-urlencoded"}
    body = b' {"model": "painter", "prompt": "A hive"}'
    assert httpx.post(f"{served.url}/v1/images/generations", content=body, headers=headers, timeout=20).is_success


def test_ranking_and_judging_by_the_scripted_provider(served: Served, key: str) -> None:
    asked = {"query": "bees", "documents": ["honey", "stones", "wax"], "top_n": 2}
    for model in ("ranker", "token-ranker"):
        headers = {"authorization": f"Bearer {key}"}
        answer = httpx.post(f"{served.url}/v1/rerank", json={"model": model, **asked}, headers=headers, timeout=20)
        results = answer.json()["results"]
        assert len(results) == 2
        assert results[0]["relevance_score"] >= results[1]["relevance_score"]
        truth = served.provider.truth()[-1]
        assert float(answer.headers["x-skep-cost-usd"]) == pytest.approx(truth["cost_nusd"] / 1e9, abs=1e-12)
    with served.client(key) as client:
        judged = client.moderations.create(model="judge", input="I will get you.")
    assert judged.results[0].flagged
    assert judged.results[0].categories.violence
