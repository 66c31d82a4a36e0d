"""From what a layer did to what is wrong with it: pure functions, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from threading import Thread

    from .instrument import Driven
    from .probe import Record
    from .scenarios import Scenario

__all__ = ["FAULTS", "NOTES", "Verdict", "judge", "judge_record"]

FAULTS = (
    "close-lost",
    "close-on-iterator",
    "close-early",
    "close-repeated",
    "close-wrong-thread",
)
"""What is wrong, the worst first."""

NOTES = ("buffered-stream", "file-wrapper-lost", "close-error-swallowed")
"""What costs something, and may be wanted."""


class Verdict(NamedTuple):
    """One thing that a layer does in a scenario: an id of FAULTS or NOTES, and how."""

    id: str
    detail: str


def judge(driven: Driven, scenario: Scenario) -> Iterator[Verdict]:
    """Yield what is wrong with a layer that was driven, and then what is worth a note."""
    threads = {thread for outcome in driven.outcomes for thread in outcome.threads}
    for record in driven.records:
        verdict = judge_record(record, threads)
        # A server that forgets close() leaves a layer nothing to pass on.
        if verdict and not (scenario.drops and not record.closes):
            yield verdict
    if driven.buffered and scenario.name == "whole":
        yield Verdict("buffered-stream", "the first chunk is sent after the last was read")
    if driven.files_lost:
        yield Verdict("file-wrapper-lost", "what it returns is not what the server made")
    if (
        scenario.close_raises
        and any(record.closes for record in driven.records)
        and not any(outcome.raised for outcome in driven.outcomes)
    ):
        yield Verdict("close-error-swallowed", "the server is not told what close() raised")


def judge_record(record: Record, threads: Collection[Thread] = ()) -> Verdict | None:
    """Return what is wrong with the treatment of one body, the worst, or None.

    Args:
        record: What was done with it.
        threads: Those of the server, which may close on any of its own.

    >>> from .probe import OtherIterator, Record
    >>> record = Record()
    >>> body = OtherIterator([b"one", b"two"], record)
    >>> chunks = list(body)
    >>> judge_record(record)
    Verdict(id='close-lost', detail='it was read to the end')
    >>> body.close()
    >>> judge_record(record)
    """
    closes = record.closes
    if not closes:
        if record.sought_on_iterator:
            return Verdict("close-on-iterator", "close() was looked up on the iterator")
        read = "to the end" if record.ended else f"{record.reads} of its chunks"
        how = f"it was read {read}" if record.reads else "it was not read"
        return Verdict("close-lost", how.replace("read 1 of its chunks", "left after a chunk"))
    if record.reads_after_close:
        return Verdict("close-early", f"closed at {closes[0].where}, and then read on")
    if len(closes) > 1:
        places = " and ".join(dict.fromkeys(call.where for call in closes))
        return Verdict("close-repeated", f"{len(closes)} times, at {places}")
    if closes[0].thread not in {record.opened_on, *threads}:
        return Verdict(
            "close-wrong-thread", f"at {closes[0].where}, on {closes[0].thread.name}"
        )
    return None
