"""A report as text: what is said beside the table."""

from freedom_middleware.leaks import Report, check
from freedom_middleware.leaks.report import to_dict, to_text
from freedom_middleware.terminal import Terminal, width_of
from freedom_middleware.testing import hello
from tests.leaks.layers import (
    by_generator,
    by_list,
    by_path,
    calls_nobody,
    early,
    proxy_fix,
    raises,
)


def test_a_failing_application_is_said_before_anything_else():
    text = to_text(check(raises(hello), scenarios=["whole"]))

    assert text.splitlines()[2] == (
        "It fails already, so what is below is not judged: GET / raised RuntimeError('no"
    )


def test_nothing_found_is_not_called_innocent_where_nothing_was_judged():
    text = to_text(check(calls_nobody(hello)))

    assert "Not judged, since it calls nobody: calls_nobody." in text
    assert "No request came to: hello (in calls_nobody)." in text
    assert text.endswith("Nothing found in what could be judged.")


def test_who_was_called_directly_is_said():
    text = to_text(check(by_path(hello, proxy_fix(hello)), scenarios=["whole"]))

    assert "Called directly, since no request came through: ProxyFix." in text


def test_each_fault_of_a_layer_has_its_paragraph():
    text = to_text(check(by_generator(hello)), spec="mine")

    assert "close-lost  by_generator  (tests/leaks/layers.py:" in text
    assert "close-repeated  by_generator\n" in text
    assert "Seen: left-iterator, left-generator." in text
    assert text.count("Fix:") == 1


def test_what_a_guard_does_not_repair_is_not_proposed_again():
    text = to_text(check(early(hello)), guarded=True)

    assert "This is what CloseGuard inside it does not repair." in text
    assert "Fix:" not in text


def test_it_fits_into_80_columns_and_a_narrow_terminal_cuts_names():
    report = check(proxy_fix(by_list(hello)))

    for columns in (None, 70, 200):
        lines = to_text(report, Terminal(columns)).splitlines()
        assert max(map(width_of, lines)) <= min(columns or 80, 80)


def test_colour_adds_nothing_but_colour():
    report = check(by_list(hello), scenarios=["whole"])
    coloured = to_text(report, Terminal(colour=True))

    assert "\x1b[33m   LOST\x1b[0m" in coloured
    for code in ("\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"):
        coloured = coloured.replace(code, "")
    assert [line.rstrip() for line in coloured.splitlines()] == to_text(report).splitlines()


def test_an_empty_report_is_a_dict_of_empty_lists():
    assert set(map(str, to_dict(Report()).values())) == {"[]"}
