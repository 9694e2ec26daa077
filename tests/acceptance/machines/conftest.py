"""Two machines, each with `skep up`, and one PostgreSQL, one provider and one Redis that both reach."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lan import Machine, obstacle
from tests.site import CACHE, Host, Running, Site, site

# Where nobody lets us make networks there are no such tests; the head of the run says why. On a build server they fail.
collect_ignore_glob = ["test_*.py"] if obstacle() and not os.environ.get("CI") else []

OUTPUT_TOKENS = 10
COST_NUSD = OUTPUT_TOKENS * 1_000

SCRIPT = f"""\
prices: {{gpt-x: {{input_usd_per_mtok: 0, output_usd_per_mtok: 1}}}}
rules:
  - {{when: {{models: [gpt-y], contains: [break]}}, then: {{status: 500}}}}
otherwise: {{words: 5, latency_ms: 0-30, usage: {{input_tokens: 7, output_tokens: {OUTPUT_TOKENS}}}}}
"""
SETTINGS = """\
providers:
  fake: {{kind: openai_compatible, base_url: "{url}"}}
models:
  smart:
    retries: 0
    routes: [{{provider: fake, model: gpt-x}}]
    price: {{input_usd_per_mtok: 0, output_usd_per_mtok: 1}}
  kept:
    retries: 0
    cache_seconds: 600
    routes: [{{provider: fake, model: gpt-x}}]
    price: {{input_usd_per_mtok: 0, output_usd_per_mtok: 1}}
  brittle:
    retries: 0
    routes: [{{provider: fake, model: gpt-y}}]
    price: {{input_usd_per_mtok: 0, output_usd_per_mtok: 1}}
"""


def a_call(model: str, words: str = "hello", **more: object) -> dict[str, object]:
    """The body of one that may cost COST_NUSD at most."""
    return {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": OUTPUT_TOKENS, **more}


@dataclass
class Two:
    """Two machines whose servers run."""

    site: Site
    one: Running
    other: Running
    began_with: int
    """So many requests the provider had seen before."""

    @property
    def hosts(self) -> tuple[Host, Host]:
        """Where commands can be run."""
        first, second = self.site.hosts
        return first, second

    @property
    def machines(self) -> tuple[Machine, Machine]:
        """What can be cut off."""
        return self.one.machine, self.other.machine

    @property
    def admin_key(self) -> str:
        """The administrator's."""
        return (self.hosts[0].skep.data / "admin.key").read_text().strip()

    def provided(self) -> list[dict[str, Any]]:
        """What the provider charged for since these servers run."""
        return [entry for entry in self.site.provider.truth()[self.began_with :] if entry["cost_nusd"] is not None]

    def make_key(self, name: str, *options: str) -> str:
        """A key, made on the first machine."""
        secret: str = self.hosts[0].skep("key", "create", "--name", name, *options, "--json").answer["key"]
        return secret


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The machines and what they share."""
    with site(tmp_path_factory.mktemp("machines"), SCRIPT, "one", "two", CACHE) as made:
        yield made


@pytest.fixture(scope="module")
def two(network: Site) -> Iterator[Two]:
    """A server on each, for the tests of a module."""
    with network.installation(SETTINGS) as made:
        first, second = made.hosts
        with first.up() as one:
            # The first start anywhere made the administrator's key.
            second.skep.data.mkdir()
            shutil.copy2(first.skep.data / "admin.key", second.skep.data)
            with second.up() as other:
                yield Two(made, one, other, len(made.provider.truth()))
