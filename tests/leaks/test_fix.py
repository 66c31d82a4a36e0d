"""A change puts a guard directly inside a layer, and changes nothing else in the file."""

import ast
import os
import py_compile
import stat
import subprocess
from pathlib import Path

import pytest

from freedom_middleware.edits import Change
from freedom_middleware.errors import EditError
from freedom_middleware.leaks.added import Line
from freedom_middleware.leaks.fix import Unfit, propose, prove


def calls_in(path, *names):
    """Return the lines of a file that call or decorate with one of *names*."""
    found = []
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        for decorator in getattr(node, "decorator_list", []):
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if called.id in names:
                found.append(Line(path, decorator, is_decorator=True))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            found.append(Line(path, node))
    decorators = [line.node for line in found if line.is_decorator]
    return [line for line in found if line.is_decorator or line.node not in decorators]


def changed(tmp_path, text, *names):
    path = tmp_path / "wsgi.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    change = propose(path, calls_in(path, *(names or ["Layer"])))
    assert change.before == path.read_bytes()  # nothing is written
    return change.after if isinstance(text, bytes) else change.after.decode()


IMPORT = "from freedom_middleware import CloseGuard\n"


class TestWhere:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("Layer(application)", "Layer(CloseGuard(application))"),
            ("Layer(app.wsgi_app, debug=True)", "Layer(CloseGuard(app.wsgi_app), debug=True)"),
            ("Layer( (application) , 1)", "Layer( (CloseGuard(application)) , 1)"),
            ("Layer('config', application)", "Layer('config', CloseGuard(application))"),
            ("Layer(debug=1, app=make())", "Layer(debug=1, app=CloseGuard(make()))"),
            ("Layer(Other(application))", "Layer(CloseGuard(Other(application)))"),
            (
                "Layer(\n    application,  # é\n)",
                "Layer(\n    CloseGuard(application),  # é\n)",
            ),
            ("'é' and Layer(application)", "'é' and Layer(CloseGuard(application))"),
            ("Layer(make(\n    1,\n))", "Layer(CloseGuard(make(\n    1,\n)))"),
            ("Layer(Layer(a))", "Layer(CloseGuard(Layer(CloseGuard(a))))"),
            ("f(Layer(a), Layer(b))", "f(Layer(CloseGuard(a)), Layer(CloseGuard(b)))"),
        ],
    )
    def test_the_application_gets_it(self, tmp_path, before, after):
        text = changed(tmp_path, f"import x\napplication = {before}\n")

        assert text == f"import x\n{IMPORT}application = {after}\n"

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_a_decorator_gets_one_below_it(self, tmp_path, end):
        lines = ["import x", "class A:", "\t@Layer(", "\t\t1)", "\t@other", "\tdef f(): ..."]
        before = end.join(lines).encode()

        lines[4:4] = ["\t@CloseGuard"]
        lines[1:1] = [IMPORT.strip()]
        assert changed(tmp_path, before) == end.join(lines).encode()

    def test_after_a_partial_s_function(self, tmp_path):
        path = tmp_path / "wsgi.py"
        path.write_text("import functools\na = functools.partial(f, app, 1)\n")
        [line] = calls_in(path, "functools.partial")

        after = propose(path, [line._replace(skip=1)]).after.decode()

        assert "a = functools.partial(f, CloseGuard(app), 1)\n" in after


