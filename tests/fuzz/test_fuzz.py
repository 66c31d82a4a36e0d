"""A short form of ``python -m tests.fuzz``, and that it notices what is wrong."""

import gc
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import strategies as st

from freedom_middleware import guard, response
from freedom_middleware.dispatch import cascade, hosts, table
from freedom_middleware.errors import TableError

from . import misuse, parsers
from .__main__ import NAMES, PAGE, by_hypothesis, main
from .tables import MACHINES

SHORT = {**dict.fromkeys(parsers.TARGETS, 40), **dict.fromkeys(MACHINES, 8), "misuse": 120}


@pytest.fixture(autouse=True)
def in_silence(caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()  # what misuse dropped is reported after this test, and in no later one


@pytest.mark.parametrize("name", NAMES)
def test_short(name):
    result = by_hypothesis(name, seconds=0, batch=SHORT[name], again=True)

    assert not result.failure, result.failure
    assert result.cases > 0


@pytest.mark.parametrize("name", parsers.TARGETS)
def test_seeds(name):
    function, seeds = parsers.TARGETS[name]

    for seed in seeds:
        function(seed)


def test_the_page_has_every_target():
    page = PAGE.read_text("utf-8")

    assert [name for name in NAMES if f"| `{name}` |" not in page] == []


# Each is right but for one thing.

split_host = hosts.split_host


def a_port_as_it_came(value):
    found = split_host(value)
    return found and (found[0], found[1] and f"0{found[1]}")


def replace_before_it_is_checked(self, children):
    self._children = children
    if "" in children:
        raise TableError("too late")
    self._publish(children)


def close_twice(self):
    for body in self._pending:
        body.close()


def hold_without_a_close(application, environ, start_response, refuse):
    held = response._Held()
    held.server_start_response, held.refuse = start_response, refuse
    body = application(environ, held.start_response)
    if held.refused is None and (held.status is None or not isinstance(body, list)):
        body = response._advance(body, held)
    if held.refused is None:
        held.decide()
    return None if held.refused else body


BROKEN = {
    "a host is not normal": ("host", parsers, "split_host", a_port_as_it_came),
    "a length is negative": ("content_length", parsers, "length_of", lambda environ: -2),
    "a prefix keeps its slash": ("prefix", parsers, "normal_prefix", lambda text: text or "/"),
    "a table is changed by what is refused": (
        "mounts",
        table.Table,
        "_replace",
        replace_before_it_is_checked,
    ),
    "a guard closes twice": ("misuse guard", guard.GuardedBody, "close", close_twice),
    "a held body is not closed": ("misuse first", cascade, "hold", hold_without_a_close),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_notices_that(what, monkeypatch):
    target, *broken = BROKEN[what]
    name, *stack = target.split()
    monkeypatch.setattr(*broken)
    if stack:  # it is broken there, and nobody has to wait until it is drawn
        monkeypatch.setattr(misuse, "STACKS", st.just(stack))

    assert by_hypothesis(name, seconds=0, batch=2_000, shrink=False).failure


def test_what_fails_is_shown_and_is_the_exit_status(monkeypatch, capsys):
    monkeypatch.setattr(parsers, "length_of", lambda environ: -2)
    monkeypatch.setattr("tests.fuzz.__main__.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["fuzz", "content_length", "--minutes", "0"])
    monkeypatch.setattr(parsers, "quiet", lambda: None)

    assert main() == 1
    told = capsys.readouterr()
    assert "content_length failed:" in told.out
    assert "Failing test case" in told.out or "Falsifying example" in told.out
    assert "atheris is not installed" in told.err


def test_its_command_runs_one_target():
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "prefix", "--minutes", "0"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert "| `prefix` | " in done.stdout
    assert "cases, 0 min for each target, with" in done.stdout


def test_an_unknown_target_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fuzz", "nothing"])

    with pytest.raises(SystemExit):
        main()
    assert "no target nothing; there are host," in capsys.readouterr().err
