"""The page, and the table for a terminal: pure functions from a survey to text."""

import re
from itertools import groupby
from pathlib import Path

from freedom_middleware.terminal import PLAIN, cut, padded

from ..written import table
from .results import packages
from .truth import COLUMNS

TEMPLATE = Path(__file__).with_name("page.md")


def to_page(survey):
    """Return the page, as MyST."""
    made = survey.made
    order = list(packages(survey.guilty))  # one package after the other
    rows = [
        [result.package, f"`{way(result)}`", in_words(result)]
        for result in sorted(survey.guilty, key=lambda result: order.index(result.package))
    ]
    clean = (
        f"{subject}\n: {', '.join(ways(list(results)))}.\n"
        for subject, results in groupby(
            survey.clean, lambda result: result.configuration.subject
        )
    )
    page = TEMPLATE.read_text("utf-8").format(
        date=made["date"],
        python=made["python"],
        cases=made["cases"],
        figures=table(["measured", ""], survey.figures),
        guilty=table(["package", "how it is used", "what it does"], rows),
        clean="\n".join(clean).rstrip(),
        rest="\n".join(filter(None, sections(survey))).rstrip(),
    )
    return page.rstrip() + "\n"


def sections(survey):
    """Yield a section for each thing that went wrong, if it did."""
    yield listed(
        "What the check misses",
        "At fault, and not named among innocent layers.",
        [(shown(result), in_words(result)) for result in survey.misses],
    )
    yield listed(
        "False alarms",
        "Not at fault, and accused.",
        [(shown(result), ", ".join(result.accusations)) for result in survey.false_alarms],
    )
    yield listed(
        "What the guard does not repair",
        "Lost or repeated with `CloseGuard` directly inside.",
        [(shown(result), ", ".join(result.not_repaired[:4])) for result in survey.unrepaired],
    )
    yield listed(
        "What the check did not look into",
        "It saw nothing to judge there, so that its silence is not innocence.",
        [(shown(result), "") for result in survey.not_looked_at],
    )
    yield listed(
        "Where a response never ended",
        "The package waits for ever in this case, and nothing was tried after it.",
        [(shown(result), result.found["stuck"]) for result in survey.stuck],
    )
    made = survey.made
    yield listed(
        "What could not be measured",
        f"On CPython {made['python']}, and with nothing set up around it.",
        [
            *((name, f"could not be installed: {why}") for name, why in made["failed"].items()),
            *((shown(result), result.failure) for result in survey.failures),
        ],
    )


def listed(title, about, items):
    """Return a section with a list, or nothing if there is nothing in it."""
    if not items:
        return ""
    lines = (f"- {name}" + (f": {plain(text)}" if text else "") for name, text in items)
    return "\n".join([f"## {title}\n", f"{about}\n", *lines, ""])


def shown(result):
    return f"{result.package}, `{way(result)}`"


def way(result):
    """Return how the package is used, without its name."""
    return result.name.partition(": ")[2]


def ways(results):
    """Yield each package of *results* once, with how it is used."""
    for package in packages(results):
        used = [f"`{way(result)}`" for result in results if result.package == package]
        yield f"{package} ({', '.join(used)})"


def in_words(result):
    """Return what one does that is at fault, and where."""
    return "; ".join(f"{word} {', '.join(columns)}" for word, columns in result.faults)


def plain(text):
    """Return foreign *text* as a list item may hold it: one line, no mark-up, no paths.

    >>> plain("cannot import 'x' from 'httpauth' (/opt/site-packages/httpauth.py)")
    "`cannot import 'x' from 'httpauth'`"
    """
    text = " ".join(text.replace("`", "'").split())
    text = re.sub(r" ?\(?[\w.]*(/[\w.@+-]+){2,}\)?", "", text)
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return f"`{text}`"


def to_text(survey, terminal=PLAIN):
    """Return what people see when the command is done."""
    width = min(terminal.columns or 110, 110)
    room = width - 7 * len(COLUMNS)
    lines = []
    if survey.guilty:
        heads = "".join(f"{column:>7}" for column in COLUMNS)
        lines.append(terminal.paint(padded("not closed exactly once", room) + heads, "dim"))
    for result in survey.guilty:
        name = cut(f"{result.package} {way(result)}", room - 1, ascii=terminal.ascii)
        row = "".join(
            f"{word:>7}" if word in ("ok", "n/a") else terminal.paint(f"{word:>7}", "warning")
            for word in result.cells
        )
        lines.append(padded(name, room) + row)
    for title, results in (
        ("not named", survey.misses),
        ("false alarm", survey.false_alarms),
        ("not repaired", survey.unrepaired),
        ("not looked into", survey.not_looked_at),
        ("not measured", survey.failures),
    ):
        for result in results:
            why = f" ({result.failure})" if result.failure else ""
            text = cut(f"{title}: {result.name}{why}", width, ascii=terminal.ascii)
            lines.append(text)
    lines.append("")
    longest = max(len(words) for words, _ in survey.figures)
    lines += [f"{padded(words, longest)}  {figure}" for words, figure in survey.figures]
    return "\n".join(lines)
