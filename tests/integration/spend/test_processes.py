"""Several processes, as they are in the field: at once, killed, stopped, without a database, with a full disk."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.metering import Ledger, a_rule, make_rules, metering

SCRIPT = Path(__file__).with_name("call_process.py")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Ledger(connection)


class CallProcess:
    """A process that makes calls."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, **options: Any) -> CallProcess:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SCRIPT), json.dumps(options)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return cls(process)

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def result(self) -> list[Any]:
        """Admitted, refused, unavailable, cancelled, and the last reason of the third."""
        out, _ = await self.process.communicate()
        assert self.process.returncode == 0
        found: list[Any] = json.loads(out)
        return found

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


def truth(folder: Path) -> tuple[set[str], dict[str, int]]:
    """The calls that left, and what those cost of which the end was seen."""
    begun: set[str] = set()
    cost: dict[str, int] = {}
    for file in folder.glob("truth*"):
        for line in file.read_text().splitlines():
            kind, call_id, *rest = line.split()
            if kind == "B":
                begun.add(call_id)
            else:
                cost[call_id] = int(rest[0])
    return begun, cost


def agree(ledger: Ledger, folder: Path, *, killed: int = 0) -> None:
    """The ledger has every call that left exactly once, at its cost; besides only what was killed on the threshold."""
    ledger.check()
    begun, cost = truth(folder)
    rows = {str(row[0]): row for row in ledger.all("select call_id, cost_nusd, outcome from call")}
    assert begun - rows.keys() == set(), "calls that left are missing"
    extra = rows.keys() - begun
    assert len(extra) <= killed, "calls that never left are in the ledger"
    assert {call_id: rows[call_id][1] for call_id in cost} == cost
    unheard = [row for call_id, row in rows.items() if call_id not in cost]
    assert len(unheard) <= killed


async def run_together(url: str, folder: Path, processes: int, **options: Any) -> list[list[Any]]:
    """Start processes, let them go at the same moment, and wait for what they say."""
    started = [
        await CallProcess.start(
            url=url, folder=str(folder), node=f"n{number}", truth=str(folder / f"truth{number}"), seed=number, **options
        )
        for number in range(processes)
    ]
    for each in started:
        each.go()
    return [await each.result() for each in started]


@pytest.mark.parametrize(
    "round_number", [0, *(pytest.param(number, marks=pytest.mark.full) for number in range(1, 20))]
)
@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("metric", ["cost", "requests"])
async def test_exactly_100_of_1000(
    database_url: str, tmp_path: Path, ledger: Ledger, metric: Any, processes: int, round_number: int
) -> None:
    amount = 100 * 50 if metric == "cost" else 100
    who = await make_rules(database_url, a_rule(metric, amount))
    said = await run_together(
        database_url,
        tmp_path,
        processes,
        project_id=who.project_id,
        reserved=50,
        real=[50, 50],
        seconds=0.05,
        calls=1000 // processes,
    )
    assert sum(each[0] for each in said) == 100
    assert sum(each[1] for each in said) == 900
    agree(ledger, tmp_path)


async def test_no_false_refusal_at_four_fifths_with_clients_that_give_up(
    database_url: str, tmp_path: Path, ledger: Ledger
) -> None:
    calls, real = 800, 20
    who = await make_rules(
        database_url,
        a_rule("cost", calls * real * 100 // 80),
        a_rule("tokens", calls * real * 100 // 80, period="month"),
        a_rule("requests", calls * 100 // 80, period="day"),
    )
    said = await run_together(
        database_url,
        tmp_path,
        2,
        project_id=who.project_id,
        reserved=200,
        real=[real, real],
        seconds=0.05,
        calls=calls // 2,
        cancelled=0.3,
    )
    assert [each[1:3] for each in said] == [[0, 0], [0, 0]]
    assert sum(each[3] for each in said) > calls / 5
    agree(ledger, tmp_path)


@pytest.mark.parametrize("rounds", [3, pytest.param(30, marks=[pytest.mark.full, pytest.mark.timeout(300)])])
async def test_killed_and_stopped_processes_lose_nothing(
    database_url: str, tmp_path: Path, ledger: Ledger, rounds: int
) -> None:
    chance = random.Random(rounds)
    workers = 16
    who = await make_rules(
        database_url,
        a_rule("cost", 20_000 * rounds),
        a_rule("concurrent", 200),
        a_rule("requests", 10**6, subject="key", value="*"),
    )
    number = 0

    async def start() -> CallProcess:
        nonlocal number
        number += 1
        started = await CallProcess.start(
            url=database_url,
            folder=str(tmp_path),
            node="n",
            truth=str(tmp_path / f"truth{number}"),
            seed=number,
            project_id=who.project_id,
            reserved=100,
            real=[1, 100],
            seconds=0.03,
            keys=5,
            workers=workers,
            pause=0.002,
            meter={"valid_seconds": 0.4, "patience_seconds": 0.2},
        )
        started.go()
        return started

    running = [await start(), await start()]
    killed = 0
    for _ in range(rounds):
        await asyncio.sleep(chance.uniform(0.1, 0.5))
        stopped = chance.choice(running)
        os.kill(stopped.process.pid, signal.SIGSTOP)
        ledger.check()
        await asyncio.sleep(chance.uniform(0.1, 0.6))
        os.kill(stopped.process.pid, signal.SIGCONT)
        await asyncio.sleep(chance.uniform(0.05, 0.2))
        victim = chance.choice(running)
        await victim.kill()
        killed += workers
        ledger.check()
        running.remove(victim)
        running.append(await start())
    for each in running:
        each.process.terminate()
        await each.result()
    async with metering(database_url, tmp_path, node="n") as opened:
        await opened.feeder.adopt()
    agree(ledger, tmp_path, killed=killed)
    assert ledger.all("select sum(leased) from rule_window") == [(0,)], "nothing stays leased"
    assert ledger.one("select count(*) from meter_process") == 0
    assert not list((tmp_path / "journal").iterdir())
