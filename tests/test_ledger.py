"""What CloseGuard counts and tells: exact, bounded, and of one process."""

import ctypes
import json
import logging
import os
import sys
import threading
import warnings

import pytest

from freedom_middleware import CloseGuard, Mount, dropped, ledger
from freedom_middleware.errors import UnclosedBodyWarning
from freedom_middleware.findings import Finding, LeakCount
from freedom_middleware.ledger import OTHER, Ledger
from freedom_middleware.testing import SpyBody, make_environ

from .interpreters import CLOSED, collected

LOGGER = "freedom_middleware.leaks"
C = getattr(ctypes, "PyDLL", ctypes.CDLL)(None)  # PyPy has no library that keeps its lock


class Clock:
    """Stands still until it is told how many seconds go by."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def told_otherwise():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnclosedBodyWarning)
        yield


def found(where="layer.py:1", repair="closed", path="/"):
    return Finding("close-lost", f"GET {path!r}", where, repair)


def answers_with_a_body(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return SpyBody()


def drop(application, path="/"):
    """Drop a response of *application*; another request counts it."""
    application(make_environ(path), lambda status, headers: None)


def count_what_waits():
    collected()
    while dropped.waiting:
        dropped.settle()


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


class TestCounts:
    def test_by_mount_kind_repair_and_place(self):
        leaks = Ledger()
        leaks.record(found(), "/shop")
        leaks.record(found(repair="late"), "/shop")
        leaks.record(found("layer.py:2"))
        leaks.record(found(), "/shop")

        assert leaks.snapshot() == (
            LeakCount("", "close-lost", "closed", "layer.py:2", 1),
            LeakCount("/shop", "close-lost", "closed", "layer.py:1", 2),
            LeakCount("/shop", "close-lost", "late", "layer.py:1", 1),
        )
        assert leaks.total() == 4
        assert leaks.total("late") == 1
        assert leaks.total("elsewhere") == 0

    def test_a_snapshot_stays_as_it_was_and_can_be_sent(self):
        leaks = Ledger()
        leaks.record(found())
        before = leaks.snapshot()
        leaks.record(found())

        assert json.dumps([leak._asdict() for leak in before]) == (
            '[{"mount": "", "id": "close-lost", "repair": "closed",'
            ' "where": "layer.py:1", "times": 1}]'
        )
        with pytest.raises(AttributeError):
            before[0].times = 2

    def test_a_guard_counts_what_was_found_under_each_mount(self):
        shop = Mount(answers_with_a_body, {"/admin": answers_with_a_body})
        application = CloseGuard(Mount(answers_with_a_body, {"/shop": shop, "/café": shop}))
        for path in ("/shop/cart/7", "/shop/cart/8", "/shop/admin/", "/café/", "/login.php"):
            drop(application, path)
        count_what_waits()

        assert {leak.mount: leak.times for leak in application.leaks.snapshot()} == {
            "": 1,
            "/café": 1,
            "/shop": 2,
            "/shop/admin": 1,
        }
        assert {leak.id for leak in application.leaks.snapshot()} == {"close-lost"}

    def test_the_process_counts_for_all_guards_and_for_those_that_are_gone(self):
        def total():
            return sum(leak.times for leak in ledger.snapshot())

        before = total()
        kept, gone = CloseGuard(answers_with_a_body), CloseGuard(answers_with_a_body)
        drop(kept)
        drop(gone)
        count_what_waits()
        del gone

        assert kept.leaks.total() == 1
        assert total() - before == 2

    def test_a_request_that_leaks_nothing_waits_for_nobody(self):
        """Somebody may be counting all the while."""
        application = CloseGuard(answers_with_a_body)

        with ledger._counting:
            application(make_environ(), lambda status, headers: None).close()
            assert application.leaks.snapshot() == ()

    def test_no_count_is_lost_between_threads(self):
        leaks = Ledger()
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)

        def count():
            for _ in range(2000):
                leaks.record(found())

        try:
            threads = [threading.Thread(target=count) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)

        assert leaks.total() == 8000

    def test_what_a_check_sends_is_not_counted(self):
        application = CloseGuard(answers_with_a_body)
        environ = make_environ(**{"freedom_middleware.checking": True})
        application(environ, lambda status, headers: None)
        count_what_waits()

        assert application.leaks.snapshot() == ()


class TestBounds:
    def test_the_rest_is_counted_together(self):
        leaks = Ledger()
        for number in range(ledger.MOST_COUNTS + 500):
            leaks.record(found(f"{number}.py:1"), f"/{number}")
            leaks.record(found("0.py:1"), "/0")

        counts = leaks.snapshot()
        assert len(counts) == ledger.MOST_COUNTS + 1
        assert leaks.total() == 2 * (ledger.MOST_COUNTS + 500)
        assert LeakCount(OTHER, "close-lost", "closed", OTHER, 500) in counts
        assert {leak.times for leak in counts if leak.mount == "/0"} == {
            ledger.MOST_COUNTS + 501
        }

    def test_the_kind_and_the_repair_of_the_rest_are_kept(self, monkeypatch):
        monkeypatch.setattr(ledger, "MOST_COUNTS", 0)
        leaks = Ledger()
        for repair in ("closed", "late", "elsewhere", ""):
            leaks.record(found(repair=repair))

        assert [leak.repair for leak in leaks.snapshot()] == ["", "closed", "elsewhere", "late"]
        assert {(leak.mount, leak.where) for leak in leaks.snapshot()} == {(OTHER, OTHER)}

    def test_a_mount_that_somebody_makes_endless_is_not_kept(self):
        """SCRIPT_NAME is the server's, but some let a header set it."""
        leaks = Ledger()
        leaks.record(found(), "/" + "a" * ledger.MOST_CHARACTERS)

        assert leaks.snapshot() == (LeakCount(OTHER, "close-lost", "closed", OTHER, 1),)

    def test_the_process_is_bounded_too(self, monkeypatch):
        monkeypatch.setattr(ledger, "_all", {})
        monkeypatch.setattr(ledger, "MOST_COUNTS", 3)
        for number in range(10):
            Ledger().record(found(), f"/{number}")

        assert [leak.times for leak in ledger.snapshot()] == [7, 1, 1, 1]

    def test_so_is_what_is_told(self, clock, caplog):
        first = []
        leaks = Ledger(on_leak=first.append, clock=clock)
        for minute in range(3):
            clock.now = minute * 60.0
            for number in range(ledger.MOST_PLACES + 50):
                leaks.record(found(f"{number}.py:1"))

        assert len(first) == ledger.MOST_PLACES + 1
        assert len(lines(caplog)) == 3 * (ledger.MOST_PLACES + 1)
        assert lines(caplog)[-1].endswith("(50 at further places in 60 s)")


