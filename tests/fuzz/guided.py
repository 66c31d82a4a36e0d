"""Run one target of ``parsers.py`` under atheris; started by ``python -m tests.fuzz``.

python -m tests.fuzz.guided TARGET [CORPUS] [libFuzzer's options]
"""

from __future__ import annotations

import sys


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["freedom_middleware"]):
        from . import parsers

    _, name, *rest = sys.argv
    parsers.quiet()
    atheris.Setup([name, *rest], parsers.TARGETS[name].function)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
