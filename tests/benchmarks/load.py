"""Requests per second with and without the composition, over HTTP (needs wrk, taskset)."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

from freedom_middleware import CloseGuard, Mount

from .timing import verdict

STARTS = 20  # one process may be faster than the next by a twentieth, whatever it runs
ROUNDS = 2
SECONDS = 1

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "14")]


def bare(environ, start_response):
    start_response("200 OK", HEADERS)
    return [b"Hello, world!\n"]


composed = CloseGuard(Mount(bare, {"/hello": bare}))

SERVERS = {
    "gunicorn gthread": lambda application, port: [
        *("gunicorn", "-k", "gthread", "--threads", "4", "--no-control-socket"),
        *("-b", f"127.0.0.1:{port}", f"{__name__}:{application}"),
    ],
    "granian": lambda application, port: [
        *("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--blocking-threads", "1", f"{__name__}:{application}"),
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


def requests_per_second(port, seconds=SECONDS):
    done = subprocess.run(
        [
            *("taskset", "-c", "1", "wrk", "-t1", "-c8", f"-d{seconds}s"),
            f"http://127.0.0.1:{port}/hello/x",
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
        figures = {"bare": [], "composed": []}
        for start in range(STARTS):
            with ExitStack() as serving:
                ports = {application: free_port() for application in figures}
                for application in sorted(ports, reverse=start % 2 == 1):
                    port = ports[application]
                    serving.enter_context(served(command(application, port), port))
                    requests_per_second(port)  # warm
                for number in range(ROUNDS):  # bare, composed, composed, bare
                    for application in sorted(ports, reverse=number % 2 == 1):
                        figures[application].append(requests_per_second(ports[application]))
        for application, found in figures.items():
            print(
                f"  {name}, {application:<30}{statistics.median(found):>8.0f} requests/s,"
                f" {min(found):.0f} to {max(found):.0f}"
            )
        ratios = [
            composed / bare
            for bare, composed in zip(figures["bare"], figures["composed"], strict=True)
        ]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"  composed / bare, each with its neighbour: {low:.3f} {middle:.3f} {high:.3f}")
        # The bar is a floor; its inverse is what may be reached at the most.
        print(verdict(f"{name}: bare / composed, median of pairs", 1 / middle, 1 / 0.97))
        together = sum(figures["bare"]) / sum(figures["composed"])
        print(verdict(f"{name}: bare / composed, all together", together, 1 / 0.97))
