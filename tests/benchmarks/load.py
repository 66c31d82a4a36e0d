"""Requests per second with and without the composition, over HTTP (needs wrk, taskset)."""

import os
import re
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

STARTS = 5
ROUNDS = 8
SECONDS = 1

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "14")]


def bare(environ, start_response):
    start_response("200 OK", HEADERS)
    return [b"Hello, world!\n"]


composed = CloseGuard(Mount(bare, {"/hello": bare}))

# One process serves all of them, or its luck would be measured: of two processes that run
# the same, one is often faster by a twentieth.
APPLICATIONS = {"/bare/x": bare, "/hello/x": composed, "/again/x": bare}


def application(environ, start_response):
    return APPLICATIONS[environ["PATH_INFO"]](environ, start_response)


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
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONHASHSEED": "0"},
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/bare/x", timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def requests_per_second(port, path):
    done = subprocess.run(
        [
            *("taskset", "-c", "1", "wrk", "-t1", "-c8", f"-d{SECONDS}s"),
            f"http://127.0.0.1:{port}{path}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit(f"load must be answered without an error, got:\n{done.stdout}")
    return float(re.search(r"Requests/sec: +([\d.]+)", done.stdout)[1])


def main():
    if not shutil.which("wrk"):
        sys.exit("load must have wrk installed, got none: apt-get install wrk")
    for name, command in SERVERS.items():
        figures = {path: [] for path in APPLICATIONS}
        for _ in range(STARTS):
            port = free_port()
            with served(command(port), port):
                for path in figures:
                    requests_per_second(port, path)  # warm
                for number in range(ROUNDS):  # there and back
                    for path in sorted(figures, reverse=number % 2 == 1):
                        figures[path].append(requests_per_second(port, path))
        for path, found in figures.items():
            print(
                f"  {name}, {path:<30}{statistics.median(found):>8.0f} requests/s,"
                f" {min(found):.0f} to {max(found):.0f}"
            )
        for path in ("/hello/x", "/again/x"):
            ratios = [a / b for a, b in zip(figures["/bare/x"], figures[path], strict=True)]
            quartiles = " ".join(f"{figure:.3f}" for figure in statistics.quantiles(ratios))
            print(f"  /bare/x / {path}, each with its neighbour, quartiles: {quartiles}")
            if path == "/hello/x":  # the bar is a floor; its inverse may be reached at most
                print(verdict(f"{name}: bare / composed", statistics.median(ratios), 1 / 0.97))
