"""What the pages ask of a reader is there: commands, packages, blocks that can be pasted."""

import ast
import builtins
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from doctest import DocTestParser
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from freedom_middleware import CloseGuard
from freedom_middleware.errors import UnclosedBodyWarning
from freedom_middleware.testing import SpyBody, exchange
from tests.model.mutants import MUTANTS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in PAGES}
OWN = {"freedom_middleware", "webob", *sys.stdlib_module_names}


def blocks(text, language):
    """Return the line and the text of each fenced block, also of those in lists."""
    fence = rf"^( *)```(?:{language}|\{{code-block\}} {language})\n(.*?)^\1```$"
    for match in re.finditer(fence, text, re.MULTILINE | re.DOTALL):
        yield text[: match.start()].count("\n") + 1, textwrap.dedent(match[2])


def imported(source):
    """Return the packages of other people that *source* imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.partition(".")[0] for name in names} - OWN


def names(requirements):
    """Return the names in a list of requirements, as an index compares them."""
    found = (re.match(r"'?([\w.-]+)", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", match[1]).lower() for match in found if match}


def is_named(package, named):
    return bool(names(packages_distributions()[package]) & named)


@pytest.mark.parametrize("page", TEXTS)
def test_what_is_shown_in_python_can_be_pasted(page):
    for line, text in blocks(TEXTS[page], "python"):
        code = re.sub(r"\A(:\w+:.*\n)+", "", text)  # the options of the block
        compile(code, f"{page}:{line}", "exec")


@pytest.mark.parametrize("page", ["docs/telemetry.md", "docs/production.md"])
def test_what_is_to_be_copied_has_all_that_it_uses(page):
    include = r"literalinclude\} (\S+)\n:language: python\n:start-at: (.+)\n:end-before: (.+)\n"
    [(path, begin, end), *_] = re.findall(include, TEXTS[page])
    source = (ROOT / page).parent.joinpath(path).read_text("utf-8")
    nodes = [*ast.walk(ast.parse(source[source.index(f"\n{begin}") : source.index(end)]))]
    known = {node.arg for node in nodes if isinstance(node, ast.arg)} | set(dir(builtins))
    known |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.alias))}
    named = [node for node in nodes if isinstance(node, ast.Name)]
    known |= {node.id for node in named if isinstance(node.ctx, ast.Store)}

    assert {node.id for node in named} - known == set()


@pytest.mark.parametrize("page", TEXTS)
def test_a_page_says_what_its_session_needs(page):
    session = "\n".join(text for _, text in blocks(TEXTS[page], "pycon"))
    source = "".join(example.source for example in DocTestParser().get_examples(session))
    installs = re.findall(r"pip install ([^`\n]+)", TEXTS[page])
    named = names(word for line in installs for word in line.split())

    assert [needed for needed in imported(source) if not is_named(needed, named)] == []


@pytest.mark.parametrize(
    "page", [page for page, text in TEXTS.items() if "python -m tests" in text]
)
def test_the_commands_that_make_figures_are_there(page):
    commands = re.findall(r"python -m (tests[\w.]*)", TEXTS[page])

    assert [name for name in commands if not find_spec(name)] == []
    assert "in a clone" in TEXTS[page].lower()


def test_the_extra_of_the_benchmarks_holds_what_they_import():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = names(project["optional-dependencies"]["bench"])
    sources = (ROOT / "tests" / "benchmarks").glob("*.py")
    needed = set().union(*(imported(source.read_text("utf-8")) for source in sources))
    needed -= {"pytest"}  # they have tests too

    assert {"flask", "werkzeug", "whitenoise"} <= needed
    assert [package for package in needed if not is_named(package, extra)] == []


@pytest.mark.parametrize("page", ["docs/story.md", "docs/production.md"])
def test_the_line_of_the_log_that_is_shown_is_the_one_that_is_written(page, caplog):
    def loses(application):
        return lambda environ, start_response: list(application(environ, start_response))

    def site(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return SpyBody([b"one"])

    with pytest.warns(UnclosedBodyWarning):
        exchange(loses(CloseGuard(site)))

    [said] = caplog.messages
    assert said.partition("; ")[2] in " ".join(TEXTS[page].split())


def test_the_mutants_of_the_guard_are_counted():
    said = re.findall(r"in (\d+) ways|notices all (\d+)", TEXTS["docs/trust.md"])

    assert {int(one or other) for one, other in said} == {len(MUTANTS)}


def test_the_proposed_change_is_the_one_that_is_shown(tmp_path):
    """The page's own diff says what was there before it."""
    [page] = [text for _, text in blocks(TEXTS["docs/checking.md"], "console") if "@@" in text]
    command, _, shown = page.removeprefix("$ freedom-middleware ").partition("\n...\n")
    hunk = shown.partition("@@\n")[2].partition("\nChecked")[0].splitlines()
    lines = ["import os", "from django.core.wsgi import get_wsgi_application"]
    lines += [line[1:] for line in hunk if not line.startswith("+")]
    for name, text in {"__init__": "", "settings": "", "wsgi": "\n".join(lines)}.items():
        (tmp_path / "mysite").mkdir(exist_ok=True)
        (tmp_path / "mysite" / f"{name}.py").write_text(text + "\n", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "freedom_middleware", *command.split()],
        cwd=tmp_path,
        env={**os.environ, "ELASTIC_APM_ENABLED": "false"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )

    printed = done.stdout[done.stdout.index("--- a/") :]
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()
