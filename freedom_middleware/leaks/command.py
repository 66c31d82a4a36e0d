"""``freedom-middleware check`` as its user sees it: ask, show, write, and propose a change."""

from __future__ import annotations

import ast
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import OptionError
from ..origins import relative
from ..specs import module_of
from ..terminal import Progress, Terminal, confirmed, printable, wrapped
from .added import lines_of
from .checking import check
from .connections import held_elsewhere
from .fix import Unfit, propose, prove
from .junit import to_junit
from .report import BEYOND, WIDTH, to_dict, to_text, typed, written
from .sarif import to_sarif

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..edits import Change
    from ..wsgi import WSGIApplication
    from .added import Line
    from .checking import Report

__all__ = ["FORMATS", "Also", "Asked", "format_of", "run"]

FORMATS = ("text", "json", "sarif", "junit")

_SUFFIXES = {".json": "json", ".sarif": "sarif", ".xml": "junit"}


class Also(NamedTuple):
    """What else is to be said of an application.

    Attributes:
        data: Joins the JSON.
        text: Called with what can be shown; follows the text.
    """

    data: Mapping[str, Any] = MappingProxyType({})
    text: Callable[[Terminal], str] = lambda _: ""


class Asked(NamedTuple):
    """What the command line asks for.

    Attributes:
        spec: What is checked.
        paths: Where to ask.
        inside: A layer that is put inside each of the others first.
        real: For which paths to call the real application as well.
        format: One of FORMATS.
        output: The file to write to, beside the text; None prints the format.
        fix: Propose a change.
        yes: Write it without a question.
        also: What else the application is asked for, once it was checked.
    """

    spec: str
    paths: Sequence[str] = ("/",)
    inside: Callable[[WSGIApplication], WSGIApplication] | None = None
    real: Sequence[str] = ()
    format: str = "text"
    output: str | None = None
    fix: bool = False
    yes: bool = False
    also: Callable[[WSGIApplication], Also] = lambda _: Also()


class _Result(NamedTuple):
    report: Report
    lines: dict[str, list[Line]]
    seconds: float
    also: Also

    @property
    def added(self) -> dict[str, list[str]]:
        """By label, the lines that may have made the layer, if any was found."""
        return {
            label: list(dict.fromkeys(map(str, found)))
            for label, found in self.lines.items()
            if found
        }


def format_of(name: str | None, output: str | None) -> str:
    """Return the format that was asked for, or the one that the file's name stands for.

    >>> format_of(None, "leaks.sarif"), format_of("text", "leaks.xml"), format_of(None, None)
    ('sarif', 'text', 'text')
    """
    return name or _SUFFIXES.get(Path(output or "").suffix, "text")


def run(application: WSGIApplication, asked: Asked) -> int:
    """Check *application*, say what was found, and return the exit status: 0 or 1.

    Raises:
        OptionError: What was asked does not go together, or a file cannot be written.
    """
    if asked.yes and not asked.fix:
        raise OptionError("--yes must come with --fix, which says what it is yes to, got none")
    if asked.fix and (asked.inside or (asked.format != "text" and asked.output is None)):
        raise OptionError("--fix must come without --guarded and --format, got one of them")
    if asked.fix and asked.real:
        raise OptionError(
            "--fix must come without --real: what it proposes is proved without the real"
            f" application, got {asked.real!r}"
        )
    if asked.output is not None and not Path(asked.output).parent.is_dir():
        raise OptionError(f"--output must be in a folder that exists, got {asked.output!r}")
    result = _check(application, asked)
    status = 1 if result.report.findings else 0
    if asked.output is not None:
        _save(asked.output, _formatted(result, asked))
    elif asked.format != "text":
        print(_formatted(result, asked))
        return status
    terminal = Terminal.of(sys.stdout)
    text = _text(result, asked, terminal)
    print((text.removesuffix(" Exit 1.") if asked.fix else text) + result.also.text(terminal))
    if asked.output is not None:
        print(f"Written: {asked.output}")
    if asked.fix and status:
        return _fix(result, asked, terminal)
    if not (status or result.report.baseline or result.report.not_driven):
        _print_what_else(terminal)
    return status


def _check(application: WSGIApplication, asked: Asked) -> _Result:
    started = perf_counter()
    shown = sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    columns = Terminal.of(sys.stderr).columns or WIDTH
    progress = Progress(sys.stderr, columns) if shown else None
    with redirect_stdout(progress or sys.stderr):  # what the layers print is no part of ours
        try:
            report = check(
                application,
                paths=asked.paths,
                inside=asked.inside,
                real=asked.real,
                on_progress=progress.show if progress else None,
            )
        finally:
            if progress:
                progress.clear()
        also = asked.also(application)
    culprits = {finding.label: finding.layer for finding in (*report.findings, *report.notes)}
    lines = {label: lines_of(layer, module_of(asked.spec)) for label, layer in culprits.items()}
    return _Result(report, lines, perf_counter() - started, also)


