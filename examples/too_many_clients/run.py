"""Too many clients already: a middleware loses close(), and a database refuses connections.

    python examples/too_many_clients/run.py

A Django site runs on PostgreSQL and memcached, with 128 threads, three times: by itself,
inside a middleware that loses close(), and with CloseGuard between the two.  What is printed
was counted in this run; it takes half a minute.  Needs Debian's packages postgresql and
memcached (neither has to be running), and the extra `story`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chart import Panel, svg

try:
    from services import (
        HERE,
        Failure,
        folder_for_services,
        gunicorn,
        memcached,
        postgresql,
        program,
        project_environment,
        refused,
    )
except ModuleNotFoundError as error:
    sys.exit(
        f"too_many_clients must have its packages installed, got no {error.name}:"
        " pip install -e '.[story]'"
    )
from visitors import Answer, ask, one_by_one, uploads

from freedom_middleware.terminal import Terminal, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg
    from pymemcache import Client as Memcached

THREADS = 128
CONNECTIONS = 100  # PostgreSQL's own default
AT_A_TIME = 16
EVERY_SECONDS = 0.015
SAMPLE_SECONDS = 0.025
LULL_SECONDS = 1.0
"""How long is looked on after the last visitor, at the least."""
STEADY_SECONDS = 2.0
"""How long what is left open must not have changed, to count as left open."""
CLOSE_SECONDS = 30.0
MOST_COLUMNS = 80

RUNS = {  # what mysite/wsgi.py makes, and the head of its column
    "site": ("without", "ElasticAPM"),
    "application": ("with", "ElasticAPM"),
    "guarded": ("and with", "CloseGuard"),
}
NAMES = ["Without ElasticAPM", "With ElasticAPM", "With ElasticAPM and CloseGuard"]


class Sample(NamedTuple):
    """How many connections were open at a moment, and how many of the database's idle."""

    seconds: float
    database: int
    idle: int
    cache: int


class Outcome(NamedTuple):
    """What one run did.

    Attributes:
        answers: One for each visitor.
        refused: How often the database refused a connection, by its own log.
        samples: The connections over time; the last is what was left open.
        told: What CloseGuard wrote into the server's log, if it was there.
    """

    answers: Sequence[Answer]
    refused: int
    samples: Sequence[Sample]
    told: str

    @property
    def errors(self) -> list[Answer]:
        """The answers that were none, or said that the server had failed."""
        return [answer for answer in self.answers if answer.code != 200]


class Sampler:
    """Counts the site's connections, at the servers and not at the site."""

    def __init__(self, database: psycopg.Connection, cache: Memcached) -> None:
        self._database = database
        self._cache = cache
        self._not_the_sites = 0
        self._not_the_sites = self.now().cache

    def now(self) -> Sample:
        """Count them now."""
        connections, idle = self._database.execute(
            "SELECT count(*), count(*) FILTER (WHERE state = 'idle')"
            " FROM pg_stat_activity WHERE usename = 'mysite'"
        ).fetchone()
        cache = int(self._cache.stats()[b"curr_connections"]) - self._not_the_sites
        return Sample(time.monotonic(), connections, idle, cache)

    @contextmanager
    def sampling(self) -> Iterator[list[Sample]]:
        """Collect samples meanwhile."""
        samples = [self.now()]
        over = threading.Event()

        def sample() -> None:
            while not over.wait(SAMPLE_SECONDS):
                samples.append(self.now())

        with ThreadPoolExecutor(1) as pool:
            sampling = pool.submit(sample)
            try:
                yield samples
            finally:
                over.set()
            sampling.result()

    def watch(self, samples: list[Sample]) -> None:
        """Collect samples until nothing is open, or what is open does not change any more."""
        begin = time.monotonic()
        while True:
            time.sleep(SAMPLE_SECONDS)
            last = self.now()
            if last[1:] != samples[-1][1:]:
                begin = last.seconds
            samples.append(last)
            all_closed = last.database == last.cache == 0
            if last.seconds - begin > (LULL_SECONDS if all_closed else STEADY_SECONDS):
                return


