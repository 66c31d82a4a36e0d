"""Fire at one server: clients of every way, while its workers are killed and replaced."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..servers.harness import RunningServer, running
from .clients import BROKEN_OFF, SIZES, WAYS, Site
from .journal import Figures, Journal
from .targets import Target

VARIANTS = {
    "bare": "bare",
    "composed": "composed",
    "leaking": "composed, under a leak",
}

CLIENTS = 8
WAIT_SECONDS = 60.0
"""How long it is waited for what must come; a body that waits is overdue after 30 seconds."""


class Fired(NamedTuple):
    """What became of a server.

    Attributes:
        figures: What became of the responses, by application.
        visits: How often clients came.
        ended: By way and application: how often a client got what it waited for.
        killed: How many workers were killed outright, in the middle of a stream.
        reloads: How often the server was reloaded, in the middle of a stream.
        processes: How many processes answered.
        uncounted: How many the layer lost that are closed, and not in the guard's count.
        told: What was not closed once, or elsewhere, by application: a line each.
    """

    figures: dict[str, Figures]
    visits: int
    ended: Counter[tuple[str, str]]
    killed: int
    reloads: int
    processes: int
    uncounted: int
    told: dict[str, str]


def fire(target: Target, folder: Path, *, seconds: float = 0.0, visits: int = 0) -> Fired:
    """Fire for *seconds* and for *visits* at least, and for each mishap once."""
    (folder / "file").write_bytes(bytes(SIZES["file"]))
    journal = Journal(folder / "journal")
    with running(target.server, folder, FIRE_FOLDER=str(folder)) as site:
        volley = Volley(site.port)
        mishaps = Mishaps(target, site, journal)
        with ThreadPoolExecutor(CLIENTS) as clients:
            visiting = [clients.submit(volley.client) for _ in range(CLIENTS)]
            try:
                begun = time.monotonic()
                mishaps.happen_until(
                    lambda: volley.visits >= visits and time.monotonic() > begun + seconds
                )
            finally:
                volley.over.set()
            for client in visiting:
                client.result()
        killed = mishaps.killed
        settle(
            site.port,
            lambda: (
                not guarded_and_open(journal, killed)
                and not journal.uncounted("leaking", killed)
            ),
        )
    journal.read()
    return Fired(
        {variant: journal.figures(variant, killed) for variant in VARIANTS},
        volley.visits,
        volley.ended,
        len(killed),
        mishaps.reloads,
        len(journal.processes()),
        journal.uncounted("leaking", killed),
        {variant: journal.told(variant, killed) for variant in VARIANTS},
    )


class Volley:
    """The clients, who take turns through all ways and applications."""

    def __init__(self, port: int) -> None:
        self.over = threading.Event()
        self.visits = 0
        self.ended: Counter[tuple[str, str]] = Counter()
        self._port = port
        self._turns = turns()
        self._one_at_a_time = threading.Lock()

    def client(self) -> None:
        while not self.over.is_set():
            with self._one_at_a_time:
                way, variant = next(self._turns)
            try:
                WAYS[way](Site(self._port, variant))
                ended = 1
            except BROKEN_OFF:
                ended = 0
                time.sleep(0.01)  # there may be nobody for a moment
            with self._one_at_a_time:
                self.visits += 1
                self.ended[way, variant] += ended


def turns() -> Iterator[tuple[str, str]]:
    """Yield each way with each application, again and again, each time in another order."""
    chance = random.Random(1)  # noqa: S311 - the same one in each run
    all_of_them = list(itertools.product(WAYS, VARIANTS))
    while True:
        chance.shuffle(all_of_them)
        yield from all_of_them


class Mishaps:
    """Workers are killed and replaced, again and again, while they stream."""

    def __init__(self, target: Target, site: RunningServer, journal: Journal) -> None:
        self.killed: set[int] = set()
        self.reloads = 0
        self._reloaded = 0.0
        self._target = target
        self._site = site
        self._journal = journal

    def happen_until(self, enough: Callable[[], bool]) -> None:
        """Let each happen that can, and go on with them until there is *enough*."""
        possible = [self._kill] if self._target.workers else []
        possible += [self._reload] if self._target.reload else []
        still_to_come = len(possible)
        for mishap in itertools.cycle(possible or [lambda worker: True]):
            if still_to_come <= 0 and enough():
                return
            still_to_come -= mishap(self._one_that_streams())
            time.sleep(self._target.seconds)

    def _one_that_streams(self) -> int:
        """Return a worker that is in the middle of a stream."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for response in self._journal.open(but_of=self.killed):
                worker = response.opened.process
                if (
                    response.path == "slow"
                    and is_below(worker, self._site.process.pid)
                    and self._is_of_age(worker)
                ):
                    return worker
            time.sleep(0.01)
        raise TimeoutError(f"{self._target.server.name} streams nothing:\n{self._site.log()}")

    def _is_of_age(self, worker: int) -> bool:
        """Say whether the server is done with whatever brought *worker* about."""
        age = age_of(worker)
        return not self._target.age_seconds or (
            self._target.age_seconds <= age < time.monotonic() - self._reloaded
        )

    def _kill(self, worker: int) -> bool:
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:  # it was just about to end
            return False
        self.killed.add(worker)
        return True

    def _reload(self, _worker: int) -> bool:
        self._site.process.send_signal(self._target.reload)
        self._reloaded = time.monotonic()
        self.reloads += 1
        return True


def is_below(process: int, ancestor: int) -> bool:
    """Say whether *process* lives, and was started by *ancestor*, or by one that was."""
    while process > 1:
        if process == ancestor:
            return True
        try:
            status = Path(f"/proc/{process}/stat").read_text("ascii")
        except (FileNotFoundError, ProcessLookupError):
            return False
        process = int(status.rpartition(")")[2].split()[1])
    return False


def age_of(process: int) -> float:
    """Return for how many seconds *process* has been there; 0 if it has gone."""
    try:
        return time.time() - os.stat(f"/proc/{process}").st_mtime
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def guarded_and_open(journal: Journal, killed: set[int]) -> bool:
    return any(response.variant != "bare" for response in journal.open(but_of=killed))


def settle(port: int, condition: Callable[[], bool]) -> None:
    """Ask for something small until *condition* holds, or for as long as it may take.

    What a thread has to close waits for a request to it, or half a minute for one to any.
    """
    quiet = Site(port, "composed")

    def ask(_number: int) -> None:
        try:
            with quiet.connection(quiet.request("quiet", "Connection: close")) as connection:
                while connection.recv(1024):
                    pass
        except BROKEN_OFF:
            pass

    deadline = time.monotonic() + WAIT_SECONDS
    with ThreadPoolExecutor(CLIENTS) as clients:
        while not condition() and time.monotonic() < deadline:
            list(clients.map(ask, range(CLIENTS)))
            time.sleep(0.05)