class TestImport:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("from b import (\n    c,\n)\n{}", "from b import (\n    c,\n)\n{I}{}"),
            (
                "import a\nx = 1\nimport b; y = 1\n\n{}",
                "import a\nx = 1\nimport b; y = 1\n{I}\n{}",
            ),
            ("import a\n{}import b\n", "import a\n{I}{}import b\n"),
            ('"""Site."""\n{}', '"""Site."""\n{I}\n{}'),
            ("# coding: ascii\n\n{}", "# coding: ascii\n\n{I}\n{}"),
            ("@f\ndef g(): ...\n{}", "{I}\n@f\ndef g(): ...\n{}"),
            ("from . import freedom_middleware\n{}", "from . import freedom_middleware\n{I}{}"),
        ],
    )
    def test_is_put_in_its_place(self, tmp_path, before, after):
        text = changed(tmp_path, before.replace("{}", "a = Layer(b)\n"))

        wanted = after.replace("{I}", IMPORT).replace("{}", "a = Layer(CloseGuard(b))\n")
        assert text == wanted

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (" import Mount", " import CloseGuard, Mount"),
            (" import Application  # é", " import Application, CloseGuard  # é"),
            (
                " import (\n    Mount,\n    When,\n)",
                " import (\n    CloseGuard, Mount,\n    When,\n)",
            ),
            (".guard import CloseGuard", ".guard import CloseGuard"),
        ],
    )
    def test_one_that_is_there_is_used(self, tmp_path, before, after):
        text = changed(tmp_path, f"from freedom_middleware{before}\na = Layer(b)\n")

        assert text == f"from freedom_middleware{after}\na = Layer(CloseGuard(b))\n"

    def test_another_name_for_it_is_used(self, tmp_path):
        text = changed(tmp_path, "from freedom_middleware import CloseGuard as G\na = Layer(b)")

        assert text == "from freedom_middleware import CloseGuard as G\na = Layer(G(b))"

    def test_an_import_on_the_same_line_comes_too_late(self, tmp_path):
        text = changed(tmp_path, "import a; b = Layer(a)")

        assert text == f"{IMPORT}\nimport a; b = Layer(CloseGuard(a))"


class TestEveryByteStays:
    @pytest.mark.parametrize(
        "text",
        [
            b"\xef\xbb\xbfimport a  # \xc3\xa9\r\nb = Layer(a)  # \xc3\xa9\r\n",
            b"# -*- coding: latin-1 -*-\nimport a  # \xe9\nb = ('\xe9', Layer(a), '\xe9')\n",
            b"import a\r\nb = Layer(a)\n\n\n\t \r\n",
            b"import a\n\x0cb = '\xe2\x80\xa8', Layer(a)",
            b"import a\nb = Layer(a) \\\n  or 1",
        ],
    )
    def test_but_for_what_is_put_in(self, tmp_path, text):
        after = changed(tmp_path, text)

        removed = after.replace(b"from freedom_middleware import CloseGuard\r\n", b"")
        removed = removed.replace(b"from freedom_middleware import CloseGuard\n", b"")
        assert removed.replace(b"CloseGuard(a)", b"a") == text
        assert (b"\r\n" in after.splitlines(keepends=True)[1]) == (b"\r\n" in text[:30])


class TestWhatIsNotUnderstoodIsLeftAlone:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("a = Layer(*args)", "line 1 does not show which argument is the application"),
            ("a = Layer('x', 1, other=2)", "does not show which argument"),
            ("a = Layer()", "does not show which argument"),
            ("from freedom_middleware import CloseGuard\na = Layer(CloseGuard(b))", "already"),
            ("CloseGuard = 1\na = Layer(b)", "CloseGuard already stands for something"),
            ("def CloseGuard(): ...\na = Layer(b)", "CloseGuard already stands for something"),
            ("from x import y as CloseGuard\na = Layer(b)", "CloseGuard already stands for"),
            ("import a; b = (\n1)\nc = Layer(d)", "would say something else"),
            ("from __future__ import (\nannotations); x = '''\n'''\na = Layer(b)", "would say"),
        ],
    )
    def test_and_the_reason_is_said(self, tmp_path, text, says):
        with pytest.raises(Unfit, match=says):
            changed(tmp_path, text)

    @pytest.mark.parametrize("data", [None, b"def", b"# coding: no-such\n", b"\xff", b"\0"])
    def test_a_file_that_cannot_be_read(self, tmp_path, data):
        path = tmp_path / "wsgi.py"
        if data is not None:
            path.write_bytes(data)

        with pytest.raises(Unfit, match="cannot be read"):
            propose(path, [Line(path, ast.parse("Layer(a)").body[0].value)])

    def test_bytes_that_an_encoding_does_not_give_back(self, tmp_path):
        path = tmp_path / "wsgi.py"
        path.write_bytes(b"# coding: utf-7\na = Layer(b)  # +AGE-\n")

        with pytest.raises(Unfit, match="would write otherwise"):
            propose(path, [])


