"""What was judged: the rows of the tables."""

from collections import Counter
from typing import NamedTuple

from .rule import NO, NOT_APPLICABLE, YES


class Row(NamedTuple):
    """One subject, and its marks.

    Attributes:
        package: Name and version.
        way: How it is used; ``""`` if there is one way.
        marks: For the number of a rule, a mark and what was seen.
        error: Why nothing can be said, or ``""``.
    """

    package: str
    way: str
    marks: dict
    error: str = ""

    @property
    def broken(self):
        return [(number, seen) for number, (mark, seen) in self.marks.items() if mark == NO]

    def mark(self, number):
        return self.marks.get(number, (NOT_APPLICABLE, ""))[0]


def by_package(rows):
    """Return a row for each package: yes is what all its ways keep, and at least one."""
    packages = {}
    for row in rows:
        packages.setdefault(row.package, []).append(row)
    return [
        Row(
            package,
            "",
            {
                number: (worst([row.mark(number) for row in ways]), "")
                for number in dict.fromkeys(number for row in ways for number in row.marks)
            },
        )
        for package, ways in packages.items()
    ]


def worst(marks):
    return next((mark for mark in (NO, YES) if mark in marks), NOT_APPLICABLE)


def counted(rows):
    """Return how often each mark was given."""
    return Counter(mark for row in rows for mark, _ in row.marks.values())