class TestTelling:
    def test_the_first_at_once_and_then_one_line_a_minute(self, clock, caplog):
        leaks = Ledger(clock=clock)
        for second in range(150):
            clock.now = float(second)
            leaks.record(found(path=f"/{second}"))

        first, after_one_minute, after_two = lines(caplog)
        assert first == (
            "response body of GET '/0' was never closed: dropped at layer.py:1; CloseGuard"
            " closed it there and then (the first like this; more are summed up once a minute)"
        )
        assert "'/60'" in after_one_minute
        assert after_one_minute.endswith("(60 like this in 60 s)")
        assert after_two.endswith("(60 like this in 60 s)")

    def test_each_place_has_its_own_minute(self, clock, caplog):
        leaks = Ledger(clock=clock)
        leaks.record(found("a.py:1"))
        clock.now = 59.0
        leaks.record(found("a.py:1"))
        leaks.record(found("b.py:1"))
        clock.now = 61.0
        leaks.record(found("a.py:1"))
        leaks.record(found("b.py:1"))

        assert [line.rpartition("(")[2] for line in lines(caplog)] == [
            "the first like this; more are summed up once a minute)",
            "the first like this; more are summed up once a minute)",
            "2 like this in 61 s)",
        ]

    def test_a_place_is_one_whatever_is_mounted(self, clock, caplog):
        leaks = Ledger(clock=clock)
        leaks.record(found(), "/a")
        leaks.record(found(), "/b")

        assert len(lines(caplog)) == 1

    def test_a_warning_and_on_leak_come_once_for_a_place(self, clock):
        told = []
        leaks = Ledger(on_leak=told.append, clock=clock)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for _ in range(3):
                clock.now += 61.0
                leaks.record(found(), place=("layer.py", 1))

        assert [(warning.filename, warning.lineno) for warning in warned] == [("layer.py", 1)]
        assert len(told) == 1

    def test_on_count_comes_each_time_with_what_was_counted(self):
        counted = []
        leaks = Ledger(on_count=counted.append)
        leaks.record(found(), "/shop")
        leaks.record(found(), "/shop")

        assert counted == [
            LeakCount("/shop", "close-lost", "closed", "layer.py:1", 1),
            LeakCount("/shop", "close-lost", "closed", "layer.py:1", 2),
        ]

    def test_on_count_is_given_what_is_bounded(self, monkeypatch):
        """It is made for labels: each value of one is kept for good."""
        monkeypatch.setattr(ledger, "MOST_COUNTS", 1)
        counted = []
        leaks = Ledger(on_count=counted.append)
        for number in range(5):
            leaks.record(found(), f"/{number}")

        assert {leak.mount for leak in counted} == {"/0", OTHER}
        assert counted[-1].times == 4

    def test_what_on_count_raises_is_logged_now_and_then(self, clock, caplog):
        def fails(leak):
            raise LookupError("on purpose")

        leaks = Ledger(on_count=fails, clock=clock)
        for second in range(0, 120, 10):
            clock.now = float(second)
            leaks.record(found())

        failures = [record for record in caplog.records if record.exc_info]
        assert len(failures) == 2
        assert failures[0].getMessage().startswith("on_count raised for: response body of")
        assert failures[1].getMessage().endswith("(6 like this in 60 s)")
        assert leaks.total() == 12

    @pytest.mark.parametrize("what", ["the log", "a warning"])
    def test_both_are_told_though_the_log_or_a_warning_fails(self, what, monkeypatch):
        """A filter may raise, and a hook for warnings: each is somebody's code."""

        def fails(*args):
            raise LookupError("on purpose")

        if what == "the log":
            monkeypatch.setattr(logging.getLogger(LOGGER), "filter", fails)
        else:
            monkeypatch.setattr(warnings, "warn_explicit", fails)
        told, counted = [], []
        leaks = Ledger(on_leak=told.append, on_count=counted.append)
        with pytest.raises(LookupError, match="on purpose"):
            leaks.record(found())

        assert (len(told), len(counted)) == (1, 1)

    def test_a_guard_hands_on_count_over(self):
        counted = []
        application = CloseGuard(answers_with_a_body, on_count=counted.append)
        drop(application)
        assert counted == []
        count_what_waits()

        assert [(leak.repair, leak.times) for leak in counted] == [(CLOSED, 1)]

    def test_a_close_that_raced_is_counted(self):
        leaks = Ledger()
        leaks.record(Finding("close-raced", "GET '/'"))

        assert leaks.snapshot() == (LeakCount("", "close-raced", "", "", 1),)


