"""The long run itself: a short form of it, and that it notices a dispatcher that is wrong."""

import pytest

from freedom_middleware.dispatch import hosts, methods, mount, predicates, table, when

from .long_run import run


def test_ten_thousand_requests_are_answered_as_the_rule_says():
    found = run(10_000, seed=2)

    assert found["compositions"] == 5
    assert found.keys() >= {"200", "204", "400", "404", "405"}


def no_boundary_in_a_mount(prefix, application, branches, path_info):
    for head, branch in branches.items():
        if branch.application and path_info.startswith(f"{prefix}/{head}"):
            return f"{prefix}/{head}", branch.application
    return prefix, application


def no_boundary_in_a_wildcard(compiled, host, port):
    _, _, exact, branches = compiled
    for label in branches:
        if host.endswith(label) and "*" in branches[label]:
            return branches[label]["*"].get("", [None])[0]
    return exact.get(f"{host}:{port}") or exact.get(host)


def head_as_get(application, environ, start_response, keys, share):
    return application(environ, start_response)


BROKEN = {
    "a mount forgets the boundary": (mount, "_descend", no_boundary_in_a_mount),
    "a mount forgets that text is no native string": (mount, "native", str),
    "a wildcard forgets the dot": (hosts, "_find", no_boundary_in_a_wildcard),
    "any Host is taken": (hosts, "split_host", lambda value: (value.lower(), "")),
    "a path predicate forgets the other alphabets": (predicates, "native", str),
    "a predicate is not turned round": (predicates.Predicate, "__invert__", lambda self: self),
    "HEAD is answered with the body": (methods, "_without_body", head_as_get),
    "the place is not handed back": (table, "hand_back", lambda environ, child, keys: None),
    "an entry is not compiled": (when, "_read", lambda cases: []),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_notices_that(what, monkeypatch):
    monkeypatch.setattr(*BROKEN[what])

    with pytest.raises(AssertionError, match=r"seed 1, request \d+: Asked.* must be answered"):
        run(20_000, seed=1)
