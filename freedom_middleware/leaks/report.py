"""What a check found, as text for people and as a dict for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..terminal import PLAIN, cut, padded, printable, width_of, wrapped
from .scenarios import COLUMNS, SCENARIOS
from .verdict import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..findings import LayerFinding
    from ..terminal import Terminal
    from .checking import Report

__all__ = ["to_dict", "to_text"]

WIDTH = 80


class Help(NamedTuple):
    """What people are told of one kind of finding.

    Attributes:
        cell: In the table.
        means: What the layer does.
        costs: What comes of it.
    """

    cell: str
    means: str
    costs: str


HELP = {
    "close-lost": Help(
        "LOST",
        "It takes the body and never calls close() on it.",
        "What close() hands back stays open: request_finished is not sent, and connections"
        " and files are kept until something else happens to release them.",
    ),
    "close-on-iterator": Help(
        "ITER",
        "It looks for close() on the iterator of the body, and not on the body.",
        "A body whose iterator is another object, as Django's responses are, is never"
        " closed; only generators are.",
    ),
    "close-early": Help(
        "EARLY",
        "It closes the body and then goes on reading it.",
        "What the rest of the body needs is gone: a closed file, or a connection that another"
        " request has by now.",
    ),
    "close-repeated": Help(
        "TWICE",
        "It calls close() more than once.",
        "What is released twice may by then be somebody else's: a connection that went back"
        " to its pool is taken away from the request that got it.",
    ),
    "close-wrong-thread": Help(
        "THREAD",
        "It closes the body on a thread of its own.",
        "What belongs to the thread of the request, as Django's connections do, is not"
        " released there.",
    ),
}

NOTES = {
    "buffered-stream": "reads the whole body before it sends the first chunk",
    "file-wrapper-lost": "hides files from the server, which cannot use sendfile() for them",
    "close-error-swallowed": "keeps to itself what close() raised",
}


def to_dict(report: Report) -> dict[str, Any]:
    """Return *report* as JSON has it; additions may come, and nothing will change."""
    return {
        "layers": [
            {
                "label": label,
                "where": report.origins[label],
                "scenarios": report.table.get(label, {}),
            }
            for label in report.layers
        ],
        "findings": [_finding(finding) for finding in report.findings],
        "guarded": [_finding(finding) for finding in report.guarded],
        "notes": [_finding(finding) for finding in report.notes],
        "baseline": report.baseline,
        "not_driven": report.not_driven,
        "alone": report.alone,
        "unreached": report.unreached,
    }


def _finding(finding: LayerFinding) -> dict[str, str]:
    names = ("id", "label", "where", "scenario", "detail")
    return {name: getattr(finding, name) for name in names}


def to_text(
    report: Report, terminal: Terminal = PLAIN, *, spec: str = "SPEC", guarded: bool = False
) -> str:
    """Return *report* as text: a table of layers by scenarios, and who is at fault.

    Args:
        report: What :func:`~freedom_middleware.leaks.check` returned.
        terminal: What can be shown.
        spec: What was checked, for the command that is proposed.
        guarded: Whether CloseGuard was inside each layer.
    """
    width = min(terminal.columns or WIDTH, WIDTH)
    scenarios = max((len(row) for row in report.table.values()), default=0)
    lines = [
        f"{_count(len(report.table), 'layer')}, {_count(scenarios, 'scenario')},"
        " no innermost application called" + (", CloseGuard inside each layer" * guarded)
    ]
    for failure in report.baseline:
        text = f"It fails already, so what is below is not judged: {failure}"
        lines += ["", *_indented(terminal, printable(text), width, style="warning")]
    lines += ["", *_table(report, terminal, width), ""]
    for label in report.culprits:
        lines += [*_paragraph(report, label, terminal, width, spec, guarded=guarded), ""]
    for name in dict.fromkeys(finding.label for finding in report.guarded):
        faults = {finding.id: "" for finding in report.guarded if finding.label == name}
        text = f"Held: {name} is at fault ({', '.join(faults)}), and the CloseGuard"
        lines += _indented(
            terminal, printable(f"{text} inside it closes what it does not."), width
        )
    for note in dict.fromkeys((note.label, note.id) for note in report.notes):
        lines += _indented(terminal, f"Note: {printable(note[0])} {NOTES[note[1]]}.", width)
    for text, names in (
        ("Not judged, since it calls nobody", report.not_driven),
        ("Called directly, since no request came through", report.alone),
        ("No request came to", report.unreached),
    ):
        if names:
            lines += _indented(terminal, f"{text}: {printable(', '.join(names))}.", width)
    count = len(report.culprits)
    if count:
        lines.append(f"{_count(count, 'layer')} at fault. Exit 1.")
    elif report.baseline or report.not_driven:
        lines.append("Nothing found in what could be judged.")
    elif not report.table:
        lines.append("There is no layer around it: nothing can lose close().")
    elif report.guarded:
        lines.append("Every response is closed exactly once, thanks to CloseGuard.")
    else:
        lines.append("Each layer closes every response exactly once.")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _indented(
    terminal: Terminal, text: str, width: int, indent: str = "", style: str = ""
) -> list[str]:
    lines = [f"{indent}{line}" for line in wrapped(text, width - len(indent))]
    return [terminal.paint(line, style) if style else line for line in lines]


def _table(report: Report, terminal: Terminal, width: int) -> Iterator[str]:
    """Yield the rows: name, origin, and a cell for each column that was driven."""
    driven = {SCENARIOS[name].column for row in report.table.values() for name in row}
    columns = [column for column in COLUMNS if column in driven]
    room = max(width - 7 * len(columns) - 4, 12)
    longest = max((width_of(printable(label)) for label in report.layers), default=0)
    longest = max(longest, len("outermost first") - 2)
    first = min(longest, room)
    second = room - first if room - first >= 14 else 0
    heads = "".join(f"{column:>7}" for column in columns)
    yield terminal.paint(f"  {padded('outermost first', first + 2 + second)}{heads}", "dim")
    for label in report.layers:
        row = report.table.get(label)
        cells = "".join(_cell(row, column, terminal) for column in columns) if row else ""
        if row is None:
            cells = terminal.paint(f"{'not called':>14}" * bool(columns), "dim")
        name = padded(cut(printable(label), first, ascii=terminal.ascii), first)
        origin = cut(printable(report.origins[label]), second, ascii=terminal.ascii)
        yield f"  {name}  {terminal.paint(padded(origin, second), 'dim')}{cells}".rstrip()


def _cell(row: dict[str, str], column: str, terminal: Terminal) -> str:
    """Return the worst of what a layer does in the scenarios of one column."""
    seen = {verdict for name, verdict in row.items() if SCENARIOS[name].column == column}
    worst = next((fault for fault in FAULTS if fault in seen), None)
    if worst is not None:
        return terminal.paint(f"{HELP[worst].cell:>7}", "warning")
    if "guarded" in seen:
        return f"{'held':>7}"
    return f"{'ok':>7}" if "ok" in seen else terminal.paint(f"{'n/a':>7}", "dim")


def _columns(row: dict[str, str], at_fault: set[str]) -> Iterator[str]:
    """Yield where a layer is at fault: whole columns, else the scenarios."""
    for column in COLUMNS:
        driven = [
            name
            for name, verdict in row.items()
            if SCENARIOS[name].column == column and verdict != "n/a"
        ]
        seen = [name for name in driven if name in at_fault]
        yield from [column] if seen and seen == driven else seen


def _paragraph(
    report: Report,
    label: str,
    terminal: Terminal,
    width: int,
    spec: str,
    *,
    guarded: bool,
) -> Iterator[str]:
    """Yield what one layer does, what that costs, and what to type."""
    findings = report.culprits[label]
    where = f"  ({printable(findings[0].where)})" if findings[0].where else ""
    for number, fault in enumerate(
        fault for fault in FAULTS if any(finding.id == fault for finding in findings)
    ):
        head = f"{fault}  {printable(label)}{where if number == 0 else ''}"
        yield terminal.paint(head, "bold")
        yield from _indented(terminal, f"{HELP[fault].means} {HELP[fault].costs}", width, "  ")
        seen = [finding for finding in findings if finding.id == fault]
        names = ", ".join(_columns(report.table[label], {finding.scenario for finding in seen}))
        yield from _indented(terminal, f"Seen: {names}.", width, "  ")
        yield from _indented(
            terminal, f"{seen[0].scenario}: {printable(seen[0].detail)}.", width, "  "
        )
    if guarded:
        yield "  This is what CloseGuard inside it does not repair."
        return
    name, _, patcher = label.partition(" #")[0].partition(" with ")[0].partition(" patched by ")
    if patcher:
        fix = (
            f"Fix:  keep {printable(patcher)} from patching {printable(name)}, and put its"
            " middleware around CloseGuard(application)."
        )
        yield from _indented(terminal, fix, width, "  ")
        return
    yield f"  Fix:  application = {printable(name)}(CloseGuard(application))"
    yield f"  Try:  freedom-middleware check {printable(spec)} --guarded"
