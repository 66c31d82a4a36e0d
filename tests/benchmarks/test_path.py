"""What the request path must not grow by, as a ratio of the work of a peer in the same run.

No clock is read: instructions are counted, and they are the same on a machine that is busy.
"""

import pytest

from .. import written
from .page import COMMAND, PAGE, TITLES
from .path import cases
from .work import Work, work_of

AT_MOST = {
    "Application": 1.5,
    "CloseGuard, a list": 4.0,
    "CloseGuard, a body with close()": 0.9,
    "Mount, a prefix": 2.0,
    "Mount, the rest": 1.3,
    "Mount(share=True), a prefix": 1.2,
    "Hosts, a name": 0.5,
    "Methods, GET": 3.5,
    "When, a path and a method": 3.9,
    "Cascade, the first": 2.9,
    "Cascade, the second": 2.7,
}
"""Some fifth more than what they are; see ``python -m tests.benchmarks path``."""


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_adds_no_more_instructions_than_this_times_the_peers(case):
    work = {name: work_of(request) for name, request in case.requests().items()}
    ours, theirs = (work[name] - work["bare"] for name in ("ours", "theirs"))

    assert 0 < ours.instructions <= AT_MOST[case.name] * theirs.instructions


def test_every_case_has_its_bar():
    assert [case.name for case in cases()] == list(AT_MOST)


def test_the_page_has_every_case_and_every_part():
    part = written.part(PAGE.read_text("utf-8"), COMMAND)
    tables, *others = part.split("### ")
    _, times, work, _ = tables.split("\n\n")

    assert [row[""] for row in written.rows(times)] == list(AT_MOST)
    assert [row[""] for row in written.rows(work)] == list(AT_MOST)
    assert [other.partition("\n")[0] for other in others] == list(TITLES.values())


def test_work_is_counted():
    def one_more(number):
        return number + 1

    def thrice():
        one_more(1)
        one_more(2)
        one_more(3)

    once = work_of(lambda: one_more(1))

    assert work_of(lambda: None) == (0, 0)
    assert once.calls == 1
    assert work_of(thrice).calls == 3
    assert once.instructions < work_of(thrice).instructions < 40
    assert work_of(thrice) == work_of(thrice)
    assert Work(3, 10) - Work(1, 4) == Work(2, 6)