class Progress:
    """One line on stderr: rewritten where that is a terminal, else one for each step."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._begin = time.monotonic()

    def step(self, text: str) -> None:
        """Say what is being done, and for how long the whole has been running."""
        line = f"[{time.monotonic() - self._begin:4.0f} s] {text}"
        if not self._live:
            print(line, file=sys.stderr, flush=True)
            return
        room = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:room]:<{room}}", end="", file=sys.stderr, flush=True)

    def count(self, text: str) -> None:
        """Say how far it is: only where the line is rewritten."""
        if self._live:
            self.step(text)

    def done(self) -> None:
        """Leave the line to whoever writes next."""
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def run(
    application: str, name: str, folder: Path, sampler: Sampler, progress: Progress
) -> Outcome:
    """Serve *application*, let the visitors come, and look on for a while afterwards."""
    progress.step(f"{name}: gunicorn starts")
    log = folder / f"{application}.log"
    before = refused(folder)
    with gunicorn(f"mysite.wsgi:{application}", log, threads=THREADS, services=folder) as port:
        if ask(port, "/ready").code != 200:
            raise Failure(f"gunicorn must serve {application}, got:\n{log.read_text()}")
        answers = []
        with sampler.sampling() as samples:
            progress.step(f"{name}: {THREADS} visitors upload at once, {THREADS} come later")
            for visitors in (
                uploads(port, THREADS, at_a_time=AT_A_TIME),
                one_by_one(port, THREADS, every_seconds=EVERY_SECONDS),
            ):
                for answer in visitors:
                    answers.append(answer)
                    progress.count(
                        f"{name}: {len(answers)} of {2 * THREADS} answered,"
                        f" {samples[-1].database} connections"
                    )
        progress.count(f"{name}: what is left open?")
        sampler.watch(samples)
    deadline = time.monotonic() + CLOSE_SECONDS
    while any(sampler.now()[1:]):  # the next run begins with none
        if time.monotonic() > deadline:
            raise Failure("the connections of a server that has ended must end, got some left")
        time.sleep(SAMPLE_SECONDS)
    told = [line for line in log.read_text().splitlines() if "never closed" in line]
    return Outcome(answers, refused(folder) - before, samples, "\n".join(told))


def table(outcomes: Sequence[Outcome], width: int) -> str:
    """Return what was counted, one row for each thing and one column for each run."""
    rows = [
        ("requests", lambda o: len(o.answers)),
        ("errors", lambda o: len(o.errors)),
        ('refused: "sorry, too many clients already"', lambda o: o.refused),
        ("most database connections at a time", lambda o: max(s.database for s in o.samples)),
        ("database connections idle afterwards", lambda o: o.samples[-1].idle),
        ("memcached connections afterwards", lambda o: o.samples[-1].cache),
    ]
    room = max(16, min(43, width - 36))
    lines = [
        "  " + " " * room + "".join(f"{heads[row]:>11}" for heads in RUNS.values())
        for row in (0, 1)
    ]
    lines.append("  " + "-" * (room + 11 * len(RUNS)))
    for label, count in rows:
        *above, last = wrapped(label, room)
        lines += [f"  {line}" for line in above]
        lines.append(f"  {last:<{room}}" + "".join(f"{count(o):>11}" for o in outcomes))
    return "\n".join(lines)


def check() -> None:
    """Ask the command line which layer it is, in the project's folder, as a user would."""
    sys.stdout.flush()
    subprocess.run(
        [sys.executable, "-m", "freedom_middleware", "check", "mysite.wsgi"],
        cwd=HERE,
        env=project_environment(),
        check=False,  # it has something to report, and ends with 1
    )


def drawn(outcomes: Sequence[Outcome], description: str) -> str:
    """Return the chart of the runs."""
    panels = []
    for name, outcome in zip(NAMES, outcomes, strict=True):
        begin = outcome.samples[0].seconds
        panels.append(
            Panel(
                name,
                [(sample.seconds - begin, sample.database) for sample in outcome.samples],
                [(sample.seconds - begin, sample.cache) for sample in outcome.samples],
                [answer.seconds - begin for answer in outcome.errors],
                max(answer.seconds for answer in outcome.answers[:THREADS]) - begin,
            )
        )
    return svg(panels, limit=CONNECTIONS, description=description)


