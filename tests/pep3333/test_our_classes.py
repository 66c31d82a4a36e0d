"""Our own classes keep the rules, all of them."""

import logging

import pytest

from .applications import APPLICATION
from .middleware import MIDDLEWARE, as_application
from .ours import APPLICATIONS, INSIDE, LAYERS, judge_user_guard
from .rule import NO, NOT_APPLICABLE, judged

NO_OCCASION = {
    "A11",  # not every body has a len()
    "M11",  # a HEAD has no body to write to
    "M16",  # none of ours starts a response again because something raised
}


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """Applications that fail are logged, and so they should be."""
    caplog.set_level(logging.CRITICAL + 1)


def breaks(marks):
    """Return what is broken, and how that is seen."""
    neither = {number for number, (mark, _) in marks.items() if mark == NOT_APPLICABLE}
    assert neither <= NO_OCCASION
    return {number: seen for number, (mark, seen) in marks.items() if mark == NO}


def by(rules, subject):
    return {rule.number: judged(rule, subject) for rule in rules}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_keeps_the_rules(name):
    layer = LAYERS[name]

    marks = by(APPLICATION, as_application(layer)) | by(MIDDLEWARE, layer)

    assert breaks(marks) == {}


@pytest.mark.parametrize("name", INSIDE)
def test_a_layer_keeps_the_rules_for_its_inside(name):
    assert breaks(by(MIDDLEWARE, INSIDE[name])) == {}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_keeps_the_rules(name):
    assert breaks(by(APPLICATION, APPLICATIONS[name])) == {}


def test_user_guard_keeps_the_rules():
    marks = judge_user_guard()

    assert breaks(marks) == {}
    assert set(marks) == {rule.number for rule in (*APPLICATION, *MIDDLEWARE)}
