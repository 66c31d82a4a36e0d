"""``python -m tests.fire``: every server under fire, and what became of the responses.

    python -m tests.fire                         # all, for 20 seconds each
    python -m tests.fire waitress --seconds 60
    python -m tests.fire cheroot --requests 500  # a client's visits, with several requests each
    python -m tests.fire --write                 # rewrites the page docs/under-fire.md

Needs what the tests of servers need: the extras ``test``, ``servers`` and ``compiled``, and
the Debian packages of ``.ci/debian-packages``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ..written import rewritten
from .page import COMMAND, PAGE, to_page, to_text
from .run import fire
from .targets import TARGETS

SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fire")
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, help=f"for each server; {SECONDS:.0f}")
    parser.add_argument("--requests", type=int, help="visits to each server, at least")
    parser.add_argument("--write", action="store_true", help="rewrite docs/under-fire.md")
    options = parser.parse_args()
    unknown = set(options.servers) - TARGETS.keys()
    if unknown:
        parser.error(f"SERVER must be of {', '.join(TARGETS)}, got {', '.join(unknown)}")
    seconds = options.seconds
    if seconds is None:
        seconds = 0.0 if options.requests else SECONDS
    fired = {}
    for name in options.servers or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)  # a server that is run by somebody else finds it
            fired[name] = fire(
                TARGETS[name], Path(folder), seconds=seconds, visits=options.requests or 0
            )
        print(to_text({name: fired[name]}), flush=True)
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(rewritten(text, COMMAND, to_page(fired)), encoding="utf-8")
    guarded = [
        figures
        for one in fired.values()
        for variant, figures in one.figures.items()
        if variant != "bare"
    ]
    return int(any(figures.never or figures.twice for figures in guarded))


if __name__ == "__main__":
    sys.exit(main())
