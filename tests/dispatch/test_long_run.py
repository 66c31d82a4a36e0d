"""The long run itself: a short form of it, and that it notices a dispatcher that is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from freedom_middleware.dispatch import hosts, methods, mount, predicates, table, when

from .long_run import run


def test_ten_thousand_requests_are_answered_as_the_rule_says():
    found = run(10_000, seed=2)

    assert found["compositions"] == 5
    assert found.keys() >= {"200", "204", "400", "404", "405"}


# Each is right but for one thing.

descend, find, split_host = mount._descend, hosts._find, hosts.split_host


def no_boundary_in_a_mount(prefix, application, branches, path_info):
    end = path_info.find("/", 1) + 1
    for segment, branch in branches.items():
        if end and branch.application and path_info.startswith(segment, end):
            return path_info[:end] + segment, branch.application
    return descend(prefix, application, branches, path_info)


def no_dot_in_a_wildcard(compiled, host, port):
    for label, branch in compiled[3].items():
        if "*" in branch and host.endswith(label) and not host.endswith(f".{label}"):
            return next(iter(branch["*"].values()))[0]
    return find(compiled, host, port)


def any_host(value):
    return split_host(value) or ("a", "")


def head_as_get(application, environ, start_response, keys, share):
    return application(environ, start_response)


BROKEN = {
    "a mount forgets the boundary": (mount, "_descend", no_boundary_in_a_mount),
    "a mount forgets that text is no native string": (mount, "native", str),
    "a wildcard forgets the dot": (hosts, "_find", no_dot_in_a_wildcard),
    "any Host is taken": (hosts, "split_host", any_host),
    "a path predicate forgets the other alphabets": (predicates, "native", str),
    "a predicate is not turned round": (predicates.Predicate, "__invert__", lambda self: self),
    "HEAD is answered with the body": (methods, "_without_body", head_as_get),
    "the place is not handed back": (table, "MOUNTED", "nobody asks for this"),
    "an entry is not compiled": (when, "_read", lambda cases: []),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_notices_that(what, monkeypatch):
    monkeypatch.setattr(*BROKEN[what])

    with pytest.raises(AssertionError, match=r"seed 1, request \d+: Asked.* must be answered"):
        run(20_000, seed=1)


def test_its_command_says_what_was_tried():
    done = subprocess.run(
        [sys.executable, "-m", "tests.dispatch.long_run", "--requests", "100", "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout.startswith(
        "100 requests to 1 compositions, with 20 changes of their tables, seed 3: each one as"
    )
