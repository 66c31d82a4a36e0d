"""A report as SARIF 2.1.0, for what shows findings beside the code."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .help import IDS, page
from .verdict import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..findings import LayerFinding
    from .checking import Report

__all__ = ["to_sarif"]

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def to_sarif(
    report: Report,
    *,
    spec: str = "SPEC",
    file: str = "",
    added: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return *report* as a SARIF log: one result for each layer and finding.

    A result is at the line where the user's code made the layer; else where it defines the
    layer; else at the file that was checked, without a line.  Its fingerprint holds neither
    line nor version, so that it stays the same result when either changes.

    Args:
        report: What :func:`~freedom_middleware.leaks.check` returned.
        spec: What was checked.
        file: The file that it is in, from the working directory.
        added: By label, the lines where the user's own code may have made the layer.

    Source: SARIF 2.1.0, sections 3.27 (result) and 3.49 (reportingDescriptor).

    >>> from freedom_middleware.leaks import Report
    >>> to_sarif(Report())["runs"][0]["results"]
    []
    """
    added = added or {}
    found: dict[tuple[str, str], list[LayerFinding]] = {}
    for finding in (*report.findings, *report.notes):
        found.setdefault((finding.label, finding.id), []).append(finding)
    driver = {
        "name": "freedom-middleware",
        "version": version("freedom-middleware"),
        "semanticVersion": version("freedom-middleware"),
        "rules": [_rule(name) for name in IDS],
    }
    results = [
        _result(findings, spec, file, added.get(label, ()))
        for (label, _), findings in found.items()
    ]
    warnings = [
        {"level": "warning", "message": {"text": text}}
        for text in (
            *report.baseline,
            *(f"not judged, since it calls nobody: {name}" for name in report.not_driven),
            *(f"no request came to: {name}" for name in report.unreached),
        )
    ]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver},
                "invocations": [
                    {"executionSuccessful": True, "toolExecutionNotifications": warnings}
                ],
                "results": results,
                "columnKind": "unicodeCodePoints",
            }
        ],
    }


def _rule(name: str) -> dict[str, Any]:
    told = page(name)
    plain = told.markdown.replace("`", "").replace("```pycon\n", "").replace("```\n", "")
    return {
        "id": name,
        "name": "".join(part.title() for part in name.split("-")),
        "shortDescription": {"text": told.means},
        "fullDescription": {"text": f"{told.means} {told.costs}"},
        "help": {"text": plain, "markdown": told.markdown},
        "defaultConfiguration": {"level": "error" if name in FAULTS else "note"},
        "properties": {"tags": ["reliability", "wsgi"]},
    }


def _result(
    findings: Sequence[LayerFinding], spec: str, file: str, added: Sequence[str]
) -> dict[str, Any]:
    finding = findings[0]
    told = page(finding.id)
    scenarios = ", ".join(finding.scenario for finding in findings)
    origin = f" ({finding.where})" if finding.where else ""
    text = f"{finding.label}{origin}: {told.means} {told.costs} Seen: {scenarios}."
    identity = f"{spec} {finding.label} {finding.id}"
    places = [
        _location(*place) for place in dict.fromkeys(_places(finding, added)) or [(file, 0)]
    ]
    return {
        "ruleId": finding.id,
        "ruleIndex": IDS.index(finding.id),
        "level": "error" if finding.id in FAULTS else "note",
        "message": {"text": text},
        "locations": places[:1],
        "relatedLocations": [
            {"id": number, **place} for number, place in enumerate(places[1:])
        ],
        "partialFingerprints": {
            "layer/v1": hashlib.sha256(identity.encode()).hexdigest(),
        },
        "properties": {
            "layer": finding.label,
            "origin": finding.where,
            "seen": {finding.scenario: finding.detail for finding in findings},
        },
    }


def _places(finding: LayerFinding, added: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the file and the line of what is known about where a layer is, the best first."""
    for place in (*added, finding.where):
        path, _, line = place.rpartition(":")
        if path and line.isdigit():
            yield path, int(line)


def _location(path: str, line: int) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": _artifact(path)}
    if line:
        place["region"] = {"startLine": line}
    return {"physicalLocation": place}


def _artifact(path: str) -> dict[str, Any]:
    from pathlib import Path

    path = path.replace("\\", "/")
    if Path(path).is_absolute():
        return {"uri": Path(path).as_uri()}
    return {"uri": quote(path), "uriBaseId": "%SRCROOT%"}
