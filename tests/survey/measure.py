"""Measure one configuration: ``python -m tests.survey.measure NAME POSITION FILE``.

In a process of its own, since tracers patch what they find, and some layers hang.  What is
known so far is in FILE at any time, as JSON.
"""

import gc
import importlib.metadata
import itertools
import json
import logging
import os
import sys
import warnings

from freedom_middleware import CloseGuard
from freedom_middleware.dropped import settle
from freedom_middleware.leaks import check
from tests.leaks import layers

from .subjects import CONFIGURATIONS
from .subjects.registry import Sends
from .truth import LEFT, READ, find_out

AROUND = 4
INNOCENT = [layer for name, layer in layers.INNOCENT.items() if name not in ("guard", "mount")]
"""Other people's: a guard directly inside would make up for what is looked for."""


def never_called(environ, start_response):
    raise AssertionError("the innermost application must not be called")


def measure(configuration, position, tell):
    """Hand what is found to *tell*, piece by piece."""
    tell("version", version_of(configuration.distribution))
    try:
        ask_check(configuration.layer, position, tell)
    except Exception as error:  # noqa: BLE001 - the truth is wanted all the same
        tell("check error", f"{type(error).__name__}: {error}"[:300])
    find_truth(configuration.layer, tell)


def ask_check(layer, position, tell):
    """Say what the check says: alone, among others, and with a guard inside."""
    tell("step", "check alone")
    report = check(layer(never_called))
    tell("alone", findings_of(report))
    tell("labels", list(report.culprits))
    judged = [
        label
        for label, row in report.table.items()
        if label != Sends.__name__ and set(row.values()) != {"n/a"}
    ]
    tell("driven", bool(judged))
    tell("baseline", report.baseline)

    tell("step", "check among")
    application, innocent = among(layer, position)
    report = check(application)
    accused = {finding.label: finding.layer for finding in report.findings}
    right = [
        label
        for label, layer in accused.items()
        if not any(layer is other for other in innocent)
    ]
    tell("among", findings_of(report))
    tell("named", right)
    tell("accused innocent", [label for label in accused if label not in right])

    tell("step", "check guarded")
    report = check(layer(never_called), inside=CloseGuard)
    tell("inside", findings_of(report))


def find_truth(layer, tell):
    """Say what the layer does, bare and with a guard inside."""
    truth, guarded, broken, stuck = {}, {}, "", ""
    # First those that are read: what gets stuck, gets stuck when it is left.
    for cases in (READ, LEFT):
        for inside, known in ((as_it_is, truth), (CloseGuard, guarded)):
            tell("step", f"driven with {inside.__name__} inside")
            found = find_out(layer, inside, collect, cases)
            known.update(found.verdicts)
            if inside is as_it_is:
                broken = broken or found.broken
                tell("truth", truth)
                tell("broken", broken)
            stuck = stuck or found.stuck
            if stuck:
                break
            tell("guarded", guarded)
    tell("stuck", stuck)
    tell("step", "")


def as_it_is(application):
    return application


def collect():
    """Let the guard close what it was left with, by this layer and by the check before."""
    gc.collect()
    for _ in range(100):  # it closes sixteen at a time
        settle()


def findings_of(report):
    return [
        [finding.id, finding.label, finding.scenario, finding.detail]
        for finding in report.findings
    ]


def among(layer, position):
    """Return *layer* among four innocent ones, in a place that *position* rotates."""
    chosen = list(itertools.islice(itertools.cycle(INNOCENT), position, position + AROUND))
    place = position % (AROUND + 1)
    application, innocent = never_called, [never_called]
    for index in reversed(range(AROUND + 1)):
        if index == place:
            application = layer(application)
        else:
            application = chosen[index - (index > place)](application)
            innocent.append(application)
    return application, innocent


def version_of(distribution):
    if distribution == "Python":
        return ".".join(map(str, sys.version_info[:3]))
    return importlib.metadata.version(distribution)


def main(name, position, path):
    found = {}

    def tell(key, value):
        found[key] = value
        with open(path, "w", encoding="utf-8") as file:
            json.dump(found, file)

    warnings.simplefilter("ignore")
    logging.disable()
    try:
        measure(CONFIGURATIONS[name], int(position), tell)
    except BaseException as error:  # noqa: BLE001 - whatever a package does is its result
        tell("error", f"{type(error).__name__}: {error}"[:300])
    # The threads of an agent, or a worker that is stuck, must not keep the process.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
