"""What is left out is named; what is missing under --all is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_quick(): pass

@pytest.mark.parametrize("server", [
    pytest.param(name, marks=pytest.mark.server(name)) for name in ("two", "one", "one")
])
def test_slow(server): pass

@pytest.mark.database("three")
def test_slowest(): pass

@pytest.mark.server("four")
@pytest.mark.compiled
def test_compiled(): pass
"""

SKIPPED = """
import pytest

def test_quick(): pass

def test_skipped(): pytest.skip("there is no such server")
"""

SKIPPED_MODULE = """
import pytest

pytest.importorskip("no_such_module")
"""

both_ways = pytest.mark.parametrize("workers", ["0", "2"], ids=["one process", "xdist"])


@pytest.fixture
def run(tmp_path):
    """Run pytest on a folder of its own, with our conftest as a plugin."""
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n server(name): one\n database(name): two\n compiled: three\n"
    )
    folder = str(Path(__file__).parent.parent)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join([folder, *sys.path])
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the plugins of others take seconds
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "conftest"]

    def run(test_file, *options):
        (tmp_path / "test_it.py").write_text(test_file)
        return subprocess.run(
            [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return run


@both_ways
def test_the_last_lines_name_what_was_left_out(run, workers):
    finished = run(TESTS, "-n", workers)

    assert finished.returncode == 0
    *_, servers, databases, figures = finished.stdout.splitlines()
    assert servers == (
        "left out: 4 tests that drive real servers (four, one, two); pytest --all runs them"
    )
    assert databases == (
        "left out: 1 tests that need a database server (three); pytest --all runs them"
    )
    assert "1 passed" in figures


@both_ways
def test_all_leaves_nothing_out(run, workers):
    finished = run(TESTS, "-n", workers, "--all")

    assert finished.returncode == 0
    assert "6 passed" in finished.stdout
    assert "left out" not in finished.stdout
    assert "not collected" not in finished.stdout


@both_ways
def test_what_is_not_compiled_is_named_and_counts_as_no_skip(run, workers):
    finished = run(TESTS, "-n", workers, "--all", "--no-compiled")

    assert finished.returncode == 0
    *_, not_compiled, figures = finished.stdout.splitlines()
    assert not_compiled == (
        "not collected: 1 tests of compiled servers (four), by --no-compiled"
    )
    assert "5 passed" in figures
    assert "deselected" not in figures
    assert "skipped" not in figures


@both_ways
def test_the_rest_is_what_all_adds(run, workers):
    finished = run(TESTS, "-n", workers, "--rest")

    assert finished.returncode == 0
    assert "5 passed" in finished.stdout
    assert "left out" not in finished.stdout
    assert "deselected" not in finished.stdout


@both_ways
def test_a_skip_is_a_failure_under_all(run, workers):
    finished = run(SKIPPED, "-n", workers, "--all")

    assert finished.returncode == 1
    assert finished.stdout.splitlines()[-2] == (
        "failed: --all must not skip test_it.py::test_skipped, got"
        " 'Skipped: there is no such server'"
    )


@both_ways
def test_a_skipped_module_is_a_failure_under_all(run, workers):
    finished = run(SKIPPED_MODULE, "-n", workers, "--all")

    assert finished.returncode != 0
    assert "failed: --all must not skip test_it.py, got" in finished.stdout


def test_a_skip_is_no_failure_without_all(run):
    finished = run(SKIPPED)

    assert finished.returncode == 0
    assert "failed:" not in finished.stdout
