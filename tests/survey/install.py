"""An environment with the packages of the survey, and what could not be installed."""

import json
import re
import subprocess
import sys
from pathlib import Path

PACKAGES = Path(__file__).with_name("packages.txt")
SECONDS = 600
"""For one package."""


def requirements(text):
    """Return what a list asks for.

    >>> requirements("# a comment\\nsetuptools<81  # pkg_resources\\n\\nPaste\\n")
    ['setuptools<81', 'Paste']
    """
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def reason(output):
    """Return the line of pip's *output* that says why, without where.

    >>> reason(
    ...     "  error: exited\\n  error in x setup command: use_2to3 is invalid.\\nnote: no\\n"
    ... )
    'error in x setup command: use_2to3 is invalid.'
    >>> reason("gcc: error: krb5-config:: linker input file not found: No such file\\n")
    'gcc: error: krb5-config:: linker input file not found: No such file'
    >>> reason("")
    'pip does not say why'
    """
    lines = [line.strip() for line in output.splitlines() if re.search("(?i)error", line)]
    telling = [line for line in lines if re.search("setup command|krb5|No module|Error:", line)]
    return ([*telling, *lines] or ["pip does not say why"])[0][:160]


def install(folder, tell=print):
    """Make or complete an environment in *folder*; return its Python, and what failed."""
    folder = Path(folder).resolve()
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        tell(f"making an environment in {folder}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    failures = folder / "not-installed.json"
    failed = json.loads(failures.read_text("utf-8")) if failures.exists() else {}
    wanted = requirements(PACKAGES.read_text("utf-8"))
    constraints = folder / "constraints.txt"
    there = frozen(python)
    for number, requirement in enumerate(wanted, 1):
        name = re.split("[<>=!~ ]", requirement)[0]
        if normal(name) in there and requirement == name:
            continue
        # What is there stays as it is: each package has to live beside the others.
        fixed = (f"{one}=={version}" for one, version in there.items() if one != normal(name))
        constraints.write_text("\n".join(fixed), "utf-8")
        tell(f"{number}/{len(wanted)} {requirement}")
        done = pip(python, "install", "-q", "-c", constraints, requirement)
        failed.pop(name, None)
        if done.returncode:
            failed[name] = reason(done.stdout + done.stderr)
            tell(f"  could not be installed: {failed[name]}")
        failures.write_text(json.dumps(failed), "utf-8")
        there = frozen(python)
    return str(python), failed


def frozen(python):
    """Return the version of each distribution that *python* has."""
    lines = pip(python, "list", "--format=freeze").stdout.split()
    pairs = (line.split("==", 1) for line in lines if "==" in line)
    return {normal(name): version for name, version in pairs}


def normal(name):
    return re.sub("[-_.]+", "-", name).lower()


def pip(python, *arguments):
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"Error: not done in {SECONDS} s")
