"""What a check found, as text for people and as a dict for programs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from ..terminal import PLAIN, counted, cut, padded, printable, width_of, wrapped
from .help import page
from .scenarios import COLUMNS, SCENARIOS
from .verdict import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..findings import LayerFinding
    from ..terminal import Terminal
    from .checking import Report

__all__ = ["BEYOND", "to_dict", "to_text", "typed", "written"]

WIDTH = 80


CELLS = {
    "close-lost": "LOST",
    "close-on-iterator": "ITER",
    "close-early": "EARLY",
    "close-repeated": "TWICE",
    "close-wrong-thread": "THREAD",
}
"""What stands in the table for each fault."""

BEYOND = frozenset({"close-early", "close-wrong-thread"})
"""What CloseGuard cannot repair: the layer has asked for it."""


def to_dict(
    report: Report, *, added: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Return *report* as JSON has it; additions may come, and nothing will change.

    Args:
        report: What :func:`~freedom_middleware.leaks.check` returned.
        added: By label, the lines where the user's own code may have made the layer.
    """
    added = added or {}

    def entry(finding: LayerFinding) -> dict[str, Any]:
        names = ("id", "label", "where", "scenario", "detail")
        told: dict[str, Any] = {name: getattr(finding, name) for name in names}
        return {**told, "added": list(added.get(finding.label, ()))}

    return {
        "layers": [
            {
                "label": label,
                "where": report.origins[label],
                "scenarios": report.table.get(label, {}),
            }
            for label in report.layers
        ],
        "findings": [entry(finding) for finding in report.findings],
        "guarded": [entry(finding) for finding in report.guarded],
        "notes": [entry(finding) for finding in report.notes],
        "baseline": report.baseline,
        "not_driven": report.not_driven,
        "alone": report.alone,
        "unreached": report.unreached,
        "real": report.real,
    }


