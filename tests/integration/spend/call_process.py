"""A process that makes metered calls, as a gateway does, and writes what really happened into a truth log of its own.

Started by tests with one JSON argument. Says ``ready``, waits for a line, makes its calls, prints what became of them.
SIGTERM ends it in an orderly way.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[3]), str(Path(__file__).parents[3] / "src")]

from skep.errors import SkepError  # noqa: E402 -- the path comes first
from skep.spend import Meter, MeterOptions  # noqa: E402
from tests.metering import an_ask, metering, used  # noqa: E402


@dataclass(slots=True)
class Tally:
    """What became of the calls."""

    admitted: int = 0
    refused: int = 0
    unavailable: int = 0
    cancelled: int = 0
    reason: str = ""


class Calls:
    """Makes calls as the options say."""

    def __init__(self, meter: Meter, options: dict[str, Any]) -> None:
        self._meter = meter
        self._options = options
        self._truth = os.open(options["truth"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._random = random.Random(options["seed"])
        self.tally = Tally()

    async def one(self) -> None:
        """One call; one in so many is given up by its client."""
        task = asyncio.create_task(self._call())
        if self._random.random() < self._options.get("cancelled", 0.0):
            await asyncio.sleep(self._random.random() * self._options["seconds"])
            task.cancel()
            self.tally.cancelled += 1
        await asyncio.gather(task, return_exceptions=True)

    async def forever(self) -> None:
        """Calls, one after the other."""
        while True:
            await self.one()
            await asyncio.sleep(self._options.get("pause", 0.0))

    async def _call(self) -> None:
        meter, options = self._meter, self._options
        ask = an_ask(
            options["project_id"], options["reserved"], key_id=f"k{self._random.randrange(options.get('keys', 1))}"
        )
        try:
            ticket = meter.try_admit(ask) or await meter.admit(ask)
            meter.begin(ticket)
        except SkepError as error:
            if error.http_status == 503:
                self.tally.unavailable += 1
                self.tally.reason = str(error)
            else:
                self.tally.refused += 1
            return
        self._note(f"B {ask.call_id}")
        self.tally.admitted += 1
        real = self._random.randint(*options["real"])
        outcome = "cancelled"
        try:
            await asyncio.sleep(self._random.random() * options["seconds"])
            outcome = "ok"
        finally:
            charge = meter.settle(ticket, used(real, outcome=outcome))
            self._note(f"E {ask.call_id} {charge.cost_nusd}")

    def _note(self, line: str) -> None:
        os.write(self._truth, f"{line}\n".encode())


async def main() -> None:
    """Run as the argument says."""
    options = json.loads(sys.argv[1])
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    meter_options = MeterOptions(**options.get("meter", {}))
    async with metering(options["url"], Path(options["folder"]), node=options["node"], meter=meter_options) as opened:
        calls = Calls(opened.meter, options)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        if "calls" in options:
            await asyncio.gather(*(calls.one() for _ in range(options["calls"])))
        else:
            workers = [asyncio.create_task(calls.forever()) for _ in range(options["workers"])]
            await stopping.wait()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    tally = calls.tally
    sys.stdout.write(
        json.dumps([tally.admitted, tally.refused, tally.unavailable, tally.cancelled, tally.reason]) + "\n"
    )


if __name__ == "__main__":
    asyncio.run(main())
