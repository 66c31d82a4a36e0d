"""Measure many configurations, each in a process and a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .subjects import CONFIGURATIONS

ROOT = Path(__file__).parents[2]
JOBS = 2
SECONDS = 180
"""For one configuration; most take two."""

MODULE = "tests.survey.measure"

QUIET = {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
    "ELASTIC_APM_ENABLED": "false",
    "INSTANA_TRACING_DISABLE": "true",
    "NEW_RELIC_DEVELOPER_MODE": "true",
}
"""Agents send nothing anywhere."""


def run(names, *, python=sys.executable, done=lambda result: None, module=MODULE):
    """Return what was found about each of *names*, in their order.

    Args:
        names: Of configurations.
        python: Which interpreter has the packages.
        done: Called with each result as soon as it is there.
        module: What measures one; see :mod:`tests.survey.measure`.
    """

    def one(name):
        result = run_one(name, python, module=module)
        done(result)
        return result

    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(one, names))


def run_one(name, python=sys.executable, seconds=SECONDS, module=MODULE):
    """Return what was found about one configuration, with how its process ended."""
    position = list(CONFIGURATIONS).index(name)
    with tempfile.TemporaryDirectory(prefix="survey-", ignore_cleanup_errors=True) as folder:
        found = Path(folder, "found.json")
        work = Path(folder, "work")
        work.mkdir()
        process = subprocess.Popen(
            [python, "-m", module, name, str(position), found],
            cwd=work,
            env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, complaints = process.communicate(timeout=seconds)
            ended = "" if process.returncode == 0 else f"exit status {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            _, complaints = process.communicate()
            ended = f"not done after {seconds} s"
        result = json.loads(found.read_text("utf-8")) if found.exists() else {}
    if ended:
        last = complaints.decode(errors="replace").strip().rpartition("\n")[2]
        step = result.get("step", "start")
        result["error"] = f"{ended} ({step}) {last}".strip()[:300]
    return {"name": name, **result}
