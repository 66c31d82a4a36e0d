"""What a survey found: each configuration judged, and counted."""

from collections import Counter
from typing import NamedTuple

from .subjects import CONFIGURATIONS
from .truth import CASES, COLUMNS, REPAIRED, VERDICTS

WORDS = {
    "once": "ok",
    "": "n/a",
    "lost": "LOST",
    "iterator": "ITER",
    "early": "EARLY",
    "repeated": "TWICE",
    "thread": "THREAD",
}


class Result(NamedTuple):
    """What was found about one configuration, as the process that measured it told it."""

    name: str
    found: dict

    @property
    def configuration(self):
        return CONFIGURATIONS[self.name]

    @property
    def package(self):
        version = self.found.get("version", "")
        return f"{self.configuration.distribution} {version}".rstrip()

    @property
    def truth(self):
        return self.found.get("truth", {})

    @property
    def failure(self):
        """Why nothing can be said about it, or ``""``."""
        if "version" not in self.found or not self.truth:
            return self.found.get("error", "it says nothing")
        if self.found.get("broken"):
            return f"{self.found['broken']} where nothing is wrong"
        if not any(self.truth.values()):
            return "it calls nobody"
        return ""

    @property
    def is_guilty(self):
        return any(verdict not in ("once", "") for verdict in self.truth.values())

    @property
    def is_named(self):
        """The check names it among innocent layers, and none of those."""
        return bool(self.found.get("named")) and not self.found.get("accused innocent")

    @property
    def is_accused(self):
        """The check finds something, alone or among others."""
        return bool(self.accusations)

    @property
    def accusations(self):
        found = [*self.found.get("alone", ()), *self.found.get("among", ())]
        return sorted({f"{id} {label} in {scenario}" for id, label, scenario, _ in found})

    @property
    def is_looked_at(self):
        return bool(self.found.get("driven"))

    @property
    def not_repaired(self):
        """What is lost or repeated with a guard inside: cases, and scenarios of the check."""
        direct = [
            f"{case}: {verdict}"
            for case, verdict in self.found.get("guarded", {}).items()
            if verdict in REPAIRED
        ]
        checked = [
            f"{scenario}: {id}"
            for id, _, scenario, _ in self.found.get("inside", ())
            if id not in ("close-early", "close-wrong-thread")
        ]
        return [*direct, *checked]

    def cell(self, column):
        """Return the worst that it does in the cases of *column*, in a word."""
        seen = {self.truth.get(name, "") for name in CASES if CASES[name].column == column}
        worst = min((verdict for verdict in seen if verdict), key=VERDICTS.index, default="")
        return WORDS[worst]

    @property
    def faults(self):
        """For each verdict that is one, the worst first, in which columns it was seen."""
        seen = [(verdict, CASES[name].column) for name, verdict in self.truth.items()]
        called = {column for verdict, column in seen if verdict}
        for fault in VERDICTS[:-1]:
            columns = {column for verdict, column in seen if verdict == fault}
            if columns:
                told = [column for column in COLUMNS if column in columns]
                yield WORDS[fault], ["always"] if columns == called else told

    @property
    def cells(self):
        return [self.cell(column) for column in COLUMNS]


class Survey(NamedTuple):
    """All results, in the order of the subjects, and where and when they were made."""

    results: list
    made: dict

    @property
    def measured(self):
        return [result for result in self.results if not result.failure]

    @property
    def failures(self):
        return [result for result in self.results if result.failure]

    @property
    def guilty(self):
        return [result for result in self.measured if result.is_guilty]

    @property
    def clean(self):
        return [result for result in self.measured if not result.is_guilty]

    @property
    def misses(self):
        return [result for result in self.guilty if not result.is_named]

    @property
    def false_alarms(self):
        return [result for result in self.clean if result.is_accused]

    @property
    def unrepaired(self):
        return [result for result in self.guilty if result.not_repaired]

    @property
    def not_looked_at(self):
        return [result for result in self.clean if not result.is_looked_at]

    @property
    def stuck(self):
        return [result for result in self.measured if result.found.get("stuck")]

    @property
    def figures(self):
        """The measure, as pairs of words and figures."""
        guilty, clean = len(self.guilty), len(self.clean)
        return [
            ("packages", f"{len(packages(self.measured))}"),
            ("configurations", f"{len(self.measured)}"),
            ("close exactly once", f"{clean}"),
            ("lose, repeat or misplace close()", f"{guilty}"),
            ("named among innocent layers", f"{guilty - len(self.misses)} of {guilty}"),
            ("false alarms", f"{len(self.false_alarms)} of {clean}"),
            ("repaired by CloseGuard inside", f"{guilty - len(self.unrepaired)} of {guilty}"),
        ]

    @property
    def is_good(self):
        wrong = self.misses or self.false_alarms or self.unrepaired
        return bool(self.measured) and not wrong


def packages(results):
    """Return the packages of *results*, each with how many they have, in their order."""
    return Counter(result.package for result in results)
