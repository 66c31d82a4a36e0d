"""Leaks as Prometheus' metrics, summed up over gunicorn's workers: examples/metrics.py."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import freedom_middleware

from .harness import Server, running

ROOT = Path(freedom_middleware.__file__).parent.parent
SECONDS = 20.0

kinds = pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, marks=pytest.mark.server(f"gunicorn {options.split()[0]}"))
        for options in ("sync", "gthread --threads 4 --preload", "gevent")
    ],
)


@contextmanager
def gunicorn(options, folder, **variables):
    server = Server(
        f"gunicorn {options}",
        f"gunicorn -k {options} -w 2 -b 127.0.0.1:{{port}} metrics:application",
    )
    path = os.pathsep.join([str(ROOT / "examples"), str(ROOT)])
    with running(server, folder, PYTHONPATH=path, **variables) as site:
        until(lambda: len(booted(site)) == 2)
        yield site


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "metrics"
    folder.mkdir()
    return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}


def until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def booted(site):
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", site.log())]


def ask_until_answered_by(site, wanted):
    """Leak under /shop until each of the *wanted* processes has; return how often."""
    seen, asked = set(), 0
    deadline = time.monotonic() + SECONDS
    with ThreadPoolExecutor(4) as clients:
        while not wanted <= seen:
            assert time.monotonic() < deadline
            answers = list(clients.map(site.get, ["/shop/cart"] * 8))
            seen |= {int(answer.body) for answer in answers}
            asked += len(answers)
    return asked


def leaks(site):
    """Return the figure for /shop, as Prometheus reads it from whichever worker answers."""
    text = site.get("/metrics").body.decode()
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    shop = [sample for sample in samples if sample.labels.get("mount") == "/shop"]
    assert {sample.name for sample in shop} <= {"wsgi_leaks_total"}
    assert all(sample.labels["where"] for sample in shop)
    return sum(sample.value for sample in shop)


@kinds
def test_the_sum_is_exact_and_survives_a_worker_that_is_killed(options, tmp_path, shared):
    with gunicorn(options, tmp_path, **shared) as site:
        first, second = booted(site)
        asked = ask_until_answered_by(site, {first, second})
        until(lambda: leaks(site) == asked)

        os.kill(first, signal.SIGKILL)
        until(lambda: len(booted(site)) == 3)
        assert leaks(site) == asked

        asked += ask_until_answered_by(site, {second, booted(site)[2]})
        until(lambda: leaks(site) == asked)
        assert leaks(site) == asked


@kinds
def test_workers_that_are_replaced_count_what_still_waits(options, tmp_path, shared):
    """The last leak of each is counted by its next request, or when it ends."""
    with gunicorn(options, tmp_path, **shared) as site:
        workers = booted(site)
        asked = ask_until_answered_by(site, set(workers))

        site.process.send_signal(signal.SIGHUP)
        until(lambda: all(f"Worker exiting (pid: {pid})" in site.log() for pid in workers))

        until(lambda: leaks(site) == asked)
        assert leaks(site) == asked


@pytest.mark.server("gunicorn sync")
def test_what_one_process_knows_is_not_the_sum(tmp_path):
    """So a collector of the counts is not enough where there are several workers."""
    with gunicorn("sync", tmp_path) as site:
        asked = ask_until_answered_by(site, set(booted(site)))
        figures = {leaks(site) for _ in range(20)}

    assert 0 < max(figures) < asked
