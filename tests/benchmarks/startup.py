"""What ``import freedom_middleware`` adds to the start of the interpreter."""

import os
import subprocess
import sys
import time

from .timing import shown, verdict

RUNS = 15


# As an installed package is: with its bytecode beside it, whatever is set here.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def started(code):
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT)
    return time.perf_counter() - begin


def main():
    codes = {"nothing": "pass", "import freedom_middleware": "import freedom_middleware"}
    fastest = dict.fromkeys(codes, float("inf"))
    for _ in range(RUNS):
        for name, code in codes.items():
            fastest[name] = min(fastest[name], started(code))
    for name, seconds in fastest.items():
        print(f"  {name:<62}{shown(seconds * 1e9):>7}")
    added = (fastest["import freedom_middleware"] - fastest["nothing"]) * 1000
    print(verdict("import freedom_middleware: adds, in ms", added, 10))