def described(outcomes: Sequence[Outcome]) -> str:
    """Return what the chart shows, in words."""
    parts = [
        f"{name}: at most {max(s.database for s in outcome.samples)} of"
        f" {CONNECTIONS} PostgreSQL connections are open at a time,"
        f" {len(outcome.errors)} of {len(outcome.answers)} visitors get an error, and"
        f" {outcome.samples[-1].database} connections to PostgreSQL and"
        f" {outcome.samples[-1].cache} to memcached are left open."
        for name, outcome in zip(NAMES, outcomes, strict=True)
    ]
    return " ".join(parts)


def as_expected(outcomes: Sequence[Outcome]) -> bool:
    """Return whether the middleware made the errors, and CloseGuard undid that."""
    without, lossy, guarded = outcomes
    return (
        all(
            not outcome.errors and not outcome.refused and outcome.samples[-1].database == 0
            for outcome in (without, guarded)
        )
        and len(lossy.errors) >= lossy.refused > 0
        and lossy.samples[-1].idle > 0
    )


def tell(progress: Progress, *, chart: Path | None) -> int:
    """Run the story and print it; return 0 if it went as it should."""
    terminal = Terminal.of(sys.stdout)
    width = min(terminal.columns or MOST_COLUMNS, MOST_COLUMNS)
    for name in ("initdb", "postgres", "memcached"):
        program(name)

    def say(text: str) -> None:
        print("\n".join(wrapped(text, width)) + "\n", flush=True)

    progress.step("PostgreSQL and memcached start")
    with (
        folder_for_services() as folder,
        postgresql(folder, connections=CONNECTIONS) as database,
        memcached(folder) as cache,
    ):
        server = database.info.server_version // 10000
        memcached_version = cache.version().decode()
        sampler = Sampler(database, cache)
        outcomes = [
            run(application, name, folder, sampler, progress)
            for application, name in zip(RUNS, NAMES, strict=True)
        ]
    progress.done()
    say(
        f"Django {version('django')} on PostgreSQL {server}, which allows the site"
        f" {CONNECTIONS} connections, and memcached {memcached_version}. Served by gunicorn"
        f" {version('gunicorn')} with {THREADS} threads; CONN_MAX_AGE is 0."
    )
    say(
        f"{THREADS} visitors upload at once over slow lines: each has a thread, and"
        f" {AT_A_TIME} of them need the database at a time. Then {THREADS} visitors come one"
        f" after the other."
    )
    print(table(outcomes, width) + "\n")
    say(f"Which layer is it? ElasticAPM is of elastic-apm {version('elastic-apm')}.")
    print("$ freedom-middleware check mysite.wsgi")
    check()
    print()
    say("So, in mysite/wsgi.py (this is what the last column ran):")
    print("- application = ElasticAPM(site, client)")
    print("+ application = ElasticAPM(CloseGuard(site), client)\n")
    say("There, CloseGuard wrote into the server's log:")
    print("\n".join(wrapped(outcomes[-1].told, width)))
    if chart is not None:
        chart.write_text(drawn(outcomes, described(outcomes)), encoding="utf-8")
        print(f"\nThe chart is in {chart}.")
    if not as_expected(outcomes):
        print(
            "\nThese are not the expected figures: errors and idle connections with ElasticAPM,"
            " neither without it nor with CloseGuard."
        )
        return 1
    return 0


def main() -> int:
    """Parse the arguments, and tell the story."""
    parser = argparse.ArgumentParser(
        description="A middleware loses close(), and PostgreSQL refuses connections: a Django"
        " site without the middleware, with it, and with CloseGuard inside it."
    )
    parser.add_argument(
        "--svg", type=Path, metavar="FILE", help="also draw the connections over time"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)  # so that what was started is stopped
    progress = Progress()
    try:
        return tell(progress, chart=options.svg)
    except Failure as failure:
        progress.done()
        print(f"too_many_clients: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)  # after the terminal's own ^C
        return 130


def _stop(_signal: int, _frame: object) -> None:
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
