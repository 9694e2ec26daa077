"""What a role says for a request: only what the client left out, and every other byte as it came."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from skep.gateway.configuring import read_config
from skep.gateway.interfaces import RequestInvalidError, RoleNotFoundError
from skep.gateway.large_bodies import is_quick
from skep.gateway.models import Role
from skep.gateway.profiles import Face
from skep.gateway.requests import Known, read_request
from skep.gateway.roles import MOST_VALUES, in_role, role_of
from skep.settings import InvalidSettingsError, load_settings

CRITIC = Role(name="critic", model="smart", temperature=0.2, top_p=0.9, max_tokens=300, system='Say "why"\nand how.')
PLAIN = Role(name="plain", model="small")


def asked(body: bytes, role: Role = CRITIC, face: Face = "chat.completions") -> Known:
    return in_role(read_request(face, body), role)


def test_every_byte_that_the_client_sent_stays() -> None:
    inner = rb'[ {"role":"user",  "content":"\u00e9 1e400"} ],"seed": 1.50 , "x":[1,2 ]'
    body = b'{"messages":' + inner + b',"model" : "role:critic"}'
    found = asked(body)
    assert (
        found.body
        == b'{"temperature":0.2,"top_p":0.9,"messages":[{"role":"system","content":"Say \\"why\\"\\nand how."},'
        + inner[1:]
        + b',"model" : "smart"}'
    )
    assert (found.model, found.asked, found.output_tokens) == ("smart", "role:critic", 300)
    # It is reckoned with what is sent.
    assert found.input_tokens_at_most >= len(found.body)


@pytest.mark.parametrize("model", ["other", "role", "role:critic"])
def test_a_model_that_is_named_stays(model: str) -> None:
    found = asked(b'{"model":"%b","messages":[]}' % model.encode())
    assert (found.model, found.asked) == (("other", None) if model == "other" else ("smart", model))
    assert json.loads(found.body)["model"] == found.model
    assert json.loads(found.body)["messages"] == [{"role": "system", "content": CRITIC.system}]


@pytest.mark.parametrize(
    "said",
    [
        {"temperature": 0},
        {"top_p": 1},
        {"max_tokens": 7},
        {"max_completion_tokens": 7},
        {"messages": [{"role": "system", "content": "Mine."}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "developer", "content": "Mine."}]},
    ],
)
def test_what_the_client_says_counts(said: dict[str, Any]) -> None:
    plain = {"model": "m", "messages": [{"role": "user", "content": "system"}]}
    found = asked(json.dumps(plain | said).encode())
    values = json.loads(found.body)
    for name, value in said.items():
        assert values[name] == value
    assert found.output_tokens == said.get("max_tokens", said.get("max_completion_tokens", 300))
    has_own = "messages" in said
    assert len(values["messages"]) == len({**plain, **said}["messages"]) + (not has_own)


def test_null_is_left_out() -> None:
    values = json.loads(asked(b'{"temperature":null,"model":"m","max_tokens":null,"messages":[]}').body)
    assert (values["temperature"], values["max_tokens"]) == (0.2, None)


def test_each_choice_has_the_bound() -> None:
    assert asked(b'{"model":"m","n":3,"messages":[]}').output_tokens == 900


def test_a_role_that_says_nothing_changes_nothing() -> None:
    body = b'{"model":"m","messages":[]}'
    assert asked(body, PLAIN).body is body
    assert asked(body, PLAIN).output_tokens is None


def test_messages_have_a_field_for_it() -> None:
    values = json.loads(asked(b'{"model":"role","messages":[]}', face="messages").body)
    assert (values["system"], values["temperature"], values["messages"]) == (CRITIC.system, 0.2, [])
    values = json.loads(asked(b'{"model":"role","system":"Mine.","messages":[]}', face="messages").body)
    assert values["system"] == "Mine."
    # A count has no temperature, and puts nothing out.
    found = asked(b'{"model":"role","messages":[]}', face="messages.count_tokens")
    assert json.loads(found.body).keys() == {"model", "system", "messages"}
    assert found.output_tokens == 0


@pytest.mark.parametrize("turns", ['"Hi."', '[{"role":"user","content":"Hi."}]', "[]"])
def test_responses_have_a_field_for_it(turns: str) -> None:
    found = asked(f'{{"model":"role","input":{turns}}}'.encode(), face="responses")
    values = json.loads(found.body)
    assert (values["instructions"], values["temperature"], values["input"]) == (CRITIC.system, 0.2, json.loads(turns))
    assert found.output_tokens == 300
    values = json.loads(asked(b'{"model":"role","instructions":"Mine.","input":[]}', face="responses").body)
    assert values["instructions"] == "Mine."
    own = b'{"model":"role","input":[{"role":"developer","content":"Mine."}]}'
    assert "instructions" not in json.loads(asked(own, face="responses").body)


@pytest.mark.parametrize("face", ["embeddings", "rerank", "moderations"])
def test_what_makes_no_texts_has_no_roles(face: Face) -> None:
    with pytest.raises(RequestInvalidError, match="for texts"):
        asked(b'{"model":"role","input":"x","query":"x","documents":["x"]}', PLAIN, face)


def test_what_an_address_has_no_place_for_is_refused() -> None:
    with pytest.raises(RequestInvalidError, match="no place for one"):
        asked(b'{"model":"role","prompt":"x"}', face="completions")
    assert json.loads(asked(b'{"model":"role","prompt":"x"}', PLAIN, "completions").body)["model"] == "small"


@pytest.mark.parametrize("key", ["messages", "temperature"])
def test_what_is_said_twice_is_refused(key: str) -> None:
    value = "[]" if key == "messages" else "null"
    with pytest.raises(RequestInvalidError, match=f"says {key} twice"):
        asked(f'{{"model":"m","messages":[],"{key}":{value},"{key}": {value}}}'.encode())


@pytest.mark.parametrize("has_own", [False, True])
def test_large_bodies_are_looked_through_too(has_own: bool) -> None:
    messages = [{"role": "user", "content": "x" * 2_000_000}, {"role": "system" if has_own else "user", "content": "y"}]
    body = json.dumps({"model": "role", "messages": messages}).encode()
    assert not is_quick(body)
    values = json.loads(in_role(read_request("chat.completions", body), CRITIC).body)
    assert values["model"] == "smart"
    assert values["messages"] == messages if has_own else [{"role": "system", "content": CRITIC.system}, *messages]


def test_large_bodies_of_tiny_values_are_refused() -> None:
    body = b'{"model":"role","messages":[' + b"0," * MOST_VALUES + b"0]}"
    with pytest.raises(RequestInvalidError, match="too many"):
        in_role(read_request("chat.completions", body, quick=False), CRITIC)


def test_who_names_which_role() -> None:
    roles = {"critic": CRITIC, "plain": PLAIN}

    def named(model: str, *said: bytes) -> Role | None:
        return role_of(model, [(b"x-skep-role", value) for value in said], roles)

    assert named("smart") is None
    assert named("smart", b"critic") is named("role", b" critic ") is named("role:critic") is CRITIC
    assert named("role:plain", b"plain") is PLAIN
    with pytest.raises(RequestInvalidError, match="says plain, and model critic"):
        named("role:critic", b"plain")
    with pytest.raises(RequestInvalidError, match="is missing"):
        named("role")
    for model, said in (("smart", (b"nobody",)), ("role:nobody", ())):
        with pytest.raises(RoleNotFoundError, match=r"no role named nobody here. Roles: critic, plain\."):
            named(model, *said)


SETTINGS = """
providers: {p: {kind: vllm}}
models:
  smart: {tier: fast, routes: [{provider: p, model: x}]}
