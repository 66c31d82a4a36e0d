"""Searches run in processes of their own: each begins with a package that nobody has used."""

import os
import subprocess
import sys
from pathlib import Path


def run(*arguments):
    """Run Python, without measuring what it reaches: that would take many times as long."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[2],
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
