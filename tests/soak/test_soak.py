"""The soak itself: a short form of it, and that it notices what does not add up."""

import xml.dom.minidom

import pytest

from .chart import svg
from .run import Soaked, soak

BEGIN = {"threads": 5, "objects": 14_000}
END = {
    "opened": 1000,
    "once": 1000,
    "again": 0,
    "lost": 750,
    "closed": 500,
    "late": 249,
    "elsewhere": 1,
    "waiting": 0,
    "threads": 5,
    "objects": 14_100,
    "resident": 20 << 20,
}


@pytest.mark.server("waitress")
def test_five_thousand_requests_add_up_and_leave_nothing(tmp_path):
    soaked = soak(5000, tmp_path)

    assert soaked.faults == []
    assert soaked.end["lost"] == 3750
    assert soaked.end["changes"] > 30
    assert min(soaked.end["closed"], soaked.end["late"]) > 0
    assert len(soaked.samples) > 1


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"once": 999}, "closed once must be 1,000, got 999"),
        ({"again": 1}, "closed again must be 0, got 1"),
        ({"late": 248}, "repaired must be 750, got 749"),
        ({"waiting": 1}, "still waiting must be 0, got 1"),
        ({"threads": 6}, "threads must be 5, got 6"),
        ({"objects": 15_001}, "objects must not grow by more than 1,000, got 1,001"),
    ],
)
def test_it_notices_what_does_not_add_up(wrong, fault):
    right = Soaked(1000, 1.0, BEGIN, END, [])

    assert right.faults == []
    assert right._replace(end=END | wrong).faults == [fault]


def test_memory_is_held_against_that_of_the_second_tenth():
    sizes = [1, *[10] * 18, 12]
    samples = [{**END, "resident": size, "opened": n * 50} for n, size in enumerate(sizes, 1)]

    assert Soaked(1000, 1.0, BEGIN, END, samples).grown == 1


def test_the_chart_is_drawn_from_the_samples():
    samples = [END | {"opened": 500}, END]

    drawn = xml.dom.minidom.parseString(svg(samples, "level & dry"))  # noqa: S318

    lines = [
        path.getAttribute("d")
        for path in drawn.getElementsByTagName("path")
        if "line" in path.getAttribute("class")
    ]
    assert [line.count("L") for line in lines] == [1, 1]
