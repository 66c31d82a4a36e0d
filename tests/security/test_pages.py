"""Each claim of the threat model names a test, and the test is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
TEXT = TOP.joinpath("docs", "security", "threat-model.md").read_text("utf-8")
CLAIMS = {
    number: re.findall(r"^`(tests/[^`]+)`$", claim, re.MULTILINE)
    for number, claim in re.findall(r"^\*\*T(\d+)\.\*\*(.*?)(?=\n\n|\Z)", TEXT, re.M | re.S)
}


@cache
def names_in(file):
    """Return the functions of a file of tests, those of classes with the class before them."""
    tree = ast.parse(TOP.joinpath(file).read_text("utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            functions |= {
                f"{node.name}::{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef)
            }
    return functions


def test_the_claims_are_numbered_without_a_gap():
    assert [*CLAIMS] == [str(number) for number in range(1, len(CLAIMS) + 1)]
    assert len(CLAIMS) == len(re.findall(r"^\*\*T", TEXT, re.MULTILINE)) > 20


@pytest.mark.parametrize("number", CLAIMS)
def test_each_names_a_test_that_exists(number):
    assert CLAIMS[number]
    for test in CLAIMS[number]:
        file, _, name = test.partition("::")
        assert name in names_in(file), test
        assert name.rpartition("::")[2].startswith("test_")
