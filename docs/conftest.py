"""The examples on these pages are tests: the fenced blocks marked ``pycon`` are run.

A page is one session and one test, from its top to its end.  What a block prints must be
what the page shows, so a page cannot promise what the package does not do.
"""

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, DocTestParser, DocTestRunner

from sybil import Region, Sybil

collect_ignore = ["conf.py"]  # the settings of Sphinx; nothing to test


def find_session(document):
    """Find the interpreter session of a page, if there is one."""
    kept = []
    inside = False
    for line in document.text.splitlines():
        if line.startswith("```"):
            inside = line == "```pycon"
            kept.append("")
        else:
            # What is left out stays as an empty line: a failure names the line of the page.
            kept.append(line if inside else "")
    session = DocTestParser().get_doctest("\n".join(kept), {}, "session", document.path, 0)
    if session.examples:
        yield Region(0, len(document.text), session, run)


def run(example):
    """Run the session of a page; return what went wrong, or nothing."""
    report = []
    runner = DocTestRunner(optionflags=ELLIPSIS | NORMALIZE_WHITESPACE)
    runner.run(example.parsed, out=report.append)
    return "".join(report)


pytest_collect_file = Sybil(parsers=[find_session], pattern="*.md").pytest()
