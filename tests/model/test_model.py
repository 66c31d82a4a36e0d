"""CloseGuard keeps its promise, whatever happens in whatever order."""

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from . import search
from .processes import run
from .promise import Promise
from .real import MOST_AT_ONCE, quiet_world

MOST_BODIES = 6

# The model closes there and then what the rules allow to be.
pytestmark = pytest.mark.at_once


SEARCH = """
import sys
from tests.model import search
figures = search.search(sys.argv[1], search.QUICK[sys.argv[1]])
print(figures.states, figures.transitions)
"""


@pytest.mark.parametrize("setting", search.QUICK)
def test_every_interleaving_to_a_depth(setting):
    """``python -m tests.model`` prints the figures, and with ``--deep`` goes deeper."""
    states, transitions = map(int, run("-c", SEARCH, setting).split())

    assert states > 50
    assert transitions > states


def test_long_runs_with_many_bodies():
    """More bodies and longer runs than a search can afford, chosen at random."""
    with quiet_world() as world:

        class Machine(RuleBasedStateMachine):
            @initialize()
            def begin(self):
                self.model = Promise(most=MOST_AT_ONCE)
                world.begin()

            @rule(data=st.data())
            def perform(self, data):
                operations = self.model.operations(search.KINDS_AND_LAYERS, MOST_BODIES)
                names = sorted({op[0] for op in operations})
                name = data.draw(st.sampled_from(names))
                op = data.draw(st.sampled_from([op for op in operations if op[0] == name]))
                note(op)
                search.check(world, self.model, op)

            @precondition(lambda self: len(self.model.bodies) < MOST_BODIES)
            @rule(
                thread=st.sampled_from(["A", "B"]),
                kind=st.sampled_from(search.KINDS_AND_LAYERS),
            )
            def open(self, thread, kind):
                op = ("open", thread, kind)
                note(op)
                search.check(world, self.model, op)

            def teardown(self):
                search.finish(world)

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=40,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.generate],
            ),
        )
