"""``pytest --close-leaks``: a test fails if a layer that it drove loses ``close()``.

Without the option this module defines an option and a marker, and imports nothing.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Literal

    from .findings import LayerFinding
    from .leaks.driving import Leak

__all__: list[str] = []

MARKER = (
    "close_leaks(allow): with --close-leaks, layers that may lose close() here: a name, or"
    " several; * and ? stand for others"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("close-leaks", "response bodies that are never closed")
    group.addoption(
        "--close-leaks",
        action="store_true",
        help="fail each test in which a layer of middleware loses, repeats or misplaces"
        " close() of a response body",
    )
    group.addoption(
        "--close-leaks-client",
        action="store_true",
        help="the same, and fail each test that never closes a response itself",
    )
    parser.addini(
        "close_leaks_allow",
        "layers that may lose close(), as in the marker close_leaks",
        type="linelist",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    if config.option.close_leaks or config.option.close_leaks_client:
        config.pluginmanager.register(CloseLeaks(config), "close-leaks")


class CloseLeaks:
    """What runs with ``--close-leaks``."""

    def __init__(self, config: pytest.Config) -> None:
        from .leaks.driving import Driving

        self._judges_clients: bool = config.option.close_leaks_client
        self._driving = Driving(clients=self._judges_clients)
        self._allowed: list[str] = config.getini("close_leaks_allow")
        self._entries: list[Entry] = []
        self._driving.start()

    def pytest_unconfigure(self) -> None:
        """Put the test clients back as they were."""
        self._driving.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Judge what fixtures drove, those of modules and classes too."""
        self._driving.running = item.nodeid
        return (yield from self._judged(item, "setup", _allowed_by(item)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Judge what the test drove."""
        return (yield from self._judged(item, "call", _allowed_by(item)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Judge what was open until now."""
        return (yield from self._judged(item, "teardown", _allowed_by(item)))

    def _judged(
        self, item: pytest.Item, when: Literal["setup", "call", "teardown"], allowed: list[str]
    ) -> Generator[None, Any, Any]:
        try:
            result = yield
        except (KeyboardInterrupt, SystemExit, pytest.exit.Exception):
            raise
        except BaseException:
            # It fails, or is skipped, for a reason of its own; that stays the reason.
            item.stash[_HAS_FAILED] = True
            self._mention(item, when, allowed)
            raise
        if item.stash.get(_HAS_FAILED, False):
            self._mention(item, when, allowed)
            return result
        text = self._look(item, when, allowed)
        if text:
            item.stash[_HAS_FAILED] = True
            pytest.fail(text, pytrace=False)
        return result

    def _mention(
        self, item: pytest.Item, when: Literal["setup", "call", "teardown"], allowed: list[str]
    ) -> None:
        text = self._look(item, when, allowed)
        if text:
            item.add_report_section(when, "close leaks", text)

    def _look(self, item: pytest.Item, when: str, allowed: list[str]) -> str:
        """Note what has come to light, and return what the test fails with, if it does."""
        seen = self._driving.look(last=when == "teardown")
        failing = [
            leak for leak in seen.leaks if not _matches(leak, [*self._allowed, *allowed])
        ]
        may = [leak for leak in seen.leaks if leak not in failing]
        if self._judges_clients:
            failing += seen.unclosed
        item.stash[_ENTRY] = Entry(
            item.nodeid,
            seen.responses,
            len(seen.unclosed),
            seen.unreached,
            [_as_dict(leak) for leak in failing],
            [_as_dict(leak) for leak in may],
        )
        alike: dict[tuple[str, str, str], list[Leak]] = {}
        for leak in failing:
            key = (leak.finding.id, leak.finding.label, leak.made_by)
            alike.setdefault(key, []).append(leak)
        return "\n\n".join(_told(leaks, item.nodeid) for leaks in alike.values())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Hand it to whoever prints the summary, which may be another process."""
        report = yield
        vars(report)["close_leaks"] = [*item.stash.get(_ENTRY, _NOTHING)]
        item.stash[_ENTRY] = _NOTHING
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect it there."""
        self._entries.append(Entry(*vars(report).get("close_leaks", _NOTHING)))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print who is at fault, the worst first."""
        terminalreporter.write_sep("=", "close leaks", bold=True)
        for text, markup in _summary(self._entries, clients=self._judges_clients):
            terminalreporter.write_line(text, **markup)


class Entry(NamedTuple):
    """What one phase of one test did; of plain types, so that it can be sent."""

    nodeid: str
    responses: int
    unclosed: int
    unreached: list[str]
    failing: list[dict[str, str]]
    allowed: list[dict[str, str]]


_NOTHING = Entry("", 0, 0, [], [], [])
_ENTRY = pytest.StashKey[Entry]()
_HAS_FAILED = pytest.StashKey[bool]()


def _allowed_by(item: pytest.Item) -> list[str]:
    """Return the names that the markers of a test allow."""
    allowed: list[str] = []
    for marker in item.iter_markers("close_leaks"):
        given: Any = marker.kwargs.get("allow")
        names: Any = given if isinstance(given, list | tuple) else [given]
        if marker.args or set(marker.kwargs) != {"allow"} or not _are_names(names):
            pytest.fail(
                "close_leaks marker must be close_leaks(allow=...) with the name of a layer,"
                f" or a list of names, got {marker}",
                pytrace=False,
            )
        allowed += names
    return allowed


def _are_names(names: Iterable[object]) -> bool:
    return all(isinstance(name, str) for name in names)


def _matches(leak: Leak, patterns: list[str]) -> bool:
    return any(fnmatchcase(_name(leak.finding.label), pattern) for pattern in patterns)


def _name(label: str) -> str:
    return label.partition(" #")[0]


def _as_dict(leak: Leak) -> dict[str, str]:
    finding = leak.finding
    names = ("id", "where", "detail", "request")
    told = {name: getattr(finding, name) for name in names}
    return {**told, "label": _who(finding), "made_by": leak.made_by}


def _who(finding: LayerFinding) -> str:
    return "the test client" if finding.layer is None else finding.label


def _told(leaks: list[Leak], nodeid: str) -> str:
    """Return what a test says of a layer that did the same once or more."""
    from .leaks.blame import REPAIRED, SERVER
    from .leaks.help import page
    from .terminal import counted

    finding, made_by = leaks[0]
    where = f"  ({finding.where})" if finding.where else ""
    lines = [f"{finding.id}  {_who(finding)}{where}", f"  {finding.request}: {finding.detail}."]
    if len(leaks) > 1:
        lines.append(f"  And {counted(len(leaks) - 1, 'response')} more.")
    if made_by != nodeid:
        lines.append(f"  Made by {made_by or 'what was imported or collected'}.")
    if finding.id != SERVER:
        lines.append(f"  {page(finding.id).means}")
        name = _name(finding.label)
        if finding.id in REPAIRED:
            lines.append(f"  Fix:    application = {name}(CloseGuard(application))")
        lines.append(f'  Allow:  @pytest.mark.close_leaks(allow="{name}")')
    else:
        lines.append("  Close it, or have the client read and close it: response.close().")
    return "\n".join(lines)


def _summary(entries: list[Entry], *, clients: bool) -> Iterator[tuple[str, dict[str, bool]]]:
    """Yield the lines of the summary, and how each looks."""
    from .terminal import counted

    culprits: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for entry in entries:
        for leak in entry.failing:
            culprits.setdefault((leak["id"], leak["label"], leak["where"]), []).append(leak)
    for (fault, label, where), leaks in sorted(
        culprits.items(), key=lambda each: -len(each[1])
    ):
        made_by = list(dict.fromkeys(leak["made_by"] for leak in leaks))
        yield f"{fault}  {label}" + (f"  ({where})" if where else ""), {"red": True}
        yield f"    {counted(len(leaks), 'response')} of {counted(len(made_by), 'test')}", {}
        first = leaks[0]
        yield f"    {made_by[0] or 'collection'}: {first['request']}: {first['detail']}", {}
    responses = sum(entry.responses for entry in entries)
    tests = {entry.nodeid for entry in entries if entry.responses}
    judged = (
        f"{counted(responses, 'response')} through layers, in {counted(len(tests), 'test')}"
    )
    if not responses and not clients:
        yield "no response went through a layer of middleware: nothing was judged", {}
    elif not culprits:
        yield f"none: {judged}", {"green": True}
    else:
        yield judged, {}
    allowed = Counter(_name(leak["label"]) for entry in entries for leak in entry.allowed)
    for name, count in allowed.items():
        yield f"allowed: {name}, {counted(count, 'time')}", {}
    unclosed = sum(entry.unclosed for entry in entries)
    if unclosed and not clients:
        yield (
            (
                f"{counted(unclosed, 'response')} never closed by the test itself"
                " (--close-leaks-client says which)"
            ),
            {},
        )
    for line in sorted({line for entry in entries for line in entry.unreached}):
        yield f"not watched: {line}", {}
