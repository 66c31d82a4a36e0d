"""A check of files as they would be: a program, started by :mod:`freedom_middleware.leaks.fix`.

The question comes as JSON on stdin: ``spec``, ``paths``, and ``files``, the changed text by
path.  The answer goes to stdout: the report.  No file is written, and no bytecode is kept.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from contextlib import redirect_stdout
from importlib.machinery import SourceFileLoader
from typing import Any

from ..errors import FreedomError
from .checking import check
from .report import to_dict

__all__ = ["answer"]


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Check with some files changed, and return the report.

    Call it in a process that does nothing else: what it imports stays changed.
    """
    files = {path: base64.b64decode(text) for path, text in question["files"].items()}
    get_data, path_stats = SourceFileLoader.get_data, SourceFileLoader.path_stats

    def changed_data(self: SourceFileLoader, path: Any) -> bytes:
        data = files.get(os.path.realpath(path))
        return get_data(self, path) if data is None else data

    def changed_stats(self: SourceFileLoader, path: Any) -> Any:
        if os.path.realpath(path) in files:
            raise OSError("no bytecode, neither read nor written")
        return path_stats(self, path)

    SourceFileLoader.get_data = changed_data  # type: ignore[method-assign, assignment]
    SourceFileLoader.path_stats = changed_stats  # type: ignore[method-assign]
    sys.path.insert(0, os.getcwd())
    return to_dict(check(question["spec"], paths=question["paths"]))


if __name__ == "__main__":
    try:
        with redirect_stdout(sys.stderr):  # what the layers print is no part of the answer
            told = answer(json.load(sys.stdin))
    except FreedomError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(1)
    print(json.dumps(told))  # noqa: T201