class TestDiff:
    @pytest.mark.parametrize(
        "text",
        [
            b"import a\nb = Layer(a)",
            b"import a\r\nb = Layer(a)\r\n",
            b"# coding: latin-1\nimport a  # \xe9\nb = Layer(a)\n",
        ],
    )
    def test_is_what_git_and_patch_take(self, tmp_path, monkeypatch, text):
        monkeypatch.chdir(tmp_path)
        after = changed(tmp_path, text)
        path = tmp_path / "wsgi.py"
        diff = Change(path, text, after).diff().encode("latin-1")

        subprocess.run(["git", "apply", "-"], input=diff, check=True, cwd=tmp_path)

        assert path.read_bytes() == after
        assert diff.startswith(b"--- a/wsgi.py\n+++ b/wsgi.py\n")

    def test_a_file_elsewhere_is_named_as_it_is(self, tmp_path, monkeypatch):
        after = changed(tmp_path, b"import a\nb = Layer(a)\n")
        monkeypatch.chdir("/")
        monkeypatch.setattr(Path, "cwd", lambda: Path("/nowhere"))

        diff = Change(tmp_path / "wsgi.py", b"import a\nb = Layer(a)\n", after).diff()

        assert diff.startswith(f"--- {tmp_path}/wsgi.py\n+++ {tmp_path}/wsgi.py\n")


class TestWrite:
    @pytest.fixture
    def change(self, tmp_path):
        path = tmp_path / "wsgi.py"
        path.write_bytes(b"before")
        path.chmod(0o640)
        return Change(path, b"before", b"after")

    def test_keeps_the_rights_and_leaves_nothing_behind(self, change):
        change.write()

        assert change.path.read_bytes() == b"after"
        assert stat.S_IMODE(change.path.stat().st_mode) == 0o640
        assert os.listdir(change.path.parent) == ["wsgi.py"]

    def test_writes_what_a_link_leads_to(self, change):
        link = change.path.with_name("link.py")
        link.symlink_to(change.path)

        Change(link, b"before", b"after").write()

        assert link.is_symlink()
        assert change.path.read_bytes() == b"after"

    def test_what_changed_meanwhile_is_not_overwritten(self, change):
        change.path.write_bytes(b"edited")

        with pytest.raises(EditError, match="must not change meanwhile"):
            change.write()

        assert change.path.read_bytes() == b"edited"

    def test_what_cannot_be_written_is_left_as_it_was(self, change, monkeypatch):
        def full(source, target):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.replace", full)

        with pytest.raises(EditError, match="No space left on device; nothing was changed"):
            change.write()

        assert change.path.read_bytes() == b"before"
        assert os.listdir(change.path.parent) == ["wsgi.py"]

    def test_what_has_gone_is_said(self, change):
        change.path.unlink()

        with pytest.raises(EditError, match="No such file"):
            change.write()


class TestProve:
    @pytest.fixture(autouse=True)
    def site(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        self.path = tmp_path / "mine.py"
        self.path.write_text(
            "from freedom_middleware.testing import hello\n"
            "def Layer(app): return lambda environ, start: list(app(environ, start))\n"
            "print('noise')\n"
            "application = Layer(hello)\n"
        )
        return tmp_path

    def test_the_changed_text_is_checked_and_not_written(self, site):
        change = propose(self.path, calls_in(self.path, "Layer"))

        kept = Path(py_compile.compile(str(self.path)))
        before = kept.read_bytes()

        assert prove([], "mine", ["/"])["findings"]
        assert not prove([change], "mine", ["/"])["findings"]

        assert self.path.read_bytes() == change.before
        assert kept.read_bytes() == before

    @pytest.mark.parametrize(
        ("after", "says"),
        [(b"1 / 0", "ZeroDivisionError"), (b"import os; os._exit(3)", "without a word")],
    )
    def test_what_cannot_be_checked_says_why(self, after, says):
        with pytest.raises(Unfit, match=says):
            prove([Change(self.path, self.path.read_bytes(), after)], "mine", ["/"])
