"""A report as JUnit XML, for what shows the results of tests."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ..terminal import printable
from .help import page
from .verdict import FAULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .checking import Report

__all__ = ["to_junit"]


def to_junit(report: Report, *, spec: str = "SPEC", seconds: float = 0.0) -> str:
    """Return *report* as JUnit XML: a suite for each layer, a test for each scenario.

    A scenario in which nothing was opened is a skipped test.  What could not be judged is
    an error, so that it is not taken for innocent.

    Args:
        report: What :func:`~freedom_middleware.leaks.check` returned.
        spec: What was checked.
        seconds: How long the check took.

    >>> from freedom_middleware.leaks import Report
    >>> to_junit(Report()).splitlines()[0]
    '<?xml version="1.0" encoding="UTF-8"?>'
    """
    root = _element("testsuites", name=f"freedom-middleware check {spec}")
    if report.baseline:
        suite = _suite(root, spec)
        case = _case(suite, spec, "answers")
        _element("error", case, message=report.baseline[0], type="baseline").text = _clean(
            "\n".join(report.baseline)
        )
    for label in report.not_driven:
        case = _case(_suite(root, label), label, "is called through")
        _element("error", case, message="it was never seen to call anybody", type="not-driven")
    for label, row in report.table.items():
        suite = _suite(root, label)
        for scenario, verdict in row.items():
            case = _case(suite, label, scenario)
            found = [
                finding
                for finding in report.findings
                if finding.label == label and finding.scenario == scenario
            ]
            if verdict == "n/a":
                _element("skipped", case, message="nothing was opened")
            elif found:
                worst = min(found, key=lambda finding: FAULTS.index(finding.id))
                told = page(worst.id)
                failure = _element(
                    "failure", case, message=f"{worst.id}: {worst.detail}", type=worst.id
                )
                failure.text = _clean(
                    "\n".join(
                        [
                            f"{label} ({worst.where})" if worst.where else label,
                            *(f"{finding.id}: {finding.detail}" for finding in found),
                            told.means,
                            told.costs,
                            f"freedom-middleware help {worst.id}",
                        ]
                    )
                )
    _count(root, seconds)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'


def _element(
    tag: str, parent: ElementTree.Element | None = None, **attributes: str
) -> ElementTree.Element:
    cleaned = {name: _clean(value) for name, value in attributes.items()}
    if parent is None:
        return ElementTree.Element(tag, cleaned)
    return ElementTree.SubElement(parent, tag, cleaned)


def _suite(root: ElementTree.Element, name: str) -> ElementTree.Element:
    return _element("testsuite", root, name=name)


def _case(suite: ElementTree.Element, label: str, name: str) -> ElementTree.Element:
    return _element("testcase", suite, classname=label, name=name, time="0")


def _count(root: ElementTree.Element, seconds: float) -> None:
    """Write the sums that readers take from the suites and from the root."""
    suites: Sequence[ElementTree.Element] = list(root)
    for element in (*suites, root):
        sums = {
            "tests": len(element.findall(".//testcase")),
            "failures": len(element.findall(".//failure")),
            "errors": len(element.findall(".//error")),
            "skipped": len(element.findall(".//skipped")),
        }
        element.attrib.update({name: str(number) for name, number in sums.items()})
        element.set("time", f"{seconds:.3f}" if element is root else "0")


def _clean(text: str) -> str:
    """Return *text* without what XML 1.0 cannot hold, which reprs of errors may bring."""
    return "\n".join(printable(line) for line in text.split("\n"))