def _formatted(result: _Result, asked: Asked) -> str:
    report, added = result.report, result.added
    if asked.format == "json":
        return json.dumps({**to_dict(report, added=added), **result.also.data}, indent=2)
    if asked.format == "sarif":
        module = sys.modules.get(module_of(asked.spec))
        file = relative(getattr(module, "__file__", None) or "")
        log = to_sarif(report, spec=asked.spec, file=file, added=added)
        return json.dumps(log, indent=2)
    if asked.format == "junit":
        return to_junit(report, spec=asked.spec, seconds=result.seconds)
    return _text(result, asked, Terminal()) + result.also.text(Terminal())


def _text(result: _Result, asked: Asked, terminal: Terminal) -> str:
    return to_text(
        result.report,
        terminal,
        spec=asked.spec,
        guarded=asked.inside is not None,
        seconds=result.seconds,
        added=result.added,
    )


def _save(output: str, text: str) -> None:
    try:
        Path(output).write_text(f"{text}\n", "utf-8", errors="backslashreplace")
    except OSError as error:
        raise OptionError(
            f"--output must be a file that can be written, got {output!r}: {error.strerror}"
        ) from error


def _print_what_else(terminal: Terminal) -> None:
    width = min(terminal.columns or WIDTH, WIDTH)
    for heading, items in held_elsewhere(Path.cwd(), os.environ):
        print(f"\n{terminal.paint(heading, 'bold')}")
        for item in items:
            first, *others = wrapped(printable(item), width - 4)
            print("\n".join([f"  - {first}", *(f"    {line}" for line in others)]))


# -- the change that is proposed --


def _fix(result: _Result, asked: Asked, terminal: Terminal) -> int:
    """Propose changes that were proved; write them if told to.  Return the exit status."""
    width = min(terminal.columns or WIDTH, WIDTH)

    def say(text: str) -> None:
        print("\n".join(wrapped(printable(text), width)))

    print()
    changes: dict[Path, Change] = {}
    chosen: list[Line] = []
    left = _kinds(to_dict(result.report))
    for label, findings in result.report.culprits.items():
        name = written(label).partition(" patched by ")[0]
        there = f"Write there: {name}(CloseGuard(application))"
        ids = dict.fromkeys(finding.id for finding in findings)
        if BEYOND.issuperset(ids):
            text = f"{label}: CloseGuard cannot repair {', '.join(ids)}"
            say(f"{text}; see freedom-middleware help {next(iter(ids))}.")
            continue
        if not result.lines[label]:
            say(f"{label}: the line that puts it around the application was not found. {there}")
            continue
        if not any(label == at_fault for at_fault, _ in left):
            continue  # a guard that was put elsewhere is inside this one as well
        why = "a guard is there already"
        for line in _options(result.lines[label]):
            if any(line.node is other.node for other in chosen):
                continue
            try:
                tried = _changed([*chosen, line])
                after = prove([*tried.values()], asked.spec, asked.paths)
            except Unfit as error:
                why = f"{error}"
                continue
            still = _kinds(after)
            if still < left and len(after["baseline"]) <= len(result.report.baseline):
                chosen.append(line)
                changes, left = tried, still
                break
            why = "with a guard there it was no better"
        else:
            places = ", ".join(result.added[label])
            say(f"{label}, at {places}, is left alone: {why}. {there}")
    if not changes:
        return 1
    for change in changes.values():
        print(change.diff())
    outcome = "nothing is lost, repeated or misplaced any more"
    if left:
        outcome = (
            f"what remains is {', '.join(f'{each} of {label}' for label, each in sorted(left))}"
        )
    say(f"Checked again with this change, in a process of its own: {outcome}.")
    if not (asked.yes or (sys.stdout.isatty() and confirmed("Write it?"))):
        print(f"To write it:  freedom-middleware check {typed(asked.spec)} --fix --yes")
        return 1
    for change in changes.values():
        change.write()
        print(f"Written: {printable(relative(str(change.path)))}")
    return 1 if left else 0


def _options(lines: Sequence[Line]) -> Iterator[Line]:
    """Yield each line, with each of its arguments taken for the application in turn."""
    for line in lines:
        yield line
        if isinstance(line.node, ast.Call) and not line.is_decorator:
            for skip in range(line.skip + 1, min(len(line.node.args), line.skip + 4)):
                yield line._replace(skip=skip)


def _changed(lines: Sequence[Line]) -> dict[Path, Change]:
    """Return the change of each file that puts guards at all of *lines*."""
    by_file: dict[Path, list[Line]] = {}
    for line in lines:
        by_file.setdefault(line.path, []).append(line)
    return {path: propose(path, there) for path, there in by_file.items()}


def _kinds(report: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return which layer has which fault, of a report as a dict."""
    return {(finding["label"], finding["id"]) for finding in report["findings"]}
