"""The page, part by part, and what a terminal shows: pure functions."""

from .. import written
from ..survey.page import plain
from ..written import table
from .results import by_package, counted
from .rule import NO, NOT_APPLICABLE, YES
from .rules import RULES

COMMAND = "python -m tests.pep3333"

COLUMNS = 17
"""A wider table is cut in two, or more."""

SIDES = {
    "A": "For applications, and for middleware where it is one to the server",
    "M": "For middleware, where it is a server to the application",
    "S": "For servers",
}


def rewritten(page, part, text):
    """Return *page* with *text* in the place of a part of it."""
    return written.rewritten(page, f"{COMMAND} {part}", text)


def committed(page, part):
    """Return that part as it stands."""
    return written.part(page, f"{COMMAND} {part}")


def to_rules():
    """Return the rules, a table for each side."""
    parts = []
    for letter, side in SIDES.items():
        rows = [
            [rule.number, rule.strength, rule.sentence, rule.section.replace("`", "")]
            for rule in RULES.values()
            if rule.number[0] == letter
        ]
        parts += [f"### {side}\n", table(["rule", "", "", "in the section"], rows), ""]
    return "\n".join(parts)


def to_part(rows, made, what):
    """Return the tables of *rows*, and what was seen where a rule is broken."""
    measured = [row for row in rows if not row.error]
    numbers = [number for number in RULES if any(number in row.marks for row in measured)]
    if what == "middleware":
        lines = by_package(measured)
        numbers.sort(key=lambda number: "AM".index(number[0]))  # stable
    else:
        lines = measured
    parts = [f"{made}\n"]
    for group in groups(numbers):
        body = [[named(row), *(short(row.mark(number)) for number in group)] for row in lines]
        parts += [table([what, *group], body), ""]
    parts.append(figures(measured, what))
    broken = [
        f"{named(row)}\n: "
        + "\n  ".join(
            f"**{number}** ({RULES[number].strength}): {plain(seen)}."
            for number, seen in row.broken
        )
        + "\n"
        for row in measured
        if row.broken
    ]
    if broken:
        parts += ["### What was seen\n", *broken]
    failed = [f"- {named(row)}: {plain(row.error)}" for row in rows if row.error]
    if failed:
        parts += ["### What could not be judged\n", *failed, ""]
    return "\n".join(parts)


def figures(rows, what):
    marks = counted(rows)
    clean = sum(not row.broken for row in rows)
    return (
        f"Of {len(rows)} ways to be used, {clean} break no rule; in all {marks[YES]} times yes,"
        f" {marks[NO]} times no, {marks[NOT_APPLICABLE]} times neither.\n"
    )


def groups(numbers):
    """Yield *numbers* in groups of one letter that a page has room for.

    >>> list(groups(["A1", "A2", "M1"]))
    [['A1', 'A2'], ['M1']]
    """
    for letter in SIDES:
        of_letter = [number for number in numbers if number[0] == letter]
        parts = -(-len(of_letter) // COLUMNS)
        for part in range(parts):
            size = -(-len(of_letter) // parts)
            yield of_letter[part * size : (part + 1) * size]


def short(mark):
    return f"**{mark}**" if mark == NO else mark


def named(row):
    return f"{row.package}, `{row.way}`" if row.way else row.package


def to_text(rows):
    """Return what a terminal shows: a line for each subject, and one for each broken rule."""
    lines = []
    for row in rows:
        name = f"{row.package} {row.way}".rstrip()
        if row.error:
            lines.append(f"{name}: not judged: {row.error}")
            continue
        marks = counted([row])
        lines.append(f"{name}: {marks[YES]} yes, {marks[NO]} no, {marks[NOT_APPLICABLE]} –")  # noqa: RUF001
        lines += [
            f"  {number} ({RULES[number].strength}) {seen}" for number, seen in row.broken
        ]
    return "\n".join(lines)
