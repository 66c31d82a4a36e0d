"""A rule of PEP 3333: a sentence with a number, and the function that judges by it."""

from collections.abc import Callable
from typing import NamedTuple

YES, NO, NOT_APPLICABLE = "yes", "no", "–"  # noqa: RUF001 - an en dash, as the page has it


class Broken(Exception):
    """A subject breaks the rule; the text says what was seen."""


class NotApplicableError(Exception):
    """The rule says nothing about the subject, or the subject gave no occasion."""


class Rule(NamedTuple):
    """One sentence of the PEP.

    Attributes:
        number: ``"M3"``: A for applications, M for middleware, S for servers.
        section: Where the PEP has it.
        strength: ``"must"``, ``"should"`` or ``"may"``, as the PEP has it.
        sentence: What it says, in our own words.
        judge: Called with a subject; raises Broken or NotApplicableError, or is content.
    """

    number: str
    section: str
    strength: str
    sentence: str
    judge: Callable


class Rules(list):
    """The rules for one side, numbered in the order in which they are written down."""

    def __init__(self, letter):
        self.letter = letter

    def __call__(self, section, strength, sentence):
        """Register a function as the judge of the next rule."""

        def register(judge):
            number = f"{self.letter}{len(self) + 1}"
            self.append(Rule(number, section, strength, sentence, judge))
            return judge

        return register


def judged(rule, subject):
    """Return a mark, and what was seen if it is not yes.

    What a subject raises where the rule wants an answer is what was seen.
    """
    try:
        rule.judge(subject)
    except Broken as broken:
        return NO, str(broken)
    except NotApplicableError as reason:
        return NOT_APPLICABLE, str(reason)
    return YES, ""


def check(condition, seen):
    """Raise Broken with *seen* unless *condition* holds."""
    if not condition:
        raise Broken(seen)
