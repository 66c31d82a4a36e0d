"""The two tiers: what ``pytest`` runs, and what only ``pytest --all`` runs."""

import os
import sys
import warnings

import pytest
from hypothesis import HealthCheck, settings

from freedom_middleware import dropped
from tests.interpreters import AT_ONCE, IS_PYPY

# Agents of the middleware that is tried; nothing is to be sent anywhere.
os.environ.update(
    DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
    DD_REMOTE_CONFIGURATION_ENABLED="false",
    DD_TRACE_ENABLED="false",
    DD_TRACE_STARTUP_LOGS="false",
    ELASTIC_APM_ENABLED="false",
    INSTANA_TRACING_DISABLE="true",
)

# A machine may be slow, and that is no failure.
settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.load_profile("tests")

KINDS = {
    "server": "drive real servers",
    "database": "need a database server",
}

# Why tests with these marks cannot pass on this interpreter.  CPython 3.11 to 3.14, with its
# lock, runs all.
NOT_HERE = {}
if IS_PYPY:
    NOT_HERE["refcounts"] = "PyPy counts no references: an object goes when its collector runs"
    NOT_HERE["switches"] = "PyPy's threads hardly ever take turns within a sort"
    NOT_HERE["tracemalloc"] = "PyPy has no tracemalloc, which instana imports"
    NOT_HERE["warns"] = "PyPy's parser crashes where what it warns of is an error"
if not AT_ONCE:
    NOT_HERE["at_once"] = "what is dropped here is closed at the thread's next request"
if not AT_ONCE or sys.version_info >= (3, 15):
    NOT_HERE["ddtrace"] = "ddtrace cannot be built for this interpreter"

# A Django project cannot be imported before its settings: tests load it when it is time.
collect_ignore = ["sites", "neighbours/site.py", "pep3333/user_guard.py"]

LEFT_OUT = pytest.StashKey[list[tuple[str, str]]]()
NOT_COMPILED = pytest.StashKey[list[str]]()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """Report what a test dropped before the next one, where it would be an error."""
    if dropped.waiting:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while dropped.settle():
                pass


def pytest_addoption(parser):
    parser.addoption(
        "--all",
        action="store_true",
        help="also drive real servers and databases; anything missing is a failure",
    )
    parser.addoption(
        "--rest",
        action="store_true",
        help="only what --all adds",
    )
    parser.addoption(
        "--no-compiled",
        action="store_true",
        help="with --all or --rest: not the servers of the extra 'compiled'",
    )


def wants_all(config):
    return config.option.all or config.option.rest


def kind_of(item):
    """Return the marker for which *item* is left out of the quick tier, or None."""
    return next((mark for kind in KINDS for mark in item.iter_markers(kind)), None)


@pytest.hookimpl(trylast=True)  # what -k and -m deselect is not left out by us
def pytest_collection_modifyitems(config, items):
    if config.option.rest:
        items[:] = [item for item in items if kind_of(item)]
    if wants_all(config):
        if config.option.no_compiled:
            compiled = [item for item in items if item.get_closest_marker("compiled")]
            config.stash[NOT_COMPILED] = [
                item.get_closest_marker("server").args[0] for item in compiled
            ]
            items[:] = [item for item in items if item not in compiled]
        return
    kept, deselected, left_out = [], [], []
    for item in items:
        mark = kind_of(item)
        if mark is None:
            kept.append(item)
        else:
            deselected.append(item)
            left_out.append((mark.name, mark.args[0]))
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = kept
    config.stash[LEFT_OUT] = left_out


def pytest_runtest_setup(item):
    reasons = [reason for mark, reason in NOT_HERE.items() if item.get_closest_marker(mark)]
    if reasons:
        pytest.skip(reasons[0])


def pytest_sessionfinish(session):
    config = session.config
    if hasattr(config, "workeroutput"):  # under pytest-xdist only workers collect
        config.workeroutput["left_out"] = config.stash.get(LEFT_OUT, [])
        config.workeroutput["not_compiled"] = config.stash.get(NOT_COMPILED, [])
    elif wants_all(config) and skipped(config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    output = getattr(node, "workeroutput", {})  # a worker that crashed has none
    node.config.stash[LEFT_OUT] = output.get("left_out", [])
    node.config.stash[NOT_COMPILED] = output.get("not_compiled", [])


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after everybody else's lines
def pytest_terminal_summary(terminalreporter, config):
    yield
    left_out = config.stash.get(LEFT_OUT, [])
    for kind, what in KINDS.items():
        names = [name for marker, name in left_out if marker == kind]
        if names:
            terminalreporter.write_line(
                f"left out: {len(names)} tests that {what} ({', '.join(sorted(set(names)))});"
                " pytest --all runs them"
            )
    if names := config.stash.get(NOT_COMPILED, []):
        terminalreporter.write_line(
            f"not collected: {len(names)} tests of compiled servers"
            f" ({', '.join(sorted(set(names)))}), by --no-compiled"
        )
    for report in skipped(config) if wants_all(config) else []:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(
            f"failed: --all must not skip {report.nodeid}, got {reason!r}", red=True
        )


def skipped(config):
    return config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
