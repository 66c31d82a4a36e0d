"""Judge one configuration of a package: ``python -m tests.pep3333.measure NAME _ FILE``.

In a process of its own, as the survey does it.  What is known so far is in FILE at any time.
"""

import json
import logging
import os
import sys
import threading
import warnings

from ..survey.measure import version_of
from ..survey.subjects import CONFIGURATIONS
from .applications import APPLICATION
from .gateway import environ_for, serve, shown
from .middleware import MIDDLEWARE, as_application, page
from .rule import NO, NOT_APPLICABLE, Broken, judged

SECONDS = 10
"""After which a response is believed never to end."""


def judge_layer(layer, tell=lambda number, mark: None):
    """Judge a layer by every rule for applications and for middleware; return the marks.

    Each rule has a thread of its own: some layers wait for ever when a client leaves.
    """
    marks = {}
    for rules, subject in ((APPLICATION, as_application(layer)), (MIDDLEWARE, layer)):
        for rule in rules:
            marks[rule.number] = in_time(rule, subject)
            tell(rule.number, marks[rule.number])
    return marks


def in_time(rule, subject):
    """Return the mark of *subject*, and what was seen; if nothing comes, that is it."""
    found = [NO, f"no answer in {SECONDS} s"]

    def judge():
        try:
            found[:] = judged(rule, subject)
        except Exception as error:  # noqa: BLE001 - the layer raises where it is made
            found[:] = [NOT_APPLICABLE, f"cannot be tried: {shown(error)}"]

    thread = threading.Thread(target=judge, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return list(found)


def check_baseline(layer):
    """Raise Broken if the layer fails where nothing is wrong, or calls nobody."""
    calls = []

    def application(environ, start_response):
        calls.append(environ)
        return page(environ, start_response)

    seen = serve(layer(application), environ_for())
    if seen.problem:
        raise Broken(f"{seen.problem} where nothing is wrong")
    if not calls:
        raise Broken("it calls nobody")


def main(name, _, path):
    found = {"marks": {}}

    def tell(key, value, into=found):
        into[key] = value
        with open(path, "w", encoding="utf-8") as file:
            json.dump(found, file)

    warnings.simplefilter("ignore")
    logging.disable()
    configuration = CONFIGURATIONS[name]
    try:
        tell("version", version_of(configuration.distribution))
        check_baseline(configuration.layer)
        judge_layer(
            configuration.layer, lambda number, mark: tell(number, mark, found["marks"])
        )
    except BaseException as error:  # noqa: BLE001 - whatever a package does is its result
        tell("error", shown(error) if not isinstance(error, Broken) else str(error))
    sys.stdout.flush()
    os._exit(0)  # the threads of an agent, or one that is stuck, must not keep the process


if __name__ == "__main__":
    main(*sys.argv[1:])
