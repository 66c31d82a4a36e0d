"""The model notices each way in which a guard can be broken.

It says whether the model is good, which no Python changes: CI runs it on one.
"""

import pytest

from .processes import run


@pytest.mark.at_once
def test_every_mutant_is_noticed():
    """In a process that has not imported the package: each mutant is a child of it."""
    assert "SURVIVES" not in run("-m", "tests.model", "--only", "mutants")
