"""docs/in-ci.md: its commands are run, and its files hold to the schemas of their readers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft7Validator

PAGE = (Path(__file__).parents[2] / "docs" / "in-ci.md").read_text("utf-8")

SITE = """\
from freedom_middleware.testing import hello

def loses(application):
    return lambda environ, start_response: list(application(environ, start_response))

application = loses(hello)
"""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands():
    """Return each command on the page that is ours, wherever it stands."""
    lines = "".join(blocks("sh") + blocks("yaml")).splitlines()
    found = [line.lstrip(" -").removeprefix("run: ") for line in lines]
    return [line for line in found if line.startswith("freedom-middleware")]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite" / "wsgi.py").write_text(SITE)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "freedom-middleware"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m freedom_middleware "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run(project, command):
    path = f"{project / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-ec", command],
        cwd=project,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_are_commands():
    assert len(commands()) == 5


@pytest.mark.parametrize("command", commands())
def test_each_command_works(project, command):
    done = run(project, command)

    assert done.returncode == (0 if "||" in command else 1), done.stderr
    if name := re.search(r"(?:--output|>) (leaks\.\w+)", command):
        text = (project / name[1]).read_text()
        assert "close-lost" in text
        assert text[0] == ("{" if name[1].endswith("sarif") else "<")
    if "||" not in command:
        assert "1 layer at fault. Exit 1." in done.stdout


def test_a_wrong_question_stops_what_a_finding_does_not(project):
    [command] = [command for command in commands() if "||" in command]

    assert run(project, command.replace("mysite.wsgi", "nosite.wsgi")).returncode == 1


@pytest.mark.parametrize(
    ("number", "schema"), [(0, "vendor.github-workflows"), (1, "vendor.gitlab-ci")]
)
def test_each_file_is_one_that_its_reader_takes(number, schema):
    validator = Draft7Validator(get_builtin_schema(schema))
    config = json.loads(json.dumps(yaml.safe_load(blocks("yaml")[number])))
    if True in config or "true" in config:
        config["on"] = config.pop("true")  # YAML 1.1 takes `on` for a truth value

    validator.validate(config)

    assert not validator.is_valid({"jobs": {"check": {"steps": []}}, "script": 1})


def test_what_is_uploaded_is_what_is_written():
    for block, name in zip(blocks("yaml"), ("leaks.sarif", "leaks.xml"), strict=True):
        assert block.count(name) == 2
