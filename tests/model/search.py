"""Every interleaving to a depth: the guard and the model, one operation at a time."""

import gc
from dataclasses import dataclass
from time import perf_counter

from . import promise
from .promise import Promise
from .real import MOST_AT_ONCE, quiet_world

KINDS = [
    promise.PLAIN,
    promise.FAILS,
    promise.BREAKS,
    promise.OPENS,
    promise.AGAIN,
    promise.FILE,
]
KINDS_AND_LAYERS = [*KINDS, *promise.LAYERS]
SETTINGS = {
    # which kinds of body, and how many at a time
    "kinds": (KINDS, 2),
    "closing": ([promise.FAILS, promise.OPENS], 2),
    "opening": ([promise.OPENS, promise.LOSSY], 3),
    "layers": (list(promise.LAYERS), 4),
    "threads": ([promise.PLAIN], 3),
    "fork": ([promise.PLAIN], 2),
}
QUICK = {"kinds": 3, "closing": 4, "opening": 4, "layers": 4, "threads": 5, "fork": 3}
# What notices a mutant: the quick first.
MUTANT = [
    ("kinds", 2),
    ("fork", 3),
    ("layers", 2),
    ("closing", 4),
    ("layers", 4),
    ("opening", 4),
]
DEEP = {"kinds": 4, "closing": 6, "opening": 5, "layers": 5, "threads": 6, "fork": 5}

FORKS = [
    ("fork",),
    ("inside", "A", ("fork",)),
    ("finalizer", "A", ("fork",)),
    ("finalizer", "B", ("fork",)),
]


class Broken(AssertionError):
    """The guard did what the model does not."""


@dataclass
class Figures:
    """How much was searched."""

    name: str
    depth: int
    states: int = 0
    transitions: int = 0
    seconds: float = 0.0


def check(world, model, op):
    """Do *op* with both, and compare what can be seen."""
    expected, raised = model.perform(op), world.perform(op)
    model.adopt(world.queue())
    wanted = (expected, model.events, model.counts, model.queue())
    seen = (raised, world.events, world.counts(), world.queue())
    if seen != wanted:
        raise Broken(f"must be {wanted}, got {seen}")
    if world.unraisable:
        raise Broken(f"must raise nothing in a finalizer, got {world.unraisable}")


def finish(world):
    """Let go of everything: in the end every body has been closed exactly once."""
    wrong = world.finish()
    if wrong:
        raise Broken(f"must be closed once in the end, got {wrong}")


def step(world, path, model, op):
    """Do *path* with the guard, from nothing, then *op* beside the model."""
    world.begin()
    reached = model.copy()
    try:
        for done in path:
            world.perform(done)
        check(world, reached, op)
        finish(world)
    except AssertionError as error:
        raise Broken(f"{[*path, op]}: {error}") from error
    return reached


def search(name, depth):
    """Visit every state of the model that *depth* operations can reach."""
    kinds, most_bodies = SETTINGS[name]
    figures = Figures(name, depth, states=1)
    start = perf_counter()
    with quiet_world() as world:
        first = Promise(most=MOST_AT_ONCE)
        seen = {first.key()}
        layer = [((), first)]
        for level in range(depth):
            found = []
            for path, model in layer:
                wrapped = name not in ("closing", "opening", "fork")
                operations = model.operations(kinds, most_bodies, wrapped)
                if name == "fork":  # a layer may close in the child, by hand: no traps
                    operations = [op for op in operations if op[0] != "trap"] + FORKS
                for op in operations:
                    figures.transitions += 1
                    reached = step(world, path, model, op)
                    key = reached.key()
                    if key not in seen:
                        seen.add(key)
                        if level + 1 < depth:
                            found.append(((*path, op), reached))
                if figures.transitions % 64 == 0:
                    gc.freeze()  # what the search itself holds costs no collection
            layer = found
            gc.freeze()
        figures.states = len(seen)
    figures.seconds = perf_counter() - start
    return figures
