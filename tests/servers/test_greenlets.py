"""Greenlets are threads to the guard, whenever gevent has made them so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60


@pytest.mark.server("gevent")
@pytest.mark.parametrize(
    "when",
    ["before the import", "after the import", "after the guard is made", "after a request"],
)
def test_each_response_is_closed_once_and_by_its_own_greenlet_while_that_lives(when):
    script = Path(__file__).parent.parent / "sites" / "greenlets.py"

    finished = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", script, when],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout)
    assert told["patched"]
    assert told["opened"] > 300
    assert told["not closed once"] == []
    assert told["on another's turn"] == []
    # Opened between the patch and the first repair, which notices it: as if by one thread.
    assert told["unowned"] < 61
    assert (told["unowned"] > 0) == (when == "after a request")