def to_text(
    report: Report,
    terminal: Terminal = PLAIN,
    *,
    spec: str = "SPEC",
    guarded: bool = False,
    seconds: float | None = None,
    added: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return *report* as text: a table of layers by scenarios, and who is at fault.

    Args:
        report: What :func:`~freedom_middleware.leaks.check` returned.
        terminal: What can be shown.
        spec: What was checked, for the command that is proposed.
        guarded: Whether CloseGuard was inside each layer.
        seconds: How long the check took.
        added: By label, the lines where the user's own code may have made the layer.
    """
    width = min(terminal.columns or WIDTH, WIDTH)
    scenarios = max((len(row) for row in report.table.values()), default=0)
    head = (
        f"{counted(len(report.table), 'layer')}, {counted(scenarios, 'scenario')},"
        + (f" innermost application called for {printable(', '.join(report.real))}")
        * bool(report.real)
        + " no innermost application called" * (not report.real)
        + ", each guarded" * guarded
    )
    lines = _indented(terminal, head, width)
    if seconds is not None:
        time = f"  {seconds:.1f} s"
        lines[-1:] = (
            [padded(lines[-1], width - len(time)) + time]
            if width_of(lines[-1]) + len(time) <= width
            else [lines[-1], time.strip()]
        )
    for failure in report.baseline:
        text = f"It fails already, so what is below is not judged: {failure}"
        lines += ["", *_indented(terminal, printable(text), width, style="warning")]
    lines += ["", *_table(report, terminal, width), ""]
    for label in report.culprits:
        lines += _paragraph(report, label, terminal, width, (added or {}).get(label, ()))
        lines += _advice(
            report.culprits[label],
            terminal,
            width,
            spec,
            guarded=guarded,
            is_found=label in (added or {}),
        )
        lines.append("")
    for name in dict.fromkeys(finding.label for finding in report.guarded):
        faults = {finding.id: "" for finding in report.guarded if finding.label == name}
        text = f"Held: {name} is at fault ({', '.join(faults)}), and the CloseGuard"
        lines += _indented(
            terminal, printable(f"{text} inside it closes what it does not."), width
        )
    for note in dict.fromkeys((note.label, note.id) for note in report.notes):
        means = page(note[1]).means.removeprefix("It ").removesuffix(".")
        lines += _indented(terminal, f"Note: {printable(note[0])} {means} ({note[1]}).", width)
    for text, names in (
        ("Not judged, since it calls nobody", report.not_driven),
        ("Called directly, since no request came through", report.alone),
        ("No request came to", report.unreached),
    ):
        if names:
            lines += _indented(terminal, f"{text}: {printable(', '.join(names))}.", width)
    count = len(report.culprits)
    if count:
        lines.append(f"{counted(count, 'layer')} at fault. Exit 1.")
    elif report.baseline or report.not_driven:
        lines.append("Nothing found in what could be judged.")
    elif not report.table:
        lines.append("There is no layer around it: nothing can lose close().")
    elif report.guarded:
        lines.append("Every response is closed exactly once, thanks to CloseGuard.")
    else:
        lines.append("Each layer closes every response exactly once.")
    return "\n".join(lines)


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
        return terminal.paint(f"{CELLS[worst]:>7}", "warning")
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
    report: Report, label: str, terminal: Terminal, width: int, added: Sequence[str]
) -> Iterator[str]:
    """Yield what one layer does, and what that costs."""
    findings = report.culprits[label]
    places = [findings[0].where] if findings[0].where else []
    places += [f"added at {' or '.join(added)}"] if added else []
    where = f"  ({printable(', '.join(places))})" if places else ""
    for number, fault in enumerate(
        fault for fault in FAULTS if any(finding.id == fault for finding in findings)
    ):
        head = f"{fault}  {printable(label)}{where if number == 0 else ''}"
        first, *others = wrapped(head, width)
        yield terminal.paint(first, "bold")
        yield from (f"    {line}" for line in others)
        told = page(fault)
        yield from _indented(terminal, f"{told.means} {told.costs}", width, "  ")
        seen = [finding for finding in findings if finding.id == fault]
        names = ", ".join(_columns(report.table[label], {finding.scenario for finding in seen}))
        yield from _indented(terminal, f"Seen: {names}.", width, "  ")
        yield from _indented(
            terminal, f"{seen[0].scenario}: {printable(seen[0].detail)}.", width, "  "
        )


def _advice(
    findings: Sequence[LayerFinding],
    terminal: Terminal,
    width: int,
    spec: str,
    *,
    guarded: bool,
    is_found: bool,
) -> Iterator[str]:
    """Yield what to type about a layer that is at fault."""
    faults = dict.fromkeys(finding.id for finding in findings)
    if guarded:
        yield "  This is what CloseGuard inside it does not repair."
    elif BEYOND.issuperset(faults):
        text = "CloseGuard cannot repair it: that has to be done in the layer."
        yield from _indented(terminal, text, width, "  ")
    else:
        name, _, patcher = written(findings[0].label).partition(" patched by ")
        if patcher:
            text = (
                f"Fix:  keep {printable(patcher)} from patching {printable(name)}, and put its"
                " middleware around CloseGuard(application)."
            )
            yield from _indented(terminal, text, width, "  ")
        else:
            yield f"  Fix:  application = {printable(name)}(CloseGuard(application))"
            yield f"  Try:  freedom-middleware check {typed(spec)} --guarded"
        if is_found:
            yield f"  Do:   freedom-middleware check {typed(spec)} --fix"
    yield from (f"  Help: freedom-middleware help {fault}" for fault in faults)


def typed(spec: str) -> str:
    """Return what was checked as it is typed into a shell.

    >>> typed("shop:make_app()"), typed("mysite.wsgi")
    ("'shop:make_app()'", 'mysite.wsgi')
    """
    return shlex.quote(printable(spec))


def written(label: str) -> str:
    """Return a layer's name as it stands in code, without what the check added to it."""
    return label.partition(" #")[0].partition(" with ")[0]
