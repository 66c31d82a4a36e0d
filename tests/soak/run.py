"""Soak one process: many requests, and at the end everything adds up and nothing has grown."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from ..servers.harness import RunningServer, Server, running

WAITRESS = Server(
    "waitress",
    "waitress-serve --threads=4 --listen=127.0.0.1:{port} soaked:application",
    ready="/_told",
)

SAMPLES = 200
"""How often it is asked how things stand, at the most."""

SETTLE_SECONDS = 60.0
"""A body that waits for its own thread is closed by any after 30 seconds."""

MOST_OBJECTS = 1000
"""How many objects more may be alive at the end: caches and logs, but nothing per request."""

MOST_BYTES = 4 << 20
"""How much the process may grow between the second tenth of the run and its last."""


class Soaked(NamedTuple):
    """How a run went.

    Attributes:
        requests: How many were answered.
        seconds: How long that took.
        begin: How it stood after the first tenth, when all had been collected.
        end: How it stood at the end, when all had been collected and settled.
        samples: How it stood meanwhile.
    """

    requests: int
    seconds: float
    begin: dict[str, int]
    end: dict[str, int]
    samples: list[dict[str, int]]

    @property
    def repaired(self) -> int:
        return sum(self.end[how] for how in ("closed", "late", "elsewhere"))

    @property
    def grown(self) -> int:
        """Return by how many bytes the process grew, from the second tenth to the last."""
        tenth = max(len(self.samples) // 10, 1)
        early, late = self.samples[tenth : 2 * tenth], self.samples[-tenth:]
        return int(middle(late) - middle(early))

    @property
    def faults(self) -> list[str]:
        """What does not add up, or has grown."""
        end, begin = self.end, self.begin
        must_be = {
            "opened": (end["opened"], self.requests),
            "closed once": (end["once"], self.requests),
            "closed again": (end["again"], 0),
            "repaired": (self.repaired, end["lost"]),
            "still waiting": (end["waiting"], 0),
            "threads": (end["threads"], begin["threads"]),
        }
        faults = [
            f"{what} must be {right:,}, got {got:,}"
            for what, (got, right) in must_be.items()
            if got != right
        ]
        more = end["objects"] - begin["objects"]
        if more > MOST_OBJECTS:
            faults.append(f"objects must not grow by more than {MOST_OBJECTS:,}, got {more:,}")
        return faults


def middle(samples: list[dict[str, int]]) -> float:
    return statistics.median(sample["resident"] for sample in samples)


def soak(
    requests: int, folder: Path, progress: Callable[[dict[str, int]], object] = lambda now: None
) -> Soaked:
    """Send *requests*, the first tenth to warm up."""
    with running(WAITRESS, folder) as site:
        samples: list[dict[str, int]] = []

        def sample() -> None:
            now = told(site)
            if now["opened"] >= len(samples) * requests / SAMPLES:
                samples.append(now)
                progress(now)

        begun = time.monotonic()
        send(site, requests // 10, sample)
        begin = settled(site, requests // 10)
        send(site, requests - requests // 10, sample)
        seconds = time.monotonic() - begun
        return Soaked(requests, seconds, begin, settled(site, requests), [*samples, told(site)])


def send(site: RunningServer, requests: int, meanwhile: Callable[[], None]) -> None:
    """Have another process send *requests*; call *meanwhile* again and again."""
    clients = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.clients", str(site.port), str(requests)],
        cwd=Path(__file__).parents[2],
    )
    try:
        while clients.poll() is None:
            meanwhile()
            time.sleep(0.1)
    finally:
        clients.kill()
        clients.wait()
    if clients.returncode:
        raise EOFError(f"the clients ended with {clients.returncode}:\n{site.log()[-5000:]}")


def told(site: RunningServer, query: str = "") -> dict[str, int]:
    answer: dict[str, Any] = json.loads(site.get(f"/_told{query}", seconds=SETTLE_SECONDS).body)
    return answer


def settled(site: RunningServer, requests: int) -> dict[str, int]:
    """Return how it stands once nothing waits, or after as long as that may take.

    What waits is closed by requests to the very threads that opened it, so all are asked.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    with ThreadPoolExecutor(8) as asking:
        while True:
            now = told(site, "?collect")
            repaired = now["closed"] + now["late"] + now["elsewhere"]
            right = now["once"] == now["opened"] == requests and repaired == now["lost"]
            if right or time.monotonic() > deadline:
                return now
            list(asking.map(lambda _: site.get("/kept/quiet"), range(8)))
