"""Count what a call makes the interpreter do: the same figure on a machine that is busy."""

import gc
import sys
from collections.abc import Callable
from typing import NamedTuple

WARM = 50


class Work(NamedTuple):
    """Python functions that were entered, and instructions of bytecode that were executed."""

    calls: int
    instructions: int

    def __sub__(self, other: "Work") -> "Work":
        return Work(self.calls - other.calls, self.instructions - other.instructions)


def work_of(call: Callable[[], object]) -> Work:
    """Count the work of one *call*, less that of an empty function, once everything is warm.

    What is written in C counts nothing: this sees Python code come to the path of a request,
    and not how long it takes.
    """
    for _ in range(WARM):
        call()
    counted = _monitored if hasattr(sys, "monitoring") else _traced
    was_enabled = gc.isenabled()
    gc.disable()  # a collection has callbacks, and finalizers of others
    try:
        return counted(call) - counted(_nothing)
    finally:
        if was_enabled:
            gc.enable()


def _nothing() -> None:
    pass


def _traced(call: Callable[[], object]) -> Work:
    calls = instructions = 0

    def trace(frame, event, argument):
        nonlocal calls, instructions
        if event == "call":
            calls += 1
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        instructions += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return Work(calls, instructions)


def _monitored(call: Callable[[], object]) -> Work:
    # From CPython 3.12, where tracing misses instructions.
    monitoring = sys.monitoring
    tool, events = monitoring.PROFILER_ID, monitoring.events
    counted = dict.fromkeys((events.PY_START, events.PY_RESUME, events.INSTRUCTION), 0)

    def counting(event):
        def count(*_):
            counted[event] += 1

        return count

    monitoring.use_tool_id(tool, __name__)
    try:
        for event in counted:
            monitoring.register_callback(tool, event, counting(event))
        monitoring.set_events(tool, sum(counted))
        call()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    started, resumed, instructions = counted.values()
    return Work(started + resumed, instructions)
