"""Judge every layer of a finished application, each alone."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..application import Application
from ..dropped import settle
from ..errors import OptionError
from ..findings import LayerFinding
from ..tree import name_of
from .instrument import Session, numbered
from .real import ask
from .scenarios import ALL, SCENARIOS
from .verdict import FAULTS, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..application import Target
    from ..wsgi import WSGIApplication
    from .instrument import Driven, Layer

__all__ = ["Report", "check"]


@dataclass
class Report:
    """What a check found.

    Attributes:
        findings: What is wrong, layer by layer, outermost first.
        guarded: What is wrong, and made up for by a guard that stands directly inside.
        notes: What costs something and is no fault: a stream that is buffered, a file that
            is hidden from ``sendfile``, an error of ``close()`` that is kept from the
            server.
        layers: The names of all layers, outermost first; a name that occurs again has a
            number.
        origins: For each layer the distribution that it comes from, or ``FILE:LINE``.
        table: For each layer and scenario ``"ok"``, the id of the worst finding,
            ``"guarded"``, or ``"n/a"``: no child was called.  Innermost applications have no
            row: they call nobody.
        unreached: Applications that no request came to, or that cannot be reached.
        not_driven: Layers that were never seen to call what is inside them, and so are not
            judged.
        alone: Layers that no request came through to, and that were called directly.
        baseline: How the application fails with every innermost one answering 200, if it
            does: then silence about what is below is not innocence.
        real: The paths for which the real innermost applications were called as well.
    """

    findings: list[LayerFinding] = field(default_factory=list)
    guarded: list[LayerFinding] = field(default_factory=list)
    notes: list[LayerFinding] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    table: dict[str, dict[str, str]] = field(default_factory=dict)
    unreached: list[str] = field(default_factory=list)
    not_driven: list[str] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    baseline: list[str] = field(default_factory=list)
    real: list[str] = field(default_factory=list)

    @property
    def culprits(self) -> dict[str, list[LayerFinding]]:
        """The findings of each layer that has any."""
        found: dict[str, list[LayerFinding]] = {}
        for finding in self.findings:
            found.setdefault(finding.label, []).append(finding)
        return found


def check(
    application: Target,
    *,
    paths: Sequence[str] = ("/",),
    scenarios: Sequence[str] = ALL,
    inside: Callable[[WSGIApplication], WSGIApplication] | None = None,
    real: Sequence[str] = (),
    on_progress: Callable[[int, int, str], object] | None = None,
) -> Report:
    """Name the layers of *application* that lose, repeat or misplace ``close()``.

    Its layers are found by looking, and each is driven alone, in its place: those outside
    it hand it a real environ, what it calls is answered for, and so no innermost
    application runs and no database is needed.  The layers themselves do run: what they
    log, count and store, they log, count and store some hundred times.

    While it runs, probes stand in the objects that *application* is made of; afterwards
    each object holds what it held before.  So do it in a process of its own or in a test,
    and not in one that serves.

    Args:
        application: What to check, in any form that
            :class:`~freedom_middleware.Application` takes.
        paths: Where to ask; give more where a dispatcher of your own needs it.  What the
            labels of mount tables, hosts, methods and predicates say is tried anyway.
        scenarios: Names of the ways to end a response; by default all.
        inside: A layer that is put around whatever a layer calls, such as
            :class:`~freedom_middleware.CloseGuard`, to see whether it helps.
        real: Paths for which the real innermost application is called as well, with all
            that it does: read whole, left after a chunk, not read, and asked with HEAD.
        on_progress: Called before each layer: how many are done, how many there are, and
            the name of the next.

    Raises:
        OptionError: A scenario or a path is not one, or *inside* and *real* are both given.
        ApplicationError, ApplicationTypeError: *application* is not one.

    >>> from freedom_middleware.testing import hello
    >>> def loses_close(application):
    ...     def layer(environ, start_response):
    ...         yield from list(application(environ, start_response))
    ...
    ...     return layer
    >>> report = check(loses_close(hello), scenarios=["whole", "left"])
    >>> [(finding.id, finding.label, finding.scenario) for finding in report.findings]
    [('close-lost', 'loses_close', 'whole'), ('close-lost', 'loses_close', 'left')]
    >>> report.table
    {'loses_close': {'whole': 'close-lost', 'left': 'close-lost'}}
    """
    for name in scenarios:
        if name not in SCENARIOS:
            raise OptionError(f"scenario must be one of {', '.join(ALL)}, got {name!r}")
    for what, given in (("paths", paths), ("real", real)):
        if isinstance(given, str) or any(path[:1] != "/" for path in given):
            raise OptionError(
                f"{what} must be a list of paths that start with '/', got {given!r}"
            )
    if not paths:
        raise OptionError(f"paths must be a list of paths that start with '/', got {paths!r}")
    if inside is not None and real:
        raise OptionError(
            "real must come without inside (--real without --guarded), for nothing is put into"
            f" a real application, got {real!r}"
        )
    report = Report(real=list(real))
    # A lazy one is loaded now: nothing can be seen in it before.
    target = Application(application)
    target.load()
    if inside is not None:
        gc.collect()
    # What was dropped before is reported now, and not in the middle: where warnings are
    # errors, whoever is told may keep one, and all frames that were running, with their bodies.
    while settle():
        pass
    with Session(target, paths, inside=inside) as session:
        names = numbered(session.layers)
        report.layers = list(names.values())
        report.baseline = session.baseline
        report.unreached = session.unreached
        report.alone = [names[layer] for layer in session.alone]
        for done, (layer, name) in enumerate(names.items()):
            if on_progress is not None:
                on_progress(done, len(names), name)
            report.origins[name] = layer.origin
            if not layer.links:
                continue
            if not layer.driven:
                if layer.is_layer:
                    report.not_driven.append(name)
                continue
            report.table[name] = dict.fromkeys(scenarios, "n/a")
            for scenario, driven in _drive(session, layer, scenarios, inside is not None):
                _enter(report, layer, name, scenario, driven)
            if layer.is_guarded and name in report.culprits:
                _look_again(report, name, _drive(session, layer, scenarios, True, guarded=True))
    known = {id(layer.application): name for layer, name in names.items()}
    for path in real:
        _ask_real(report, target, path, known)
    return report


def _ask_real(
    report: Report, application: WSGIApplication, path: str, names: Mapping[int, str]
) -> None:
    """Put what layers do with the bodies of the real application into the report."""
    for answer in ask(application, path):
        report.baseline += [answer.failure] if answer.failure else []
        for layer in answer.judged:
            row = report.table.setdefault(names.get(id(layer), name_of(layer)), {})
            if row.get(answer.end, "n/a") == "n/a":
                row[answer.end] = "ok"
        for finding, is_guarded in answer.blames:
            found = replace(
                finding,
                label=names.get(id(finding.layer), finding.label),
                scenario=answer.end,
                detail=f"{finding.request}: {finding.detail}",
            )
            report.origins.setdefault(found.label, found.where)
            kept = report.guarded if is_guarded else report.findings
            if _is_new(found, kept):
                kept.append(found)
                row = report.table.setdefault(found.label, {})
                if not is_guarded:
                    row[answer.end] = _worst(found.id, row.get(answer.end, "ok"))


def _drive(
    session: Session,
    layer: Layer,
    scenarios: Sequence[str],
    late: bool,
    *,
    guarded: bool = False,
) -> list[tuple[str, Driven]]:
    """Drive *layer* in all scenarios, by all requests; *late*: and wait for a guard."""
    seen: list[tuple[str, Driven]] = []
    for scenario in scenarios:
        for request in layer.requests:
            driven = session.drive(layer, SCENARIOS[scenario], request, guarded=guarded)
            if late:
                driven.let_go()
            seen.append((scenario, driven))
    if late:
        # What a guard was left with, it closes at the next request to that thread.
        gc.collect()
        settle()
        session.drive(layer, SCENARIOS["whole"], layer.requests[0], guarded=guarded)
    return seen


def _look_again(report: Report, name: str, seen: list[tuple[str, Driven]]) -> None:
    """Set aside the findings about *name* that the guard inside it makes up for."""
    kept = {
        (verdict.id, scenario)
        for scenario, driven in seen
        for verdict in judge(driven, SCENARIOS[scenario])
    }
    judged = {scenario for scenario, driven in seen if driven.records}
    for finding in [finding for finding in report.findings if finding.label == name]:
        if finding.scenario in judged and (finding.id, finding.scenario) not in kept:
            report.findings.remove(finding)
            report.guarded.append(finding)
            report.table[name][finding.scenario] = "guarded"
    for finding in report.findings:
        if finding.label == name:
            report.table[name][finding.scenario] = finding.id


def _enter(report: Report, layer: Layer, name: str, scenario: str, driven: Driven) -> None:
    """Put what was seen of one layer in one scenario into the report."""
    row = report.table[name]
    if driven.records and row[scenario] == "n/a":
        row[scenario] = "ok"
    if scenario == "whole":
        report.baseline += [
            f"{name} raises {error!r}"
            for outcome in driven.outcomes
            for error in outcome.raised
        ]
    for verdict in judge(driven, SCENARIOS[scenario]):
        finding = LayerFinding(
            verdict.id, layer.application, name, report.origins[name], scenario, verdict.detail
        )
        is_fault = verdict.id in FAULTS
        kept = report.findings if is_fault else report.notes
        if not _is_new(finding, kept):
            continue  # by another way, and the same
        kept.append(finding)
        if is_fault:
            row[scenario] = _worst(verdict.id, row[scenario])


def _is_new(finding: LayerFinding, kept: Iterable[LayerFinding]) -> bool:
    """Say whether nothing that is *kept* says the same of the same layer and scenario."""
    return not any(
        (finding.id, finding.label, finding.scenario) == (each.id, each.label, each.scenario)
        for each in kept
    )


def _worst(fault: str, cell: str) -> str:
    """Return the worse of a fault and what a cell of the table says already."""
    return min([fault, *([cell] if cell in FAULTS else [])], key=FAULTS.index)
