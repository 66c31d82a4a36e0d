"""``python -m tests.newcomer [PAGE ...]``: run the pages as somebody who has only the wheel.

The wheel is built; then each page of ``docs`` that shows a session gets an empty virtual
environment, in which the wheel is installed, and what the page itself says by ``pip install``.
The session is run there, away from the sources.  Prints a table; the exit status is 1 if a
page does not do what it shows.  Takes a quarter of a minute for each page.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SESSION = """
import sys, warnings
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, DocTestParser, DocTestRunner
import freedom_middleware

assert freedom_middleware.__file__.startswith(sys.prefix), freedom_middleware.__file__
warnings.simplefilter("ignore")
text = open(sys.argv[1], encoding="utf-8").read()
session = DocTestParser().get_doctest(text, {}, "session", sys.argv[1], 0)
failed, tried = DocTestRunner(optionflags=ELLIPSIS | NORMALIZE_WHITESPACE).run(session)
print(tried)
sys.exit(failed > 0)
"""


def run(*command, cwd):
    """Run a program to its end; return what it printed, or raise with that."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(done.stdout)
    return done.stdout


def requirements(text, wheel):
    """Return what a page says to install, the wheel first, with the extras that it names."""
    said = " ".join(re.findall(r"pip install ([^`\n]+)", text)).replace("'", "").split()
    extras = {
        word[word.index("[") :] for word in said if word.startswith("freedom-middleware[")
    }
    ours = [f"freedom-middleware{extra} @ {wheel.as_uri()}" for extra in sorted(extras)]
    others = [word for word in said if re.fullmatch(r"[a-z][\w-]+", word)]
    return [*(ours or [wheel]), *(word for word in others if word != "freedom-middleware")]


def session_of(text):
    """Return the lines of a page's sessions, each where it stands on the page."""
    inside, kept = False, []
    for line in text.splitlines():
        fence = line.strip().startswith("```")
        inside = line.strip() == "```pycon" if fence else inside
        kept.append(line if inside and not fence else "")
    return "\n".join(kept)


def follow(page, wheel, folder):
    """Follow a page in an environment of its own; return how many lines it has of a session."""
    text = page.read_text("utf-8")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(python, "-m", "pip", "install", "-q", *requirements(text, wheel), cwd=folder)
    session, runner = folder / page.name, folder / "session.py"
    session.write_text(session_of(text), encoding="utf-8")
    runner.write_text(SESSION, encoding="utf-8")
    # Where a page says that it is in the clone, it is; what is imported is the wheel's still.
    cwd = ROOT if "In the clone" in text else folder
    return run(python, runner, session, cwd=cwd).split()[-1]


def main():
    """Follow the pages that are named, or all; return the exit status."""
    pages = [Path(name).resolve() for name in sys.argv[1:]] or sorted(ROOT.glob("docs/**/*.md"))
    status = 0
    with tempfile.TemporaryDirectory() as made:
        built = Path(made)
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", built, ".", cwd=ROOT)
        [wheel] = built.glob("*.whl")
        for page in pages:
            if ">>> " not in session_of(page.read_text("utf-8")):
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    said = f"{follow(page, wheel, Path(folder))} lines, as it shows"
                except RuntimeError as error:
                    status, said = 1, f"NOT AS IT SHOWS\n{error}"
            print(f"{page.relative_to(ROOT)!s:<24} {said}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
