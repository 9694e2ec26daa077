"""Services: where a path may lead, what a call costs, which addresses are public, and mistakes in the settings."""

from __future__ import annotations

import textwrap
from pathlib import Path
from urllib.parse import unquote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.addresses import PrivateAddressError, is_public, public_address
from skep.gateway.services import Service, chosen_service
from skep.gateway.services.interfaces import (
    ServiceLeavesError,
    ServiceMethodError,
    ServiceNotFoundError,
    ServicePathError,
)
from skep.gateway.services.models import target_path
from skep.settings import InvalidSettingsError
from tests.unit.gateway.test_configuring import read

GOOD = """
services:
  sandbox:
    base_url: https://sandbox.example.com/api/
    api_key: "${KEY}"
    headers: {X-Team: red}
    cost_usd: 0.001
    costs:
      - {methods: [POST], path: /runs, cost_usd: 0.01}
      - {path: /runs/*, cost_usd: 0}
    methods: [GET, POST]
    timeout_seconds: 5
  basic: {base_url: "http://127.0.0.1:1", api_key: "Basic abc", private: true}
  named: {base_url: "http://10.0.0.1", api_key: k, key_header: X-Key, local: false, private: true}
"""


def services(folder: Path, text: str = GOOD) -> dict[str, Service]:
    return dict(read(folder, text).services)


def test_what_the_section_means(tmp_path: Path) -> None:
    found = services(tmp_path)
    sandbox, basic, named = found["sandbox"], found["basic"], found["named"]
    assert sandbox.provider.base_url == "https://sandbox.example.com/api"
    assert sandbox.route.name == "service:sandbox/*"
    assert (sandbox.timeout_seconds, sandbox.idle_timeout_seconds, sandbox.methods) == (5, 5, ("GET", "POST"))
    assert (sandbox.provider.profile.key_header, sandbox.provider.profile.key_prefix) == ("authorization", "Bearer ")
    assert (basic.provider.profile.key_prefix, named.provider.profile.key_header) == ("", "x-key")
    assert [each.provider.is_local for each in (sandbox, basic, named)] == [False, True, False]
    assert [each.provider.allows_private for each in (sandbox, basic, named)] == [False, True, True]
    assert "sk-secret" not in repr(sandbox)


@pytest.mark.parametrize(
    ("method", "path", "nusd"),
    [("POST", "/runs", 10_000_000), ("GET", "/runs", 1_000_000), ("GET", "/runs/7/log", 0), ("POST", "/x", 1_000_000)],
)
def test_the_first_rule_that_is_about_a_call_says_what_it_costs(
    tmp_path: Path, method: str, path: str, nusd: int
) -> None:
    assert services(tmp_path)["sandbox"].cost_of(method, path) == nusd


def test_what_costs_nobody_knows_is_not_free(tmp_path: Path) -> None:
    assert services(tmp_path)["basic"].cost_of("GET", "/") is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("services:\n  a: {}", "skep.yaml:2:6: services.a.base_url: is missing*"),
        ("services:\n  a b: {base_url: 'http://x'}", "skep.yaml:2:8: services.a b: the name of a service*"),
        ("services:\n  a: {base_url: 'ftp://x'}", "skep.yaml:2:*services.a.base_url: expected an address*"),
        ("services:\n  a: {base_url: 'http://10.0.0.1'}", "skep.yaml:2:*services.a.base_url: this address is private*"),
        ("services:\n  a: {base_url: 'http://[::1]/'}", "*this address is private*"),
        ("services:\n  a: {base_url: 'http://localhost:80'}", "*this address is private*"),
        ("services:\n  a: {base_url: 'http://x', methods: [FETCH]}", "*methods.0: expected GET, POST*"),
        ("services:\n  a: {base_url: 'http://x', costs: [{path: /x}]}", "*costs.0.cost_usd: is missing"),
        ("services:\n  a: {base_url: 'http://x', cost: 1}", "*services.a.cost: there is no such setting*cost*"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, place: str) -> None:
    from fnmatch import fnmatchcase

    with pytest.raises(InvalidSettingsError) as raised:
        read(tmp_path, textwrap.dedent(text))
    assert any(fnmatchcase(line, f"*{place}*") for line in str(raised.value).splitlines()), str(raised.value)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", "/"),
        ("runs/7", "/runs/7"),
        ("//evil.example.com/x", "/evil.example.com/x"),
        ("a b/ü", "/a%20b/%C3%BC"),
        ("a?b#c%", "/a%3Fb%23c%25"),
        ("v1/a..b/...", "/v1/a..b/..."),
        ("http://evil.example.com", "/http://evil.example.com"),
    ],
)
def test_paths_that_pass(path: str, sent: str) -> None:
    assert target_path(path) == sent


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../x",
        "a/../../x",
        "./x",
        "a/.",
        "%2e%2e/x",
        "%252e%252e/x",
        "a\\..\\x",
        "..;/x",
        "..%3Fx",
        "..%23x",
        "a/..%2fx",
        "x\r\nHost: y",
        "\0",
        "%0a",
    ],
)
def test_paths_that_could_lead_elsewhere_are_refused(path: str) -> None:
    assert target_path(path) is None


@given(st.text(st.sampled_from("./\\%2eE5cf;ax"), max_size=16))
def test_no_path_leaves_the_service(path: str) -> None:
    """However often somebody behind us decodes it."""
    sent = target_path(path)
    while sent is not None:
        assert urljoin("http://service/api", "/api" + sent).startswith("http://service/api")
        decoded = unquote(sent)
        sent = None if decoded == sent else decoded


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
        ("fec0::1", False),
        ("::7f00:1", False),
        ("::ffff:0:7f00:1", False),
        ("64:ff9b:1::7f00:1", False),
        ("192.0.0.8", False),
        ("240.0.0.1", False),
    ],
)
def test_addresses_of_the_public_internet(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_a_name_that_leads_inside_is_refused() -> None:
    with pytest.raises(PrivateAddressError, match="private: true"):
        await public_address("localhost", 80)
    assert await public_address("8.8.8.8", 80) == "8.8.8.8"


def test_who_may_be_called_how(tmp_path: Path) -> None:
    found = services(tmp_path)
    service, target = chosen_service(found, "sandbox", "runs", method="GET", whose="")
    assert (service.name, target) == ("sandbox", "/runs")
    with pytest.raises(ServiceNotFoundError, match="no service named other"):
        chosen_service(found, "other", "", method="GET", whose="")
    with pytest.raises(ServiceMethodError):
        chosen_service(found, "sandbox", "", method="DELETE", whose="")
    with pytest.raises(ServicePathError):
        chosen_service(found, "sandbox", "../x", method="GET", whose="")
    with pytest.raises(ServiceLeavesError, match="the key ci"):
        chosen_service(found, "sandbox", "", method="GET", whose="the key ci")
    assert chosen_service(found, "basic", "", method="GET", whose="the key ci")[0].name == "basic"