roles:
  critic: ROLE
"""


def read(folder: Path, said: str) -> Role:
    (folder / "skep.yaml").write_text(textwrap.dedent(SETTINGS.replace("ROLE", said)))
    return read_config(load_settings(None, {}, folder).open_sections).roles["critic"]


def test_what_the_settings_mean(tmp_path: Path) -> None:
    said = '{model: smart, temperature: 0.2, top_p: 0.9, max_tokens: 300, system: "Say \\"why\\"\\nand how."}'
    assert read(tmp_path, said) == CRITIC
    assert read(tmp_path, '{model: "tier:fast"}') == Role(name="critic", model="tier:fast")


@pytest.mark.parametrize(
    ("said", "place", "told"),
    [
        ("{}", ".model", "is missing; expected smart or tier:fast"),
        ("{model: big}", ".model", "expected smart or tier:fast"),
        ('{model: "tier:slow"}', ".model", "expected smart or tier:fast"),
        ("{model: smart, temperature: 3}", ".temperature", "from 0 to 2"),
        ("{model: smart, top_p: hot}", ".top_p", "from 0 to 1"),
        ("{model: smart, max_tokens: 0}", ".max_tokens", "from 1"),
        ('{model: smart, system: ""}', ".system", "expected text"),
        ('{model: smart, system: "a\\u0000"}', ".system", "expected text"),
        ("{model: smart, stop: x}", ".stop", "there is no such setting"),
        ("5", "", "expected names with values"),
    ],
)
def test_every_mistake_is_named_with_its_place(tmp_path: Path, said: str, place: str, told: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        read(tmp_path, said)
    (problem,) = caught.value.problems
    assert problem.field == f"roles.critic{place}"
    assert told in problem.reason
    assert problem.where.line is not None


@pytest.mark.parametrize("name", ["role", '"role:critic"', '"tier:fast"'])
def test_models_cannot_have_the_names_of_roles_and_tiers(tmp_path: Path, name: str) -> None:
    (tmp_path / "skep.yaml").write_text(
        f"providers: {{p: {{kind: vllm}}}}\nmodels: {{{name}: {{routes: [{{provider: p, model: x}}]}}}}\n"
    )
    with pytest.raises(InvalidSettingsError, match="names that begin with"):
        read_config(load_settings(None, {}, tmp_path).open_sections)
