"""The story of too many clients: its command, its chart, and the page that shows both."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "too_many_clients"
PAGE = (ROOT / "docs" / "story.md").read_text("utf-8")
COMMAND = [sys.executable, str(EXAMPLE / "run.py")]
TABLE = re.compile(r"^  (\S.*?) +(\d+) +(\d+) +(\d+)$", re.M)

needs_services = pytest.mark.database("PostgreSQL and memcached")


def environment(**changes):
    """Return ours, without a variable that would configure Django or colour the output."""
    kept = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "COLUMNS")}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **changes}


def table_of(text):
    return {label: tuple(map(int, counts)) for label, *counts in TABLE.findall(text)}


def without_versions(text):
    """Return *text* without what a version is part of, nor the spaces that it takes."""
    return re.sub(r"\S*\d+(\.\d+)+", "N", text).split()


def parsed(svg):
    return ElementTree.fromstring(svg)  # noqa: S314 - we have just written it


def session_of_check(text):
    [session] = re.findall(
        r"^\$ freedom-middleware check .*?^1 layer at fault", text, re.M | re.S
    )
    return session


@needs_services
def test_the_middleware_makes_the_errors_and_the_guard_undoes_them(tmp_path):
    """One test: the story takes half a minute, and each process of xdist would tell it."""
    done = subprocess.run(
        [*COMMAND, "--svg", tmp_path / "chart.svg"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    output = done.stdout
    assert done.returncode == 0, output + done.stderr
    counted = table_of(output)
    assert counted["requests"] == (256, 256, 256)
    for errors in ("errors", 'refused: "sorry, too many clients already"'):
        without, lossy, guarded = counted[errors]
        assert (without, guarded) == (0, 0)
        assert lossy >= 128 - 100  # of the visitors who come together alone
    assert counted["most database connections at a time"][1] == 100
    for left_open in ("database connections idle", "memcached connections"):
        without, lossy, guarded = counted[f"{left_open} afterwards"]
        assert (without, guarded) == (0, 0)
        assert lossy > 0
    assert re.search(r"^close-lost  ElasticAPM  \(elastic-apm .*\)$", output, re.M)
    assert "was never closed: dropped at" in " ".join(output.split())

    # Without a terminal each step is a line.
    assert [re.sub(r"^\[ *\d+ s\] ", "", step) for step in done.stderr.splitlines()] == [
        "PostgreSQL and memcached start",
        *(
            f"{name}: {what}"
            for name in (
                "Without ElasticAPM",
                "With ElasticAPM",
                "With ElasticAPM and CloseGuard",
            )
            for what in ("gunicorn starts", "128 visitors upload at once, 128 come later")
        ),
    ]

    chart = parsed((tmp_path / "chart.svg").read_text("utf-8"))
    [described] = [part.text for part in chart.iter() if part.tag.endswith("desc")]
    errors = counted["errors"]
    assert [int(n) for n in re.findall(r"(\d+) of 256 visitors", described)] == [*errors]
    texts = [part.text for part in chart.iter() if part.tag.endswith("text")]
    assert texts.count("no errors") == 2
    assert f"{errors[1]} visitors got an error" in texts
    assert texts.count("PostgreSQL: 0 left") == texts.count("memcached: 0 left") == 2

    # What the page shows is what the command prints.
    assert table_of(PAGE).keys() == counted.keys()
    assert without_versions(session_of_check(PAGE)) == without_versions(
        session_of_check(output)
    )


def test_the_readme_shows_what_the_page_shows():
    """Which is compared with what the command prints."""
    readme = (ROOT / "README.md").read_text("utf-8")

    _, _, shown = readme.partition("mysite.wsgi (mysite/wsgi.py)\n")
    shown = shown.partition("```")[0]

    assert "1 layer, " in shown
    assert shown in PAGE


@needs_services
def test_it_ends_what_it_has_started():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)  # noqa: S103 - PostgreSQL may be run by another user
        process = subprocess.Popen(
            COMMAND, env=environment(TMPDIR=folder), stderr=subprocess.PIPE, text=True
        )
        with process:
            try:
                while "visitors upload" not in process.stderr.readline():
                    assert process.poll() is None
                started = processes_of(folder)
            finally:
                process.send_signal(signal.SIGTERM)
            status = process.wait(60)
        left = processes_of(folder)
        for process_id in left:
            os.kill(int(process_id), signal.SIGKILL)

        assert status == 143
        assert {"postgres", "memcached"} <= set(started.values())
        assert left == {}
        assert os.listdir(folder) == []


def processes_of(folder):
    """Return the names of the processes that work in *folder*, by their ids."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if str((process / "cwd").readlink()).startswith(folder):
                found[process.name] = (process / "comm").read_text().strip()
    return found


@needs_services
def test_it_says_what_is_not_installed():
    done = subprocess.run(
        COMMAND, env=environment(PATH=""), capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr == (
        "too_many_clients: memcached must be installed, got none:"
        " apt-get install postgresql memcached\n"
    )


class TestChart:
    @pytest.fixture
    def chart(self):
        spec = importlib.util.spec_from_file_location("chart", EXAMPLE / "chart.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_a_line_has_a_step_where_the_number_changes(self, chart):
        panel = chart.Panel(
            title="<with> a layer",
            database=[(0.0, 0), (1.0, 50), (2.0, 50), (4.0, 100)],
            cache=[(0.0, 0), (4.0, 0)],
            errors=[3.0],
            together=2.0,
        )

        drawn = parsed(chart.svg([panel], limit=100, description="a & b"))

        paths = {
            part.get("class"): part.get("d")
            for part in drawn.iter()
            if part.tag.endswith("path")
        }
        assert re.findall("[MHV]", paths["line database"]) == ["M", "H", "V", "H", "V", "H"]
        assert re.findall("[MHV]", paths["line cache"]) == ["M", "H"]
        assert paths["line database"].split("V")[-1].split("H")[0] == paths["limit"].split()[-1]
        texts = [part.text for part in drawn.iter() if part.tag.endswith("text")]
        assert "<with> a layer" in texts
        assert "1 visitors got an error" in texts

    def test_the_chart_of_the_page_is_one_of_these(self, chart):
        drawn = parsed((ROOT / "docs" / "_static" / "story.svg").read_text("utf-8"))

        [style] = [part.text for part in drawn.iter() if part.tag.endswith("style")]
        assert style == chart.STYLE
