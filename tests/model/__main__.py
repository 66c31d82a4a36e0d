"""Search the guard, print the figures, and see each mutant noticed."""

import argparse
import sys
from time import perf_counter

from . import mutants


def search_mutant():
    """Search the guard until something is wrong; say what."""
    from . import search

    try:
        for name, depth in search.MUTANT:
            search.search(name, depth)
    except search.Broken as broken:
        return str(broken)
    return ""


def try_mutants():
    """Search each mutant, in processes that are made before the package is imported."""
    start = perf_counter()
    noticed = 0
    for name in mutants.MUTANTS:
        how = mutants.run(name, search_mutant)
        noticed += bool(how)
        print(f"mutant: {name}: {how[:90] or 'SURVIVES'}", flush=True)
    seconds = perf_counter() - start
    print(f"mutants noticed: {noticed} of {len(mutants.MUTANTS)}, {seconds:.1f} s", flush=True)
    return noticed == len(mutants.MUTANTS)


def try_guard(deep):
    """Search the guard as it is."""
    from . import search

    states = transitions = 0
    start = perf_counter()
    for name, depth in (search.DEEP if deep else search.QUICK).items():
        figures = search.search(name, depth)
        states += figures.states
        transitions += figures.transitions
        print(
            f"{name:8} depth {depth}: {figures.states:7,} states,"
            f" {figures.transitions:9,} transitions, {figures.seconds:6.1f} s",
            flush=True,
        )
    seconds = perf_counter() - start
    print(f"together: {states:,} states, {transitions:,} transitions, {seconds:.1f} s")


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--deep", action="store_true", help="search deeper, for minutes")
    parser.add_argument("--only", choices=["guard", "mutants"], help="leave out the other")
    options = parser.parse_args()
    good = options.only == "guard" or try_mutants()
    if options.only != "mutants":
        try_guard(options.deep)
    sys.exit(not good)


if __name__ == "__main__":
    main()