@pytest.mark.parametrize(
    "fork",
    [
        pytest.param(os.fork, id="fork"),
        pytest.param(C.fork, id="unknown to Python, as uWSGI forks"),
    ],
)
class TestProcesses:
    def in_a_child(self, fork, check):
        """Run *check* in a forked child; its result must be true there."""
        child = fork()
        if child == 0:
            status = 1
            try:
                status = 0 if check() else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_a_forked_child_starts_with_nothing(self, fork):
        """Else the sum over the workers of a preloading server counts the parent's twice."""
        application = CloseGuard(answers_with_a_body)
        leaks = application.leaks
        drop(application)
        count_what_waits()
        assert leaks.total() == 1

        self.in_a_child(fork, lambda: leaks.snapshot() == ledger.snapshot() == ())
        assert leaks.total() == 1

    def test_it_counts_and_tells_its_own(self, fork, caplog):
        application = CloseGuard(answers_with_a_body)
        drop(application)
        count_what_waits()

        def check():
            caplog.clear()
            for _ in range(2):
                drop(application)
            count_what_waits()
            sums = (application.leaks.total(), sum(leak.times for leak in ledger.snapshot()))
            return sums == (2, 2) and len(lines(caplog)) == 1

        self.in_a_child(fork, check)
        assert application.leaks.total() == 1


def test_the_logger_is_the_one_that_the_pages_name():
    assert ledger._logger() is logging.getLogger(LOGGER)
