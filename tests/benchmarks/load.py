"""Requests per second with and without the composition, over HTTP (needs wrk, taskset)."""

import itertools
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from freedom_middleware import CloseGuard, Mount

from .timing import verdict

STARTS = 3
SECONDS = 40
BLOCK = 500  # requests to one application, before the next one has its turn

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "14")]


def bare(environ, start_response):
    start_response("200 OK", HEADERS)
    return [b"Hello, world!\n"]


composed = CloseGuard(Mount(bare, {"/hello": bare}))


def floor(environ, start_response):
    """Do the least that can be done to serve a child under a prefix, with its own environ."""
    path = environ["PATH_INFO"]
    prefix, application = {"hello": ("/hello", bare)}[path.split("/", 2)[1]]
    child = environ.copy()
    child["SCRIPT_NAME"] += prefix
    child["PATH_INFO"] = path.removeprefix(prefix)
    return application(child, start_response)


# One process serves them in turn, in short blocks and in an order that is drawn anew each
# time: of two processes that run the same one is often faster by a twentieth, and so is one
# second of two.
NAMES = {"bare": bare, "composed": composed, "floor": floor, "bare again": bare}
draw = random.Random(1).sample  # noqa: S311
TURNS = [name for _ in range(10_000) for name in draw([*NAMES], len(NAMES))]
count = itertools.count()
begun = []  # when each block began


def application(environ, start_response):
    if environ["PATH_INFO"] == "/begun":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(begun).encode()]
    number = next(count)
    if number % BLOCK == 0:
        begun.append(time.perf_counter())
    return NAMES[TURNS[number // BLOCK]](environ, start_response)


SERVERS = {
    "gunicorn gthread": lambda port: [
        *("gunicorn", "-k", "gthread", "--threads", "4", "--no-control-socket"),
        *("-b", f"127.0.0.1:{port}", f"{__name__}:application"),
    ],
    "granian": lambda port: [
        *("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--blocking-threads", "1", f"{__name__}:application"),
    ],
}


# As a service has it: granian puts every environment variable into every environ, and what a
# login shell has in it would be most of what is measured.
SERVICE = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "LANG": "C.UTF-8",
}


def free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def served(command, port):
    program = Path(sys.executable).parent / command[0]
    process = subprocess.Popen(
        ["taskset", "-c", "0", str(program), *command[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=SERVICE,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/hello/x", timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def seconds_of_blocks(port):
    """Load the server, and return how long each block took, a row for each time round."""
    address = f"http://127.0.0.1:{port}"
    done = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", "-c8", f"-d{SECONDS}s", f"{address}/hello/x"],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit(f"load must be answered without an error, got:\n{done.stdout}")
    with urlopen(f"{address}/begun", timeout=20) as response:
        taken = [after - before for before, after in itertools.pairwise(json.load(response))]
    named = list(zip(TURNS, taken, strict=False))
    size = len(NAMES)  # the first round warms up, and the last may be broken off
    return [dict(named[i : i + size]) for i in range(size, len(named) - size, size)]


def main():
    if not shutil.which("wrk"):
        sys.exit("load must have wrk installed, got none: apt-get install wrk")
    for name, command in SERVERS.items():
        rounds = []
        for _ in range(STARTS):
            port = free_port()
            with served(command(port), port):
                rounds += seconds_of_blocks(port)
        for what in NAMES:
            seconds = statistics.median(each[what] for each in rounds)
            print(f"  {name}, {what:<20}{BLOCK / seconds:>8.0f} requests/s")
        for what in list(NAMES)[1:]:
            ratios = [each[what] / each["bare"] for each in rounds]
            quartiles = " ".join(f"{figure:.3f}" for figure in statistics.quantiles(ratios))
            print(f"  bare / {what}, quartiles of {len(ratios)} rounds: {quartiles}")
            if what == "composed":  # the bar is a floor; its inverse may be reached at most
                print(verdict(f"{name}: bare / composed", statistics.median(ratios), 1 / 0.97))
