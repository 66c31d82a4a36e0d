"""Verdicts, from records alone."""

import threading

import pytest

from freedom_middleware.leaks.help import IDS
from freedom_middleware.leaks.instrument import Driven
from freedom_middleware.leaks.probe import OtherIterator, Record
from freedom_middleware.leaks.report import BEYOND, CELLS
from freedom_middleware.leaks.scenarios import SCENARIOS, Outcome
from freedom_middleware.leaks.verdict import FAULTS, NOTES, judge, judge_record


def body_and_record(*chunks):
    record = Record()
    return OtherIterator(chunks, record), record


def id_of(record, threads=()):
    verdict = judge_record(record, threads)
    return verdict and verdict.id


class TestOneBody:
    def test_that_was_closed_once_is_fine(self):
        body, record = body_and_record(b"one")
        list(body)
        body.close()

        assert judge_record(record) is None

    def test_that_was_not_even_read_is_lost_too(self):
        _, record = body_and_record(b"one")

        assert judge_record(record) == ("close-lost", "it was not read")

    def test_that_was_left_is_lost(self):
        body, record = body_and_record(b"one", b"two", b"three")
        chunks = iter(body)
        next(chunks)

        assert judge_record(record) == ("close-lost", "it was left after a chunk")
        next(chunks)
        assert judge_record(record) == ("close-lost", "it was read 2 of its chunks")

    def test_whose_iterator_was_to_be_closed(self):
        body, record = body_and_record(b"one")
        getattr(iter(body), "close", None)

        assert id_of(record) == "close-on-iterator"
        body.close()
        assert id_of(record) is None

    def test_that_was_closed_twice(self):
        body, record = body_and_record(b"one")
        body.close()
        body.close()

        assert id_of(record) == "close-repeated"
        assert "2 times, at tests/leaks/test_verdict.py:" in judge_record(record).detail

    def test_that_was_read_after_it_was_closed(self):
        body, record = body_and_record(b"one", b"two")
        chunks = iter(body)
        next(chunks)
        body.close()
        next(chunks)

        assert id_of(record) == "close-early"

    def test_that_was_closed_on_another_thread(self):
        body, record = body_and_record(b"one")
        thread = threading.Thread(target=body.close)
        thread.start()
        thread.join()

        assert id_of(record) == "close-wrong-thread"
        assert id_of(record, {thread}) is None


class TestALayer:
    def test_that_was_not_told_to_close_has_lost_nothing(self):
        driven = Driven()
        driven.records.append(body_and_record(b"one")[1])

        assert [verdict.id for verdict in judge(driven, SCENARIOS["left"])] == ["close-lost"]
        assert list(judge(driven, SCENARIOS["dropped"])) == []

    @pytest.mark.parametrize("raised", [[], [ValueError("close")]])
    def test_that_keeps_an_error_to_itself(self, raised):
        driven = Driven()
        body, record = body_and_record(b"one")
        body.close()
        driven.records.append(record)
        driven.outcomes.append(Outcome(raised=raised))

        ids = [verdict.id for verdict in judge(driven, SCENARIOS["error"])]

        assert ids == ([] if raised else ["close-error-swallowed"])

    def test_that_buffers_and_hides_files(self):
        driven = Driven()
        driven.buffered = driven.files_lost = True

        ids = [verdict.id for verdict in judge(driven, SCENARIOS["whole"])]

        assert ids == ["buffered-stream", "file-wrapper-lost"]


def test_each_id_is_explained():
    assert set(CELLS) == set(FAULTS) > BEYOND
    assert {*FAULTS, *NOTES} < set(IDS)
